"""A manifest verified level by level; what is found is data, and nothing stops at a finding."""

from collections.abc import Callable

from manifests.levels.banned import Banned
from manifests.levels.findings import Level, LevelReport, Progress, Report, Stopwatch
from manifests.levels.lineage import check_lineage
from manifests.levels.metadata import Material, check_metadata
from manifests.levels.order import check_order
from manifests.levels.presence import check_presence
from manifests.levels.shards import asked_of, read_shards
from manifests.store import Store

Check = Callable[[Material, LevelReport, Progress | None], None]

_NOTHING = Banned()


def verify_manifest(
    store: Store,
    digest: str,
    top: Level,
    *,
    sample: int | None = None,
    banned: Banned = _NOTHING,
    progress: Progress | None = None,
) -> Report:
    """All levels up to `top` of the manifest with this digest.

    `sample`: how many data files L2 and L3 look at; None for all. Without a root that can be read,
    L0 is the only level.
    """
    reports = {level: LevelReport(level=level) for level in Level if level <= top}
    watch = Stopwatch()
    material = check_metadata(store, digest, reports[Level.L0], progress)
    reports[Level.L0].seconds = watch.seconds
    if material is None:
        first = reports[Level.L0]
        first.notes.append("no level above it: there is no root to read")
        return Report(digest=digest, sample=sample, levels=(first,))
    if top >= Level.L1:
        _timed(check_presence, material, reports[Level.L1], progress)
    asked = asked_of(material, top, sample, banned)
    read_shards(material, asked, banned, reports, progress)
    if top >= Level.L4:
        _timed(check_order, material, reports[Level.L4], progress)
    if top >= Level.L5:
        _timed(check_lineage, material, reports[Level.L5], progress)
        reports[Level.L5].count("removed or banned", len(banned) + len(material.removed))
    for report in reports.values():  # a shard of two strata is looked at twice
        report.findings = list(dict.fromkeys(report.findings))
    return Report(digest=digest, sample=sample, levels=tuple(reports.values()))


def _timed(
    check: Check, material: Material, report: LevelReport, progress: Progress | None
) -> None:
    watch = Stopwatch()
    check(material, report, progress)
    report.seconds += watch.seconds
