"""A directory as a store: kills and errors at every system call, and a disk that is full."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manifests.errors import NotInStore
from manifests.stores.local import LocalStore

REPOSITORY = Path(__file__).resolve().parents[2]
OLD, NEW = b"old" * 1000, b"new" * 30_000

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from manifests.stores.local import LocalStore
store = LocalStore(sys.argv[2])
try:
    print(getattr(store, sys.argv[3])("some/where/object", b"new" * 30_000))
except Exception as error:
    print(type(error).__name__, error)
"""


def writer(root: Path, operation: str) -> list[str]:
    """A process that writes one object; isolated, so that its system calls are always the same."""
    return [sys.executable, "-ISBc", WRITER, str(REPOSITORY), str(root), operation]


def traced(root: Path, operation: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["strace", "-f", "-y", "-o", "/dev/null", *options, *writer(root, operation)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("strace cannot trace here")


def prepared(root: Path, operation: str) -> LocalStore:
    store = LocalStore(root)
    if operation == "put":
        store.put("some/where/object", OLD)
    return store


def calls_below(root: Path, operation: str, log: Path) -> list[tuple[str, int]]:
    """Every system call of the writer that touches the root: its name, and the how manieth it is
    of that name.
    """
    prepared(root, operation)
    done = traced(root, operation, "-o", str(log))
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = {}
    found = []
    for line in log.read_text().splitlines():
        matched = re.match(r"\d+ +(\w+)\((.*)", line)
        if matched is None:
            continue
        name, arguments = matched.groups()
        counts[name] = counts.get(name, 0) + 1
        # The first call that names the root is the start of the process itself.
        if name != "execve" and str(root) in arguments:
            found.append((name, counts[name]))
    return found


@pytest.mark.parametrize("operation", ["create", "put"])
def test_a_kill_at_any_system_call_leaves_the_object_whole_or_as_it_was(
    operation: str, tmp_path: Path, strace: None
) -> None:
    points = calls_below(tmp_path / "root-0000", operation, tmp_path / "log")
    names = {name for name, _ in points}
    assert {"openat", "write", "fsync", "close"} <= names
    assert names & ({"link", "linkat"} if operation == "create" else {"rename", "renameat"})
    before = OLD if operation == "put" else None

    def killed(number: int) -> bytes | None:
        name, count = points[number - 1]
        root = tmp_path / f"root-{number:04d}"
        store = prepared(root, operation)
        done = traced(root, operation, "-e", f"inject={name}:signal=SIGKILL:when={count}")
        assert done.returncode == -signal.SIGKILL, (name, count, done)
        left = store.get("some/where/object") if store.exists("some/where/object") else None
        assert left in (before, NEW), (name, count)
        assert list(store.list("")) == ([] if left is None else ["some/where/object"])
        again = LocalStore(root)
        assert again.create("some/where/object", b"second") is (left is None)
        assert again.get("some/where/object") == (left or b"second")
        return left

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(killed, range(1, len(points) + 1)))
    assert outcomes == {before, NEW}, "the sweep has to cover both sides of the commit"


def test_a_name_is_given_only_to_synced_bytes_and_is_synced_itself(
    tmp_path: Path, strace: None
) -> None:
    root, log = tmp_path / "new" / "root", tmp_path / "log"
    assert traced(root, "create", "-o", str(log)).returncode == 0
    steps = []
    for line in log.read_text().splitlines():
        matched = re.match(r"\d+ +(write|fsync|link|linkat)\((.*)", line)
        if matched and str(tmp_path) in line:
            descriptor = re.match(r"\d+<([^>]*)>", matched[2])
            where = Path(descriptor[1]).relative_to(tmp_path) if descriptor else Path()
            temporary = where.parent.name == ".tmp"
            steps.append((matched[1].removesuffix("at"), "temporary" if temporary else str(where)))
    link = next(number for number, (name, _) in enumerate(steps) if name == "link")
    write = steps.index(("write", "temporary"))
    assert write < steps.index(("fsync", "temporary")) < link
    for above in (".", "new", "new/root", "new/root/some"):
        assert ("fsync", above) in steps[:link], "the directories on the way are durable first"
    assert ("fsync", "new/root/some/where") in steps[link:]


@pytest.mark.parametrize(
    ("calls", "error", "says"),
    [
        ("write", "ENOSPC", "StoreFull"),
        ("write", "EDQUOT", "StoreFull"),
        ("write", "EIO", "OSError"),
        ("fsync", "ENOSPC", "StoreFull"),
        ("fsync", "EIO", "OSError"),
        ("link,linkat", "ENOSPC", "StoreFull"),
        ("link,linkat", "EPERM", "StoreUnfit"),
        ("link,linkat", "EOPNOTSUPP", "StoreUnfit"),
        ("mkdir,mkdirat", "EACCES", "ConfigError"),
        ("mkdir,mkdirat", "EROFS", "ConfigError"),
        ("mkdir,mkdirat", "ENOSPC", "StoreFull"),
    ],
)
def test_a_failing_system_call_fails_closed_and_leaves_nothing(
    calls: str, error: str, says: str, tmp_path: Path, strace: None
) -> None:
    root = tmp_path / "root"
    done = traced(root, "create", "-e", f"inject={calls}:error={error}:when=1")
    assert done.stdout.startswith(says), done
    assert len(done.stdout.splitlines()) == 1
    store = LocalStore(root)
    assert not store.exists("some/where/object")
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert store.create("some/where/object", NEW)


def test_a_link_whose_reply_was_lost_counts_as_made(tmp_path: Path) -> None:
    """As over NFS: the second try of the same link says EEXIST."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(NEW)
    store = LocalStore(tmp_path)
    assert store._linked(source, target) is True
    assert store._linked(source, target) is True
    other = tmp_path / "other"
    other.write_bytes(OLD)
    assert store._linked(other, target) is False


def test_a_short_write_at_a_size_limit_is_never_an_object(tmp_path: Path) -> None:
    root = tmp_path / "root"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    command = writer(root, "create")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=limit)
    assert done.stdout.startswith("StoreFull"), done
    assert [path for path in root.rglob("*") if path.is_file()] == []
    with pytest.raises(NotInStore):
        LocalStore(root).get("some/where/object")


def test_a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """A real one: 1 MiB of tmpfs in a mount namespace of its own."""
    script = """
    set -e
    mount -t tmpfs -o size=1m none "$1"
    exec "$2" -ISBc "$3" "$4" "$1"
    """
    inside = """
import os, sys
sys.path.insert(0, sys.argv[1])
from manifests.errors import StoreFull
from manifests.stores.local import LocalStore
store = LocalStore(sys.argv[2])
data = os.urandom(100_000)
made = 0
try:
    while store.create(f"data/{made}", data):
        made += 1
except StoreFull as error:
    print(error)
assert 5 <= made <= 10, made
assert len(list(store.list(""))) == made
assert all(store.get(key) == data for key in store.list(""))
assert os.listdir(sys.argv[2] + "/.tmp") == []
assert store.free_bytes() < 200_000
store.delete("data/0")
assert store.create("data/0", data)
print("resumed")
"""
    space = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*space, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True
        ).returncode
    ):
        pytest.skip("tmpfs cannot be mounted here")
    command = [*space, "sh", "-c", script, "sh", str(tmp_path), sys.executable, inside]
    done = subprocess.run([*command, str(REPOSITORY)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    full, resumed = done.stdout.splitlines()
    assert "No space left" in full
    assert resumed == "resumed"


def test_leftovers_of_killed_writers_are_no_objects(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"1")
    (tmp_path / ".tmp" / "123-left").write_bytes(b"half")
    assert list(store.list("")) == ["a"]
    assert store.create("b", b"2")


def test_an_object_where_a_directory_is_needed_is_an_error_not_a_loss(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"1")
    with pytest.raises(OSError, match="a"):
        store.put("a/b", b"2")
    assert store.get("a") == b"1"


def test_free_bytes_of_a_root_that_is_not_there_yet(tmp_path: Path) -> None:
    assert LocalStore(tmp_path / "not" / "yet").free_bytes() > 0
