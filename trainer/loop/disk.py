"""A disk that fails one rank stops all of them together, in one line.

A rank that raised by itself would leave the others waiting for it in the next collective. So what
fails is noted, and the ranks tell each other where they meet next.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from manifests.errors import ScriptoriumError, StoreFull
from manifests.exits import FAILED
from trainer.loop.ranks import from_all

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_CUT_SHORT = re.compile(r"unexpected pos|PytorchStreamWriter")
"""What `torch.save` makes of a write that came to its end early, whatever the system said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something could not be written."""

    text: str
    full: bool
    """Whether for want of room."""


class Disk:
    """What went wrong with the disk on this rank."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        """The first."""

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Where this fails for the disk, it is noted and not raised."""
        try:
            yield
        except (OSError, ScriptoriumError) as error:
            self.note(error)

    def note(self, error: BaseException) -> None:
        """Something failed; only the first is kept, for the rest may follow from it."""
        self.failure = self.failure or _failure(error)

    def agree(self, what: str, advice: str) -> None:
        """Go on if all is well on all ranks, which call this together.

        Raises:
            StoreFull: It is not, for want of room; on rank 0, and the others leave silently.
            ScriptoriumError: The same, for another reason.
        """
        found = [failure for failure in from_all(self.failure) if failure]
        if not found:
            return
        if os.environ.get("RANK", "0") != "0":
            sys.exit(FAILED)
        kind = StoreFull if found[0].full else ScriptoriumError
        raise kind(f"{what}: {found[0].text}; {advice}")


def _failure(error: BaseException) -> Failure:
    code = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if code is None and (told := _ERRNO.search(text)):  # of another process
        code = int(told[1])
    if code is not None:
        return Failure(text=os.strerror(code), full=code in _FULL)
    if _CUT_SHORT.search(text):
        return Failure(text="the disk took only a part of a file", full=True)
    return Failure(text=text, full=isinstance(error, StoreFull))
