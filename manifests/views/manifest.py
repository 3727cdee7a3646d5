"""A manifest, or a plan of one, as one object: what `show` and `plan` print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction

from manifests.objects.root import Root
from manifests.spec.types import Mixture
from manifests.views.phases import PhaseLines, phase_lines
from manifests.views.remarks import remarks


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafLine:
    """A source, or a stratum of it, as it lies on disk."""

    name: str
    shards: int
    documents: int
    tokens: int
    """With a token that closes each document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestView:
    """A manifest in numbers."""

    name: str
    digest: str
    """64 hex digits."""
    tokenizer: str
    seed: int
    order: str
    leaves: tuple[LeafLine, ...]
    phases: tuple[PhaseLines, ...]
    remarks: tuple[str, ...]
    parents: tuple[str, ...]


def manifest_view(digest: str, root: Root, mixture: Mixture) -> ManifestView:
    """The manifest of this root, which was resolved from this mixture."""
    phases = phase_lines(root, mixture)
    return ManifestView(
        name=root.name,
        digest=digest,
        tokenizer=root.tokenizer.name,
        seed=root.seed,
        order=root.order,
        leaves=tuple(
            LeafLine(
                name=leaf.name, shards=leaf.shards, documents=leaf.documents, tokens=leaf.tokens
            )
            for leaf in root.leaves
        ),
        phases=phases,
        remarks=remarks(root, mixture, phases),
        parents=root.parents,
    )


def plain(value: object) -> object:
    """A view as plain JSON data; fractions become decimals, which are for reading only."""
    if isinstance(value, Fraction):
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
