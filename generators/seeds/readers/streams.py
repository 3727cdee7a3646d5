"""Opening a unit's file, and gzip and zstd streams whose damage is seen, never swallowed.

Damage to the data is `Damaged`; an OSError is the store's (a network, a disk) and passes through,
because a task that is tried again must not find that an outage has become rejects.
A damaged gzip member or zstd frame does not end the file: `members` looks for the next one.
"""

import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from generators.seeds.inventory import Unit, identity_of
from generators.seeds.readers.outcomes import MAX_BYTES, Row
from generators.seeds.sources import Format, Source, compression, place
from manifests.errors import ConfigError
from manifests.records import Reason, Reject

CHUNK = 32 * 1024
MAGIC = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd"}


class Damaged(Exception):
    """These bytes are not what their format says."""


@contextmanager
def opened(source: Source, unit: Unit) -> Iterator[Any]:
    """The unit's file, as its bytes lie.

    Raises:
        ConfigError: It is not the file that was planned any more.
    """
    where = place(source)
    path = where.path if source.format is Format.TOPICS else where.path_of(unit.url)
    info = where.fs.info(path)
    same = int(info["size"] or 0) == unit.size
    if not same or (not where.local and identity_of(where, info) != unit.identity):
        raise ConfigError(
            f"source {source.name!r}: {unit.url} changed after the run was planned; "
            "plan it again, or put the file back"
        )
    with where.fs.open(path, "rb") as file:
        yield file


class Member(io.RawIOBase):
    """The decompressed bytes of one gzip member or zstd frame."""

    def __init__(self, file: Any, codec: str) -> None:
        super().__init__()
        self.damaged = False
        self._file = file
        self._ready = memoryview(b"")
        self._inflate = _decompressor(codec)
        self._codec = codec

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Up to `len(buffer)` bytes; 0 at the member's end.

        Raises:
            Damaged: It does not decompress, fails its checksum, or ends too early.
        """
        while not self._ready and not self._inflate.eof:
            self._ready = memoryview(self._more())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _more(self) -> bytes:
        chunk = self._file.read(CHUNK)
        if not chunk or self.damaged:
            self.damaged = True
            raise Damaged(f"the {self._codec} data ends too early")
        try:
            ready: bytes = self._inflate.decompress(chunk)
        except Exception as error:
            if not isinstance(error, _damages(self._codec)):
                raise
            self.damaged = True
            raise Damaged(f"the {self._codec} data is damaged: {error}") from error
        if self._inflate.eof:
            self._file.seek(-len(self._inflate.unused_data), io.SEEK_CUR)
        return ready


def _decompressor(codec: str) -> Any:
    if codec == "gzip":
        return zlib.decompressobj(wbits=31)
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _damages(codec: str) -> type[Exception]:
    if codec == "gzip":
        return zlib.error
    import zstandard

    return zstandard.ZstdError


def members(file: Any, codec: str) -> Iterator[Member]:
    """Each member or frame, in order; after a damaged one, the next that can be found."""
    while True:
        start = file.tell()
        if not _padded(file, start):
            return
        member = Member(file, codec)
        yield member
        try:
            while not member.damaged and member.read(CHUNK):
                pass
        except Damaged:
            member.damaged = True
        if member.damaged and not _seek_magic(file, start + 1, MAGIC[codec]):
            return


def _padded(file: Any, start: int) -> bool:
    """Go past zero bytes, which may pad a file's end; False at the end."""
    while chunk := file.read(CHUNK):
        rest = chunk.lstrip(b"\0")
        if rest:
            file.seek(start + len(chunk) - len(rest))
            return True
        start += len(chunk)
    return False


def _seek_magic(file: Any, start: int, magic: bytes) -> bool:
    """Go to the next place from `start` that looks like a member's head; False if none."""
    file.seek(start)
    kept = b""
    while chunk := file.read(CHUNK):
        window = kept + chunk
        if (at := window.find(magic)) >= 0:
            file.seek(start - len(kept) + at)
            return True
        start += len(chunk)
        kept = window[-len(magic) + 1 :]
    return False


class Joined(io.RawIOBase):
    """Files or members one after another, as one stream; damage ends it."""

    def __init__(self, parts: Iterable[Any]) -> None:
        super().__init__()
        self._parts = iter(parts)
        self._part: Any = next(self._parts, None)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Up to `len(buffer)` bytes; 0 at the end.

        Raises:
            Damaged: As `Member.readinto`.
        """
        while self._part is not None:
            if data := self._part.read(len(buffer)):
                buffer[: len(data)] = data
                return len(data)
            self._part = next(self._parts, None)
        return 0


def decompressed(file: Any, url: str) -> io.BufferedReader:
    """The plain bytes of a file, by its suffix."""
    codec = compression(url)
    return io.BufferedReader(Joined(members(file, codec) if codec else (file,)), CHUNK)


def whole_file(row: Row, unit: Unit) -> bytes | Reject:
    """All bytes of a file that is one document."""
    with opened(row.source, unit) as file:
        try:
            data = decompressed(file, unit.url).read(MAX_BYTES + 1)
        except Damaged as damage:
            return row.reject(Reason.UNREADABLE, damage)
    if len(data) > MAX_BYTES:
        return row.reject(Reason.TOO_LONG, f"the file is over {MAX_BYTES} bytes", data)
    return data


def whole_text(row: Row, unit: Unit) -> str | Reject:
    """All text of a UTF-8 file that is one document."""
    data = whole_file(row, unit)
    if isinstance(data, Reject):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return row.reject(Reason.UNREADABLE, error, data)
