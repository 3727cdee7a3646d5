"""Outages, text files and topics."""

import gzip
import io
from dataclasses import fields
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generators.seeds.inventory import take_inventory
from generators.seeds.readers import outcomes, read_unit
from generators.seeds.sources import Format, Source
from manifests.errors import ConfigError
from manifests.fingerprint import sha256
from manifests.records import Kind, Reject
from tests.generators.reader_files import (
    documents,
    jsonl,
    read,
    rejects,
    source_of,
)


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
