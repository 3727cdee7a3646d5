"""The leaves of a mixture: its sources resolved to shard rows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import ConfigError
from manifests.select.cutting import cut
from manifests.select.predicates import FORM
from manifests.select.rows import StepRows, step_rows
from manifests.select.steps import steps_of
from manifests.spec.types import Mixture, SourceSpec
from manifests.store import Store

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
    """Text tokens of all picked documents: what an epoch trains on (u) where the tokens that close
    them are no inputs.
    """
    return int(pc.sum(rows["tokens"]).as_py() or 0) - int(pc.sum(rows["documents"]).as_py() or 0)
