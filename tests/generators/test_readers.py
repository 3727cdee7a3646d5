"""What holds for every reader, and the row formats (JSON lines, Parquet, text)."""

import gzip
import io
import json
import pickle
import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from warcio.warcwriter import WARCWriter

from generators.seeds.inventory import take_inventory
from generators.seeds.readers import READERS, outcomes, read_unit
from generators.seeds.readers.outcomes import Outcome
from generators.seeds.sources import Format, Source, guess_format
from manifests.errors import ConfigError
from manifests.fingerprint import sha256
from manifests.records import Kind, Reject, SeedDocument, document_id

PARAGRAPH = "<p>" + "The tide follows the moon, twice a day, all along the coast. " * 6 + "</p>"


def read(source: Source, split_bytes: int = 1 << 26) -> list[Outcome]:
    units = take_inventory([source], split_bytes=split_bytes).units
    return [outcome for unit in units for outcome in read_unit(source, unit)]


def documents(found: list[Outcome]) -> list[SeedDocument]:
    return [outcome for outcome in found if isinstance(outcome, SeedDocument)]


def rejects(found: list[Outcome]) -> list[Reject]:
    return [outcome for outcome in found if isinstance(outcome, Reject)]


def source_of(path: Path, format_: Format, **options: object) -> Source:
    return Source(name="src", url=str(path), format=format_, **options)  # type: ignore[arg-type]


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def make_parquet(path: Path) -> Path:
    pq.write_table(pa.table({"text": ["one", "two", "", None, "two"]}), path / "a.parquet")
    return path


def make_jsonl(path: Path) -> Path:
    (path / "a.jsonl").write_bytes(jsonl({"text": "one"}, {"text": "one"}, 3))
    return path


def make_text(path: Path) -> Path:
    (path / "a.md").write_text("# Title\n\ntext\n")
    (path / "b.md").write_text("# Title\n\ntext\n")
    (path / "c.md").write_bytes(b"\xff\xfe\0")
    return path


def make_python(path: Path) -> Path:
    body = '    """Doc."""\n    a = 1\n    b = 2\n    return a + b\n'
    (path / "a.py").write_text(f"def f():\n{body}\n\ndef f():\n{body}\n\ndef g():\n{body}")
    (path / "b.py").write_text("def (")
    return path


def make_html(path: Path) -> Path:
    for name in ("a.html", "b.html"):
        (path / name).write_text(f"<html><body><article>{PARAGRAPH}</article></body></html>")
    (path / "c.html").write_text("")
    return path


def make_warc(path: Path) -> Path:
    with (path / "a.warc.gz").open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for _ in range(2):
            page = io.BytesIO(PARAGRAPH.encode())
            record = writer.create_warc_record(
                "https://example.org/", "conversion", page, warc_content_type="text/html"
            )
            writer.write_record(record)
    return path


def make_topics(path: Path) -> str:
    del path
    return "pydoc_data.topics"


MAKERS: dict[Format, Callable[[Path], Path | str]] = {
    Format.PARQUET: make_parquet,
    Format.JSONL: make_jsonl,
    Format.TEXT: make_text,
    Format.PYTHON: make_python,
    Format.HTML: make_html,
    Format.WARC: make_warc,
    Format.TOPICS: make_topics,
}


@pytest.mark.parametrize("format_", list(Format))
def test_every_reader_keeps_the_contract(format_: Format, tmp_path: Path) -> None:
    url = MAKERS[format_](tmp_path)
    source = Source(name="src", url=str(url), format=format_, licence="CC0-1.0", lang="de")
    source, units, reader = pickle.loads(  # noqa: S301
        pickle.dumps((source, take_inventory([source]).units, read_unit))
    )
    found = [outcome for unit in units for outcome in reader(source, unit)]
    assert found == [outcome for unit in units for outcome in read_unit(source, unit)]
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301
    ids = [o.id if isinstance(o, SeedDocument) else o.item_id for o in found]
    assert len(set(ids)) == len(ids)
    assert len({document.url for document in documents(found)}) == len(documents(found)) >= 2
    for document in documents(found):
        assert (document.source, document.licence, document.lang) == ("src", "CC0-1.0", "de")
        assert document.sha256 == sha256(document.text.encode())
        assert document.id == document_id("src", document.url, document.text)
        assert document.kind is (Kind.CODE if format_ is Format.PYTHON else Kind.PROSE)
    for reject in rejects(found):
        assert reject.by == f"read_{format_.value}@1"
        assert "\n" not in reject.detail
        assert reject.reason in {"unreadable", "empty"}


def test_there_is_a_reader_for_every_format() -> None:
    assert set(READERS) == set(Format) == set(MAKERS)


