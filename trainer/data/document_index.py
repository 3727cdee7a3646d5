"""Where the ids of a shard's documents lie: what a documents file says, as a few arrays.

A shard's picked documents lie end to end, each followed by its end-of-document id; a *place* is a
place in that. The arrays are made once a machine and kept in its cache as one file of int64 words,
which is mapped into memory: a shard of 100,000 documents costs 0.8 MB of disk and no memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.documents import ShardRow, read_columns
from manifests.errors import ConfigError, DataError, NotInStore, ShardCorrupt
from manifests.fingerprint import content_id
from manifests.packing import PACKING, pack
from manifests.spec.types import Layout
from manifests.store import Store
from manifests.token_rows import Form
from manifests.windows import samples_of_documents
from trainer.data.token_files import write_whole

Ints = npt.NDArray[np.int64]

_VERSION = "1"
_COLUMNS = ("tokens", "file", "start", "form", "loss", "spans")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentIndex:
    """N documents in R runs: documents that follow each other in one token file, too."""

    files: tuple[str, ...]
    """sha256 of the token files."""
    ends: Ints
    """[N]: the place behind each document's end-of-document id."""
    run_starts: Ints
    """[R]: the place of a run's first id."""
    run_files: Ints
    """[R]: number of its token file."""
    run_at: Ints
    """[R]: where in that file it begins."""
    learned: Ints
    """[S, 2]: places that are learned, rising; none where all are, in every document."""
    pairs: Ints
    """[N, 5]: of pairs, start and stop of the chosen response, of the rejected one, and where the
    second segment begins or 0; within the document. No rows where there is no pair."""
    window_spans: Ints
    """[W + 1], where windows are not cut from the stream: the first span of each window."""
    spans: Ints
    """[., 2]: place and length of the spans of windows; `length - 1` inputs and as many labels."""

    @property
    def places(self) -> int:
        """Ids, ends of documents included."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def size(self, layout: Layout) -> int:
        """Tokens, or windows where they are not cut from the stream: what the manifest counts."""
        return self.places if layout is Layout.STREAM else len(self.window_spans) - 1

    def to_bytes(self) -> bytes:
        """A word for the length of each field, then their words."""
        names = np.frombuffer(bytes.fromhex("".join(self.files)), dtype=np.int64)
        arrays = [names, *(getattr(self, f.name).ravel() for f in fields(self)[1:])]
        lengths = np.array([len(array) for array in arrays])
        return np.concatenate([lengths, *arrays]).astype(np.int64).tobytes()

    @classmethod
    def from_bytes(cls, data: pa.Buffer) -> Self:
        """What `to_bytes` wrote, without a copy."""
        words = np.frombuffer(data, dtype=np.int64)
        names = [f.name for f in fields(cls)]
        ends = np.cumsum(words[: len(names)]) + len(names)
        found: dict[str, Ints] = {}
        start = len(names)
        for name, end in zip(names, ends.tolist(), strict=True):
            found[name], start = words[start:end], end
        for name, width in (("learned", 2), ("pairs", 5), ("spans", 2)):
            found[name] = found[name].reshape(-1, width)
        text = found.pop("files").tobytes().hex()
        return cls(files=tuple(text[at : at + 64] for at in range(0, len(text), 64)), **found)


def open_index(
    store: Store, row: ShardRow, layout: Layout, length: int, cache: Path
) -> DocumentIndex:
    """The index of a shard's picked documents in windows of this length; made if it is not there.

    Raises:
        NotInStore: The documents file is not there.
        ConfigError: It is not of a token step.
        DataError: It is broken.
    """
    cut: tuple[str, ...] = () if layout is Layout.STREAM else (layout.value, str(length))
    cut = (*cut, PACKING) if layout is Layout.PACKED else cut
    name = content_id("documents", _VERSION, row.sha256, row.picked.hex(), *cut)
    path = cache / "documents" / name[:2] / name
    try:
        return DocumentIndex.from_bytes(_mapped(path))
    except (FileNotFoundError, NotADirectoryError):
        write_whole(path, build_index(store, row, layout, length).to_bytes())
    return DocumentIndex.from_bytes(_mapped(path))


def _mapped(path: Path) -> pa.Buffer:
    """A file's bytes, without keeping it open: a process may have few files open."""
    with pa.memory_map(str(path)) as mapped:
        return mapped.read_buffer()


def build_index(store: Store, row: ShardRow, layout: Layout, length: int) -> DocumentIndex:
    """The index, from the documents file."""
    try:
        table = read_columns(store, row, _COLUMNS)
    except (NotInStore, ShardCorrupt):
        raise
    except DataError as error:
        raise ConfigError(
            f"{row.step}: its shards are records, not tokens: tokenize them, and build the mixture"
            " over the token step"
        ) from error
    picked = np.flatnonzero(row.mask)
    rows = pa.Array.from_buffers(pa.int64(), len(picked), [None, pa.py_buffer(picked)])
    table = table.take(rows).combine_chunks()
    tokens = _ints(table["tokens"].combine_chunks())
    ends = np.cumsum(tokens + 1)
    starts = ends - tokens - 1
    files = pc.dictionary_encode(table["file"].combine_chunks())
    at, file = _ints(table["start"].combine_chunks()), _ints(files.indices)
    # A document begins a run unless it lies right behind the one before, in the same file.
    follows = (at[1:] == at[:-1] + tokens[:-1] + 1) & (file[1:] == file[:-1])
    runs = np.flatnonzero(np.concatenate([[True], ~follows])[: len(ends)])
    windows, spans = _WINDOWS[layout](tokens, starts, length)
    return DocumentIndex(
        files=tuple(files.dictionary.to_pylist()),
        ends=ends,
        run_starts=starts[runs],
        run_files=file[runs],
        run_at=at[runs],
        learned=_learned(table, starts, ends, row),
        pairs=_pairs(table, row),
        window_spans=windows,
        spans=spans,
    )


