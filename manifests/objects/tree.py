"""Content-addressed objects: written once under the sha256 of their bytes, checked when read.

Beside a running garbage collection, "it is there already" is no promise: what is there may be
garbage that is about to go. So whoever relies on an object makes it young: `put` and `refresh`
write anew what is older than half of the grace, and the collection leaves alone what is younger
than the whole of it. The other half is for the builder to finish in, and for clocks that differ.
"""

import io
import json
import re
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.errors import ConfigError, NotInStore, ShardCorrupt
from manifests.fingerprint import canonical_json, sha256
from manifests.layout import MANIFEST_OBJECTS, object_file
from manifests.objects.root import Descriptor
from manifests.store import Store

GRACE_SECONDS = 7 * 86_400
"""What is younger is never collected; a shorter grace is safe only while nothing is built."""

_SHORTEST_PREFIX = 4
_SHOWN = 5

Ints = npt.NDArray[np.int64]


class Objects:
    """The objects of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, data: bytes, media: str) -> Descriptor:
        """Keep these bytes; the same again costs one look.

        Raises:
            StoreFull: No room left.
        """
        kept = Descriptor(digest=sha256(data), bytes=len(data), media=media)
        key = object_file(kept.digest, media)
        if not self._is_young(key, len(data)) and not self.store.create(key, data):
            self.store.put(key, data)
        return kept

    def put_json(self, value: object) -> Descriptor:
        """Keep plain data as canonical JSON."""
        return self.put(canonical_json(value), "json")

    def put_npy(self, array: Ints) -> Descriptor:
        """Keep whole numbers as an .npy file, which can be mapped into memory."""
        if array.ndim != 1 or array.dtype != np.int64:
            raise ValueError(f"only int64 arrays of one dimension, not {array.dtype}{array.shape}")
        out = io.BytesIO()
        plain = np.ascontiguousarray(array, dtype="<i8")
        np.lib.format.write_array(out, plain, version=(1, 0), allow_pickle=False)
        return self.put(out.getvalue(), "npy")

    def get(self, descriptor: Descriptor) -> bytes:
        """The bytes of an object.

        Raises:
            NotInStore: It is not there.
            ShardCorrupt: What is there has another size or sha256.
        """
        data = self.get_by_digest(descriptor.digest, descriptor.media)
        if len(data) != descriptor.bytes:
            raise ShardCorrupt(
                f"{self.store.url}: {object_file(descriptor.digest, descriptor.media)} has"
                f" {len(data)} bytes, not the {descriptor.bytes} it is named with"
            )
        return data

    def get_by_digest(self, digest: str, media: str) -> bytes:
        """As `get`, where nobody said how long it is."""
        key = object_file(digest, media)
        data = self.store.get(key)
        if (found := sha256(data)) != digest:
            raise ShardCorrupt(
                f"{self.store.url}: {key} has sha256 {found[:12]}, so its bytes were changed; put"
                " the object back from a copy, or build the manifest again"
            )
        return data

    def get_json(self, descriptor: Descriptor) -> Any:
        """The plain data of an object."""
        return json.loads(self.get(descriptor))

    def get_npy(self, descriptor: Descriptor) -> Ints:
        """The numbers of an object; read-only."""
        data = self.get(descriptor)
        source = io.BytesIO(data)
        version = np.lib.format.read_magic(source)
        shape, _, dtype = np.lib.format.read_array_header_1_0(source)
        if version != (1, 0) or len(shape) != 1 or dtype != np.dtype("<i8"):
            raise ShardCorrupt(
                f"{self.store.url}: {descriptor.digest[:12]} is no int64 array of one dimension"
            )
        return np.frombuffer(data, dtype=np.int64, count=shape[0], offset=source.tell())

    def refresh(self, digest: str, media: str) -> None:
        """Make sure that an object is there and stays: write it anew if it is old.

        Raises:
            NotInStore: It is not there.
            ShardCorrupt: It was old, and its bytes are not what they were.
        """
        key = object_file(digest, media)
        age = time.time() - self.store.info(key).modified
        if age > GRACE_SECONDS / 2:
            self.store.put(key, self.get_by_digest(digest, media))

    def find(self, start: str) -> str:
        """The digest of the JSON object whose digest starts so.

        Raises:
            ConfigError: None does, several do, or the start is too short to tell.
        """
        if not re.fullmatch(f"[0-9a-f]{{{_SHORTEST_PREFIX},64}}", start):
            raise ConfigError(
                f"sha256:{start}: give {_SHORTEST_PREFIX} to 64 hex digits after the colon"
            )
        names = (
            key.rpartition("/")[2] for key in self.store.list(f"{MANIFEST_OBJECTS}{start[:2]}/")
        )
        found = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        found = [digest for digest in found if digest.startswith(start)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise ConfigError(f"sha256:{start}: there is no such manifest in {self.store.url}")
        shown = ", ".join(digest[:16] for digest in found[:_SHOWN])
        raise ConfigError(
            f"sha256:{start}: {len(found)} objects start so ({shown}); give more of the digest"
        )

    def _is_young(self, key: str, size: int) -> bool:
        """Whether the object is there, whole, and young enough to rely on."""
        try:
            info = self.store.info(key)
        except NotInStore:
            return False
        return info.bytes == size and time.time() - info.modified <= GRACE_SECONDS / 2
