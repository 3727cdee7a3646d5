"""What a shard is like: counts and sketches that add up, over shards, in any order.

A `ShardStats` is measured once, columnar, when its shard is written, and travels in the commit.
Everything in it is a whole number or a text, so that equal shards have equal stats to the byte,
and the stats of a data set are the sum of those of its shards.
"""

import hashlib
import unicodedata
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

__all__ = ["ShardStats", "TeacherUsage", "Volume", "measure"]


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
    languages: dict[str, int] = field(default_factory=dict)
    """Rows."""
    generators: dict[str, Volume] = field(default_factory=dict)
    buckets: dict[str, Volume] = field(default_factory=dict)
    duplicates: int = 0
    """Rows whose text, but for case and white space, an earlier row of the same shard has."""
    distinct: Distinct = field(default_factory=Distinct)
    """Of those texts: how many different ones there are over all shards."""
    sample: Sample = field(default_factory=Sample)
    teacher: TeacherUsage = field(default_factory=TeacherUsage)
    rejected: dict[str, int] = field(default_factory=dict)
    """Rejects by reason, `poison` among them."""

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
    table: pa.Table, rejects: pa.Table, usage: TeacherUsage, tokenizer: str = ""
) -> ShardStats:
    """The stats of a data shard, of the rejects beside it and of the calls that made it.

    `tokenizer` names what counted the column `tokens`; rows without that column (seed documents,
    seeds) are measured in characters alone.
    """
    chars = _numbers(pc.utf8_length(table["text"]))
    has_tokens = "tokens" in table.column_names
    tokens = _numbers(table["tokens"]) if has_tokens else np.zeros(table.num_rows, dtype=np.int64)
    digests = [_text_digest(text) for text in table["text"].to_pylist()]
    hashes = np.frombuffer(b"".join(digest[:8] for digest in digests), dtype=">u8")
    return ShardStats(
        tokenizer=tokenizer,
        items=pc.count_distinct(table["item_id"]).as_py(),
        rows=table.num_rows,
        chars=int(chars.sum()),
        tokens=int(tokens.sum()),
        token_lengths=Lengths.of(tokens),
        char_lengths=Lengths.of(chars),
        languages=_counts(table["lang"]),
        generators=_volumes(table, "generator"),
        buckets=_volumes(table, "bucket"),
        duplicates=table.num_rows - len(set(digests)),
        distinct=Distinct.of(hashes.astype(np.uint64)),
        sample=Sample.of(table["id"].to_pylist(), tokens.tolist()),
        teacher=usage,
        rejected=_counts(rejects["reason"]),
    )


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


def _volumes(table: pa.Table, name: str) -> dict[str, Volume]:
    """Rows and tokens by the values of a column; nothing for a row type that lacks it."""
    if name not in table.column_names:
        return {}
    sums = table.group_by(name).aggregate([([], "count_all"), ("tokens", "sum")])
    columns = (sums[name], sums["count_all"], sums["tokens_sum"])
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return {value: Volume(count, tokens) for value, count, tokens in rows}
