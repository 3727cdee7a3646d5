"""A source's shard rows cut down to the records that it selects, and into its strata.

Most shards are decided whole from their rows. The others are read, once for all conditions and
strata together.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from manifests.documents import ShardRow, read_columns
from manifests.errors import ConfigError
from manifests.select import predicates, strata
from manifests.select.histograms import Ints
from manifests.select.picking import FACTS, Part, Progress, over_files, part, with_parts
from manifests.select.predicates import Mask
from manifests.spec.types import Condition, SourceSpec
from manifests.store import Store

WHOLE = ""
"""The one stratum of a source that is not cut."""


@dataclass(frozen=True, slots=True)
class _Test:
    """A condition, which must hold or must not."""

    condition: Condition
    holds: bool

    def count(self, rows: pa.Table) -> tuple[Ints, Ints]:
        """At least and at most how many documents of each shard stay."""
        least, most = predicates.count(self.condition, rows)
        documents = rows["documents"].to_numpy()
        return (least, most) if self.holds else (documents - most, documents - least)

    def mask(self, table: pa.Table) -> Mask:
        """Of each record of a data file whether it stays."""
        passes = predicates.mask(self.condition, table)
        return passes if self.holds else ~passes

    def __str__(self) -> str:
        return f"{'where' if self.holds else 'without'} {predicates.shown(self.condition)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A shard whose data file was read."""

    left: tuple[int, ...]
    """Documents after each test and all before it."""
    whole: str | None
    """The stratum, when all documents stay and are in one."""
    parts: tuple[tuple[str, Part], ...]
    """By stratum, when not."""
    scores: frozenset[str]
    """Names of scores that were seen."""


def cut(
    store: Store, source: SourceSpec, rows: pa.Table, progress: Progress | None = None
) -> dict[str, pa.Table]:
    """The shard rows of each stratum that has any, by its name; `WHOLE` for a source without.

    `rows` are those of the source's steps: all shards whole, a chunk a step, each sorted by key.

    Raises:
        ConfigError: A column is unknown, or no record is left.
        DataError: A data file is broken.
    """
    tests = _tests(source)
    kept, out = _decided(tests, rows)
    names, numbers = _strata(source, rows)
    unread = kept & (numbers != strata.OPEN)
    to_read = np.flatnonzero(~out & ~unread).tolist()
    columns = _columns(source, tests)
    judged = over_files(
        lambda number: _judge(store, source, tests, rows, number, columns), to_read, progress
    )
    _check_scores(source, tests, judged)
    whole = {names[i]: [members] for i, members in _groups(numbers, np.flatnonzero(unread))}
    parts: dict[str, list[Part]] = {}
    for number, shard in zip(to_read, judged, strict=True):
        if shard.whole is not None:
            whole.setdefault(shard.whole, []).append(np.array([number]))
        for name, some in shard.parts:
            parts.setdefault(name, []).append(some)
    if not whole and not parts:
        raise _emptied(source, tests, rows, to_read, judged)
    nothing = np.zeros(0, dtype=np.int64)
    return {
        name: with_parts(
            rows, np.sort(np.concatenate(whole.get(name, [nothing]))), parts.get(name, [])
        )
        for name in sorted({*whole, *parts})
    }


def _tests(source: SourceSpec) -> list[_Test]:
    for kind in ("where", "without"):
        conditions: Sequence[Condition] = getattr(source, kind)
        for condition in conditions:
            predicates.check(condition, f"source {source.name}: {kind}")
    if source.strata:
        strata.check(source.strata, f"source {source.name}: strata")
    held = [_Test(condition, True) for condition in source.where]
    return held + [_Test(condition, False) for condition in source.without]


def _decided(tests: Sequence[_Test], rows: pa.Table) -> tuple[Mask, Mask]:
    """Of each shard whether all of it stays, and whether nothing does."""
    kept = np.ones(rows.num_rows, dtype=np.bool_)
    out = np.zeros(rows.num_rows, dtype=np.bool_)
    for test in tests:
        least, most = test.count(rows)
        kept &= least == rows["documents"].to_numpy()
        out |= most == 0
    return kept & ~out, out


