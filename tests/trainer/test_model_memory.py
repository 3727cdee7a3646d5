from dataclasses import replace

import pytest

from manifests.errors import ConfigError
from trainer.model.config import Recompute, read_config
from trainer.model.memory import (
    GIB,
    RESERVE,
    Layout,
    layer_activations,
    memory,
    refuse_what_does_not_fit,
    stage_parameters,
)
from trainer.model.parallel import Parallel
from trainer.model.parameters import parameters

PHI4 = read_config("phi4_14b").model
SMALL = read_config("125m").model
H100 = 80 * 10**9


def layout(ranks: int, tensor: int = 1, pipeline: int = 1, **more: object) -> Layout:
    parallel = Parallel.of(ranks, tensor, pipeline, PHI4)
    return Layout(parallel=parallel, sequence_length=4096, **more)  # type: ignore[arg-type]


def test_one_rank_has_all_parameters_and_18_bytes_for_each() -> None:
    found = memory(PHI4, layout(1))
    assert found.weights == 2 * parameters(PHI4)
    assert found.gradients == 4 * parameters(PHI4)
    assert found.optimizer == 12 * parameters(PHI4)
    assert found.total == sum(
        (found.weights, found.gradients, found.optimizer, found.activations, found.logits, RESERVE)
    )
    in_fp32 = memory(replace(PHI4, precision="fp32"), layout(1))
    assert in_fp32.weights + in_fp32.gradients + in_fp32.optimizer == 16 * parameters(PHI4)


def test_a_distributed_optimizer_divides_its_state_and_nothing_else() -> None:
    spread = memory(PHI4, layout(64, tensor=2))
    whole = memory(PHI4, layout(64, tensor=2, distributed_optimizer=False))
    assert spread.optimizer == whole.optimizer // 32
    assert replace(spread, optimizer=whole.optimizer) == whole


@pytest.mark.parametrize("config", [PHI4, SMALL])
@pytest.mark.parametrize("tensor", [1, 2])
@pytest.mark.parametrize("pipeline", [1, 2, 4])
def test_parameters_of_all_ranks_are_the_models(config: object, tensor: int, pipeline: int) -> None:
    parallel = Parallel(tensor=tensor, pipeline=pipeline)
    stages = [stage_parameters(config, parallel, stage) for stage in range(pipeline)]  # type: ignore[arg-type]
    norms = config.hidden * (2 * config.layers + 1)  # type: ignore[attr-defined]
    shared = config.rows * config.hidden if config.tied and pipeline > 1 else 0  # type: ignore[attr-defined]
    total = parameters(config) + shared  # type: ignore[arg-type]
    assert sum(stages) * tensor == total + (tensor - 1) * norms


def test_activations_of_phi4_by_hand() -> None:
    packed = 8 * 5120 + 6 * 17_920 + 2 * 5120 + 2 * (2 * 5120 + 3 * 1280) + 4 * 40
    assert layer_activations(PHI4, layout(1)) == packed
    scores = 40 * 4096 * 6
    local = 8 * 5120 + 6 * 17_920 + 2 * 5120 + 6 * 5120 + scores
    assert layer_activations(PHI4, layout(1, packed=False)) == local
    assert layer_activations(PHI4, layout(1, recompute=Recompute.FULL)) == 2 * 5120
    assert layer_activations(PHI4, layout(2, tensor=2)) == packed // 2


def test_the_first_stage_keeps_as_many_micro_batches_as_there_are_stages() -> None:
    one, four = memory(PHI4, layout(1)), memory(PHI4, layout(4, pipeline=4))
    assert four.activations == one.activations
    assert one.logits > 0 == four.logits


def test_a_larger_micro_batch_takes_proportionally_more_activations() -> None:
    one, three = (memory(PHI4, layout(8, micro_batch=size)) for size in (1, 3))
    assert three.activations == 3 * one.activations
    assert three.logits == 3 * one.logits
    assert three.weights == one.weights


def test_a_layout_that_fits_is_told_of() -> None:
    good = layout(512, tensor=2, pipeline=4, recompute=Recompute.FULL)
    assert refuse_what_does_not_fit(PHI4, good, H100) == memory(PHI4, good)


def refusal(asked: Layout, available: int = H100) -> str:
    with pytest.raises(ConfigError) as error:
        refuse_what_does_not_fit(PHI4, asked, available)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_layout_that_cannot_fit_says_by_how_much_and_what_would() -> None:
    asked = layout(64, tensor=2, micro_batch=4)
    missing = memory(PHI4, asked).total - H100
    told = refusal(asked)
    assert f"has {H100 / GIB:.1f}: {missing / GIB:.1f} GiB too little; it fits with " in told
    for words, other in (
        ("a micro batch of 1", layout(64, 2, micro_batch=1)),
        ("recompute full", layout(64, 2, micro_batch=4, recompute=Recompute.FULL)),
        ("pipeline parallel 2", layout(64, 2, 2, micro_batch=4)),
        ("pipeline parallel 4", layout(64, 2, 4, micro_batch=4)),
    ):
        assert (words in told) == (memory(PHI4, other).total <= H100)


def test_where_no_single_change_is_enough_the_smallest_layout_is_told() -> None:
    told = refusal(layout(64, micro_batch=4))
    assert "it fits with tensor parallel 2 and pipeline parallel 1 (micro batch 1" in told
    assert memory(PHI4, layout(64, 2)).total <= H100
    for one in (1, 4):
        assert memory(PHI4, layout(64, recompute=Recompute.FULL, micro_batch=one)).total > H100


def test_where_nothing_fits_that_is_said() -> None:
    assert refusal(layout(1)).endswith("no layout of 1 ranks fits; take more ranks")


def test_a_state_that_is_not_spread_is_the_first_thing_to_change() -> None:
    asked = layout(64, 2, distributed_optimizer=False)
    assert "it fits with a distributed optimizer" in refusal(asked)
