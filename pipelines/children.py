"""A process that is a part of a command: whoever asks the command to stop asks it too."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType
from typing import IO

_ASKS = (signal.SIGTERM, signal.SIGINT)


def run_child(command: Sequence[str], *, stdout: IO[str] | None = None) -> int:
    """Run a program to its end; its exit status.

    SIGTERM and SIGINT go on to it, as often as they come, and this process leaves with 128 and the
    signal once it has ended: what it has to save it saves. Only for the main thread.
    """
    asked: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if child:
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in _ASKS}
    try:
        child = subprocess.Popen(command, stdout=stdout)
        if asked:  # in the moment before there was one
            child.send_signal(asked[0])
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        sys.exit(128 + asked[0])
    return code
