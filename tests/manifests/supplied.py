"""Leaves made up of numbers, for resolutions without a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from manifests.fingerprint import sha256
from manifests.resolve.types import Body, LeafSupply, source_of
from manifests.spec.types import Layout


@dataclass(frozen=True)
class Numbers:
    """Tokens of each leaf; documents of `document` tokens where the layout asks."""

    tokens: Mapping[str, int]
    document: int = 1000
    version: str = ""
    tables: dict[str, str] = field(default_factory=dict)

    def leaves(self, source: str) -> Sequence[str]:
        return sorted(leaf for leaf in self.tokens if source_of(leaf) == source)

    def of(self, leaf: str, layout: Layout, sequence_length: int) -> LeafSupply:
        tokens = self.tokens[leaf]
        documents = max(1, tokens // (self.document + 1))
        if layout is Layout.STREAM:
            samples = (tokens - 1) // sequence_length
            useful, windows = samples * sequence_length, ""
        elif layout is Layout.PACKED:
            useful = documents * self.document
            samples = -(-useful // sequence_length)
            windows = sha256(f"{leaf} {samples} packed".encode())
        else:
            samples = documents * -(-self.document // sequence_length)
            useful, windows = documents * self.document, sha256(f"{leaf} {samples}".encode())
        body = Body(
            table=sha256(f"{leaf} {tokens} {self.version}".encode()),
            layout=layout,
            samples=samples,
            tokens=useful,
            windows=windows,
        )
        return LeafSupply(leaf=leaf, body=body, documents=documents)
