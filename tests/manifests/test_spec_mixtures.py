"""The shipped mixtures are valid, say what the report says, and tag every number."""

import re
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from manifests.fingerprint import sha256
from manifests.records import Bucket
from manifests.spec.read import read_mixture
from manifests.spec.schema import mixture_schema
from manifests.spec.types import Layout, Mixture, OnCap, Unit
from pipelines.recipes.quickstart import QUICK

MIXTURES = Path(__file__).parents[2] / "manifests" / "mixtures"
SHIPPED = sorted(path.stem for path in MIXTURES.glob("*.toml"))


def shipped(name: str) -> Mixture:
    return read_mixture(MIXTURES / f"{name}.toml")[0]


def shares(mixture: Mixture, phase: str) -> dict[str, Fraction | None]:
    return {entry.name: entry.share for entry in mixture.phase(phase).mix}


def test_the_mixtures_are_these() -> None:
    ablations = [f"phi4_ablation_{name}" for name in ("s", "s_w", "s_wr", "uniform")]
    rest = [f"phi4_{name}" for name in ("dpo", "midtrain", "pretrain", "sft")]
    assert [*ablations, *rest, "quickstart"] == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_mixture_is_valid_for_reader_and_editor(name: str) -> None:
    text = (MIXTURES / f"{name}.toml").read_text("utf-8")
    assert shipped(name).name == name.replace("_", "-")
    assert list(Draft202012Validator(mixture_schema()).iter_errors(tomllib.loads(text))) == []
    assert text.startswith("#:schema ./mixture.schema.json\n")


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("phi4")])
def test_the_tokenizer_is_the_one_that_is_described_here(name: str) -> None:
    described = (MIXTURES.parent / "encodings" / "cl100k.json").read_bytes()
    assert shipped(name).tokenizer.name == f"cl100k@{sha256(described)[:12]}"
    assert shipped(name).tokenizer.end_of_document == 100257


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("phi4")])
def test_every_number_says_where_it_comes_from(name: str) -> None:
    text = (MIXTURES / f"{name}.toml").read_text("utf-8")
    tagged = re.compile(r"\[(?:R|RW|HF|I)[\]: ]")
    paragraph_tagged = False
    for line in text.splitlines():
        if not line or line.startswith("["):
            paragraph_tagged = False
        paragraph_tagged |= line.startswith(("#", "[")) and tagged.search(line) is not None
        if re.search(r"= .*\d", line.partition("#")[0]) and not line.startswith(("schema", "name")):
            own = tagged.search(line.partition("#")[2])
            same = re.match(
                r"(from|where|strata|max_epochs|\w+ = (\"|\{ (share|weight|tok)))", line
            )
            assert own or paragraph_tagged or same, line


def test_pretraining_is_table_5() -> None:
    mixture = shipped("phi4_pretrain")
    assert shares(mixture, "pretrain") == {
        "web": Fraction(15, 100),
        "web_rewrite": Fraction(15, 100),
        "synthetic": Fraction(40, 100),
        "code": Fraction(20, 100),
        "acquired": Fraction(10, 100),
    }
    phase = mixture.phase("pretrain")
    assert (phase.tokens, phase.sequence_length, phase.global_batch) == (10**13, 4096, 5760)
    unique = {"web": 1300, "web_rewrite": 290, "synthetic": 290, "code": 820, "acquired": 580}
    epochs = {"web": 1.2, "web_rewrite": 5.2, "synthetic": 13.8, "code": 2.4, "acquired": 1.7}
    for name, share in shares(mixture, "pretrain").items():
        assert share is not None
        passes = share * 10**13 / (unique[name] * 10**9)
        assert round(float(passes), 1) == epochs[name]
        assert passes < (mixture.source(name).max_epochs or 0)


def test_midtraining_is_30_percent_long_and_70_recall() -> None:
    mixture = shipped("phi4_midtrain")
    assert [phase.name for phase in mixture.phases] == ["pretrain", "midtrain"]
    assert mixture.phase("pretrain").mix == shipped("phi4_pretrain").phase("pretrain").mix
    phase = mixture.phase("midtrain")
    assert (phase.tokens, phase.sequence_length) == (250 * 10**9, 16384)
    long = [entry for entry in phase.mix if not entry.recall]
    assert sum(entry.share or 0 for entry in long) == Fraction(30, 100)
    assert {entry.layout for entry in long} == {Layout.DOCUMENT}
    assert [(e.recall, e.share) for e in phase.mix if e.recall] == [("pretrain", Fraction(70, 100))]
    strata = mixture.source("long").strata
    assert strata is not None
    assert strata.factor("from-16384") > strata.factor("below-16384")
    before = mixture.phase("pretrain").train
    assert phase.train["rope_base"] == 250_000
    assert phase.train["learning_rate"] == pytest.approx(float(before["learning_rate"]) / 10)


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("uniform", {"synthetic", "web", "web_rewrite"}),
        ("s", {"synthetic"}),
        ("s_wr", {"synthetic", "web_rewrite"}),
        ("s_w", {"synthetic", "web"}),
    ],
)
def test_an_ablation_moves_75_percent_and_holds_25(name: str, moved: set[str]) -> None:
    mixture = shipped(f"phi4_ablation_{name}")
    assert mixture.phase("pretrain").tokens == 10**12
    held = {"code": Fraction(1, 6), "acquired": Fraction(1, 12)}
    assert shares(mixture, "pretrain") == held | {n: Fraction(3, 4) / len(moved) for n in moved}


def test_post_training_has_the_sizes_of_the_report() -> None:
    (entry,) = shipped("phi4_sft").phase("sft").mix
    assert entry.tokens == 8 * 10**9
    mixture = shipped("phi4_dpo")
    for name, pairs in (("dpo1", 250_297), ("dpo2", 841_842)):
        phase = mixture.phase(name)
        assert sum(entry.weight or 0 for entry in phase.mix) == pairs
        assert phase.tokens == pairs * phase.sequence_length
        assert (phase.unit, phase.layout, phase.on_cap) == (
            Unit.SAMPLES,
            Layout.DOCUMENT,
            OnCap.SHRINK,
        )


def test_the_buckets_of_the_mixtures_are_those_of_records() -> None:
    used = {
        bucket
        for name in SHIPPED
        for source in shipped(name).sources
        for condition in source.where
        if condition.column == "bucket"
        for bucket in condition.any_of
    }
    assert used == set(Bucket)


def test_the_quick_start_mixes_all_that_its_recipe_makes() -> None:
    mixture = shipped("quickstart")
    made = {name.replace("@1", "_tokens@1") for name in QUICK}
    sources = {source.name: set(source.steps) for source in mixture.sources}
    assert sources["text"] | sources["exercises"] == made
    assert sources["text"].isdisjoint(sources["exercises"])
    assert {name.replace("_chat_", "_") for name in sources["chats"]} == sources["exercises"]
    assert [(p.name, p.sequence_length, p.global_batch) for p in mixture.phases] == [
        ("pretrain", 128, 4),
        ("midtrain", 256, 4),
        ("sft", 256, 4),
    ]
