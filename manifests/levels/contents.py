"""L3: a data file's records, counted again and held against the shard rows that name it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.levels.findings import Kind
from manifests.levels.reading import Bad, Ints
from manifests.sketches import EDGES

COUNTED = {
    "id": pa.string(),
    "tokens": pa.int64(),
    "bucket": pa.string(),
    "generator": pa.string(),
    "source": pa.string(),
    "licence": pa.string(),
    "lang": pa.string(),
}
"""Columns that the numbers of a shard row come from, beside the teachers in `lineage`."""
TEACHERS = "lineage.list.element.teacher"
_BY = {
    "buckets": "bucket",
    "generators": "generator",
    "sources": "source",
    "licences": "licence",
    "languages": "lang",
}
_KEPT = {
    "record": ("text", "item_id"),
    "tokendocument": ("form", "file", "item_id"),
}
"""Texts that have to be there, beside, by the type of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a table says of a file."""

    leaf: str
    row: Mapping[str, Any]
    """A shard row, as Python values."""
    windows: tuple[tuple[int, int], ...] = ()
    """Sequence lengths, and the samples under each where documents begin windows of their own."""


class Opened:
    """The columns of a data file that are needed, read once.

    Raises:
        Bad: It is no Parquet file, a page is broken, or a column is not as in records.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
            self._check_columns()
            names = [*COUNTED, TEACHERS]
            self.table: pa.Table = self._file.read(names, use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Bad(Kind.CORRUPT, f"cannot be read: {str(error).splitlines()[0]}") from None
        if nulls := [name for name in COUNTED if self.table[name].null_count]:
            raise Bad(Kind.FORM, f"has nulls in {', '.join(nulls)}")
        self.tokens: Ints = np.asarray(self.table["tokens"].to_numpy(), dtype=np.int64)

    @property
    def rows(self) -> int:
        """As the footer says."""
        return int(self._file.metadata.num_rows)

    def _check_columns(self) -> None:
        schema = self._file.schema_arrow
        kind = (schema.metadata or {}).get(b"scriptorium.row", b"").decode()
        kept = _KEPT.get(kind, _KEPT["record"])
        wrong = [
            name
            for name, type_ in {**COUNTED, **dict.fromkeys(kept, pa.string())}.items()
            if name not in schema.names or schema.field(name).type != type_
        ]
        if wrong or "lineage" not in schema.names:
            named = ", ".join(wrong or ["lineage"])
            of = "token documents" if kind == "tokendocument" else "records"
            raise Bad(Kind.FORM, f"its columns are not those of {of}: {named}")

    def teachers(self) -> list[tuple[str, ...]]:
        """Of each record, who was asked, each once, sorted."""
        lineage = self.table["lineage"].combine_chunks()
        names = lineage.flatten().field("teacher").to_pylist()
        ends = np.cumsum(lineage.value_lengths().to_numpy(zero_copy_only=False)).tolist()
        starts = [0, *ends[:-1]]
        asked = (set(names[a:b]) for a, b in zip(starts, ends, strict=True))
        return [tuple(sorted(some)) for some in asked]


def mask_of(row: Mapping[str, Any], rows: int) -> npt.NDArray[np.bool_]:
    """Which of a file's rows a shard row picks; Bad where that cannot be."""
    picked = np.frombuffer(row["picked"], dtype=np.uint8)
    if not len(picked):
        return np.ones(rows, dtype=np.bool_)
    bits = np.unpackbits(picked, bitorder="little").astype(np.bool_)
    if len(bits) < rows or bits[rows:].any():
        raise Bad(Kind.COUNT, f"the picked rows are not rows of a file of {rows:,}")
    return bits[:rows]


def wrong_claims(opened: Opened, claims: Iterable[Claim]) -> Iterator[Bad]:
    """What is not as the shard rows say."""
    teachers = [" + ".join(names) for names in opened.teachers()]
    for claim in claims:
        row = claim.row
        if opened.rows != row["rows"]:
            yield Bad(
                Kind.COUNT, f"has {opened.rows:,} rows, not the {row['rows']:,} of {claim.leaf}"
            )
            continue
        try:
            mask = mask_of(row, opened.rows)
        except Bad as bad:
            yield bad
            continue
        for name, has in counted(opened, mask, teachers).items():
            if has != row[name]:
                yield Bad(
                    Kind.COUNT, f"{name} counted {_short(has)}, in {claim.leaf} {_short(row[name])}"
                )
        for length, samples in claim.windows:
            has = int(np.maximum(1, -(-opened.tokens[mask] // length)).sum())
            if has != samples:
                what = f"{has:,} windows of {length} tokens, in {claim.leaf} {samples:,}"
                yield Bad(Kind.COUNT, f"its documents make {what}")


def counted(opened: Opened, mask: npt.NDArray[np.bool_], teachers: list[str]) -> dict[str, object]:
    """The columns of a shard row, from the records under a mask."""
    tokens = opened.tokens[mask]
    bins = Counter((np.searchsorted(EDGES, tokens[tokens > 0], side="right") - 1).tolist())
    found: dict[str, object] = {
        "documents": len(tokens),
        "tokens": int(tokens.sum()) + len(tokens),
        "lengths": [{"bin": number, "count": bins[number]} for number in sorted(bins)],
    }
    columns = {name: opened.table[column].combine_chunks() for name, column in _BY.items()}
    columns["teachers"] = pa.array(teachers, pa.string())
    kept = {name: column.filter(pa.array(mask)) for name, column in columns.items()}
    return found | {name: _composition(column, tokens) for name, column in kept.items()}


def _composition(column: pa.Array, tokens: Ints) -> list[dict[str, object]]:
    """Rows and tokens by value, by name."""
    coded = column.dictionary_encode()
    codes = coded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    _, starts = np.unique(codes[order], return_index=True)
    if not len(starts):
        return []
    texts, rows = np.add.reduceat(tokens[order], starts), np.diff([*starts, len(order)])
    named = zip(coded.dictionary.to_pylist(), rows.tolist(), texts.tolist(), strict=True)
    return [{"name": name, "rows": count, "tokens": total} for name, count, total in sorted(named)]


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:50]}..." if len(text) > 53 else text
