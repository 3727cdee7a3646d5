"""Code to run in the sandbox, and what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use."""

    wall_seconds: float = 10.0
    """[I] spec section 6, gap 8."""
    cpu_seconds: int = 10
    memory_bytes: int = 512 * 2**20
    processes: int = 16
    output_bytes: int = 1 << 20
    """Kept from stdout and from stderr, each; the rest is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Python source to run as a script, with text on its standard input."""

    source: str
    stdin: str = ""
    limits: Limits = Limits()


class ExecutionStatus(StrEnum):
    """How a program ended."""

    OK = "ok"
    """Exit status 0."""
    ERROR = "error"
    """It ended by itself with another exit status."""
    TIMEOUT = "timeout"
    """The wall or CPU limit ended it."""
    KILLED = "killed"
    """Another limit or a signal ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What running a program gave."""

    status: ExecutionStatus
    exit_code: int | None
    """None when a signal ended it."""
    stdout: str
    stderr: str
    truncated: bool = False
    """Whether stdout or stderr was cut at the limit."""


Execute = Callable[[Program], Awaitable[Execution]]
"""Runs a program in the sandbox. Raises SandboxUnavailable where none can be had."""
