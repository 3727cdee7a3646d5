import pickle
import re
from importlib import resources

import pytest

from generators.catalog import CURATORS, GENERATORS, curator, generator
from generators.dialogue import DIALOGUES
from generators.instruction import INSTRUCTIONS
from generators.reversal import REVERSALS
from generators.revision import REVISIONS
from generators.rewrite import REWRITES
from manifests.errors import ConfigError
from manifests.fingerprint import fingerprint

METHODS = [*GENERATORS.values(), *CURATORS.values()]
FAMILIES = ("rewrite", "revise", "reverse", "instruct", "dialogue")


def test_no_two_generators_share_a_name() -> None:
    listed = [*REWRITES, *REVISIONS, *REVERSALS, *INSTRUCTIONS, *DIALOGUES]
    assert len(GENERATORS) == len(listed)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_name_is_name_at_version(method: object) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*@[1-9][0-9]*", method.name)  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_quick_generator_and_full_ones(family: str) -> None:
    names = [name for name in GENERATORS if name.startswith(f"{family}_")]
    assert [name for name in names if name.endswith("_quick@1")]
    assert [name for name in names if "_quick@" not in name]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_method_survives_the_way_to_a_worker(method: object) -> None:
    again = pickle.loads(pickle.dumps(method))  # noqa: S301
    assert again == method
    assert fingerprint(again) == fingerprint(method)


def test_all_fingerprints_differ() -> None:
    assert len({fingerprint(method) for method in METHODS}) == len(METHODS)


def test_every_prompt_text_on_disk_belongs_to_a_method() -> None:
    identities = repr([*METHODS])
    for file in resources.files("generators").joinpath("prompts").iterdir():
        user = file.read_text("utf-8").partition("## user\n")[2].strip()
        assert repr(user)[1:-1] in identities or repr(user) in identities, file.name


def test_the_lookup_finds_by_name_and_says_what_there_is() -> None:
    assert generator("dialogue_tutor@1") is GENERATORS["dialogue_tutor@1"]
    with pytest.raises(ConfigError, match="dialogue_tutor@1"):
        generator("dialogue_tutor@9")
    name = next(iter(CURATORS))
    assert curator(name) is CURATORS[name]
    with pytest.raises(ConfigError, match=re.escape(name)):
        curator("seeds_nowhere@1")
