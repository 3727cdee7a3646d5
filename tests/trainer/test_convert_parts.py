"""The mapping between the layouts, without weights."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from trainer.convert.parts import QKV, Names, parts, source_shape
from trainer.model.config import ModelConfig, read_config
from trainer.model.parameters import parameters

SMALL = ModelConfig(
    layers=2, hidden=8, ffn=12, heads=6, kv_heads=2, head_dim=4, vocabulary=10, precision="fp32"
)


@pytest.mark.parametrize("names", list(Names))
@pytest.mark.parametrize("tied", [False, True])
def test_every_row_of_megatrons_tensors_has_one_place(names: Names, tied: bool) -> None:
    config = replace(SMALL, tied=tied)
    seen: dict[tuple[str, int | None], Counter[int]] = {}
    for part in parts(config, names):
        whole = source_shape(config, part.source)
        rows = np.arange(whole[0]) if part.rows is None else part.rows
        assert part.shape == (len(rows), *whole[1:])
        seen.setdefault((part.source, part.layer), Counter()).update(rows.tolist())
    for (source, _), rows in seen.items():
        assert rows == Counter(range(source_shape(config, source)[0])), source


def test_queries_keys_and_values_are_taken_out_of_their_groups() -> None:
    found = {part.name: part.rows for part in parts(SMALL, Names.LLAMA) if part.source == QKV}
    # Two groups of three queries, a key and a value, of four channels each: 20 rows a group.
    rows = {name.split(".")[-2]: of for name, of in found.items() if ".0." in name}
    assert rows["q_proj"] is not None
    assert rows["q_proj"].tolist() == [*range(12), *range(20, 32)]
    assert rows["k_proj"] is not None
    assert rows["k_proj"].tolist() == [*range(12, 16), *range(32, 36)]
    assert rows["v_proj"] is not None
    assert rows["v_proj"].tolist() == [*range(16, 20), *range(36, 40)]


@pytest.mark.parametrize("names", list(Names))
def test_phi4_has_the_parameters_of_the_published_model(names: Names) -> None:
    config = read_config("phi4_14b").model
    sizes = [int(np.prod(part.shape)) for part in parts(config, names)]
    assert sum(sizes) == parameters(config) == 14_659_507_200
