"""SIGTERM and SIGINT ask for a checkpoint after the step that is under way, and then an exit.

The handler only notes the signal. Ranks agree on it once a step (a number that travels with the
loss), so that all of them stop after the same step, whichever was told.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ASKS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class Asked:
    """The signal that came, 0 for none."""

    number: int = 0

    @property
    def status(self) -> int:
        """How a process ends that was asked to, as shells have it."""
        return 128 + self.number

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number = number
            name = signal.Signals(number).name
            print(f"{name}: a checkpoint after this step, then the end", file=sys.stderr)


@contextmanager
def listening() -> Iterator[Asked]:
    """Note signals while this lasts; a second one changes nothing, for launchers send several."""
    asked = Asked()
    before = {number: signal.signal(number, asked._note) for number in ASKS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
