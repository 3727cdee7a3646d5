"""The scenarios: what is asked, of which teachers, how much at once.

Sizes are for `--scale 1`. Times are modelled seconds; `time_scale` is wall seconds a modelled one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.teacher.methods import FanOut, Method, OneCall, Rounds
from infra.simulated.settings import Settings

MEAN_TOKENS = 100
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One line of work."""

    letter: str
    about: str
    method: Method
    teacher: Settings
    items: int
    """Passages at scale 1."""
    in_flight: int
    """Passages worked on at once, by every system."""
    width: int = 1
    """Calls of one passage at once, at most."""
    replicas: int = 1
    words: int = 120
    """Of a passage."""
    faults: Sequence[Mapping[str, Any]] = field(default_factory=list)
    kills: int = 0
    """SIGKILLs at scale 1."""
    peers: bool = True
    """Whether table-shaped peers can do it; if not, only who writes Python for it."""

    @property
    def slots(self) -> int:
        return self.teacher.slots * self.replicas


def teacher(slots: int, *, mean: float, scale: float = 1.0, prefill: float = 0.0) -> Settings:
    """One that answers in `mean` modelled seconds on average, log-normally."""
    return Settings(
        slots=slots,
        mean_tokens=MEAN_TOKENS,
        sigma=0.7,
        seconds_per_token=mean / MEAN_TOKENS,
        prefill_seconds_per_token=prefill,
        time_scale=scale,
        max_model_len=16384,
    )


BAD_HOUR: list[dict[str, Any]] = [
    {"kind": "http_503", "rate": 0.8, "after_seconds": 300, "for_seconds": 120, "retry_after": 5},
    {"kind": "http_429", "rate": 0.3, "after_seconds": 900, "for_seconds": 300, "retry_after": 2},
    {"kind": "slow", "times": 5, "rate": 0.5, "after_seconds": 1500, "for_seconds": 300},
    {"kind": "reset", "rate": 0.3, "after_seconds": 2100, "for_seconds": 180},
    {"kind": "http_500", "rate": 0.5, "after_seconds": 2700, "for_seconds": 60},
    {"kind": "half", "rate": 0.003},
    {"kind": "malformed", "rate": 0.003},
    {"kind": "empty_choices", "rate": 0.002},
]
"""Of an hour: an outage, rate limits, a slow engine, resets, errors; and a little all the time."""


def saturation(slots: int) -> Scenario:
    return Scenario(
        letter=f"B{slots}",
        about=f"saturation, {slots} slots, mean 1 s",
        method=OneCall(),
        teacher=teacher(slots, mean=1.0),
        items=50 * slots,
        in_flight=2 * slots,
    )


def chain(slots: int) -> Scenario:
    return Scenario(
        letter=f"D{slots}",
        about=f"draft, up to 3 x (critique, revise), 5 votes; {slots} slots, mean 1 s",
        method=Rounds(),
        teacher=teacher(slots, mean=1.0),
        items=10 * slots,
        in_flight=2 * slots,
        width=5,
        peers=False,
    )


SCENARIOS: Sequence[Scenario] = (
    Scenario(
        letter="A",
        about="overhead, no latency",
        method=OneCall(),
        teacher=Settings(slots=256, mean_tokens=MEAN_TOKENS),
        items=5000,
        in_flight=256,
    ),
    saturation(64),
    saturation(256),
    Scenario(
        letter="C",
        about="SIGKILL at random, started again",
        method=OneCall(),
        teacher=teacher(64, mean=0.25),
        items=1000,
        in_flight=128,
        kills=10,
    ),
    chain(64),
    chain(256),
    Scenario(
        letter="E",
        about="a bad hour in 72 s at scale 1",
        method=OneCall(),
        teacher=teacher(64, mean=60.0, scale=0.02),
        items=3600,
        in_flight=128,
        faults=BAD_HOUR,
    ),
    Scenario(
        letter="F",
        about="8 questions about each long passage, 4 replicas of 16 slots",
        method=FanOut(),
        teacher=teacher(16, mean=1.0, scale=0.5, prefill=0.0004),
        items=400,
        in_flight=16,
        width=8,
        replicas=4,
        words=1200,
        peers=False,
    ),
)
