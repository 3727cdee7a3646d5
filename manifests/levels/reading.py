"""The objects of a manifest, read anew: digests, sizes and JSON are checked here a second time.

Nothing is taken from what wrote them but the names of their fields: a bug there must not hide
itself here.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from manifests.errors import NotInStore
from manifests.levels.findings import Kind, LevelReport
from manifests.objects.root import Descriptor
from manifests.store import Store

Ints = npt.NDArray[np.int64]
Given = TypeVar("Given")
Made = TypeVar("Made")

READERS = 16
"""Objects that are read at once."""
_HEADER = b"\x93NUMPY\x01\x00"


class Bad(Exception):
    """Something is not as it must be; caught where it becomes a finding."""

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what


def key_of(digest: str, media: str) -> str:
    """Where an object lies."""
    return f"manifests/objects/{digest[:2]}/{digest}.{media}"


def checked_bytes(store: Store, key: str, digest: str, size: int | None) -> bytes:
    """What lies under a key, if it is what it is named with; else Bad."""
    try:
        data = store.get(key)
    except NotInStore:
        raise Bad(Kind.MISSING, "is not there") from None
    if size is not None and len(data) != size:
        raise Bad(Kind.CORRUPT, f"has {len(data):,} bytes, not {size:,}")
    if (found := hashlib.sha256(data).hexdigest()) != digest:
        raise Bad(Kind.CORRUPT, f"has the sha256 {found[:12]}, so its bytes were changed")
    return data


def object_bytes(store: Store, part: Descriptor) -> bytes:
    """The bytes of an object, checked; else Bad."""
    return checked_bytes(store, key_of(part.digest, part.media), part.digest, part.bytes)


def canonical(data: bytes) -> Any:
    """The JSON in these bytes if they are its one canonical form; else Bad."""
    try:
        value = json.loads(data)
        form = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (ValueError, RecursionError) as error:
        raise Bad(Kind.FORM, f"is no JSON ({error})") from None
    if form.encode("utf-8", "surrogatepass") != data:
        raise Bad(Kind.FORM, "is not canonical JSON (sorted keys, no spaces)")
    return value


def numbers(data: bytes) -> Ints:
    """The whole numbers of an .npy file; else Bad."""
    length = int.from_bytes(data[8:10], "little") + 10
    header = data[10:length].decode("latin-1").rstrip()
    if not data.startswith(_HEADER) or not header.startswith(
        "{'descr': '<i8', 'fortran_order': False, 'shape': ("
    ):
        raise Bad(Kind.FORM, "is no file of 64-bit whole numbers")
    shape = header.partition("'shape': (")[2].partition(",)")[0]
    if not shape.isdecimal() or len(data) != length + 8 * int(shape):
        raise Bad(Kind.FORM, "is not one row of numbers of the length that it says")
    return np.frombuffer(data, dtype="<i8", offset=length).astype(np.int64)


def npy_digest(values: Ints) -> str:
    """The digest of these numbers as an .npy file."""
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({len(values)},), }}"
    filled = header.ljust(-(len(header) + 11) % 64 + len(header)) + "\n"
    start = _HEADER + len(filled).to_bytes(2, "little") + filled.encode()
    return hashlib.sha256(start + values.astype("<i8").tobytes()).hexdigest()


def at_once(
    work: Callable[[Given], Made],
    each: Sequence[Given],
    told: Callable[[int, int], None] | None = None,
    workers: int = READERS,
) -> list[Made]:
    """`work` on each, several at a time; the results in order, or the first error."""
    done: list[Made] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="verify") as threads:
        # In small lots: a million waiting tasks take memory, and go on after a failure.
        for first in range(0, len(each), 64 * workers):
            for result in threads.map(work, each[first : first + 64 * workers]):
                done.append(result)
                if told:
                    told(len(done), len(each))
    return done


def report_bad(report: LevelReport, where: str, bad: Bad) -> None:
    """A finding of what was bad."""
    report.found(bad.kind, where, bad.what)
