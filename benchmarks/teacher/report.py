"""The tables: one line a system, ratios to the raw client; then why our slots were empty."""

from collections.abc import Mapping, Sequence

from benchmarks.harness import Spread, table
from benchmarks.teacher.measure import Run
from benchmarks.teacher.systems import System
from infra.teacher.idle import Reason

Runs = Mapping[System, Sequence[Run]]
HEAD = (
    "system",
    "seconds",
    "% of ideal",
    "% of raw",
    "CPU ms a call",
    "asked again",
    "lost",
    "twice",
    "refused",
)


def report(letter: str, found: Runs, failed: Mapping[System, str]) -> None:
    """The table of one scenario."""
    raw = next((spread(runs, "seconds") for s, runs in found.items() if s.name == "raw"), None)
    extra = {"C": ("kills", "again a kill"), "F": ("% of ideal hits",)}.get(letter[0], ())
    rows = [
        [system.title, *_figures(letter, runs, raw), *_extra(letter, runs)]
        for system, runs in found.items()
    ]
    empty = ["-"] * (len(HEAD) + len(extra) - 2)
    rows += [[system.title, "failed", *empty] for system in failed]
    table([*HEAD, *extra], rows)
    for system, why in failed.items():
        print(f"{system.title} failed: {why}")


def _figures(letter: str, runs: Sequence[Run], raw: Spread | None) -> list[str]:
    timed = letter[0] not in "AC"
    seconds = spread(runs, "seconds")
    return [
        seconds.shown(),
        spread(runs, "of_ideal").shown(1) if timed else "-",
        f"{100 * raw.middle / seconds.middle:.1f}" if raw else "-",
        spread(runs, "cpu_ms").shown() if letter[0] != "C" else "-",  # the dead told nobody
        *(str(sum(getattr(run, name) for run in runs)) for name in _COUNTED),
    ]


_COUNTED = ("asked_again", "lost", "twice", "refused")


def _extra(letter: str, runs: Sequence[Run]) -> list[str]:
    if letter == "C":
        kills = sum(run.kills for run in runs)
        return [str(kills), f"{sum(run.asked_again for run in runs) / max(1, kills):.1f}"]
    return [spread(runs, "hits").shown(1)] if letter == "F" else []


def spread(runs: Sequence[Run], name: str) -> Spread:
    return Spread(tuple(float(getattr(run, name)) for run in runs))


def report_idle(shares: Mapping[str, Mapping[str, float]]) -> None:
    """Where our slot-seconds went, by scenario."""
    names = ("busy", *(reason.value for reason in Reason), "wire")
    rows = [[letter, *(f"{of[name]:.2f}" for name in names)] for letter, of in shares.items()]
    table(["scenario", *names], rows)
