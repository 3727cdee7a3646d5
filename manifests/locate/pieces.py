"""The documents of samples, read shard by shard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from manifests.documents import Documents
from manifests.locate.contents import Contents
from manifests.locate.texts import texts_of
from manifests.resolve.types import Body
from manifests.select.picking import Progress, over_files
from manifests.windows import Ints, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of tokens of a document."""

    id: str
    step: str
    sha256: str
    """Of the file."""
    row: int
    """Of the file."""
    start: int
    """First token, of the document's own and the one that closes it."""
    length: int
    tokens: int
    """Of the whole text, without the token that closes it."""
    text: str = ""
    """The beginning of the document's text, where it was asked for."""


def pieces_of(
    contents: Contents,
    sequence_length: int,
    bodies: Sequence[Body],
    samples: Ints,
    characters: int,
    progress: Progress | None,
) -> list[tuple[Piece, ...]]:
    """The documents of each sample. Samples that begin in the same shard are read together."""
    groups: dict[tuple[Body, int], list[int]] = {}
    for number, (body, sample) in enumerate(zip(bodies, samples, strict=True)):
        windows = contents.windows(body, sequence_length)
        (shard,) = windows.shards(np.array([sample]))[0].tolist()
        groups.setdefault((body, shard), []).append(number)
    found: list[tuple[Piece, ...]] = [()] * len(bodies)
    wanted = list(groups.items())

    def read(group: int) -> None:
        (body, _), numbers = wanted[group]
        shards = _Shards(contents, body.table, characters)
        windows = contents.windows(body, sequence_length)
        for number in numbers:
            spans = windows.spans(int(samples[number]), shards.documents)
            found[number] = tuple(shards.piece(span) for span in spans)

    over_files(read, range(len(wanted)), progress)
    return found


class _Shards:
    """A few shards of a table, each read once."""

    def __init__(self, contents: Contents, table: str, characters: int) -> None:
        self._contents = contents
        self._table = table
        self._characters = characters
        self._documents: dict[int, Documents] = {}
        self._texts: dict[int, pa.ChunkedArray] = {}

    def documents(self, shard: int) -> Documents:
        if shard not in self._documents:
            self._documents[shard] = self._contents.documents(self._table, shard)
        return self._documents[shard]

    def piece(self, span: Span) -> Piece:
        documents = self.documents(span.shard)
        row = self._contents.row(self._table, span.shard)
        at = int(documents.rows[span.document])
        return Piece(
            id=documents.ids[span.document].as_py(),
            step=row.step,
            sha256=row.sha256,
            row=at,
            start=span.start,
            length=span.length,
            tokens=int(documents.tokens[span.document]),
            text=self._text(span.shard, at),
        )

    def _text(self, shard: int, row: int) -> str:
        if not self._characters:
            return ""
        if shard not in self._texts:
            slice_index = self._contents.table(self._table)["slice_index"][shard].as_py()
            found = self._contents.row(self._table, shard)
            self._texts[shard] = texts_of(self._contents.manifest.store, found, slice_index)
        text: str = self._texts[shard][row].as_py() or ""
        return text[: self._characters]