def _strata(source: SourceSpec, rows: pa.Table) -> tuple[list[str], Ints]:
    if source.strata:
        return strata.of_shards(source.strata, rows)
    return [WHOLE], np.zeros(rows.num_rows, dtype=np.int64)


def _groups(numbers: Ints, members: Ints) -> Iterable[tuple[int, Ints]]:
    """The members of each group that has any; `numbers` says of everything in which group it is."""
    order = members[np.argsort(numbers[members], kind="stable")]
    groups, starts = np.unique(numbers[order], return_index=True)
    return zip(groups.tolist(), np.split(order, starts[1:]), strict=True) if len(order) else ()


def _columns(source: SourceSpec, tests: Sequence[_Test]) -> list[str]:
    """What has to be read of a data file."""
    judged = [test.condition.column for test in tests]
    judged += [source.strata.by] if source.strata else []
    needed = [name for column in judged for name in predicates.columns_of(column)]
    return list(dict.fromkeys([*FACTS, *needed]))


def _judge(
    store: Store,
    source: SourceSpec,
    tests: Sequence[_Test],
    rows: pa.Table,
    number: int,
    columns: Sequence[str],
) -> _Judged:
    table = read_columns(store, ShardRow.of(rows, number), columns)
    stays = np.ones(table.num_rows, dtype=np.bool_)
    left = []
    for test in tests:
        stays &= test.mask(table)
        left.append(int(stays.sum()))
    names, codes = [WHOLE], np.zeros(table.num_rows, dtype=np.int64)
    if source.strata:
        names, codes = strata.of_records(source.strata, table)
    found = np.unique(codes[stays]).tolist()
    single = len(found) == 1 and bool(stays.all())
    return _Judged(
        left=tuple(left),
        whole=names[found[0]] if single else None,
        parts=()
        if single
        else tuple((names[i], part(number, table, stays & (codes == i))) for i in found),
        scores=frozenset(predicates.score_names(table) if "scores" in columns else ()),
    )


def _check_scores(source: SourceSpec, tests: Sequence[_Test], judged: Sequence[_Judged]) -> None:
    """A score that no record has is misspelt; as a `without` it would let everything through."""
    seen = frozenset[str]().union(*(shard.scores for shard in judged))
    asked = [test.condition.column for test in tests]
    asked += [source.strata.by] if source.strata else []
    for column in asked:
        name = column.removeprefix(predicates.SCORE)
        if judged and name != column and name not in seen:
            near = difflib.get_close_matches(name, seen) or sorted(seen)[:8]
            raise ConfigError(
                f"source {source.name}: no record has the score {name!r}; there are:"
                f" {', '.join(near) or 'none'}"
            )


def _emptied(
    source: SourceSpec,
    tests: Sequence[_Test],
    rows: pa.Table,
    read: Sequence[int],
    judged: Sequence[_Judged],
) -> ConfigError:
    """What is wrong with a selection of nothing: how many records each test left over."""
    documents: Ints = rows["documents"].to_numpy()
    if not len(documents):
        return ConfigError(f"source {source.name}: its steps have no records; name others")
    least, most = documents.copy(), documents.copy()
    told = [f"{documents.sum()} in its steps"]
    for i, test in enumerate(tests):
        low, high = test.count(rows)
        most = np.minimum(most, high)
        least = np.maximum(0, np.minimum(least + low - documents, most))
        least[read] = most[read] = [shard.left[i] for shard in judged]
        bound = "" if np.array_equal(least, most) else "at most "
        told.append(f"{bound}{most.sum()} after {test}")
    return ConfigError(
        f"source {source.name}: no record is left: {', '.join(told)}; loosen the conditions"
    )
