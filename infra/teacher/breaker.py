"""When to stop calling an endpoint, and how many retries a run may spend."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from infra.teacher.policy import PoolPolicy


class State(StrEnum):
    """Whether an endpoint is used."""

    OK = "ok"
    OPEN = "open"
    """Too many of its last calls failed; a canary will tell when it is back."""
    HALF_OPEN = "half-open"
    """A canary is on its way."""
    DEAD = "dead"
    """It makes no tokens, or it serves another model now; canaries go on."""


@dataclass(slots=True)
class Breaker:
    """Opens when at least half of the last calls failed."""

    policy: PoolPolicy
    state: State = State.OK
    detail: str = ""
    """Why it is not ok, for a person."""
    _recent: deque[bool] = field(init=False)

    def __post_init__(self) -> None:
        self._recent = deque(maxlen=self.policy.breaker_window)

    def answered(self, ok: bool) -> bool:
        """Note one call's outcome; True when it is time to open."""
        self._recent.append(ok)
        if ok or self.state is not State.OK or len(self._recent) < self.policy.breaker_minimum:
            return False
        failed = self._recent.count(False)
        return failed >= self.policy.breaker_ratio * len(self._recent)

    def open(self, state: State, detail: str) -> None:
        """Stop using the endpoint."""
        self.state, self.detail = state, detail

    def close(self) -> None:
        """Use it again, with a clean slate."""
        self.state, self.detail = State.OK, ""
        self._recent.clear()


@dataclass(slots=True)
class RetryBudget:
    """Retries as a part of calls (0.1: one in ten), with a floor for small runs.

    Source: the retry budget of Finagle and of the Google SRE book, "Handling overload".
    """

    ratio: float
    floor: int
    _left: float = field(init=False)

    def __post_init__(self) -> None:
        self._left = float(self.floor)

    def earn(self) -> None:
        """One call was made; what is saved up is bounded, so an old calm pays for no new storm."""
        self._left = min(self._left + self.ratio, 10.0 * self.floor)

    def spend(self) -> bool:
        """Take one retry, or False when the budget is spent."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
