"""The leaves of a mixture: its sources resolved to shard rows, and how many samples these make."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.documents import ShardRow, read_documents
from manifests.errors import ConfigError
from manifests.select.cutting import cut
from manifests.select.histograms import HIGH, LOW, Ints, length_counts
from manifests.select.picking import Progress, over_files
from manifests.select.predicates import FORM
from manifests.select.rows import StepRows, step_rows
from manifests.select.steps import steps_of
from manifests.spec.types import Mixture, SourceSpec
from manifests.store import Store
from manifests.windows import samples_of_documents

SourceProgress = Callable[[str, int, int], None]
"""Told the source, how many of its data files are read, and how many have to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedLeaf:
    """A source, or one stratum of it, before any removal."""

    name: str
    """`source`, or `source/stratum`."""
    source: str
    stratum: str
    """Empty for a source that is not cut."""
    rows: pa.Table
    """Of the schema `SHARD_ROWS`, sorted by key, never empty."""


def select(
    store: Store, mixture: Mixture, progress: SourceProgress | None = None
) -> tuple[SelectedLeaf, ...]:
    """The leaves of all sources, by name; a stratum without records is no leaf.

    Raises:
        ConfigError: A source fits no step or no record, or a step cannot be used; says which.
        DataError: An index, a commit or a data file is broken.
    """
    steps: dict[str, StepRows] = {}
    leaves = []
    for source in mixture.sources:
        rows = _source_rows(store, source, mixture.tokenizer.name, steps)
        told = partial(progress, source.name) if progress else None
        for stratum, part in cut(store, source, rows, told).items():
            name = f"{source.name}/{stratum}" if stratum else source.name
            leaf = SelectedLeaf(name=name, source=source.name, stratum=stratum, rows=part)
            leaves.append(leaf)
    return tuple(sorted(leaves, key=lambda leaf: leaf.name))


def _source_rows(
    store: Store, source: SourceSpec, tokenizer: str, known: dict[str, StepRows]
) -> pa.Table:
    """The rows of the source's steps, a chunk a step; what was read stays in `known`."""
    found = {}
    for step in steps_of(store, source):
        read = f"{step} {source.partial}"
        if read not in known:
            try:
                known[read] = step_rows(store, step, tokenizer, partial=source.partial)
            except ConfigError as error:
                raise ConfigError(f"source {source.name}: {error}") from error
        found[step] = known[read]
    _check_row_types(source, {step: rows.row_type for step, rows in found.items()})
    return pa.concat_tables([rows.table for rows in found.values()])


def _check_row_types(source: SourceSpec, of_steps: dict[str, str]) -> None:
    """Records and token documents cannot stand in for each other, and records have no form."""
    by_type = {row_type: step for step, row_type in of_steps.items() if row_type}
    if len(by_type) > 1:
        told = ", ".join(f"{step} holds rows of the type {t}" for t, step in by_type.items())
        raise ConfigError(
            f"source {source.name}: {told}; take either the step of records or the one that was"
            " tokenized from it, or make two sources"
        )
    columns = [condition.column for condition in (*source.where, *source.without)]
    columns += [source.strata.by] if source.strata else []
    if FORM in columns and "record" in by_type:
        raise ConfigError(
            f"source {source.name}: {by_type['record']} holds records, which have no form; ask for"
            " it of a step that tokenizes them, or by bucket"
        )


def useful_tokens(rows: pa.Table) -> int:
    """Text tokens of all picked documents: what an epoch under Layout.DOCUMENT trains on (u)."""
    return int(pc.sum(rows["tokens"]).as_py() or 0) - int(pc.sum(rows["documents"]).as_py() or 0)


def window_samples(
    store: Store, rows: pa.Table, sequence_length: int, progress: Progress | None = None
) -> Ints:
    """Samples of each shard under Layout.DOCUMENT; `useful_tokens` are in them.

    A shard is read only if a bin of its lengths holds texts that need different numbers of windows.

    Raises:
        DataError: A data file is broken.
    """
    entries, bins, counts, empty = length_counts(rows)
    fewest, most = (samples_of_documents(ends, sequence_length) for ends in (LOW, HIGH))
    samples = entries.sums(counts * fewest[bins]) + empty
    to_read = np.flatnonzero(entries.sums(counts * (fewest != most)[bins])).tolist()

    def read(number: int) -> int:
        tokens = read_documents(store, ShardRow.of(rows, number)).tokens
        return int(samples_of_documents(tokens, sequence_length).sum())

    samples[to_read] = over_files(read, to_read, progress)
    return samples
