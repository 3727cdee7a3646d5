"""The root of a manifest: one JSON object, whose digest says everything.

Below it, by digest: a table for each leaf, which lists ranges, each a Parquet table of shards
(`manifests.objects.ranges`); windows, holes and removed ids where there are any. Times, people and
the spec's own text are no part of it: they stand in the log of the name that points at it.
"""

from dataclasses import dataclass, field

from manifests.resolve.types import Phase
from manifests.spec.types import TokenizerName

SCHEMA = "scriptorium.manifest/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """An object by its content."""

    digest: str
    """sha256, 64 hex digits."""
    bytes: int
    media: str
    """`json`, `parquet`, `toml` or `npy`: how it is read, and the ending of its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A source, or one stratum of it, as of now."""

    name: str
    source: str
    stratum: str = ""
    table: Descriptor
    shards: int
    documents: int
    tokens: int
    """Of all its documents, each with its end-of-document token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """What a manifest's digest is the digest of."""

    schema: str = SCHEMA
    name: str
    seed: int
    tokenizer: TokenizerName
    order: str
    """`manifests.resolve.types.ORDER` when it was built."""
    spec: Descriptor
    """The mixture in canonical JSON."""
    leaves: tuple[Leaf, ...]
    """By name."""
    phases: tuple[Phase, ...]
    objects: tuple[Descriptor, ...] = ()
    """What the phases refer to beside the leaves' own tables: windows, holes, earlier tables."""
    removed: Descriptor | None = None
    """Ids of records that must not be there: Parquet, column `id`."""
    probes: dict[str, str] = field(default_factory=dict)
    """By phase: digest of the places of 4,096 probe positions, for ranks to compare."""
    parents: tuple[str, ...] = ()
    """Manifests that this one was made from, by rebase or merge."""
