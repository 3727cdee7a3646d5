import numpy as np
import pyarrow as pa
import pytest

from manifests.select.picking import Part, with_parts
from tests.manifests.tables_of_shards import shard_rows


def steps(*sizes: int) -> pa.Table:
    """Shard rows of several steps, each sorted by key and a chunk of its own."""
    numbers = iter(range(sum(sizes)))
    tables = [shard_rows([next(numbers) for _ in range(size)]).sort_by("key") for size in sizes]
    return pa.concat_tables([table.combine_chunks() for table in tables])


@pytest.mark.parametrize("sizes", [(9,), (5, 7), (1, 4, 6)])
@pytest.mark.parametrize("seed", range(4))
def test_rows_of_several_steps_come_out_by_key(sizes: tuple[int, ...], seed: int) -> None:
    rows = steps(*sizes)
    fates = np.random.default_rng(seed).integers(0, 3, rows.num_rows)
    changed = np.flatnonzero(fates == 1).tolist()
    facts = [{"documents": 1, "tokens": 5 + number, "picked": b"\1"} for number in changed]
    parts = [Part(number=n, facts=f) for n, f in zip(changed, facts, strict=True)]
    expected = [row for row, fate in zip(rows.to_pylist(), fates, strict=True) if fate == 0]
    expected += [{**rows.slice(part.number, 1).to_pylist()[0], **part.facts} for part in parts]
    left = with_parts(rows, np.flatnonzero(fates == 0), parts)
    assert left.to_pylist() == sorted(expected, key=lambda row: row["key"])
    assert left.schema == rows.schema


def test_steps_that_are_taken_whole_or_not_at_all_are_not_copied() -> None:
    rows = steps(3, 4)
    first, _ = rows["sha256"].chunks
    left = with_parts(rows, np.arange(3), [])
    assert left["sha256"].chunk(0).buffers()[2].address == first.buffers()[2].address


def test_nothing_is_left_of_nothing() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert with_parts(steps(2), nothing, []).num_rows == 0
    assert with_parts(steps(2).slice(0, 0), nothing, []).num_rows == 0
