"""Parquet row by row, damage counted."""

import io
import random
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.seeds.sources import Format, Source, guess_format
from manifests.fingerprint import sha256
from tests.generators.reader_files import (
    compressed,
    documents,
    incompressible,
    make_parquet,
    make_python,
    make_warc,
    read,
    rejects,
    source_of,
)


def test_parquet_units_give_every_row_once_with_its_number_in_the_file(tmp_path: Path) -> None:
    texts = [f"row {n}" for n in range(1000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=70)
    source = source_of(tmp_path, Format.PARQUET)
    split = documents(read(source, split_bytes=1000))
    assert split == documents(read(source))
    assert [document.text for document in split] == texts
    assert split[555].url == "a.parquet#row=555"


def test_parquet_rows_that_are_no_text_are_rejects(tmp_path: Path) -> None:
    bad = pa.array([b"one", b"\xff", b"a\0b", b"", None], pa.binary())
    for name, type_ in (("binary", pa.binary()), ("string", pa.large_string())):
        column = pa.Array.from_buffers(type_, *_buffers(bad, type_))
        pq.write_table(pa.table({"text": column}), tmp_path / f"{name}.parquet")
    found = read(source_of(tmp_path, Format.PARQUET))
    assert [document.url for document in documents(found)] == [
        "binary.parquet#row=0",
        "string.parquet#row=0",
    ]
    reasons = ["unreadable", "unreadable", "empty", "unreadable"]
    assert [reject.reason for reject in rejects(found)] == reasons * 2


def _buffers(array: pa.Array, type_: pa.DataType) -> tuple[int, list[pa.Buffer]]:
    wide = array.cast(pa.large_binary()) if pa.types.is_large_string(type_) else array
    return len(wide), wide.buffers()


@given(st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=200), st.integers(1, 50))
def test_documents_and_rejects_of_a_parquet_file_are_its_rows(
    values: list[bytes | None], group: int
) -> None:
    file = io.BytesIO()
    table = pa.table({"text": pa.array(values, pa.binary())})
    pq.write_table(table, file, row_group_size=group)
    fsspec.filesystem("memory").pipe("/property/a.parquet", file.getvalue())
    source = Source(name="src", url="memory://property/a.parquet", format=Format.PARQUET)
    assert len(read(source, split_bytes=100)) == len(values)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz", "a.jsonl.zst", "a.warc.gz", "a.py"])
def test_no_damage_to_a_file_ends_in_an_exception(tmp_path: Path, name: str) -> None:
    make_warc(tmp_path)
    make_python(tmp_path)
    pq.write_table(
        pa.table({"text": [f"row {n}" for n in range(500)]}),
        tmp_path / "a.parquet",
        row_group_size=100,
        write_page_checksum=True,
    )
    for suffix in (".gz", ".zst"):
        (tmp_path / f"a.jsonl{suffix}").write_bytes(compressed(incompressible(100), suffix))
    path = tmp_path / name
    whole = path.read_bytes()
    source = source_of(path, guess_format(name))
    intact = read(source)
    dice = random.Random(name)
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(data[: dice.choice([len(data), dice.randrange(len(data))])])
        found = read(source)
        assert found == intact or rejects(found) or name == "a.py"


def test_dictionary_columns_read_as_text(tmp_path: Path) -> None:
    column = pa.array(["a", "b", "a"]).dictionary_encode()
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    assert [d.text for d in documents(read(source_of(tmp_path, Format.PARQUET)))] == ["a", "b", "a"]


def test_a_parquet_file_without_the_column_says_which_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"], "n": [1]}), tmp_path / "a.parquet")
    (reject,) = rejects(read(source_of(tmp_path, Format.PARQUET, lang_field="lang")))
    assert reject.detail == "a.parquet: no column text, lang; it has body, n"


@pytest.mark.parametrize("keep", [0, 3, 200])
def test_a_parquet_file_without_its_footer_is_one_reject(tmp_path: Path, keep: int) -> None:
    make_parquet(tmp_path)
    path = tmp_path / "a.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    (tmp_path / "b.parquet").write_bytes(b"PAR1" + b"\xaa" * 100 + b"PAR1")
    found = read(source_of(tmp_path, Format.PARQUET))
    assert [reject.reason for reject in rejects(found)] == ["unreadable"] * len(found)
    assert len(found) == 2


@pytest.mark.parametrize("crc", [True, False])
def test_a_damaged_page_loses_its_row_group_only_and_the_loss_is_counted(
    tmp_path: Path, crc: bool
) -> None:
    texts = [sha256(str(n).encode()) for n in range(300)]
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": texts}),
        path,
        row_group_size=100,
        use_dictionary=False,
        compression="zstd",
        write_page_checksum=crc,
    )
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    # without checksums only what breaks the format itself can be seen, as a page header does
    start = column.data_page_offset + (column.total_compressed_size // 2 if crc else 0)
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    found = read(source_of(tmp_path, Format.PARQUET))
    (lost,) = rejects(found)
    assert "100 rows of row group 1 are lost" in lost.detail
    assert lost.detail.startswith("a.parquet#rows=100-199: ")
    assert [document.text for document in documents(found)] == texts[:100] + texts[200:]
