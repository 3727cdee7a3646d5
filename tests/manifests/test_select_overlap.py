import random

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from manifests.objects.ranges import SHARD_ROWS
from manifests.select.overlap import overlaps

Picks = dict[int, set[int]]


def table(picks: Picks, rows: int) -> pa.Table:
    """Shard rows with these documents of shards of so many rows."""
    made = []
    for shard in sorted(picks):
        mask = np.isin(np.arange(rows), sorted(picks[shard]))
        whole = len(picks[shard]) == rows
        row: dict[str, object]
        row = {field.name: 0 if pa.types.is_integer(field.type) else [] for field in SHARD_ROWS}
        row |= {"key": f"{shard:032x}", "step": "s", "sha256": "x", "rows": rows}
        row["picked"] = b"" if whole else np.packbits(mask, bitorder="little").tobytes()
        row["documents"] = len(picks[shard])
        made.append(row)
    return pa.Table.from_pylist(made, schema=SHARD_ROWS)


picks = st.dictionaries(
    st.integers(0, 5), st.sets(st.integers(0, 10), min_size=1) | st.just(set(range(11)))
)


@given(picks, picks)
def test_the_overlap_is_that_of_the_sets_of_records(a: Picks, b: Picks) -> None:
    shared = sum(len(a[shard] & b[shard]) for shard in a.keys() & b.keys())
    assert overlaps(table(a, 11), table(b, 11)) == shared


def test_chunks_of_a_table_do_not_matter() -> None:
    chance = random.Random(3)
    a: Picks = {shard: set(chance.sample(range(11), 4)) for shard in range(20)}
    b: Picks = {shard: set(chance.sample(range(11), 11)) for shard in range(5, 30)}
    pieces = table(b, 11)
    chunked = pa.concat_tables([pieces.slice(0, 7), pieces.slice(7)])
    assert overlaps(table(a, 11), chunked) == overlaps(chunked, table(a, 11)) == 15 * 4
