"""What a shard is like: counts and sketches that add up, over shards, in any order.

A `ShardStats` is measured once, columnar, when its shard is written, and travels in the commit.
Everything in it is a whole number or a text, so that equal shards have equal stats to the byte,
and the stats of a data set are the sum of those of its shards.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import DataError
from manifests.fingerprint import canonical_json
from manifests.sketches import Distinct, Lengths, Sample
from manifests.teacher_usage import TeacherUsage, added

__all__ = ["ShardStats", "TeacherUsage", "Volume", "compositions", "measure"]


@dataclass(frozen=True, slots=True)
class Volume:
    """How much there is of something."""

    rows: int = 0
    tokens: int = 0

    def __add__(self, other: "Volume") -> "Volume":
        return Volume(self.rows + other.rows, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStats:
    """Counted facts of the rows of a shard, or of many; `ShardStats.empty()` is none."""

    tokenizer: str = ""
    """Name of what counted the tokens; empty when nothing did."""
    items: int = 0
    """Input rows that gave rows here."""
    rows: int = 0
    chars: int = 0
    tokens: int = 0
    token_lengths: Lengths = field(default_factory=Lengths)
    """Tokens of a row; counts nothing for row types without tokens."""
    char_lengths: Lengths = field(default_factory=Lengths)
    buckets: dict[str, Volume] = field(default_factory=dict)
    generators: dict[str, Volume] = field(default_factory=dict)
    sources: dict[str, Volume] = field(default_factory=dict)
    licences: dict[str, Volume] = field(default_factory=dict)
    languages: dict[str, Volume] = field(default_factory=dict)
    teachers: dict[str, Volume] = field(default_factory=dict)
    """By who was asked for a row: each `model@revision` once, sorted, joined with ` + `; empty
    for nobody."""
    duplicates: int = 0
    """Rows whose text, but for case and white space, an earlier row of the same shard has."""
    distinct: Distinct = field(default_factory=Distinct)
    """Of those texts: how many different ones there are over all shards."""
    sample: Sample = field(default_factory=Sample)
    teacher: TeacherUsage = field(default_factory=TeacherUsage)
    rejected: dict[str, int] = field(default_factory=dict)
    """Rejects by reason, `poison` among them."""
    spent: dict[str, int] = field(default_factory=dict)
    """Tokens that teachers wrote, by outcome of the item: `accepted`, or the reject's reason."""

    @classmethod
    def empty(cls, tokenizer: str = "") -> "ShardStats":
        """The stats of no rows."""
        return cls(tokenizer=tokenizer)

    def __add__(self, other: "ShardStats") -> "ShardStats":
        """Stats of both together.

        Raises:
            DataError: Their tokens were counted by different tokenizers.
        """
        if self.tokenizer and other.tokenizer and self.tokenizer != other.tokenizer:
            raise DataError(
                f"stats under the tokenizers {self.tokenizer} and {other.tokenizer} do not add up;"
                " count both with one"
            )
        sums = {name: _sum(getattr(self, name), getattr(other, name)) for name in _ADDABLE}
        return ShardStats(tokenizer=self.tokenizer or other.tokenizer, **sums)

    def to_json(self) -> bytes:
        """Canonical JSON: the same bytes for equal stats."""
        return canonical_json(asdict(self))


_ADDABLE = tuple(field.name for field in fields(ShardStats) if field.name != "tokenizer")


def _sum(left: Any, right: Any) -> Any:
    return added(left, right) if isinstance(left, dict) else left + right


