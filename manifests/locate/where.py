"""Where records are trained on, and why not where they are not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import pyarrow as pa

from manifests.errors import ConfigError
from manifests.locate.contents import Contents
from manifests.locate.find import Found, Hit, find_records, tables_of
from manifests.locate.occurrences import occurrences, ranks_of
from manifests.resolve.state import chain_to
from manifests.resolve.types import Phase
from manifests.select.picking import Progress
from manifests.shards import parquet_file


class Standing(StrEnum):
    """How a record stands to training, in the phases that were asked about."""

    TRAINED = "trained"
    LATER = "later"
    """It has places, all of them after the step that was asked about."""
    UNUSED = "unused"
    """It is in a shard of the manifest, and no sample with it comes up."""
    NO_WINDOW = "no_window"
    """Unused: it lies in the last tokens of a leaf, which fill no window."""
    LEFT_OUT = "left_out"
    """It is in a file of the manifest, and no source selects it."""
    ABSENT = "absent"
    """It is in no shard of the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A leaf that has a record."""

    leaf: str
    step: str
    slice_index: int
    sha256: str
    row: int
    """Of the file."""
    tokens: int
    """Of its text."""
    now: bool
    """Whether the leaf still has it; else only an earlier segment does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A sample with tokens of a record, in its place."""

    phase: str
    step: int
    index: int
    """In the global batch."""
    position: int
    leaf: str
    epoch: int
    sample: int
    rank: int | None = None
    micro_step: int | None = None
    """None where no parallel layout was given."""
    seen: bool | None = None
    """Whether it comes before the step that was asked about; None where none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlaces:
    """One record."""

    id: str
    standing: Standing
    removed: bool
    """Whether it is on the manifest's list of removed records."""
    file: str
    """Where it lies when it is left out; else empty."""
    holdings: tuple[Holding, ...]
    occurrences: tuple[Occurrence, ...]
    """Phase by phase, by position."""

    @property
    def seen(self) -> int:
        """Occurrences before the step that was asked about."""
        return sum(one.seen is True for one in self.occurrences)

    @property
    def epochs(self) -> int:
        """Passes over a leaf in which it occurs, all phases together."""
        return len({(one.leaf, one.epoch, one.phase) for one in self.occurrences})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of the occurrences is wanted."""

    phase: str = ""
    """Empty for all phases."""
    until_step: int | None = None
    """Of the phase: then the phases that it goes on from are looked at too, and what comes before
    this step is told apart."""
    data_parallel: int | None = None
    micro_batch: int | None = None
    """Both or none."""


def where(
    contents: Contents,
    ids: Sequence[str],
    asked: Asked,
    shard: str = "",
    progress: Progress | None = None,
) -> list[RecordPlaces]:
    """Where these records are, in their order; `shard` narrows the search as in `find_records`.

    Raises:
        ConfigError: No such phase, step or shard, or a batch does not divide over the ranks.
        DataError: A file is broken.
    """
    phases = _phases(contents, asked)
    found = find_records(contents, ids, shard, progress)
    by_id: dict[str, list[Occurrence]] = {}
    in_window: dict[str, bool] = {}
    for phase in phases:
        for hit, one in _of_phase(contents, phase, found.hits, asked, in_window):
            by_id.setdefault(hit.id, []).append(one)
    holdings = _holdings(contents, found.hits)
    removed = _removed(contents, ids)
    return [
        RecordPlaces(
            id=name,
            standing=_standing(name, holdings, by_id.get(name, []), in_window, found),
            removed=name in removed,
            file=found.left_out.get(name, ""),
            holdings=tuple(holdings.get(name, [])),
            occurrences=tuple(by_id.get(name, [])),
        )
        for name in dict.fromkeys(ids)
    ]


def _phases(contents: Contents, asked: Asked) -> list[Phase]:
    phases = list(contents.manifest.root.phases)
    if asked.until_step is None:
        return [contents.phase(asked.phase)] if asked.phase else phases
    if not asked.phase and len(phases) > 1:
        names = ", ".join(phase.name for phase in phases)
        raise ConfigError(f"--until-step {asked.until_step}: of which phase? give --phase: {names}")
    last = contents.phase(asked.phase) if asked.phase else phases[0]
    if asked.until_step > last.steps:
        raise ConfigError(
            f"--until-step {asked.until_step}: phase {last.name} has {last.steps:,} steps"
        )
    return chain_to(phases, last.name)


def _of_phase(
    contents: Contents,
    phase: Phase,
    hits: Sequence[Hit],
    asked: Asked,
    in_window: dict[str, bool],
) -> Iterator[tuple[Hit, Occurrence]]:
    """All that there is in a phase; notes of what it draws from whether it lies in a window."""
    found = occurrences(contents, phase, hits)
    for hit, drawn, inside in zip(hits, found.drawn, found.in_window, strict=True):
        if drawn:
            in_window[hit.id] = bool(inside) or in_window.get(hit.id, False)
    columns = [found.hit, found.position, found.step, found.index, found.segment, found.supply]
    columns += [found.epoch, found.sample]
    if asked.data_parallel is not None and asked.micro_batch is not None:
        columns += ranks_of(
            phase, found, data_parallel=asked.data_parallel, micro_batch=asked.micro_batch
        )
    last = asked.phase in ("", phase.name)
    for hit, position, step, index, segment, supply, epoch, sample, *ranks in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        seen = None if asked.until_step is None else not last or step < asked.until_step
        yield (
            hits[hit],
            Occurrence(
                phase=phase.name,
                step=step,
                index=index,
                position=position,
                leaf=phase.segments[segment].supplies[supply].leaf,
                epoch=epoch,
                sample=sample,
                rank=ranks[0] if ranks else None,
                micro_step=ranks[1] if ranks else None,
                seen=seen,
            ),
        )


def _holdings(contents: Contents, hits: Iterable[Hit]) -> dict[str, list[Holding]]:
    """By id; each leaf and file once."""
    leaves = tables_of(contents)
    now = {leaf.name: leaf.table.digest for leaf in contents.manifest.root.leaves}
    found: dict[str, dict[tuple[str, str, int], Holding]] = {}
    for hit in hits:
        row = contents.row(hit.table, hit.shard)
        slice_index = contents.table(hit.table)["slice_index"][hit.shard].as_py()
        for leaf in sorted(leaves[hit.table]):
            mine = found.setdefault(hit.id, {})
            key = (leaf, f"{row.step}/{row.sha256}", hit.row)
            before = mine.get(key)
            mine[key] = Holding(
                leaf=leaf,
                step=row.step,
                slice_index=slice_index,
                sha256=row.sha256,
                row=hit.row,
                tokens=hit.tokens,
                now=now.get(leaf) == hit.table or (before is not None and before.now),
            )
    return {name: [mine[key] for key in sorted(mine)] for name, mine in found.items()}


def _removed(contents: Contents, ids: Iterable[str]) -> set[str]:
    kept = contents.manifest.root.removed
    if kept is None:
        return set()
    column: pa.ChunkedArray = parquet_file(contents.manifest.objects.get(kept)).read()["id"]
    return set(ids).intersection(column.to_pylist())


def _standing(
    name: str,
    holdings: dict[str, list[Holding]],
    places: Sequence[Occurrence],
    in_window: dict[str, bool],
    found: Found,
) -> Standing:
    if name not in holdings:
        return Standing.LEFT_OUT if name in found.left_out else Standing.ABSENT
    if not places:
        return Standing.UNUSED if in_window.get(name, True) else Standing.NO_WINDOW
    return Standing.LATER if all(one.seen is False for one in places) else Standing.TRAINED


def places_plain(record: RecordPlaces) -> dict[str, object]:
    """As JSON data."""
    return {**asdict(record), "seen": record.seen, "epochs": record.epochs}
