"""One small file of every format, and what reading it gives."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from warcio.warcwriter import WARCWriter

from generators.seeds.inventory import take_inventory
from generators.seeds.readers import read_unit
from generators.seeds.readers.outcomes import Outcome
from generators.seeds.sources import Format, Source
from manifests.fingerprint import sha256
from manifests.records import Reject, SeedDocument

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


def compressed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def incompressible(rows: int) -> bytes:
    return jsonl(*({"text": sha256(str(n).encode()) * 8} for n in range(rows)))
