import asyncio
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.sandbox.bubblewrap import Sandbox, available
from manifests.errors import SandboxUnavailable
from manifests.programs import Execution, ExecutionStatus, Limits, Program

REPO = Path(__file__).resolve().parents[2]
MISSING = available()
boxed = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")


def run(source: str, stdin: str = "", limits: Limits = Limits()) -> Execution:  # noqa: B008
    return asyncio.run(Sandbox()(Program(source=source, stdin=stdin, limits=limits)))


def alive(marker: str) -> bool:
    """Whether any process of the machine has the marker in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def gone(marker: str) -> bool:
    for _ in range(100):
        if not alive(marker):
            return True
        time.sleep(0.05)
    return False


@boxed
def test_a_program_reads_its_stdin_and_writes_both_streams() -> None:
    source = "import sys\nprint(input()[::-1])\nprint(sys.stdin.read(), file=sys.stderr, end='')"
    done = run(source, "häßlich\nrest\n")
    assert done.status is ExecutionStatus.OK
    assert done.exit_code == 0
    assert (done.stdout, done.stderr) == ("hcilßäh\n", "rest\n")
    assert not done.truncated


@boxed
def test_stdin_can_be_opened_by_its_path_and_seeks() -> None:
    assert run("print(open('/dev/stdin').read())", "abc").stdout == "abc\n"


@boxed
def test_exit_codes_are_reported() -> None:
    done = run("exit(7)")
    assert (done.status, done.exit_code) == (ExecutionStatus.ERROR, 7)
    failed = run("1 / 0")
    assert (failed.status, failed.exit_code) == (ExecutionStatus.ERROR, 1)
    assert "ZeroDivisionError" in failed.stderr
    syntax = run("def broken(:")
    assert syntax.status is ExecutionStatus.ERROR
    assert "SyntaxError" in syntax.stderr


@boxed
def test_a_signal_is_a_kill_without_an_exit_code() -> None:
    done = run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert (done.status, done.exit_code) == (ExecutionStatus.KILLED, None)


@boxed
def test_an_endless_loop_hits_the_wall_clock_and_keeps_what_it_wrote() -> None:
    source = "import time\nprint('before', flush=True)\nwhile True: time.sleep(1)"
    done = run(source, limits=Limits(wall_seconds=1))
    assert (done.status, done.exit_code, done.stdout) == (ExecutionStatus.TIMEOUT, None, "before\n")


@boxed
def test_a_busy_loop_hits_the_cpu_limit() -> None:
    done = run("while True: pass", limits=Limits(cpu_seconds=1, wall_seconds=60))
    assert done.status is ExecutionStatus.TIMEOUT


@boxed
def test_output_is_cut_at_its_limit_and_a_flood_is_killed() -> None:
    limits = Limits(output_bytes=1000, wall_seconds=60)
    cut = run("print('x' * 5000)", limits=limits)
    assert (cut.status, cut.truncated, cut.stdout) == (ExecutionStatus.OK, True, "x" * 1000)
    flood = run("while True: print('x' * 5000)", limits=limits)
    assert (flood.status, flood.truncated) == (ExecutionStatus.KILLED, True)
    assert len(flood.stdout) == 1000


@boxed
def test_bytes_that_are_not_utf8_and_surrogates_are_replaced() -> None:
    assert run(r"import sys; sys.stdout.buffer.write(b'a\xff\x00b')").stdout == "a\ufffd\x00b"
    assert run("print(input())", "lone \ud800").stdout == "lone ?\n"
    assert run("print('lone \ud800')").stdout == "lone ?\n"


@boxed
def test_there_is_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 2)
except OSError as error:
    print("refused", error.errno)
print([name for _, name in socket.if_nameindex()])
"""
        done = run(source)
    assert done.stdout.startswith("refused")
    assert done.stdout.endswith("['lo']\n")


@boxed
def test_nothing_is_writable_but_its_own_bounded_tmp() -> None:
    source = """
import os, sys
open("/tmp/mine", "w").write("ok")
os.makedirs("deep/er")
written = []
places = ["/", "/dev", "/proc", "/etc", "/usr", "/usr/lib", "/proc/sys/kernel", sys.base_prefix]
for place in places + sys.path:
    try:
        open(os.path.join(place, "escaped"), "w").write("x")
        written.append(place)
    except OSError:
        pass
print(written)
size = 0
try:
    for n in range(10):
        with open(f"/tmp/{n}", "wb") as file:
            for _ in range(16):
                size += file.write(bytes(1 << 20))
except OSError as error:
    print("full", error.errno, size <= 64 << 20)
"""
    done = run(source)
    assert done.stdout == "[]\nfull 28 True\n", done.stderr
    assert run("import os; print(os.listdir())").stdout == "[]\n"


