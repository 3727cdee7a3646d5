import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import ConfigError, DataError
from manifests.fingerprint import sha256
from manifests.token_files import (
    COLUMN,
    MAX_BYTES,
    ROW_IDS,
    TokenFacts,
    open_token_file,
    token_file_bytes,
)


def facts(ids: int, vocabulary: int = 100_352, end: int = 100_257) -> TokenFacts:
    return TokenFacts(
        ids=ids, tokenizer="x@0123456789ab", vocabulary=vocabulary, end_of_document=end
    )


def some_ids(count: int, vocabulary: int = 100_352) -> Any:
    return np.random.default_rng(count).integers(0, vocabulary, size=count, dtype=np.uint32)


@given(count=st.integers(0, 3 * ROW_IDS + 1), small=st.booleans())
def test_ids_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, count: int, small: bool
) -> None:
    vocabulary = 257 if small else 100_352
    path = tmp_path_factory.getbasetemp() / f"{count}-{small}.parquet"
    about = facts(count, vocabulary, 256)
    path.write_bytes(token_file_bytes(some_ids(count, vocabulary), about))
    found, ids = open_token_file(path)
    assert found == about
    assert ids.dtype.itemsize == (2 if small else 4)
    np.testing.assert_array_equal(ids, some_ids(count, vocabulary))
    path.unlink()


def test_any_parquet_reader_reads_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(token_file_bytes(some_ids(2 * ROW_IDS + 5), facts(2 * ROW_IDS + 5)))
    rows = pq.read_table(path)[COLUMN].combine_chunks()
    read = np.frombuffer(rows.buffers()[1], dtype="<u4")
    np.testing.assert_array_equal(read[: 2 * ROW_IDS + 5], some_ids(2 * ROW_IDS + 5))
    assert set(read[2 * ROW_IDS + 5 :].tolist()) == {100_257}


def test_equal_ids_give_equal_bytes() -> None:
    data = [sha256(token_file_bytes(some_ids(9000), facts(9000))) for _ in range(2)]
    assert data[0] == data[1]


def test_a_large_file_still_has_one_page(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(token_file_bytes(some_ids(3_000_000), facts(3_000_000)))
    _, ids = open_token_file(path)
    assert int(ids[-1]) == int(some_ids(3_000_000)[-1])


def test_more_ids_than_a_page_holds_are_refused() -> None:
    count = MAX_BYTES // 4 + 1
    ids = np.broadcast_to(np.zeros(1, dtype=np.uint32), (count,))
    with pytest.raises(ConfigError, match="smaller slices"):
        token_file_bytes(ids, facts(count))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"use_dictionary": True},
        {"row_group_size": 1},
        {"data_page_size": 1, "write_batch_size": 1},
    ],
)
def test_another_layout_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(token_file_bytes(some_ids(2 * ROW_IDS), facts(2 * ROW_IDS)))
    table = pq.read_table(path)
    plain = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, path, **{**plain, **options})
    with pytest.raises(DataError, match="one page"):
        open_token_file(path)


def test_what_is_no_token_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a token file"):
        open_token_file(path)
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), out)
    path.write_bytes(out.getvalue())
    with pytest.raises(DataError, match="not a token file"):
        open_token_file(path)
