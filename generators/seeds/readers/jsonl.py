"""JSON lines, plain, gzip or zstd: one object a line, located by its line number."""

import io
import json
from collections.abc import Iterator

from generators.seeds.inventory import Unit
from generators.seeds.readers.outcomes import MAX_BYTES, Outcome, Row
from generators.seeds.readers.rows import from_fields
from generators.seeds.readers.streams import Damaged, decompressed, opened
from generators.seeds.sources import Source
from manifests.records import Reason


def read_jsonl(source: Source, unit: Unit) -> Iterator[Outcome]:
    """A document or a reject for every line that is not blank.

    Damage to the compression loses the rest of the file: one reject at the first line lost.
    """
    number = 0
    with opened(source, unit) as file:
        stream = decompressed(file, unit.url)
        while True:
            number += 1
            row = Row(source=source, url=f"{unit.url}#line={number}")
            try:
                line = stream.readline(MAX_BYTES + 1)
                if len(line) > MAX_BYTES:
                    _skip_line(stream, line)
                    yield row.reject(Reason.TOO_LONG, f"a line over {MAX_BYTES} bytes", line)
                    continue
            except Damaged as damage:
                problem = f"this line and all after it are lost: {damage}"
                yield row.reject(Reason.UNREADABLE, problem)
                return
            if not line:
                return
            if line.strip():
                yield _outcome(row, line)


def _outcome(row: Row, line: bytes) -> Outcome:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return row.reject(Reason.UNREADABLE, f"not JSON: {error}", line)
    if not isinstance(fields, dict):
        kind = type(fields).__name__
        return row.reject(Reason.UNREADABLE, f"a JSON {kind}, not an object", line)
    return from_fields(row.source, row.url, fields)


def _skip_line(stream: io.BufferedReader, piece: bytes) -> None:
    while piece and not piece.endswith(b"\n"):
        piece = stream.readline(MAX_BYTES)