@pytest.mark.parametrize("format_", [Format.JSONL, Format.TEXT, Format.PYTHON, Format.HTML])
def test_any_fsspec_url_reads_like_a_local_path(format_: Format, tmp_path: Path) -> None:
    MAKERS[format_](tmp_path)
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path) + "/", f"/reads-{format_.value}/", recursive=True)
    local = documents(read(source_of(tmp_path, format_)))
    source = Source(name="src", url=f"memory://reads-{format_.value}", format=format_)
    remote = documents(read(source))
    assert [document.text for document in remote] == [document.text for document in local]
    assert remote[0].url == f"memory:///reads-{format_.value}/{local[0].url}"


def test_a_file_that_changed_since_the_plan_stops_the_task(tmp_path: Path) -> None:
    source = source_of(make_text(tmp_path), Format.TEXT)
    unit = take_inventory([source]).units[0]
    (tmp_path / "a.md").write_text("other length")
    with pytest.raises(ConfigError, match="changed after the run was planned"):
        list(read_unit(source, unit))


def test_an_object_of_the_same_size_that_changed_is_noticed_too() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/changing/a.txt", b"one")
    source = Source(name="src", url="memory://changing", format=Format.TEXT)
    unit = take_inventory([source]).units[0]
    fs.pipe("/changing/a.txt", b"two")
    with pytest.raises(ConfigError, match="changed"):
        list(read_unit(source, unit))


def test_the_fields_of_a_row_fill_the_document(tmp_path: Path) -> None:
    row = {"body": "a\r\nb", "n": 7, "lic": "MIT", "l": "fr", "at": "https://example.org/x"}
    (tmp_path / "a.jsonl").write_bytes(jsonl(row, {"body": "plain"}))
    source = source_of(
        tmp_path,
        Format.JSONL,
        text_field="body",
        id_field="n",
        licence_field="lic",
        lang_field="l",
        url_field="at",
        licence="CC0-1.0",
        kind=Kind.CODE,
    )
    first, second = documents(read(source))
    assert first.text == "a\nb"
    assert first.url == "https://example.org/x#a.jsonl#line=1,id=7"
    assert (first.licence, first.lang, first.kind) == ("MIT", "fr", Kind.CODE)
    assert (second.url, second.licence, second.lang) == ("a.jsonl#line=2", "CC0-1.0", "und")


@pytest.mark.parametrize(
    ("line", "reason", "problem"),
    [
        (b'{"text": "cut', "unreadable", "not JSON"),
        (b'{"text": "\xff"}', "unreadable", "utf-8"),
        (b"[1, 2]", "unreadable", "a JSON list"),
        (b'{"other": "x"}', "unreadable", "no field 'text'"),
        (b'{"text": 5}', "unreadable", "is int, not text"),
        (b'{"text": " \\n"}', "empty", "no text"),
        (b'{"text": "a\\u0000b"}', "unreadable", "NUL"),
        (b'{"text": "\\ud800"}', "unreadable", "not Unicode"),
        (b"[" * 200_000, "unreadable", "recursion"),
        (b"1" * 5_000, "unreadable", "not JSON"),
    ],
)
def test_a_broken_json_line_is_a_reject_with_its_number_and_reading_goes_on(
    tmp_path: Path, line: bytes, reason: str, problem: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        jsonl({"text": "one"}) + line + b"\n\n" + jsonl({"text": "four"})
    )
    before, broken, after = read(source_of(tmp_path, Format.JSONL))
    assert isinstance(broken, Reject)
    assert (broken.reason, broken.by) == (reason, "read_jsonl@1")
    assert broken.detail.startswith("a.jsonl#line=2: ")
    assert problem in broken.detail
    assert len(broken.text) <= 4096
    broken.text.encode()
    assert isinstance(before, SeedDocument)
    assert isinstance(after, SeedDocument)
    assert after.url == "a.jsonl#line=4"


def test_a_line_over_the_limit_is_refused_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generators.seeds.readers.jsonl.MAX_BYTES", 100)
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "x" * 950}, {"text": "next"}))
    long, after = read(source_of(tmp_path, Format.JSONL))
    assert isinstance(long, Reject)
    assert long.reason == "too_long"
    assert isinstance(after, SeedDocument)
    assert after.text == "next"


def compressed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_lines_read_as_plain_ones_over_several_members(
    tmp_path: Path, suffix: str
) -> None:
    rows = [{"text": f"row {n}"} for n in range(50)]
    data = jsonl(*rows)
    cut = len(data) // 2 + 3
    joined = compressed(data[:cut], suffix) + compressed(data[cut:], suffix)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(joined)
    found = documents(read(source_of(tmp_path, Format.JSONL)))
    assert [document.text for document in found] == [row["text"] for row in rows]


