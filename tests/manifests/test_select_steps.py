from collections.abc import Callable

import pytest

from manifests.errors import ConfigError
from manifests.fingerprint import canonical_json
from manifests.layout import step_file
from manifests.select.steps import slices_of, steps_of
from manifests.spec.types import SourceSpec
from manifests.store import Store

ONE = "steps/rewrite@1/" + "a" * 32
TWO = "steps/rewrite@2/" + "b" * 32
THREE = "steps/rewrite@2/bc" + "c" * 30
CODE = "steps/code@1/" + "d" * 32

Meant = Callable[..., tuple[str, ...]]


@pytest.fixture
def meant(store: Store) -> Meant:
    """What patterns mean on a root with four steps, beside which other things lie."""
    for step in (ONE, TWO, THREE, CODE):
        store.put(step_file(step), canonical_json({"slices": 3}))
        store.put(f"{step}/data/x.parquet", b"")
    store.put("runs/rewrite.json", b"")
    return lambda *steps: steps_of(store, SourceSpec(name="web", steps=steps))


def test_a_text_without_a_star_means_one_step(meant: Meant) -> None:
    assert meant("code") == meant("code@1") == meant("code@1/ddd") == meant(CODE) == (CODE,)
    assert meant("rewrite@1", "code") == (CODE, ONE)
    assert meant("rewrite@2/bb", "rewrite@2/bbb") == (TWO,)


def test_stars_fit_names_versions_and_fingerprints(meant: Meant) -> None:
    assert meant("rewrite@2/*") == (TWO, THREE)
    assert meant("rewrite@*/*") == meant("rew*/*") == meant("*write/*") == (ONE, TWO, THREE)
    assert meant("*/*") == (CODE, ONE, TWO, THREE)
    assert meant("*@1") == (CODE, ONE)
    assert meant("rewrite@2/*c") == (THREE,)


def test_several_fingerprints_are_never_mixed_unasked(meant: Meant) -> None:
    with pytest.raises(ConfigError) as error:
        meant("rewrite@2")
    assert str(error.value) == (
        f"source web: 'rewrite@2' fits 2 steps: {TWO[6:]}, {THREE[6:]}; write the fingerprint or"
        " its start, or rewrite@2/* for all"
    )
    for text in ("rewrite@2/b", "rewrite@*", "rewrite@*/b"):
        with pytest.raises(ConfigError, match=r"fits 2 steps: .*rewrite@2/\* for all"):
            meant(text)


def test_several_versions_are_never_mixed_unasked(meant: Meant) -> None:
    with pytest.raises(ConfigError, match=r"'rewrite' fits rewrite@1, rewrite@2; write which"):
        meant("rewrite")


def test_what_fits_nothing_is_told_with_what_is_near(meant: Meant) -> None:
    with pytest.raises(ConfigError, match=r"no step fits 'rewirte@1'; near it: rewrite@1/aaaaaaaa"):
        meant("rewirte@1")
    with pytest.raises(ConfigError, match=r"no step fits 'code@1/e'; near it: code@1/dddd"):
        meant("code@1/e")
    with pytest.raises(ConfigError, match=r"no step fits 'xyz'; there are: code@1, rewrite@1, rew"):
        meant("xyz")


def test_dots_and_brackets_of_a_pattern_are_letters(meant: Meant) -> None:
    for text in ("cod.", "[c]ode", "cod?"):
        with pytest.raises(ConfigError, match="no step fits"):
            meant(text)


def test_a_root_without_steps_says_so(store: Store) -> None:
    with pytest.raises(ConfigError, match="the root has no steps; is it the right one"):
        steps_of(store, SourceSpec(name="web", steps=("code",)))


def test_slices_are_those_of_a_readable_step_file(store: Store) -> None:
    assert slices_of(store, ONE) is None
    for broken in (b"", b"[]", b"{}", b'{"slices":-1}', b'{"slices":true}', b'{"slices":"3"}'):
        store.put(step_file(ONE), broken)
        assert slices_of(store, ONE) is None
    store.put(step_file(ONE), b'{"slices":3}')
    assert slices_of(store, ONE) == 3
