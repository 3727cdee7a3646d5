"""A manifest opened: its root, its tables, its order; everything is read when it is asked for."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property

import pyarrow as pa

from manifests.errors import DataError
from manifests.fingerprint import canonical_json
from manifests.objects.ranges import read_table
from manifests.objects.root import Descriptor, Leaf, Root
from manifests.objects.tree import Objects
from manifests.order import PhaseOrder
from manifests.resolve.types import Body, Phase
from manifests.spec.canonical import from_plain
from manifests.spec.types import Mixture
from manifests.store import Store
from manifests.typed_json import parse_json
from manifests.windows import Ints, Windows


class Manifest:
    """What a digest stands for.

    Raises:
        NotInStore: There is no such manifest.
        DataError: Its root is not what we write.
    """

    def __init__(self, store: Store, digest: str) -> None:
        self.store = store
        self.digest = digest
        self.objects = Objects(store)
        self.root = read_root(self.objects, digest)
        self._descriptors = {found.digest: found for found in needed(self.root)}

    @cached_property
    def mixture(self) -> Mixture:
        """The spec that it was resolved from."""
        return from_plain(
            self.objects.get_json(self.root.spec), f"manifest sha256:{self.digest[:12]}"
        )

    def phase(self, name: str) -> Phase:
        """The phase of this name; KeyError when there is none."""
        return {phase.name: phase for phase in self.root.phases}[name]

    def leaf(self, name: str) -> Leaf:
        """The leaf of this name; KeyError when there is none."""
        return {leaf.name: leaf for leaf in self.root.leaves}[name]

    def rows(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The shard rows of the table with this digest, or some of their columns."""
        return read_table(self.objects, table, columns)

    def array(self, digest: str) -> Ints:
        """The windows or holes with this digest."""
        return self.objects.get_npy(self._descriptors[digest])

    def order(self, phase: str) -> PhaseOrder:
        """The order of a phase's samples."""
        return PhaseOrder(self.phase(phase), self.root.seed, self.array)

    def windows(self, body: Body, sequence_length: int) -> Windows:
        """The samples of an epoch of a body."""
        return Windows.of(
            body, sequence_length, lambda table: self.rows(table, ["tokens"]), self.array
        )


def needed(root: Root) -> list[Descriptor]:
    """What a root names: with these (and the ranges of its tables) it is whole."""
    named = [root.spec, *(leaf.table for leaf in root.leaves), *root.objects]
    return [*named, root.removed] if root.removed else named


def write_root(objects: Objects, root: Root) -> str:
    """Keep a root; its digest."""
    return objects.put_json(asdict(root)).digest


def read_root(objects: Objects, digest: str) -> Root:
    """The root with this digest.

    Raises:
        NotInStore: There is none.
        DataError: The object is no root, or not as `write_root` writes it.
    """
    data = objects.get_by_digest(digest, "json")
    return parse_root(data, f"{objects.store.url}: manifest sha256:{digest[:12]}")


def parse_root(data: bytes, where: str) -> Root:
    """The root in these bytes; `where` names them in errors."""
    try:
        root = parse_json(Root, data)
        same = canonical_json(asdict(root)) == data
    except ValueError as error:
        raise DataError(f"{where}: not a manifest's root: {error}") from error
    if not same:
        raise DataError(f"{where}: not the canonical JSON of a root; was it edited?")
    return root
