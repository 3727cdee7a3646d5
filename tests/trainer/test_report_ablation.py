"""Two mixtures, two models: what is trained on more is learned better. And the table of it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manifests.build.build import build
from manifests.errors import ConfigError
from manifests.objects.manifest import write_root
from manifests.objects.refs import Refs
from manifests.objects.tree import Objects
from manifests.spec.read import parse_mixture
from manifests.store import Store, open_store
from tests.manifests.tokened import Made, text, token_step
from trainer.cli import cli
from trainer.report.ablation import Arm, Learned, parse_arm, table

SPEC = """
schema = "scriptorium.mixture/1"
name = "{name}"
seed = 3
tokenizer = {{ name = "utf8-bytes@1", end_of_document = 256 }}
[sources]
cycles = {{ from = "cycles{held}_tokens@1", max_epochs = 50 }}
mirrors = {{ from = "mirrors{held}_tokens@1", max_epochs = 50 }}
[phases.pretrain]
tokens = "{tokens}"
sequence_length = 64
global_batch = 4
mix = {{ cycles = "{share}%", mirrors = "{rest}%" }}
train = {{ learning_rate = 1e-2, warmup_steps = 5, schedule = "constant" }}
"""
STEPS = 40


def cycles(tag: str, seed: int) -> list[Made]:
    """A word of three letters, again and again: a model can learn to go on."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefgh"), 3)) for _ in range(60)]
    return [text(f"{tag}/{i}", word * 20) for i, word in enumerate(words)]


def mirrors(tag: str, seed: int) -> list[Made]:
    """Steps up or down the alphabet of other letters: another thing to learn."""
    rng = np.random.default_rng(seed)
    letters = "STUVWXYZ"
    starts, turns = rng.integers(0, 8, 60).tolist(), rng.choice([-1, 1], 60).tolist()
    return [
        text(f"{tag}/{i}", "".join(letters[(start + turn * k) % 8] for k in range(60)))
        for i, (start, turn) in enumerate(zip(starts, turns, strict=True))
    ]


def publish(store: Store, name: str, share: int, held: str = "", steps: int = STEPS) -> None:
    tokens = 64 * 4 * steps
    spec = SPEC.format(name=name, share=share, rest=100 - share, held=held, tokens=tokens)
    objects = Objects(store)
    digest = write_root(objects, build(store, parse_mixture(spec, name), objects))
    at = "2026-01-01T00:00:00+00:00"
    Refs(store).publish(name, digest, message="", author="", at=at, spec=None, expected="")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("ablation")
    store = open_store(str(folder / "root"))
    for held, seed in (("", 1), ("_held", 2)):
        token_step(store, f"cycles{held}_tokens", cycles(f"c{held}", seed), index=True)
        token_step(store, f"mirrors{held}_tokens", mirrors(f"m{held}", seed), index=True)
    publish(store, "much", 95)
    publish(store, "little", 5)
    publish(store, "held", 50, held="_held", steps=4)
    command = [sys.executable, "-m", "trainer", "ablate", "much=much#pretrain"]
    command += ["little=little#pretrain", "--eval", "held#pretrain", "--root", store.url]
    command += ["--config", "tiny", "--out", str(folder / "out"), "--seed", "5", "--json"]
    command += ["--workers", "0", "--eval-samples", "32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    assert json.loads((folder / "out" / "ablation.json").read_text()) == told
    return told


def test_what_is_trained_on_more_is_learned_better(found: dict[str, object]) -> None:
    mixtures = found["mixtures"]
    assert isinstance(mixtures, list)
    much, little = mixtures
    assert (much["name"], little["name"]) == ("much", "little")
    assert much["sources"]["cycles"] < little["sources"]["cycles"] - 0.2
    assert little["sources"]["mirrors"] < much["sources"]["mirrors"] - 0.2


def test_the_table_shows_losses_and_their_differences() -> None:
    one = Learned(arm=Arm(name="a", ref="r", phase="p"), loss=2.0, sources={"web": 1.5, "x": 2.5})
    other = Learned(arm=Arm(name="b", ref="s", phase="p"), loss=1.0, sources={"web": 1.0, "x": 3.0})
    assert table([one, other]).splitlines() == [
        "mixture      web        x      all",
        "a         1.5000   2.5000   2.0000",
        "b         1.0000   3.0000   1.0000",
        "  - a    -0.5000  +0.5000  -1.0000",
    ]


def test_a_mixture_that_trains_on_the_held_out_set_is_refused_before_any_is_trained(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path / "root"))
    for held in ("", "_held"):
        token_step(store, f"cycles{held}_tokens", cycles(f"c{held}", 1), index=True)
        token_step(store, f"mirrors{held}_tokens", mirrors(f"m{held}", 2), index=True)
    publish(store, "fair", 50)
    publish(store, "held", 50, held="_held")
    argv = ["ablate", "fair=fair#pretrain", "unfair=held#pretrain", "--eval", "held#pretrain"]
    argv += ["--root", store.url, "--config", "tiny", "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match=r"--eval held#pretrain: 2 of its shards are trained on"):
        cli.main(argv, prog_name="trainer", standalone_mode=False)
    argv[2] = "fair=held#pretrain"
    with pytest.raises(ConfigError, match="two mixtures have the name fair"):
        cli.main(argv, prog_name="trainer", standalone_mode=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["mix#pretrain", "a=mix", "=mix#p", "a/b=mix#p", "a=#p"])
def test_a_mixture_that_is_not_named_so_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected NAME=REF#PHASE"):
        parse_arm(text)
