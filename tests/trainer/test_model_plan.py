import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from manifests.errors import ConfigError
from manifests.resolve.types import Phase, Segment
from manifests.store import open_store
from tests.trainer.paired import pair_manifest
from trainer.cli.plan import plan
from trainer.loop.flops import flops_per_token
from trainer.model.config import Recompute, read_config
from trainer.model.memory import GPUS
from trainer.model.plan import Cluster, plan_phase

PHI4 = read_config("phi4_14b")
H100S = Cluster(gpus=1920, memory=GPUS["h100"][1] << 20, peak=989e12, mfu=0.4, tensor=2)


def pretraining(tokens: float, batch: int = 5760, **train: Any) -> Phase:
    steps = round(tokens / (batch * 4096))
    segment = Segment(start=0, stop=steps * batch, first_step=0, global_batch=batch, supplies=())
    return Phase(
        name="pretrain", after="", sequence_length=4096, segments=(segment,), train=dict(train)
    )


def test_operations_of_phi4_a_token_by_hand() -> None:
    layer = 5120 * (40 + 2 * 10) * 128 + 5120 * 5120 + 3 * 5120 * 17_920 + 2 * 5120
    multiplying = 40 * layer + 5120 + 100_352 * 5120
    attention = 12 * 40 * 40 * 128 * 4096
    assert flops_per_token(PHI4.model, 4096) == 6 * multiplying + attention


def test_the_published_run_of_phi4_follows_from_a_credible_utilisation() -> None:
    # 1,920 H100s, 9.8T tokens, 21 days [HF].
    found = plan_phase(PHI4, pretraining(9.8e12), H100S)
    assert found.steps == round(9.8e12 / (5760 * 4096))
    assert found.tokens == pytest.approx(9.8e12, rel=1e-5)
    assert 0.25 < found.days * H100S.mfu / 21 < 0.3
    assert found.parallel.data == 960
    assert found.memory.total <= H100S.memory


def test_days_follow_gpus_and_utilisation() -> None:
    phase = pretraining(1e12)
    whole = plan_phase(PHI4, phase, H100S).days
    assert plan_phase(PHI4, phase, replace(H100S, gpus=960)).days == pytest.approx(2 * whole)
    assert plan_phase(PHI4, phase, replace(H100S, mfu=0.2)).days == pytest.approx(2 * whole)


@pytest.mark.parametrize(
    ("asked", "fact", "wanted"),
    [
        (None, {}, Recompute.NONE),
        (None, {"recompute": True}, Recompute.FULL),
        (Recompute.NONE, {"recompute": True}, Recompute.NONE),
    ],
)
def test_what_is_recomputed_is_asked_of_the_command_then_of_the_phase(
    asked: Recompute | None, fact: dict[str, Any], wanted: Recompute
) -> None:
    found = plan_phase(PHI4, pretraining(1e12, **fact), replace(H100S, recompute=asked))
    assert found.recompute is wanted


def test_what_cannot_be_trained_names_the_phase() -> None:
    with pytest.raises(ConfigError, match=r"^phase pretrain: a global batch of 5770 samples"):
        plan_phase(PHI4, pretraining(1e12, batch=5770), H100S)
    with pytest.raises(ConfigError, match=r"^phase pretrain: a GPU would need .* it fits with"):
        plan_phase(PHI4, pretraining(1e12), replace(H100S, tensor=1))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    pair_manifest(open_store(str(folder / "root")), folder)
    return folder / "root"


def asked(root: Path, *options: str) -> Result:
    base = ["pairs", "--root", str(root), "--config", "tiny", "--gpus", "2"]
    return CliRunner().invoke(plan, [*base, *options])


def test_the_command_reads_the_numbers_of_the_manifest(root: Path) -> None:
    found = json.loads(asked(root, "--vocabulary", "260", "--json").output)
    assert found["parameters"] == 160_064
    phases = {phase["phase"]: phase for phase in found["phases"]}
    assert {"dpo1", "dpo2"} <= phases.keys()
    second = phases["dpo2"]
    assert second["steps"] == 3 * 24 // 4
    assert second["tokens"] == 3 * 24 * 128
    assert second["parallel"] == {"tensor": 1, "pipeline": 1, "data": 2}
    assert second["memory_total"] == sum(second["memory"].values())


def test_the_command_shows_it_to_a_person(root: Path) -> None:
    shown = asked(root, "--vocabulary", "260", "--phase", "dpo2", "--gpu", "h200").output
    assert "tiny: 160,064 parameters; tensor 1 x pipeline 1 x data 2 = 2 GPUs" in shown
    assert "dpo1" not in shown
    assert f"GiB of the fullest GPU, of {143_771 / 1024:.1f}:" in shown
    assert "9.22K" in shown


def test_the_command_refuses_in_one_line(root: Path) -> None:
    told = asked(root).output
    assert "tiny takes its vocabulary from the tokenizer: give --vocabulary N" in told
    for options, message in (
        (["--phase", "sfd"], "pairs has no phase sfd; it has "),
        (["--gpu", "tpu"], "GPU 'tpu' is not known here; write one of a100-40, "),
        (["--phase", "dpo1", "--gpu-memory", "1"], "phase dpo1: a GPU would need"),
    ):
        error = asked(root, "--vocabulary", "260", *options).exception
        assert isinstance(error, ConfigError)
        assert str(error).startswith(message)


def test_memory_of_a_gpu_may_be_given(root: Path) -> None:
    assert asked(root, "--vocabulary", "260", "--gpu-memory", "5").exit_code == 0