@boxed
def test_the_host_is_out_of_sight(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    home = Path.home()
    hidden = [
        str(secret),
        "/etc/shadow",
        "/etc/passwd",
        "/var",
        "/run",
        "/sys",
        str(REPO),
        __file__,
    ]
    hidden += [str(path) for path in home.iterdir() if not sys.base_prefix.startswith(str(path))]
    hidden += [path for path in sys.path if "site-packages" in path and path != "/"]
    source = f"""
import os
print([path for path in {hidden!r} if os.path.exists(path) and not os.path.isdir(path)])
print([path for path in {hidden!r} if os.path.isdir(path) and os.listdir(path)])
print(len([name for name in os.listdir("/proc") if name.isdigit()]))
"""
    assert run(source).stdout == "[]\n[]\n2\n"


@boxed
def test_the_parents_environment_and_descriptors_stay_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")
    source = """
import os
print(sorted(os.environ))
print(sorted(map(int, os.listdir("/proc/self/fd")))[:4])
print(len(os.listdir("/proc/self/fd")))
for pid in (1, os.getpid()):
    try:
        print("s3cret" in open(f"/proc/{pid}/environ").read())
    except PermissionError:
        print(False)
"""
    lines = run(source).stdout.splitlines()
    assert lines[0] == str(["HOME", "LANG", "PATH", "PWD", "PYTHONHASHSEED"])
    assert lines[1:] == ["[0, 1, 2, 3]", "4", "False", "False"]


@boxed
def test_it_holds_no_privilege_and_gets_none() -> None:
    source = """
import ctypes, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(0 in (os.getuid(), os.geteuid(), os.getgid()), status["NoNewPrivs"].strip())
print({status[key].strip() for key in ("CapPrm", "CapEff", "CapAmb")})
libc = ctypes.CDLL(None, use_errno=True)
calls = {"unshare": (0x10000000,), "mount": (b"none", b"/tmp", b"tmpfs", 0, None), "setns": (0, 0),
         "ptrace": (0, 0, 0, 0), "memfd_create": (b"m", 0), "shmget": (0, 1 << 30, 0o1600)}
for name, arguments in calls.items():
    print(name, getattr(libc, name)(*arguments), ctypes.get_errno())
print(open("/proc/self/oom_score_adj").read().strip())
"""
    done = run(source)
    calls = ["unshare", "mount", "setns", "ptrace", "memfd_create", "shmget"]
    refused = [f"{name} -1 1" for name in calls]
    assert done.stdout.splitlines() == ["False 1", "{'0000000000000000'}", *refused, "1000"]


@boxed
def test_a_fork_bomb_is_bounded() -> None:
    source = """
import os, time
children = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        children += 1
except BlockingIOError:
    print("bounded", children)
"""
    done = run(source, limits=Limits(processes=8, wall_seconds=30))
    assert done.status is ExecutionStatus.OK
    word, children = done.stdout.split()
    assert word == "bounded"
    assert 5 <= int(children) <= 8


@boxed
def test_a_memory_bomb_ends_alone() -> None:
    done = run("blob = []\nwhile True: blob.append(bytearray(1 << 24))")
    assert done.status in (ExecutionStatus.ERROR, ExecutionStatus.KILLED)
    assert run("print('alive')").stdout == "alive\n"


@boxed
def test_children_that_it_leaves_behind_die_with_it() -> None:
    marker = f"leftover-{os.getpid()}-{time.time_ns()}"
    source = f"""
import subprocess, sys
code = "import time; time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code, {marker!r}], start_new_session=True)
print("left")
"""
    assert run(source).stdout == "left\n"
    assert gone(marker)


@boxed
def test_a_cancelled_call_leaves_nothing_running() -> None:
    marker = f"cancelled-{os.getpid()}-{time.time_ns()}"
    source = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(600)", {marker!r}])
"""

    async def cancelled() -> bool:
        limits = Limits(wall_seconds=60)
        task = asyncio.create_task(Sandbox()(Program(source=source, limits=limits)))
        while not alive(marker):
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(cancelled())
    assert gone(marker)


@boxed
def test_twenty_at_once_do_not_share_limits_or_files() -> None:
    source = """
import os, time
if os.fork() == 0:
    time.sleep(0.2)
    os._exit(0)
open("/tmp/name", "x").write(input())
os.wait()
print(open("/tmp/name").read(), hash("abc"))
"""

    async def crowd() -> list[Execution]:
        sandbox = Sandbox(max_parallel=20)
        program = Program(source=source, limits=Limits(processes=3, wall_seconds=60))
        return await asyncio.gather(*(sandbox(replace(program, stdin=str(n))) for n in range(20)))

    done = asyncio.run(crowd())
    assert [execution.stdout.split()[0] for execution in done] == [str(n) for n in range(20)]
    assert len({execution.stdout.split()[1] for execution in done}) == 1  # hashing is repeatable


@boxed
def test_the_command_runs_a_file(tmp_path: Path) -> None:
    path = tmp_path / "hello.py"
    path.write_text("print('hello')")
    command = [sys.executable, "-m", "infra.sandbox"]
    assert subprocess.run([*command, "check"], cwd=REPO, check=False).returncode == 0
    ran = subprocess.run([*command, "run", str(path)], cwd=REPO, check=True, capture_output=True)
    assert (ran.stdout, ran.stderr) == (b"hello\n", b"ok (exit code 0)\n")


def test_without_bubblewrap_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = available()
    assert reason is not None
    assert "apt-get install bubblewrap" in reason
    with pytest.raises(SandboxUnavailable, match="bwrap is not on PATH"):
        run("open('/tmp/ran', 'w')")


def test_a_bubblewrap_that_cannot_box_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("bwrap", "prlimit", "choom", "setpriv"):
        tool = tmp_path / name
        tool.write_text(
            "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
        )
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="No permissions to create new namespace"):
        run("print(1)")
