"""Exported models against the ones that Megatron has: same logits, same bits on the way back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.convert_world import (
    LENGTH,
    ROPE_BASE,
    VOCABULARY,
    model_file,
    model_of,
    publish,
)
from tests.trainer.ranks import run_ranks
from trainer.convert.parts import Names, parts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Any]]:
    """The folder of checkpoints, the root, and what each rank found."""
    folder = tmp_path_factory.mktemp("convert")
    root = folder / "root"
    root.mkdir()
    for tied in (False, True):
        model_file(folder, tied=tied)
    model_file(folder, precision="bf16")
    script = Path(__file__).with_name("convert_worker.py")
    answers = run_ranks(script, 2, str(folder), str(root), publish(root))
    return folder, str(root), answers


@pytest.mark.parametrize("case", ["untied", "tied"])
@pytest.mark.parametrize("names", list(Names))
def test_transformers_has_the_logits_of_megatron(made: Any, case: str, names: Names) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.convert.export import export_checkpoint

    folder, root, _ = made
    out = folder / f"{case}-{names}"
    if not out.exists():
        config = str(folder / f"{case}-fp32.toml")
        export_checkpoint(folder / case, out, root=root, names=names, config=config)
    model, told = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(told.values()), told
    assert type(model).__name__ == {"phi3": "Phi3ForCausalLM", "llama": "LlamaForCausalLM"}[names]
    assert model.dtype == torch.float32
    assert model.config.rope_parameters["rope_theta"] == ROPE_BASE
    assert model.config.max_position_embeddings == LENGTH
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (2, LENGTH))
    with torch.no_grad():
        found = model(torch.from_numpy(ids)).logits.numpy()
    expected = np.load(folder / f"{case}.npy")
    assert expected.std() > 0.3, "weights so small that nothing is seen"
    assert np.abs(found - expected).max() < 1e-5


def test_what_is_imported_again_is_the_same_to_the_bit_on_every_layout(made: Any) -> None:
    _, _, answers = made
    every = {"untied": 0, "tied": 0, "staged": 0, "tied_staged": 0, "half": 0}
    assert answers == [every, every]


def test_ranks_that_shared_the_model_in_another_way_are_not_seen(made: Any) -> None:
    from trainer.convert.tensors import Tensors

    folder, _, _ = made
    for one, other, file in (
        ("untied", "staged", "untied-fp32.toml"),
        ("tied", "tied_staged", "tied-fp32.toml"),
    ):
        left, right = Tensors(folder / one), Tensors(folder / other)
        for part in parts(model_of(folder / file), Names.LLAMA):
            if "norm" not in part.name:
                assert left.read(part).equal(right.read(part)), part.name