def measure(
    table: pa.Table,
    rejects: pa.Table,
    usage: TeacherUsage,
    tokenizer: str = "",
    spent: Mapping[str, int] | None = None,
) -> ShardStats:
    """The stats of a data shard, of the rejects beside it and of the calls that made it.

    `tokenizer` names what counted the column `tokens`; rows without that column (seed documents,
    seeds) are measured in characters, and count as 0 tokens. Rows without a text (token documents)
    count as 0 characters, and nothing is said of which texts are the same.
    """
    none = np.zeros(table.num_rows, dtype=np.int64)
    has_text, has_tokens = ("text" in table.column_names, "tokens" in table.column_names)
    chars = _numbers(pc.utf8_length(table["text"])) if has_text else none
    tokens = _numbers(table["tokens"]) if has_tokens else none
    digests = [_text_digest(text) for text in table["text"].to_pylist()] if has_text else []
    hashes = np.frombuffer(b"".join(digest[:8] for digest in digests), dtype=">u8")
    return ShardStats(
        tokenizer=tokenizer,
        items=pc.count_distinct(table["item_id"]).as_py(),
        rows=table.num_rows,
        chars=int(chars.sum()),
        tokens=int(tokens.sum()),
        token_lengths=Lengths.of(tokens),
        char_lengths=Lengths.of(chars),
        **compositions(table, tokens),
        duplicates=len(digests) - len(set(digests)),
        distinct=Distinct.of(hashes.astype(np.uint64)),
        sample=Sample.of(table["id"].to_pylist(), tokens.tolist()),
        teacher=usage,
        rejected=_counts(rejects["reason"]),
        spent=dict(spent or {}),
    )


def compositions(table: pa.Table, tokens: npt.NDArray[np.int64]) -> dict[str, dict[str, Volume]]:
    """The volumes that `ShardStats` has, by its names; of lineage only the teachers are needed."""
    return {
        "buckets": _volumes(table, "bucket", tokens),
        "generators": _volumes(table, "generator", tokens),
        "sources": _volumes(table, "source", tokens),
        "licences": _volumes(table, "licence", tokens),
        "languages": _volumes(table, "lang", tokens),
        "teachers": _teachers(table, tokens),
    }


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _text_digest(text: str) -> bytes:
    """Equal for texts that differ only in case, white space or Unicode composition."""
    plain = " ".join(unicodedata.normalize("NFC", text.casefold()).split())
    return hashlib.sha256(plain.encode()).digest()


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column)
    names = counted.field("values").to_pylist()
    return dict(zip(names, counted.field("counts").to_pylist(), strict=True))


def _volumes(table: pa.Table, name: str, tokens: npt.NDArray[np.int64]) -> dict[str, Volume]:
    """Rows and tokens by the values of a column; nothing for a row type that lacks it."""
    return _volumes_of(table[name], tokens) if name in table.column_names else {}


def _volumes_of(
    values: pa.Array | pa.ChunkedArray, tokens: npt.NDArray[np.int64]
) -> dict[str, Volume]:
    table = pa.table({"value": values, "tokens": tokens})
    sums = table.group_by("value").aggregate([([], "count_all"), ("tokens", "sum")])
    columns = (sums["value"], sums["count_all"], sums["tokens_sum"])
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return {value: Volume(count, total) for value, count, total in rows}


def _teachers(table: pa.Table, tokens: npt.NDArray[np.int64]) -> dict[str, Volume]:
    """Volumes by who was asked; nothing for a row type without lineage."""
    if "lineage" not in table.column_names:
        return {}
    lineage = table["lineage"].combine_chunks()
    coded = lineage.flatten().field("teacher").dictionary_encode()
    order = pc.array_sort_indices(coded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    rows = np.repeat(np.arange(len(lineage)), lineage.value_lengths().to_numpy())
    width = max(1, len(order))
    asked = np.unique(rows * width + rank[coded.indices.to_numpy()])  # each once a row, sorted
    names = coded.dictionary.take(order).take(pa.array(asked % width))
    ends = np.cumsum(np.bincount(asked // width, minlength=len(lineage)))
    offsets = pa.array(np.concatenate([[0], ends]), type=pa.int32())
    return _volumes_of(pc.binary_join(pa.ListArray.from_arrays(offsets, names), " + "), tokens)
