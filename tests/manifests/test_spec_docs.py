"""The page of mixtures says what the reader does: its spec, its tables, its errors, its numbers."""

import re
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest

from manifests.errors import ConfigError
from manifests.spec import keys
from manifests.spec.facts import TRAIN
from manifests.spec.form import Key
from manifests.spec.read import parse_mixture

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "mixtures.md").read_text("utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SPEC = "\n".join(BLOCKS)
TABLES: dict[str, tuple[Key[object], ...]] = {
    "The file": keys.MIXTURE,
    "Tokenizer": keys.TOKENIZERS,
    "Source": keys.SOURCE,
    "Condition": keys.CONDITIONS,
    "Strata": keys.STRATUM,
    "Phase": keys.PHASE,
    "Entry": keys.ENTRY,
    "Removal": keys.REMOVAL,
    "Change": keys.CHANGE,
}


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_blocks_are_a_mixture_and_the_first_is_one_by_itself() -> None:
    assert len(BLOCKS) == 5
    assert [phase.name for phase in parse_mixture(BLOCKS[0], "page").phases] == ["pretrain"]
    whole = parse_mixture(SPEC, "page")
    assert [phase.name for phase in whole.phases] == ["pretrain", "midtrain", "sft"]
    assert len(whole.changes) == 2
    chat = whole.source("chat").strata
    assert chat is not None
    names = ("dialogue_tutor@1", "dialogue_debate@1", "instruct@1")
    assert [chat.factor(name) for name in names] == [2, Fraction(1, 2), 1]


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_names_every_key_with_its_default(heading: str) -> None:
    found = {
        name: default for cell, _, default in rows(heading) for name in re.findall(r"`(\w+)`", cell)
    }
    known = {key.name: key for key in TABLES[heading]}
    assert set(found) == set(known)
    for name, default in found.items():
        if known[name].default:
            assert default == known[name].default, name
        else:
            assert (default == "") == bool(known[name].write), name


def test_the_facts_and_the_words_that_they_take_stand_on_the_page() -> None:
    named = [name for cell, _ in rows("Train") for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(key.name for key in TRAIN)
    words = {word for _, cell in rows("Train") for word in re.findall(r"`(\w+)`", cell)}
    assert words == {word for key in TRAIN for word in key.form.schema.get("enum", ())}


BROKEN = [
    ("seed = 1234", "sed = 1234"),
    ('web = "60%"', 'web = "55%"'),
    ('synthetic = "40%"', "synthetic = { weight = 4 }"),
    ('recall = "pretrain"', 'recall = "sft"'),
    ('tokens = "10B"', 'tokens = "10 TB"'),
    ('tokens = "10B"', ""),
    ('at = "6.2B tokens"', 'at = "11B"'),
    ('long = { share = "30%", layout = "document" }', 'long = "30%"'),
    ("chat = { epochs = 2 }, ", ""),
]


def test_the_errors_on_the_page_are_those_that_come() -> None:
    shown = PAGE.partition("## What it refuses")[2].partition("```\n")[2].partition("```")[0]
    said = []
    for old, new in BROKEN:
        assert old in SPEC
        with pytest.raises(ConfigError) as refused:
            parse_mixture(SPEC.replace(old, new, 1), "mix.toml")
        said.append(str(refused.value))
    assert said == shown.splitlines()


def test_the_steps_on_the_page_are_those_of_the_formula() -> None:
    assert f"{ceil(Fraction(10**13, 4096 * 5760)):,} steps" in PAGE


def test_the_shipped_mixtures_stand_on_the_page() -> None:
    section = PAGE.partition("## The shipped mixtures")[2]
    lines = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for cell in lines for name in re.findall(r"`(\w+)`", cell)]
    shipped = (REPOSITORY / "manifests" / "mixtures").glob("*.toml")
    assert sorted(named) == sorted(path.stem for path in shipped)
