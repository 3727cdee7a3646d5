"""Which stratum of a source a record is in: from its shard's row where that says it, else its own.

Strata of texts are named after them, those of numbers `below-8192`, `8192-16384`, `from-16384`.
A record without the score that cuts is in none of these; such records are a stratum too, for a
score that was never taken is neither high nor low.
"""

from urllib.parse import quote

import numpy as np
import pyarrow as pa

from manifests.errors import ConfigError
from manifests.select.histograms import HIGH, LOW, Entries, Ints, length_counts
from manifests.select.predicates import FORM, TEXTS, is_number, numbers, texts
from manifests.spec.types import Strata

UNSCORED = "unscored"
OPEN = -1
"""In place of a stratum's number: the records of this shard may be in several."""


def check(strata: Strata, where: str) -> None:
    """Refuse strata that cannot be cut.

    Raises:
        ConfigError: The column is unknown, or bounds are missing, out of order, or of no use.
    """
    number = is_number(strata.by, where)
    ordered = list(strata.bounds) == sorted(set(strata.bounds))
    if number and not (strata.bounds and ordered):
        raise ConfigError(f"{where}: {strata.by} is a number; give it bounds that rise")
    if not number and strata.bounds:
        raise ConfigError(f"{where}: {strata.by} is a text and has no bounds; leave them out")


def stratum_name(text: str) -> str:
    """The name of the stratum of a text: the text, as far as it can be part of a key.

    Percent encoding keeps different texts apart.
    """
    return (
        "".join(
            c if c.isprintable() and c not in "/%" else quote(c, safe="", errors="surrogatepass")
            for c in text
        )
        or "%empty"
    )


def of_shards(strata: Strata, rows: pa.Table) -> tuple[list[str], Ints]:
    """Names of strata, and of each whole shard the number of the one that it is in, or OPEN."""
    if strata.by in TEXTS:
        return _texts_of_shards(rows[TEXTS[strata.by]], rows["documents"].to_numpy())
    if strata.by == "tokens":
        return list(strata.numbered), _tokens_of_shards(strata, rows)
    return [], np.full(rows.num_rows, OPEN, dtype=np.int64)


def of_records(strata: Strata, table: pa.Table) -> tuple[list[str], Ints]:
    """Names of strata, and of each record of a data file the number of the one that it is in."""
    if strata.by in TEXTS or strata.by == FORM:
        names, codes = texts(table, strata.by)
        return list(map(stratum_name, names)), codes
    values = numbers(table, strata.by)
    codes = np.searchsorted(np.array(strata.bounds), values, side="right").astype(np.int64)
    codes[np.isnan(values)] = len(strata.numbered)
    return [*strata.numbered, UNSCORED], codes


def _texts_of_shards(column: pa.ChunkedArray, documents: Ints) -> tuple[list[str], Ints]:
    entries = Entries.of(column)
    names, codes = entries.names()
    found = np.full(len(documents), OPEN, dtype=np.int64)
    single = np.flatnonzero(np.diff(entries.starts) == 1)
    first = entries.starts[single]
    whole = entries.numbers("rows")[first] == documents[single]
    found[single[whole]] = codes[first[whole]]
    return list(map(stratum_name, names)), found


def _tokens_of_shards(strata: Strata, rows: pa.Table) -> Ints:
    entries, bins, counts, empty = length_counts(rows)
    bounds = np.array(strata.bounds)
    shortest, longest = (np.searchsorted(bounds, ends, side="right") for ends in (LOW, HIGH))
    found = np.full(rows.num_rows, OPEN, dtype=np.int64)
    zero = np.searchsorted(bounds, 0, side="right")
    for stratum in range(len(bounds) + 1):
        inside = (shortest == stratum) & (longest == stratum)
        sure = entries.sums(counts * inside[bins]) + empty * (zero == stratum)
        found[sure == rows["documents"].to_numpy()] = stratum
    return found
