"""WARC and WET files: one page a record, broken records counted.

datatrove's WarcReader passes over what it cannot read in silence (and needs libmagic), and warcio
does so with damaged gzip members. So records are framed here, by their Content-Length inside their
gzip member, and each is then parsed by warcio. What counts as a page is as in datatrove: `response`
and `conversion` records of HTML (or, converted, plain text); of HTTP answers those with status 200.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from generators.seeds.inventory import Unit
from generators.seeds.readers.outcomes import MAX_BYTES, Outcome, Row
from generators.seeds.readers.pages import page_outcome
from generators.seeds.readers.streams import CHUNK, Damaged, Joined, members, opened
from generators.seeds.sources import Source, compression
from manifests.records import Reason

MAX_HEADER_LINES = 1000
HTML = ("text/html", "application/xhtml+xml")
LENGTH = re.compile(rb"^content-length:\s*(\d+)\s*$", re.IGNORECASE | re.MULTILINE)
TARGET = re.compile(rb"^warc-target-uri:\s*<?(\S+?)>?\s*$", re.IGNORECASE | re.MULTILINE)
TYPE = re.compile(rb"^warc-type:\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE)
NEXT = re.compile(rb"^WARC/1\.\d\r?$", re.MULTILINE)
CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Frame:
    """One record as its bytes lie, and what is wrong with it."""

    head: bytes
    body: bytes
    problem: str = ""
    beyond: bytes = b""
    """What was read as its body and belongs to the next record."""


def read_warc(source: Source, unit: Unit) -> Iterator[Outcome]:
    """A document or a reject for every page; a record that cannot be read is a reject too."""
    codec = compression(unit.url)
    with opened(source, unit) as file:
        streams = members(file, codec) if codec else iter([Joined([file])])
        number = 0
        for stream in streams:
            for frame in _frames(io.BufferedReader(stream, CHUNK)):
                place = f"{unit.url}#record={number}"
                number += 1
                outcome = _outcome(source, place, frame)
                if outcome is not None:
                    yield outcome


def _frames(stream: io.BufferedReader) -> Iterator[_Frame]:
    """The records of one member or plain file."""
    broken = False
    while True:
        try:
            skipped, head = _head(stream)
        except Damaged as damage:
            if not broken:
                yield _Frame(b"", b"", str(damage))
            return
        if skipped and not broken:
            yield _Frame(b"", skipped, "bytes that belong to no record")
        if not head:
            return
        frame = _frame(stream, head)
        broken = bool(frame.problem)
        yield frame
        if frame.beyond:
            stream = io.BufferedReader(Joined([io.BytesIO(frame.beyond), stream]), CHUNK)


def _head(stream: io.BufferedReader) -> tuple[bytes, bytes]:
    """What lies before the next record, and that record's header lines; both empty at the end."""
    skipped = b""
    while line := stream.readline(MAX_BYTES):
        if NEXT.match(line):
            break
        if line.strip():
            skipped = (skipped + line)[:CHUNK]
    head = line
    for _ in range(MAX_HEADER_LINES):
        if not line.strip():
            break
        line = stream.readline(CHUNK)
        head += line
    return skipped, head


def _frame(stream: io.BufferedReader, head: bytes) -> _Frame:
    found = LENGTH.search(head.replace(b"\r\n", b"\n"))
    if not found:
        return _Frame(head, b"", "no Content-Length")
    length = int(found[1])
    if length > MAX_BYTES:
        return _Frame(head, b"", f"a record of {length} bytes; the limit is {MAX_BYTES}")
    try:
        body = stream.read(length)
        if len(body) < length:
            return _misframed(head, body, f"cut after {len(body)} of {length} bytes")
        # looking on makes the decompressor reach its checksum, if this record is the last
        while (end := stream.peek(1)[:1]) in (b"\r", b"\n"):
            stream.read(1)
    except Damaged as damage:
        return _Frame(head, b"", str(damage))
    if end in (b"", b"W"):
        return _Frame(head, body)
    return _misframed(head, body, f"does not end after its {length} bytes")


def _misframed(head: bytes, body: bytes, problem: str) -> _Frame:
    """A record with a wrong length; what it swallowed of the next one is given back."""
    found = NEXT.search(body)
    if not found:
        return _Frame(head, body, problem)
    return _Frame(head, body[: found.start()], problem, beyond=body[found.start() :])


def _outcome(source: Source, place: str, frame: _Frame) -> Outcome | None:
    """None for records that are no pages."""
    head = frame.head.replace(b"\r\n", b"\n")
    target = TARGET.search(head)
    url = f"{target[1].decode('utf-8', 'replace')}#{place}" if target else place
    row = Row(source=source, url=url)
    kind = TYPE.search(head)
    if frame.problem:
        if kind and kind[1].lower() not in (b"response", b"conversion"):
            return None
        problem = f"broken record: {frame.problem}"
        return row.reject(Reason.UNREADABLE, problem, frame.head + frame.body)
    return _parsed(row, frame)


def _parsed(row: Row, frame: _Frame) -> Outcome | None:
    from warcio.archiveiterator import ArchiveIterator

    try:
        record = next(iter(ArchiveIterator(io.BytesIO(frame.head + frame.body))), None)
        if record is None or record.rec_type not in ("response", "conversion"):
            return None
        mime = _mime(record)
        if not _is_page(record, mime):
            return None
        data = record.content_stream().read(MAX_BYTES + 1)
    except Exception as error:  # warcio raises bare ones of many kinds on malformed records
        return row.reject(
            Reason.UNREADABLE, f"broken record: {type(error).__name__}: {error}", frame.head
        )
    if len(data) > MAX_BYTES:
        return row.reject(Reason.TOO_LONG, f"a page over {MAX_BYTES} bytes", data)
    if mime == "text/plain":
        return _plain(row, data)
    charset = CHARSET.search(_content_type(record))
    return page_outcome(row, data, charset[1] if charset else None)


def _content_type(record: Any) -> str:
    headers = record.http_headers or record.rec_headers
    return str(headers.get_header("Content-Type") or "")


def _mime(record: Any) -> str:
    identified = record.rec_headers.get_header("WARC-Identified-Payload-Type")
    return str(identified or _content_type(record)).partition(";")[0].strip().lower()


def _is_page(record: Any, mime: str) -> bool:
    if record.rec_type == "conversion":
        return mime in (*HTML, "text/plain")
    status = record.http_headers.get_statuscode() if record.http_headers else "200"
    return mime in HTML and status == "200"


def _plain(row: Row, data: bytes) -> Outcome:
    try:
        return row.document(data.decode())
    except UnicodeDecodeError as error:
        return row.reject(Reason.UNREADABLE, error, data)
