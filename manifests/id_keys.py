"""Ids as sorted arrays of 128-bit keys: the sets of verify.py, 16 bytes an id.

An id of 32 hexadecimal digits, as all of ours are, is its own key; any other is hashed.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Keys = npt.NDArray[np.uint64]
"""(n, 2): an id a row, the high half first."""

NO_KEYS: Keys = np.empty((0, 2), dtype=np.uint64)
_NIBBLES = np.full(256, 255, dtype=np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)


def keys_of(ids: pa.ChunkedArray) -> Keys:
    """The keys of a column of texts, in its order."""
    column = pa.concat_arrays([*ids.chunks, pa.array([], ids.type)])
    if len(column) and pc.all(pc.equal(pc.binary_length(column), 32)).as_py():
        fixed = column.cast(pa.binary(32))
        letters = np.frombuffer(fixed.buffers()[1], dtype=np.uint8)[32 * fixed.offset :]
        nibbles = _NIBBLES[letters[: 32 * len(fixed)]]
        if nibbles.max() < 16:
            packed = (nibbles[0::2] << 4) | nibbles[1::2]
            return packed.view(">u8").astype(np.uint64).reshape(-1, 2)
    joined = b"".join(_key(text) for text in column.to_pylist())
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) == 16 and key.hex() == text:
        return key
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def unique(keys: Keys) -> Keys:
    """Each key once."""
    ordered, first, _ = _runs(keys)
    return ordered[first]


def repeated(keys: Keys) -> Keys:
    """The keys that are there more than once, each once."""
    ordered, first, last = _runs(keys)
    return ordered[first & ~last]


def both(left: Keys, right: Keys) -> Keys:
    """The keys in both."""
    return repeated(np.concatenate([unique(left), unique(right)]))


def missing(keys: Keys, found: Keys) -> Keys:
    """The `keys` that are not among those `found`."""
    # Two of each found: then only a key that was not found stands alone.
    ordered, first, last = _runs(np.concatenate([unique(keys), found, found]))
    return ordered[first & last]


def _runs(keys: Keys) -> tuple[Keys, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The keys sorted, and which of them are the first and the last of their equals."""
    ordered = keys[np.lexsort((keys[:, 1], keys[:, 0]))]
    change = (ordered[1:] != ordered[:-1]).any(axis=1)
    end = np.ones(min(1, len(keys)), dtype=np.bool_)
    return ordered, np.concatenate([end, change]), np.concatenate([change, end])


def shown(keys: Keys, most: int) -> str:
    """The first keys as people see ids, and how many more there are."""
    return listed(
        [f"{int(high):016x}{int(low):016x}" for high, low in keys[:most]], most, len(keys)
    )


def listed(names: Sequence[object], most: int, total: int | None = None) -> str:
    """The first names, and how many more there are."""
    rest = (len(names) if total is None else total) - most
    return ", ".join(str(name) for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")