def incompressible(rows: int) -> bytes:
    return jsonl(*({"text": sha256(str(n).encode()) * 8} for n in range(rows)))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_truncated_stream_gives_its_whole_lines_and_one_reject(
    tmp_path: Path, suffix: str
) -> None:
    data = compressed(incompressible(1000), suffix)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(data[: len(data) * 3 // 4])
    *found, last = read(source_of(tmp_path, Format.JSONL))
    assert len(documents(found)) == len(found)
    assert 0 < len(found) < 1000
    assert isinstance(last, Reject)
    assert "ends too early" in last.detail
    assert last.detail.startswith(f"a.jsonl{suffix}#line={len(found) + 1}: ")


@pytest.mark.parametrize("format_", [Format.JSONL, Format.TEXT])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_flipped_bytes_in_a_stream_are_seen(tmp_path: Path, suffix: str, format_: Format) -> None:
    data = bytearray(compressed(incompressible(200), suffix))
    data[len(data) // 2] ^= 0x55
    extension = "jsonl" if format_ is Format.JSONL else "txt"
    (tmp_path / f"a.{extension}{suffix}").write_bytes(data)
    last = read(source_of(tmp_path, format_))[-1]
    assert isinstance(last, Reject)
    assert last.reason == "unreadable"


LINES = st.one_of(
    st.builds(lambda text: json.dumps({"text": text}).encode(), st.text(max_size=20)),
    st.binary(min_size=1, max_size=20).filter(lambda line: b"\n" not in line),
).filter(bytes.strip)


@given(st.lists(LINES, max_size=30))
def test_documents_and_rejects_of_a_json_file_are_its_lines(lines: list[bytes]) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/property/a.jsonl", b"\n".join(lines))
    source = Source(name="src", url="memory://property/a.jsonl", format=Format.JSONL)
    assert len(read(source)) == len(lines)


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


def test_an_outage_of_the_store_is_no_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object store that fails for a moment must not turn rows into rejects for ever."""
    texts = [sha256(str(n).encode()) * 100 for n in range(2000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=500)
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path / "a.parquet"), "/outage/a.parquet")
    fs.pipe("/outage/a.jsonl", jsonl({"text": "one"}))
    found = []
    for format_ in (Format.PARQUET, Format.JSONL):
        source = Source(name="src", url=f"memory://outage/a.{format_.value}", format=format_)
        found.append((source, take_inventory([source]).units[0]))

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() < len(self.getbuffer()) - 60_000 or len(self.getbuffer()) < 60_000:
                raise ConnectionResetError("the store hung up")
            return super().read(size)

    original = type(fs).open

    def failing(self: object, path: str, mode: str = "rb", **options: object) -> Failing:
        with original(self, path, mode, **options) as file:
            return Failing(file.read())

    monkeypatch.setattr(type(fs), "open", failing)
    for source, unit in found:
        with pytest.raises(ConnectionResetError):
            list(read_unit(source, unit))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("intro\n\n## Tides ##\n", "Tides"),
        ("Tides\n=====\n\ntext", "Tides"),
        ("*****\nTides\n*****\n", "Tides"),
        ("Col  Col\n---  ---\n", ""),
        ("#!/bin/sh\n", ""),
        ("no heading", ""),
    ],
)
def test_the_title_of_a_text_is_its_first_heading(tmp_path: Path, text: str, title: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    (document,) = documents(read(source_of(tmp_path, Format.TEXT)))
    assert (document.title, document.text) == (title, text)


def test_text_files_keep_everything_but_their_kind_of_newline(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf  a\r\nb\rc\n\n ")
    (document,) = documents(read(source_of(tmp_path, Format.TEXT)))
    assert document.text == "  a\nb\nc\n\n "


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"caf\xe9 au lait", "unreadable"),
        (b"\x7fELF\0\0\0", "unreadable"),
        ("Å".encode("utf-16"), "unreadable"),
    ],
)
def test_a_file_that_is_no_text_is_one_reject(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    (reject,) = rejects(read(source_of(tmp_path, Format.TEXT)))
    assert reject.reason == reason


def test_a_file_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generators.seeds.readers.streams.MAX_BYTES", 1000)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a" * 100_000))
    (reject,) = rejects(read(source_of(tmp_path, Format.TEXT)))
    assert reject.reason == "too_long"


def test_the_language_reference_is_79_topics_under_its_licence() -> None:
    source = Source(name="reference", url="pydoc_data.topics", format=Format.TOPICS)
    found = documents(read(source))
    assert len(found) == 79
    assert {(d.licence, d.lang, d.kind) for d in found} == {("PSF-2.0", "en", Kind.PROSE)}
    assert found[0].url == "pydoc_data.topics#assert"
    assert found[0].title == 'The "assert" statement'
    assert sum(len(d.text) for d in found) > 400_000


def test_a_topics_source_without_its_module_is_a_config_error() -> None:
    source = Source(name="reference", url="pydoc_data.gone", format=Format.TOPICS)
    with pytest.raises(ConfigError, match=r"no module 'pydoc_data\.gone'"):
        take_inventory([source])


def test_a_module_without_topics_is_one_reject() -> None:
    (reject,) = read(Source(name="reference", url="this", format=Format.TOPICS))
    assert isinstance(reject, Reject)
    assert "no dict of texts named topics" in reject.detail


def test_rejects_have_no_more_than_a_page_of_text() -> None:
    assert outcomes.EXCERPT == 4096
    assert {field.name for field in fields(Reject)} >= {"item_id", "reason", "detail", "by", "text"}
