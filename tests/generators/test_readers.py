"""What holds for every reader, and the row formats (JSON lines, Parquet, text)."""

import json
import pickle
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.seeds.inventory import take_inventory
from generators.seeds.readers import READERS, read_unit
from generators.seeds.sources import Format, Source
from manifests.errors import ConfigError
from manifests.fingerprint import sha256
from manifests.records import Kind, Reject, SeedDocument, document_id
from tests.generators.reader_files import (
    MAKERS,
    compressed,
    documents,
    incompressible,
    jsonl,
    make_text,
    read,
    rejects,
    source_of,
)


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
