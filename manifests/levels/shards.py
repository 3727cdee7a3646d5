"""L2, L3 and the banned records of L5: every data file is read once for all that is asked of it.

The seconds of that one pass are shared out by what its threads were busy with.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import numpy as np

from manifests.levels.banned import Banned
from manifests.levels.claims import Claims
from manifests.levels.contents import Claim, Opened, mask_of, wrong_claims
from manifests.levels.files import DataFile, data_files, drawn
from manifests.levels.findings import Finding, Kind, Level, LevelReport, Progress, Stopwatch, listed
from manifests.levels.metadata import Material
from manifests.levels.reading import Bad, at_once, checked_bytes
from manifests.levels.token_files import keys_of, places, read_token_file, wrong_rows
from manifests.raw_token_files import RawTokens

READERS = 8
"""Files that are read at once, each whole in memory."""

Times = dict[Level, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to do with each data file."""

    bytes: frozenset[DataFile] = frozenset()
    """L2."""
    content: frozenset[DataFile] = frozenset()
    """L3."""
    current: frozenset[DataFile] = frozenset()
    """L5: no removed id may be in what the leaves' own tables pick of these."""
    every: frozenset[DataFile] = frozenset()
    """L5: nothing that is banned may be in what any table picks of these."""

    @property
    def files(self) -> list[DataFile]:
        """All of them, by step and sha256."""
        return sorted({*self.bytes, *self.content, *self.current, *self.every})


@dataclass(slots=True)
class _Done:
    """One file."""

    findings: list[Finding] = field(default_factory=list)
    times: Times = field(default_factory=dict)
    counts: list[tuple[Level, str, int]] = field(default_factory=list)

    def found(self, level: Level, where: str, bad: Bad) -> None:
        self.findings.append(Finding(level=level, kind=bad.kind, where=where, what=bad.what))

    @contextmanager
    def timed(self, level: Level) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self.times[level] = self.times.get(level, 0.0) + perf_counter() - start


def asked_of(material: Material, top: Level, sample: int | None, banned: Banned) -> Asked:
    """What all levels up to `top` ask of the data files."""
    if top < Level.L2:
        return Asked()
    files = data_files(material)
    some = frozenset(drawn(files, material.digest, sample))
    own = {leaf.table.digest for leaf in material.root.leaves} & set(material.tables)
    last = top >= Level.L5
    return Asked(
        bytes=some,
        content=some if top >= Level.L3 else frozenset(),
        current=frozenset(data_files(material, own)) if last and material.removed else frozenset(),
        every=frozenset(files) if last and banned else frozenset(),
    )


def read_shards(
    material: Material,
    asked: Asked,
    banned: Banned,
    reports: Mapping[Level, LevelReport],
    progress: Progress | None = None,
) -> None:
    """One pass over all files that something is asked of; adds to the reports of these levels."""
    files = asked.files
    if not files:
        return
    watch = Stopwatch()
    claims = Claims(material, asked.content | asked.current | asked.every)
    told = partial(progress, "data files read") if progress else None

    def work(file: DataFile) -> _Done:
        return _read(material, asked, banned, file, claims)

    times: Times = {}
    for done in at_once(work, files, told, READERS):
        for finding in done.findings:
            reports[finding.level].findings.append(finding)
        for level, seconds in done.times.items():
            times[level] = times.get(level, 0.0) + seconds
        for level, what, number in done.counts:
            reports[level].count(what, number)
    busy = sum(times.values()) or 1.0
    for level, seconds in times.items():
        reports[level].seconds += watch.seconds * seconds / busy


def _read(
    material: Material, asked: Asked, banned: Banned, file: DataFile, claims: Claims
) -> _Done:
    done = _Done()
    level = Level.L2 if file in asked.bytes else Level.L5
    with done.timed(level):
        done.counts.append((level, "data files", 1))
        done.counts.append((level, "bytes", file.bytes))
        try:
            data = checked_bytes(material.store, file.key, file.sha256, file.bytes)
        except Bad as bad:
            done.found(level, file.key, bad)
            return done
    rows, tokens = None, dict[str, RawTokens]()
    if file in asked.bytes:
        with done.timed(Level.L2):
            try:
                rows = places(data)
                tokens = _read_tokens(material, done, keys_of(file.step, rows))
            except Bad as bad:
                done.found(Level.L2, file.key, bad)
    in_content, for_bans = file in asked.content, file in asked.current or file in asked.every
    if not in_content and not for_bans:
        return done
    with done.timed(Level.L3 if in_content else Level.L5):
        try:
            opened = Opened(data)
        except Bad as bad:
            done.found(Level.L3 if in_content else Level.L5, file.key, bad)
            return done
        said = claims.of(file)
        if in_content:
            done.counts.append((Level.L3, "data files", 1))
            done.counts.append((Level.L3, "records", opened.rows))
            for wrong in wrong_claims(opened, (claim for claim, _ in said)):
                done.found(Level.L3, file.key, wrong)
            if rows is not None:
                for wrong in wrong_rows(rows, tokens, material.root.tokenizer):
                    done.found(Level.L3, file.key, wrong)
    if for_bans:
        with done.timed(Level.L5):
            done.counts.append((Level.L5, "data files searched", 1))
            for claim, current in said:
                removed = material.removed if current and file in asked.current else frozenset()
                _find_banned(done, file, opened, claim, removed, banned)
    return done


def _read_tokens(material: Material, done: _Done, keys: dict[str, str]) -> dict[str, RawTokens]:
    """The token files of a data file that are whole, each looked at."""
    files = {}
    for sha256, key in keys.items():
        done.counts.append((Level.L2, "token files", 1))
        try:
            files[sha256] = read_token_file(material.store, key)
        except Bad as bad:
            done.found(Level.L2, key, bad)
            continue
        done.counts.append((Level.L2, "token ids", len(files[sha256].ids)))
    return files


def _find_banned(
    done: _Done,
    file: DataFile,
    opened: Opened,
    claim: Claim,
    removed: frozenset[str],
    banned: Banned,
) -> None:
    try:
        rows = np.flatnonzero(mask_of(claim.row, opened.rows)).tolist()
    except Bad as bad:
        done.found(Level.L5, file.key, bad)
        return
    if found := Banned(ids=removed).found_in(opened, rows):
        what = f"{claim.leaf} holds what was removed: {listed(found)}"
        done.found(Level.L5, file.key, Bad(Kind.BANNED, what))
    if found := banned.found_in(opened, rows):
        done.found(Level.L5, file.key, Bad(Kind.BANNED, f"{claim.leaf} holds {listed(found)}"))
