"""One curation for prose and another for code, as one method."""

from collections.abc import Sequence
from dataclasses import dataclass

from generators.contract import Curator, Tools
from manifests.records import Kind, Rejection, Seed, SeedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class ByKind:
    """Curates each document with the curator of its kind."""

    prose: Curator
    code: Curator

    @property
    def name(self) -> str:
        """Both names: a new version of either is a new version of this."""
        return f"{self.prose.name}+{self.code.name}"

    async def __call__(self, document: SeedDocument, tools: Tools) -> Sequence[Seed] | Rejection:
        """The seeds of this document."""
        curator = self.code if document.kind is Kind.CODE else self.prose
        return await curator(document, tools)