def _ints(array: pa.Array) -> Ints:
    """Without `to_numpy`, and above without `pa.array`, for which Arrow imports pandas."""
    return np.from_dlpack(array).astype(np.int64)


def _learned(table: pa.Table, starts: Ints, ends: Ints, row: ShardRow) -> Ints:
    """Places that are learned; a document that names none learns all, and its end."""
    loss = _lists(table, "loss")
    owner = _ints(pc.list_parent_indices(loss))
    if not len(owner):
        return np.zeros((0, 2), dtype=np.int64)
    flat = pc.list_flatten(loss)
    low, high = (starts[owner] + _ints(pc.struct_field(flat, name)) for name in _ENDS)
    rest = np.setdiff1d(np.arange(len(starts)), owner)
    found = np.stack([np.append(low, starts[rest]), np.append(high, ends[rest])], axis=1)
    found = found[np.argsort(found[:, 0], kind="stable")]
    edges = found.ravel()
    if (edges[1:] < edges[:-1]).any() or (high > ends[owner]).any() or (low < starts[owner]).any():
        raise DataError(f"{row.step}: shard {row.sha256}: loss spans overlap, or leave a document")
    return found


def _pairs(table: pa.Table, row: ShardRow) -> Ints:
    """As `DocumentIndex.pairs`."""
    forms = pc.dictionary_encode(table["form"].combine_chunks())
    are_pairs = [
        name in (Form.RESPONSE_PAIR, Form.TOKEN_PAIR) for name in forms.dictionary.to_pylist()
    ]
    paired = np.array(are_pairs, dtype=np.bool_)[_ints(forms.indices)]
    found = np.zeros((len(paired) if paired.any() else 0, 5), dtype=np.int64)
    if not len(found):
        return found
    spans = _lists(table, "spans")
    owner = _ints(pc.list_parent_indices(spans))
    flat = pc.list_flatten(spans)
    role = pc.struct_field(flat, "role").to_numpy(zero_copy_only=False)
    start, stop = (_ints(pc.struct_field(flat, name)) for name in _ENDS)
    for number, name in enumerate(("chosen", "rejected")):
        is_it = (role == name) & paired[owner]
        if not np.array_equal(owner[is_it], np.flatnonzero(paired)):
            raise DataError(f"{row.step}: shard {row.sha256}: a pair without one {name} response")
        found[owner[is_it], 2 * number] = start[is_it]
        found[owner[is_it], 2 * number + 1] = stop[is_it]
    second = (role == "prompt") & (start > 0) & paired[owner]
    found[owner[second], 4] = start[second]
    return found


_ENDS = ("start", "stop")


def _lists(table: pa.Table, name: str) -> pa.ListArray:
    return table[name].combine_chunks()


def _stream(tokens: Ints, starts: Ints, length: int) -> tuple[Ints, Ints]:
    return np.zeros(1, dtype=np.int64), np.zeros((0, 2), dtype=np.int64)


def _document(tokens: Ints, starts: Ints, length: int) -> tuple[Ints, Ints]:
    """A span a window: every document begins one and goes on in further ones."""
    counts = samples_of_documents(tokens, length)
    total = int(counts.sum())
    document = np.repeat(np.arange(len(tokens)), counts)
    start = (np.arange(total) - (np.cumsum(counts) - counts)[document]) * length
    span = np.minimum(length + 1, tokens[document] + 1 - start)
    return np.arange(total + 1), np.stack([starts[document] + start, span], axis=1)


def _packed(tokens: Ints, starts: Ints, length: int) -> tuple[Ints, Ints]:
    """A span a part: the documents of a window lie in it one behind the other."""
    packing = pack(tokens, length)
    places = starts[packing.document] + packing.start
    return packing.offsets, np.stack([places, packing.length + 1], axis=1)


_Cut = Callable[[Ints, Ints, int], tuple[Ints, Ints]]
_WINDOWS: dict[Layout, _Cut] = {
    Layout.STREAM: _stream,
    Layout.DOCUMENT: _document,
    Layout.PACKED: _packed,
}


def runs_of(index: DocumentIndex, place: int, count: int) -> Sequence[tuple[int, int, int]]:
    """File number, where in it, and how many: the pieces of `count` ids from a place on."""
    found = []
    run = int(index.run_starts.searchsorted(place, "right")) - 1
    while count:
        start = int(index.run_starts[run])
        last = run + 1 == len(index.run_starts)
        stop = index.places if last else int(index.run_starts[run + 1])
        taken = min(count, stop - place)
        found.append((int(index.run_files[run]), int(index.run_at[run]) + place - start, taken))
        place, count, run = place + taken, count - taken, run + 1
    return found
