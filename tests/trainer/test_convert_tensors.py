"""Reading tensors of checkpoints that others wrote."""

from pathlib import Path

import pytest

from manifests.errors import DataError
from trainer.convert.parts import ATTENTION_NORM, FEED_FORWARD_NORM, Part


def part(source: str, layer: int) -> Part:
    return Part(name="", source=source, layer=layer, rows=None, shape=(3,))


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_norms_that_are_not_fused_are_found_under_their_own_names(tmp_path: Path) -> None:
    import torch
    from torch.distributed import checkpoint

    from trainer.convert.tensors import Tensors

    norms = {
        f"decoder.layers.{name}.weight": torch.arange(6.0).reshape(2, 3) + first
        for first, name in ((0, "input_layernorm"), (10, "pre_mlp_layernorm"))
    }
    checkpoint.save(norms, checkpoint_id=tmp_path, no_dist=True)
    tensors = Tensors(tmp_path)
    assert tensors.shape(ATTENTION_NORM, of_layers=True) == (2, 3)
    assert tensors.read(part(ATTENTION_NORM, 1)).tolist() == [3, 4, 5]
    assert tensors.read(part(FEED_FORWARD_NORM, 0)).tolist() == [10, 11, 12]
    with pytest.raises(DataError, match=r"no tensor self_attention\.linear_qkv\.weight"):
        tensors.read(part("self_attention.linear_qkv.weight", 0))


def test_a_list_of_chunks_that_is_none_is_told_of(tmp_path: Path) -> None:
    from trainer.convert.tensors import Tensors

    (tmp_path / ".metadata").write_bytes(b"not a pickle")
    with pytest.raises(DataError, match=r"its \.metadata cannot be read"):
        Tensors(tmp_path)
