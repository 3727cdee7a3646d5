"""The shipped mixtures, resolved over amounts of data such as the report had."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from manifests.resolve.phases import Version, resolve
from manifests.resolve.state import chain_to, state_after
from manifests.resolve.types import Phase
from manifests.spec.read import read_mixture
from tests.manifests.resolved import assert_whole, quotas
from tests.manifests.supplied import Numbers

MIXTURES = Path(__file__).parents[2] / "manifests" / "mixtures"
B = 10**9
UNIQUE = {  # [R Table 5]
    "web": 1300 * B,
    "web_rewrite": 290 * B,
    "synthetic": 290 * B,
    "code": 820 * B,
    "acquired": 580 * B,
}


def shipped(
    name: str, tokens: Mapping[str, int], document: int = 1000
) -> dict[str, tuple[Phase, dict[str, int]]]:
    """Each phase, and the samples of its sources."""
    mixture, _ = read_mixture(MIXTURES / f"{name}.toml")
    numbers = Numbers(tokens, document=document)
    phases = resolve(mixture, [Version(supplies=numbers)])
    for phase in phases:
        assert_whole(phase)
        for leaf, progress in state_after(chain_to(phases, phase.name)).items():
            most = mixture.source(leaf.partition("/")[0]).max_epochs
            assert most is None or progress.passes <= most
    return {phase.name: (phase, quotas(phase)) for phase in phases}


def test_pretraining_passes_over_its_sources_as_often_as_the_report_says() -> None:
    phase, samples = shipped("phi4_pretrain", UNIQUE)["pretrain"]
    assert phase.steps == 423_856
    passes = {name: Fraction(count * 4096, UNIQUE[name]) for name, count in samples.items()}
    assert {name: f"{float(found):.1f}" for name, found in passes.items()} == {  # [R Table 5]
        "web": "1.2",
        "web_rewrite": "5.2",
        "synthetic": "13.8",
        "code": "2.4",
        "acquired": "1.7",
    }
    assert sum(samples.values()) == phase.samples


def test_midtraining_is_30_percent_long_and_the_rest_what_pretraining_was() -> None:
    long = {"long/below-16384": 10 * B, "long/from-16384": 10 * B, "long_synthetic": 10 * B}
    phases = shipped("phi4_midtrain", UNIQUE | long, document=16384)
    phase, samples = phases["midtrain"]
    assert phase.steps == -(-250 * B // (16384 * 1440))
    new = sum(count for name, count in samples.items() if name in long)
    assert abs(Fraction(new, phase.samples) - Fraction(3, 10)) < Fraction(1, 1000)
    ratio = Fraction(samples["long/from-16384"], samples["long/below-16384"])
    assert abs(ratio - 3) < Fraction(1, 10**5)
    before = phases["pretrain"][1]
    for name in UNIQUE:
        recalled = Fraction(samples[name], phase.samples - new)
        assert abs(recalled - Fraction(before[name], sum(before.values()))) < Fraction(1, 10**6)


@pytest.mark.parametrize("name", ["s", "s_w", "s_wr", "uniform"])
def test_an_ablation_has_its_shares(name: str) -> None:
    path = MIXTURES / f"phi4_ablation_{name}.toml"
    mixture, _ = read_mixture(path)
    phase, samples = shipped(path.stem, UNIQUE)["pretrain"]
    for entry in mixture.phase("pretrain").mix:
        assert entry.share is not None
        assert abs(samples[entry.name] - entry.share * phase.samples) < 1


def test_fine_tuning_gives_every_generator_a_say_by_its_root() -> None:
    tokens = {f"sft/{name}": size * 10**6 for name, size in (("a", 1600), ("b", 6400))}
    phase, samples = shipped("phi4_sft", tokens, document=1024)["sft"]
    assert abs(phase.samples * 4096 - 8 * B) < 1024 * 4096  # packed: next to no padding
    assert abs(Fraction(samples["sft/b"], samples["sft/a"]) - 2) < Fraction(1, 1000)


PAIRS = {  # [R Tables 7 and 8]
    "pivotal_choice": 132_859,
    "pivotal_math": 76_552,
    "pivotal_python": 16_080,
    "pivotal_code": 21_806,
    "unknown_safety": 46_842,
    "judged_accuracy": 532_000,
    "judged_overall": 266_000,
}


@pytest.mark.parametrize("part", [1, 10])
def test_preference_pairs_come_in_the_report_s_proportions_however_many_there_are(
    part: int,
) -> None:
    phases = shipped("phi4_dpo", {name: count // part * 1001 for name, count in PAIRS.items()})
    for name, whole, safety in (("dpo1", 250_297, 3_000), ("dpo2", 841_842, 43_842)):
        phase, samples = phases[name]
        assert 0 <= whole / part - phase.samples < 512
        assert set(samples) <= set(PAIRS)
        assert abs(samples["unknown_safety"] - Fraction(safety * phase.samples, whole)) < 1
