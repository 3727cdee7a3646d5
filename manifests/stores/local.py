"""A store in a directory: bytes reach a temporary file, then the disk, then their name.

`create` gives the name with link(2), which fails when the name is taken (rename would overwrite);
`put` with rename(2). A name therefore never stands for half an object, and a kill between any two
system calls leaves at most a nameless file under `.tmp`, which is safe to delete when nothing runs.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manifests.errors import ConfigError, NotInStore, StoreFull, StoreUnfit
from manifests.stores.keys import DiskRoom, ObjectInfo, checked_key, checked_prefix

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EROFS, errno.EPERM}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV}
_NOT_A_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStore:
    """Objects as files below a root directory, which is made at the first write."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root).absolute()
        self._durable: set[Path] = set()

    def __reduce__(self) -> tuple[type["LocalStore"], tuple[str]]:
        return LocalStore, (str(self._root),)

    @property
    def url(self) -> str:
        return str(self._root)

    def put(self, key: str, data: bytes) -> None:
        target = self._root / checked_key(key)
        with self._failing_closed(), self._written(data) as temporary:
            self._make_durable(target.parent)
            os.replace(temporary, target)
            _fsync_directory(target.parent)

    def create(self, key: str, data: bytes) -> bool:
        target = self._root / checked_key(key)
        with self._failing_closed(), self._written(data) as temporary:
            self._make_durable(target.parent)
            created = self._linked(temporary, target)
            # Also when somebody else's is there: the caller may act on it, so it has to last.
            _fsync_directory(target.parent)
            return created

    def get(self, key: str) -> bytes:
        path = self._root / checked_key(key)
        with self._failing_closed():
            try:
                return path.read_bytes()
            except _NOT_A_FILE:
                raise NotInStore(f"no object {key} in {self.url}") from None

    def exists(self, key: str) -> bool:
        return (self._root / checked_key(key)).is_file()

    def info(self, key: str) -> ObjectInfo:
        with self._failing_closed():
            try:
                found = os.stat(f"{self._root}/{checked_key(key)}")
            except _NOT_A_FILE:
                found = None
        if found is None or not stat.S_ISREG(found.st_mode):
            raise NotInStore(f"no object {key} in {self.url}")
        return ObjectInfo(bytes=found.st_size, modified=found.st_mtime)

    def room(self) -> DiskRoom | None:
        nearest = next(path for path in (self._root, *self._root.parents) if path.exists())
        found = os.statvfs(nearest)
        return DiskRoom(total=found.f_blocks * found.f_frsize, free=found.f_bavail * found.f_frsize)

    def list(self, prefix: str) -> Iterator[str]:
        top = self._root / checked_prefix(prefix)
        found: list[str] = []
        for directory, subdirectories, files in os.walk(top, onerror=_unless_absent):
            subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
            inside = Path(directory).relative_to(self._root)
            found += [(inside / name).as_posix() for name in files if not name.startswith(".")]
        return iter(sorted(found))

    def delete(self, key: str) -> None:
        with self._failing_closed(), suppress(*_NOT_A_FILE):
            os.unlink(self._root / checked_key(key))

    def free_bytes(self) -> int:
        """Bytes that an unprivileged writer may still use on the root's file system."""
        here = next(path for path in (self._root, *self._root.parents) if path.exists())
        usage = os.statvfs(here)
        return usage.f_bavail * usage.f_frsize

    @contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        """The bytes in a file of their own, on the disk; the file is gone afterwards."""
        directory = self._root / ".tmp"
        self._make_durable(directory)
        temporary = directory / f"{os.getpid()}-{secrets.token_hex(12)}"
        try:
            _write_durably(temporary, data)
            yield temporary
        finally:
            with suppress(OSError):  # what stays is nameless; the outcome is already known
                os.unlink(temporary)

    def _linked(self, temporary: Path, target: Path) -> bool:
        try:
            os.link(temporary, target)
        except OSError as error:
            # Over NFS a reply can be lost and the call sent again: two names mean that it worked.
            if os.stat(temporary).st_nlink > 1:
                return True
            if error.errno == errno.EEXIST:
                return False
            if error.errno in _NO_LINKS:
                raise StoreUnfit(
                    f"{self.url}: this file system has no hard links ({error.strerror}), so objects"
                    " cannot be created only if absent; use another directory"
                ) from error
            raise
        return True

    def _make_durable(self, directory: Path) -> None:
        """Make a directory whose name survives a power cut, and the ones above it."""
        if directory in self._durable:
            return
        highest = next(path for path in (self._root, *self._root.parents) if path.exists())
        directory.mkdir(parents=True, exist_ok=True)
        for path in directory.parents:
            if not path.is_relative_to(highest):
                break
            _fsync_directory(path)
        self._durable.add(directory)

    @contextmanager
    def _failing_closed(self) -> Iterator[None]:
        try:
            yield
        except (StoreFull, ConfigError):
            raise
        except FileNotFoundError:
            self._durable.clear()  # somebody removed a directory: look again next time
            raise
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFull(
                    f"{self.url}: {error.strerror}; free space there and run again"
                ) from error
            if error.errno in _DENIED:
                raise ConfigError(
                    f"{self.url}: {error.strerror}; give a root that you may read and write"
                ) from error
            raise


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:  # a write may be short, at a size limit or on a signal
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, _NOT_A_FILE):
        raise error
