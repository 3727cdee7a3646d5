"""Objectives on two gloo ranks: on logits against plain PyTorch, and with a tiny model."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.store import open_store
from tests.trainer.paired import pair_manifest
from tests.trainer.ranks import run_ranks

WORKER = Path(__file__).with_name("losses_worker.py")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("losses")
    manifest = pair_manifest(open_store(str(folder / "root")), folder)
    return run_ranks(WORKER, 2, str(folder / "root"), manifest.digest, str(folder / "cache"))


@pytest.fixture(scope="module")
def measured(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rank["logits"] for rank in answers]


@pytest.fixture(scope="module")
def model(answers: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = answers[0]["model"]
    return found


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


@pytest.mark.parametrize("phase", ["dpo1", "dpo2"])
@pytest.mark.parametrize("layout", ["data", "tensor", "pipeline"])
def test_a_response_beside_the_other_has_the_probability_that_it_has_alone(
    model: Any, layout: str, phase: str
) -> None:
    slices, values = model["passes"][f"{layout} {phase}"]
    alone = model["passes"][f"alone {phase}"]
    np.testing.assert_allclose(values, alone, rtol=0, atol=3e-5)
    # Data-parallel ranks share the slices; the ranks of one model go through all of them.
    assert slices == (2 if layout == "data" else 4)


def test_only_what_is_missing_is_computed_again(answers: Any) -> None:
    found = [rank["model"]["resumed"] for rank in answers]
    assert [rank["done"] for rank in found] == [1, 0]
    assert found[0]["changed"] == list(range(7, 14))


def test_a_rank_with_short_answers_weighs_no_more_a_token(model: Any) -> None:
    found = model["global_mean"]
    assert found["loss"] < 1e-5
    assert found["gradient"] < 1e-6 < 0.1 < found["naive_gradient"]


def test_before_the_first_update_no_response_is_preferred(model: Any) -> None:
    for name in ("dpo", "pivotal"):
        first = model[name]["first"]
        assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
        assert (first["accuracy"], first["margin"]) == (0, pytest.approx(0, abs=1e-5))


def test_planted_pairs_are_learned(model: Any) -> None:
    found = model["dpo"]
    assert found["last"]["accuracy"] == 1
    assert found["last"]["loss"] < 0.1
    moved = np.array(found["after"]) - np.array(found["before"])
    assert (moved[:, 0] > 1).all()
    assert (moved[:, 1] < -1).all()


def test_a_pivotal_token_is_learned_and_so_are_responses_beside_it(model: Any) -> None:
    found = model["pivotal"]
    assert found["last"]["accuracy"] == 1
    assert set(found["forms"]) == {"token_pair", "response_pair"}
    moved = np.array(found["after"]) - np.array(found["before"])
    assert (moved[:, 0] > 0.5).all()
    assert (moved[:, 1] < -0.5).all()
