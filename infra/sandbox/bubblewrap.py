"""Running model-written Python where it can do no harm: bubblewrap, resource limits, seccomp.

There is no way to run a program without the sandbox: where it cannot be had, a call raises. The
bounds are per process (memory) and per run (processes, wall clock, output), so a run can hold at
most `processes * memory_bytes`; where that must be bounded as a whole, give the worker a cgroup.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.sandbox import command, seccomp
from manifests.errors import SandboxUnavailable
from manifests.programs import Execution, ExecutionStatus, Limits, Program

_FLOOD = 16
"""A program that writes this many times its output limit is killed."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_PROBE = b"print(6 * 7)"


class Sandbox:
    """Runs programs, `max_parallel` at a time; fits `manifests.programs.Execute`.

    Call it from a thread that lives on: the kernel ends a program when the thread that started it
    ends (`--die-with-parent`).
    """

    def __init__(self, max_parallel: int | None = None) -> None:
        self._permits = asyncio.Semaphore(max_parallel or os.cpu_count() or 1)
        self._walls: tuple[str, ...] | None = None

    async def __call__(self, program: Program) -> Execution:
        """Run one program to its end.

        A program that exits with 128 + n looks as if signal n had ended it.

        Raises:
            SandboxUnavailable: No sandbox can be had here.
        """
        async with self._permits:
            if self._walls is None:
                reason = await asyncio.to_thread(available)
                if reason is not None:
                    raise SandboxUnavailable(reason)
                self._walls = command.walls()
            return await _run(self._walls, program)


def available() -> str | None:
    """None where a program really runs in the sandbox, else one line: what is missing."""
    if not sys.platform.startswith("linux") or not seccomp.supported():
        return (
            "sandbox: needs Linux on x86_64 or aarch64; run where model-written code can be boxed"
        )
    try:
        with _handed(_PROBE, b"") as hand:
            words = command.command(command.walls(), hand.given, Limits())
            done = subprocess.run(
                words, stdin=hand.stdin, env={}, pass_fds=hand.passed, capture_output=True
            )
    except SandboxUnavailable as missing:
        return str(missing)
    if done.stdout == b"42\n":
        return None
    return _refused(done.stderr)


def _refused(stderr: bytes) -> str:
    said = stderr.decode(errors="replace").strip().partition("\n")[0] or "no reason given"
    return f"sandbox: {said}; allow user namespaces (or run as root with CAP_SYS_ADMIN)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hand:
    stdin: int
    given: command.Descriptors
    status: int
    """Where we read what bwrap says."""

    @property
    def passed(self) -> tuple[int, ...]:
        return (self.given.source, self.given.seccomp, self.given.status)


@contextlib.contextmanager
def _handed(source: bytes, stdin: bytes) -> Iterator[_Hand]:
    """The descriptors of one run; files in memory, because nothing then has to feed a pipe."""
    with contextlib.ExitStack() as stack:
        texts = []
        for name, data in (("stdin", stdin), ("source", source), ("seccomp", seccomp.program())):
            texts.append(_memory_file(name, data))
            stack.callback(os.close, texts[-1])
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        os.set_blocking(reader, False)
        given = command.Descriptors(source=texts[1], seccomp=texts[2], status=writer)
        yield _Hand(stdin=texts[0], given=given, status=reader)


def _memory_file(name: str, data: bytes) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


@dataclass(slots=True, kw_only=True)
class _Output:
    """One stream of a program, kept up to a limit."""

    limit: int
    kept: bytearray = field(default_factory=bytearray)
    seen: int = 0

    async def drain(
        self, stream: asyncio.StreamReader, process: asyncio.subprocess.Process
    ) -> None:
        while chunk := await stream.read(1 << 16):
            self.kept += chunk[: self.limit - len(self.kept)]
            self.seen += len(chunk)
            if self.flooded:
                _kill(process)

    @property
    def flooded(self) -> bool:
        return self.seen > _FLOOD * self.limit

    @property
    def text(self) -> str:
        return self.kept.decode(errors="replace")


async def _run(walls: tuple[str, ...], program: Program) -> Execution:
    limits = program.limits
    # A model's text may hold lone surrogates; they become "?".
    source, stdin = (text.encode(errors="replace") for text in (program.source, program.stdin))
    out, err = _Output(limit=limits.output_bytes), _Output(limit=limits.output_bytes)
    with _handed(source, stdin) as hand:
        process = await asyncio.create_subprocess_exec(
            *command.command(walls, hand.given, limits),
            stdin=hand.stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            pass_fds=hand.passed,
            start_new_session=True,
        )
        timed_out = await _watch(process, out, err, limits.wall_seconds)
        code = _exit_code(hand.status)
    if timed_out:
        status = ExecutionStatus.TIMEOUT
    elif out.flooded or err.flooded:
        status = ExecutionStatus.KILLED
    elif code is None:
        raise SandboxUnavailable(_refused(bytes(err.kept)))
    else:
        status = _status(code)
    ended_itself = status in (ExecutionStatus.OK, ExecutionStatus.ERROR)
    return Execution(
        status=status,
        exit_code=code if ended_itself else None,
        stdout=out.text,
        stderr=err.text,
        truncated=max(out.seen, err.seen) > limits.output_bytes,
    )


async def _watch(
    process: asyncio.subprocess.Process, out: _Output, err: _Output, wall_seconds: float
) -> bool:
    """Read both streams to the end; whether the wall clock had to end the program."""
    assert process.stdout is not None
    assert process.stderr is not None
    drains = (out.drain(process.stdout, process), err.drain(process.stderr, process))
    end = asyncio.gather(*drains, process.wait())
    try:
        done, _ = await asyncio.wait({end}, timeout=wall_seconds)
        return not done
    finally:  # the time is up, or the caller was cancelled: no program outlives its call
        if not end.done():
            _kill(process)
            await asyncio.wait({end})
        end.result()


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill bwrap; its pid namespace, and so every process in it, goes with it."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _exit_code(status: int) -> int | None:
    """The program's exit code as bwrap reports it; None when it never got to run it."""
    said = b""
    with contextlib.suppress(BlockingIOError):  # it said nothing at all
        said = os.read(status, 1 << 16)
    for line in said.splitlines():
        code = json.loads(line).get("exit-code")
        if code is not None:
            return int(code)
    return None


def _status(code: int) -> ExecutionStatus:
    if code == 0:
        return ExecutionStatus.OK
    if code == 128 + signal.SIGXCPU:
        return ExecutionStatus.TIMEOUT
    if code - 128 in signal.valid_signals():
        return ExecutionStatus.KILLED
    return ExecutionStatus.ERROR
