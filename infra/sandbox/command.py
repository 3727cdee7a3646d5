"""The bubblewrap command line: what a program sees, and what it may use.

It sees a read-only system, the standard library alone, a small tmpfs and no other process. Under
root the mounts are made by root and the program runs as an unused uid; otherwise in a user
namespace as nobody. Never as a mapped root: RLIMIT_NPROC does not bind the real uid 0.
"""

import itertools
import os
import shutil
import site
import sys
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import SandboxUnavailable
from manifests.programs import Limits

_TMP_BYTES = 64 * 2**20
_SHM_BYTES = 16 * 2**20
_OPEN_FILES = 256
_NOBODY = 65534
_PROGRAM = "/program.py"
_runs = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """What a run is handed beside its stdin, by file descriptor; all are closed in the program."""

    source: int
    seccomp: int
    status: int


def tool(name: str, package: str) -> str:
    """Absolute path of a command.

    Raises:
        SandboxUnavailable: It is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise SandboxUnavailable(f"sandbox: {name} is not on PATH; run: apt-get install {package}")
    return os.path.realpath(path)


def walls() -> tuple[str, ...]:
    """The part of the command that is the same for every run.

    Raises:
        SandboxUnavailable: A tool is missing.
    """
    spaces = [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup")]
    session = ["--die-with-parent", "--new-session", "--clearenv"]
    variables = ["PATH", "/usr/bin:/bin", "HOME", "/tmp", "LANG", "C.UTF-8", "PYTHONHASHSEED", "0"]
    pairs = zip(variables[::2], variables[1::2], strict=True)
    environment = [word for pair in pairs for word in ("--setenv", *pair)]
    bwrap = tool("bwrap", "bubblewrap")
    return (bwrap, *spaces, *_who(), *session, *environment, *_system(), *_interpreter(), *_own())


def _who() -> list[str]:
    if os.geteuid() != 0:
        return ["--unshare-user", "--uid", str(_NOBODY), "--gid", str(_NOBODY)]
    return ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]


def _system() -> list[str]:
    words = ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, ("/bin", "/lib", "/lib32", "/lib64")):
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return [*words, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]


def _interpreter() -> list[str]:
    prefix = Path(sys.base_prefix)
    words: list[str] = []
    if not prefix.is_relative_to("/usr"):
        for parent in reversed(prefix.parents[:-1]):  # bwrap would copy modes such as /root's 0700
            words += ["--perms", "0755", "--dir", str(parent)]
        words += ["--ro-bind", str(prefix), str(prefix)]
    for packages in site.getsitepackages([sys.base_prefix]):
        if os.path.isdir(packages):  # third-party code is not promised, and slows every start
            words += ["--tmpfs", packages, "--remount-ro", packages]
    return words


def _own() -> list[str]:
    shm = ["--size", str(_SHM_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"]
    tmp = ["--size", str(_TMP_BYTES), "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return ["--proc", "/proc", "--dev", "/dev", *shm, "--remount-ro", "/dev", *tmp]


def command(fixed: tuple[str, ...], given: Descriptors, limits: Limits) -> list[str]:
    """The whole command of one run."""
    source = ["--perms", "0444", "--file", str(given.source), _PROGRAM, "--remount-ro", "/"]
    control = ["--seccomp", str(given.seccomp), "--json-status-fd", str(given.status)]
    python = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    isolated = [python, "-s", "-P", "-B", "-X", "utf8", _PROGRAM]
    return [*fixed, *source, *control, "--", *_bounds(limits), *_become(), *isolated]


def _bounds(limits: Limits) -> list[str]:
    # The soft CPU limit tells a timeout (SIGXCPU) from other kills; the hard one is for programs
    # that ignore it.
    cpu = f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}"
    most = [f"--as={limits.memory_bytes}", f"--nproc={limits.processes}", cpu]
    files = [f"--fsize={_TMP_BYTES}", f"--nofile={_OPEN_FILES}", "--core=0"]
    first_to_go = [tool("choom", "util-linux"), "-n", "1000", "--"]  # for the OOM killer
    return [*first_to_go, tool("prlimit", "util-linux"), *most, *files, "--"]


def _become() -> list[str]:
    if os.geteuid() != 0:
        return []
    # RLIMIT_NPROC counts per uid, so runs at the same time need uids of their own.
    uid = 1 << 30 | (os.getpid() & 0x3FFFFF) << 8 | next(_runs) & 0xFF
    drop = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    return [tool("setpriv", "util-linux"), *drop, "--"]
