"""Objectives on two gloo ranks: losses and gradients against plain PyTorch on whole logits."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).with_name("losses_worker.py")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("losses")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "TORCH_COMPILE_DISABLE": "1", "PYTHONPATH": os.getcwd()}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(rank), "2", port, str(out)],
            env=environment,
            start_new_session=True,
        )
        for rank in range(2)
    ]
    try:
        assert [rank.wait(240) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            with suppress(ProcessLookupError):
                os.killpg(rank.pid, signal.SIGKILL)
            rank.wait()
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_the_z_loss_is_that_of_whole_logits(measured: Any, tensor_parallel: int) -> None:
    for rank in measured:
        found = rank[f"z_loss_tp{tensor_parallel}"]
        assert found["count"] == 0
        assert found["loss"] < 1e-6
        assert found["gradient"] < 1e-5
        assert found["sum"] < 1e-3


@pytest.mark.parametrize("tensor_parallel", [1, 2])
@pytest.mark.parametrize("check", ["dpo", "smoothed", "pivotal", "both", "first_tokens"])
def test_preferences_have_the_loss_and_the_gradients_of_the_formula(
    measured: Any, check: str, tensor_parallel: int
) -> None:
    for rank in measured:
        found = rank[f"{check}_tp{tensor_parallel}"]
        assert found["loss"] < 1e-5
        assert found["gradient"] < 1e-6 < 1e-3 < found["largest_gradient"]
        assert found["count"] == 3
        assert found["accuracy"] == found["expected_accuracy"]
        assert found["margin"] < 1e-4


@pytest.mark.parametrize("tensor_parallel", [1, 2])
@pytest.mark.parametrize("check", ["dpo", "pivotal", "both", "first_tokens"])
def test_logits_that_do_not_count_have_no_gradient(
    measured: Any, check: str, tensor_parallel: int
) -> None:
    found = [rank[f"{check}_tp{tensor_parallel}"] for rank in measured]
    # Of a token pair the softmax cancels, so a rank that has neither id has no gradient at all.
    moved = [at for rank in found for at in rank["moved"]]
    assert sorted(set(map(tuple, moved))) == list(map(tuple, found[0]["touched"]))
    if check == "pivotal":
        assert found[0]["touched"] == [[0, 2], [1, 7], [2, 13]]
