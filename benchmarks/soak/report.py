"""The report of a soak, as Markdown."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Figures:
    """What a soak came to."""

    hours: float = 0.0
    seed: int = 0
    rounds: int = 0
    drivers: int = 0
    calls: int = 0
    """In committed shards."""
    records: int = 0
    requests: int = 0
    failed: int = 0
    """Requests that a scripted fault or an outage spoilt."""
    blows: Counter[str] = field(default_factory=Counter)
    recovery: Mapping[str, Sequence[float]] = field(default_factory=dict)
    term_seconds: Sequence[float] = ()
    most: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    growth: Sequence[float] = ()
    """Bytes an hour, of processes that lived long."""
    findings: Sequence[str] = ()
    bound: int = 0
    """Calls that one killed worker may cost: in flight, and one flush."""

    @property
    def kills(self) -> int:
        """Blows after which a worker's calls were lost."""
        return sum(self.blows[name] for name in _KILLS)

    @property
    def again(self) -> int:
        """Requests beyond those that failed and those whose answers are in shards."""
        return max(0, self.requests - self.failed - self.calls)


_KILLS = ("kill worker", "kill driver", "kill raylet", "kill head", "SIGTERM driver")


def lines(figures: Figures, when: str, machine: str, command: str) -> list[str]:
    """The report, line by line."""
    f = figures
    found = len(f.findings)
    share, each = _share(f.again, f.requests), f.again / max(1, f.kills)
    return [
        "# Soak",
        "",
        f"{when}, {machine}. `{command}`, seed {f.seed}: {f.hours:.2f} hours, {f.rounds} runs to",
        "their end.",
        "",
        "Runs of `synthesize` on a Ray cluster of two nodes ask two simulated teachers. Five of a",
        "hundred answers are spoilt (500, 429 with Retry-After, reset, half and malformed bodies,",
        "hangs, empty, cut and refusing texts). Meanwhile something is struck every so often. A",
        "driver that is gone is started again with the same command. When a run is complete, the",
        "verifier, which shares no code with the writers, goes through every step.",
        "",
        "| what | figure |",
        "| --- | --- |",
        f"| findings of the verifier (lost, twice, wrong) | {found} |",
        f"| records | {f.records:,} |",
        f"| calls whose answers are in shards | {f.calls:,} |",
        f"| requests that teachers got | {f.requests:,} |",
        f"| of these spoilt by a scripted fault or an outage | {f.failed:,} |",
        f"| asked again because of kills | {f.again:,} ({share} of the requests) |",
        f"| kills of workers, drivers, raylets, heads | {f.kills} |",
        f"| asked again a kill (a killed worker may cost {f.bound}) | {each:.1f} |",
        f"| drivers started | {f.drivers} |",
        f"| SIGTERM to exit, seconds | {_spread(f.term_seconds)} |",
        "",
        "| blow | times | seconds until calls went on: median (most) |",
        "| --- | --- | --- |",
        *(f"| {b} | {n} | {_spread(f.recovery.get(b, ()))} |" for b, n in sorted(f.blows.items())),
        "",
        "| process | most memory, MB | most files | most threads |",
        "| --- | --- | --- | --- |",
        *(
            f"| {kind} | {most['bytes'] / 1e6:.0f} | {most['files']} | {most['threads']} |"
            for kind, most in sorted(f.most.items())
        ),
        "",
        _grown(f.growth),
        *(["", "Findings:", "", *(f"- {line}" for line in f.findings)] if found else []),
    ]


def _grown(growth: Sequence[float]) -> str:
    if not growth:
        return "No process lived for five minutes, so that none could be seen to grow."
    return (
        f"Growth of the {len(growth)} processes that lived for five minutes, MB an hour:"
        f" {_spread([grown / 1e6 for grown in growth])}."
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({max(values):.1f})" if values else "-"
