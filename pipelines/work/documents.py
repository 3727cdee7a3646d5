"""Reading documents: a slice of the inventory in, a shard of seed documents out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from generators.seeds.inventory import Inventory
from generators.seeds.readers import read_unit
from generators.seeds.sources import Source
from manifests import layout
from manifests.records import Reject, SeedDocument
from manifests.store import Store
from manifests.tables import to_table
from pipelines.work.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDocuments:
    """Reads one slice of an inventory of source files."""

    sources: tuple[Source, ...]
    inventory: str
    """sha256 of the inventory; it names the files, their sizes and their digests."""
    slice_bytes: int
    max_documents: int = 0
    """Of each slice, those with the smallest ids; 0 takes all."""

    def identity(self) -> object:
        """Without the sources' urls: where files lie is no part of what they say."""
        return [
            [replace(source, url="") for source in self.sources],
            self.inventory,
            self.slice_bytes,
            self.max_documents,
        ]

    def run(self, store: Store, inputs: Sequence[str], slice_index: int) -> Outcome:
        """The documents of this slice, and what could not be read."""
        inventory = Inventory.from_json(store.get(layout.inventory_file(self.inventory)))
        documents: dict[str, SeedDocument] = {}
        rejects: dict[str, Reject] = {}
        for unit in inventory.slices(self.slice_bytes)[slice_index]:
            for row in read_unit(self.sources[unit.source_index], unit):
                if isinstance(row, SeedDocument):
                    documents[row.id] = row
                else:
                    rejects[row.item_id] = row
        rows = [documents[key] for key in self._chosen(list(documents))]
        return Outcome(
            row_type="seeddocument",
            table=to_table(rows, [row.id for row in rows], SeedDocument),
            rejects=list(rejects.values()),
        )

    def _chosen(self, ids: list[str]) -> list[str]:
        if not self.max_documents:
            return ids
        smallest = set(sorted(ids)[: self.max_documents])
        return [key for key in ids if key in smallest]
