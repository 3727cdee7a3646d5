"""How many records of a shard pass a condition: known for most shards from what their rows say.

`count` bounds it for all shards at once, from compositions and histograms; where the bounds leave
open which records pass, `mask` tests the records of one data file.
"""

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.errors import ConfigError
from manifests.select.histograms import HIGH, LOW, Entries, Ints, length_counts
from manifests.spec.types import Condition, fits

Mask = npt.NDArray[np.bool_]

TEXTS = {
    "bucket": "buckets",
    "generator": "generators",
    "source": "sources",
    "licence": "licences",
    "lang": "languages",
}
"""Columns of records that hold texts, and the compositions by them."""
FORM = "form"
"""A text of token documents alone, and by no composition: which have it, their files say."""
SCORE = "scores."


def is_number(column: str, where: str) -> bool:
    """Whether a column holds numbers.

    Raises:
        ConfigError: There is no such column; `where` begins the message.
    """
    if column in TEXTS or column == FORM:
        return False
    if column in ("tokens", "rounds") or column.removeprefix(SCORE) not in ("", column):
        return True
    raise ConfigError(
        f"{where}: unknown column {column!r}; there are {', '.join(TEXTS)}, form, tokens, rounds"
        " and scores.<name>"
    )


def check(condition: Condition, where: str) -> None:
    """Refuse a condition that cannot be tested.

    Raises:
        ConfigError: Its column is unknown, or it tests numbers as texts or the reverse.
    """
    number = is_number(condition.column, where)
    ends = [end for end in (condition.low, condition.high) if end is not None]
    if not all(map(math.isfinite, ends)):
        raise ConfigError(
            f"{where}: {condition.column} has a bound that is no number; leave it out"
        )
    if number and (condition.any_of or not ends):
        raise ConfigError(f"{where}: {condition.column} is a number; give it a lowest or a highest")
    if not number and (ends or not condition.any_of):
        raise ConfigError(f"{where}: {condition.column} is a text; say which, `*` for anything")


def shown(condition: Condition) -> str:
    """The condition for a person."""
    if condition.any_of:
        return f"{condition.column} in {', '.join(condition.any_of)}"
    low = "" if condition.low is None else f"{condition.low:.15g} <= "
    high = "" if condition.high is None else f" <= {condition.high:.15g}"
    return f"{low}{condition.column}{high}"


def columns_of(column: str) -> tuple[str, ...]:
    """What has to be read of a data file to judge a column."""
    return ("scores",) if column.startswith(SCORE) else (column,)


def count(condition: Condition, rows: pa.Table) -> tuple[Ints, Ints]:
    """At least and at most how many documents of each whole shard pass."""
    documents: Ints = rows["documents"].to_numpy()
    if condition.column in TEXTS:
        return _count_texts(condition, rows[TEXTS[condition.column]], documents)
    if condition.column == "tokens":
        return _count_tokens(condition, rows)
    return np.zeros_like(documents), documents


def _count_texts(
    condition: Condition, column: pa.ChunkedArray, documents: Ints
) -> tuple[Ints, Ints]:
    entries = Entries.of(column)
    names, codes = entries.names()
    numbers = entries.numbers("rows")
    passing = entries.sums(numbers * _fitting(condition, names)[codes])
    return passing, documents - entries.sums(numbers) + passing


def _count_tokens(condition: Condition, rows: pa.Table) -> tuple[Ints, Ints]:
    entries, bins, counts, empty = length_counts(rows)
    low, high = _ends(condition)
    sure = (low <= LOW) & (high >= HIGH)
    possible = (low <= HIGH) & (high >= LOW)
    none = empty * (low <= 0 <= high)
    return entries.sums(counts * sure[bins]) + none, entries.sums(counts * possible[bins]) + none


def _ends(condition: Condition) -> tuple[int, int]:
    """The condition's bounds as whole numbers that are in."""
    low = -(2**63) if condition.low is None else math.ceil(condition.low)
    high = 2**63 - 1 if condition.high is None else math.floor(condition.high)
    return max(low, -(2**63)), min(high, 2**63 - 1)


def _fitting(condition: Condition, names: list[str]) -> Mask:
    """Of each different name whether it passes."""
    return np.array(
        [any(fits(p, name) for p in condition.any_of) for name in names], dtype=np.bool_
    )


def mask(condition: Condition, table: pa.Table) -> Mask:
    """Of each record of a data file whether it passes."""
    if condition.column in TEXTS or condition.column == FORM:
        names, codes = texts(table, condition.column)
        passing: Mask = _fitting(condition, names)[codes]
        return passing
    values = numbers(table, condition.column)
    # No number compares with nan, which stands for no score.
    passes = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), dtype=np.bool_)
    if condition.low is not None:
        passes &= values >= condition.low
    if condition.high is not None:
        passes &= values <= condition.high
    return passes


def texts(table: pa.Table, column: str) -> tuple[list[str], Ints]:
    """The different texts of a column of records, and of each record the number of its own."""
    coded = pa.concat_arrays(table[column].chunks or [pa.array([], pa.string())])
    coded = coded.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def numbers(table: pa.Table, column: str) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """A column of numbers of each record; nan where a record lacks the score."""
    if not column.startswith(SCORE):
        whole: Ints = table[column].to_numpy()
        return whole
    entries = Entries.of(table["scores"])
    names, codes = entries.names()
    owners = np.repeat(np.arange(table.num_rows), np.diff(entries.starts))
    values = np.full(table.num_rows, np.nan)
    if (name := column.removeprefix(SCORE)) in names:
        here = codes == names.index(name)
        values[owners[here]] = entries.flat.field("value").to_numpy()[here]
    return values


def score_names(table: pa.Table) -> list[str]:
    """The names of all scores that a record has."""
    return Entries.of(table["scores"]).names()[0]
