"""What a model has been trained on when a phase is over: tokens, shares, epochs, by what you ask.

A leaf's shards are what it is made of, so a pass over it trains on as much of every generator,
licence and so on as they hold; of a part of a pass every one has its share. Whole epochs are exact,
to the last tokens that fill no window.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import pyarrow as pa

from manifests.export.composition import composed
from manifests.objects.manifest import Manifest
from manifests.resolve.state import chain_to
from manifests.resolve.types import Body, Phase, Supply, source_of
from manifests.resolve.usage import used
from manifests.spec.types import Layout


class By(StrEnum):
    """What tokens are told apart by."""

    SOURCE = "source"
    LEAF = "leaf"
    GENERATOR = "generator"
    TEACHER = "teacher"
    STEP = "step"
    LICENCE = "licence"
    LANGUAGE = "language"
    BUCKET = "bucket"
    ORIGIN = "origin"
    """The source of a record's seed, as the recipe named it."""


_COLUMNS = {
    By.GENERATOR: "generators",
    By.TEACHER: "teachers",
    By.LICENCE: "licences",
    By.LANGUAGE: "languages",
    By.BUCKET: "buckets",
    By.ORIGIN: "sources",
}
_ONE = 1 << 64
"""Tokens are summed in such parts of one: sums of fractions with thousands of denominators grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What one name has in a phase, or in all of a chain up to it."""

    tokens: int
    """Trained on, epochs counted, without padding."""
    share: Fraction
    epochs: Fraction | None
    """Mean passes over what there is of it; None when it is gone, or does not come up here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLine:
    """One name."""

    name: str
    unique_tokens: int
    """Of one epoch."""
    phase: Trained
    so_far: Trained
    """In this phase and in those that it goes on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A phase, told apart by one thing."""

    by: By
    lines: tuple[ShareLine, ...]
    """The largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseShares:
    """A phase."""

    phase: str
    after: str
    tokens: int
    tokens_so_far: int
    shares: tuple[Shares, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Samples of a body that a phase trains on."""

    leaf: str
    body: Body
    samples: int


Amounts = dict[str, int]
"""By name, in parts of `_ONE`."""


def explain(manifest: Manifest, names: Sequence[str], by: Sequence[By]) -> tuple[PhaseShares, ...]:
    """These phases of a manifest.

    Raises:
        NotInStore: A table of shards is not there.
        DataError: One is broken.
    """
    weights = _Weights(manifest, by)
    return tuple(_phase_shares(manifest, manifest.phase(name), by, weights) for name in names)


def _phase_shares(
    manifest: Manifest, phase: Phase, by: Sequence[By], weights: "_Weights"
) -> PhaseShares:
    chain = chain_to(manifest.root.phases, phase.name)
    here, so_far = _Stretch([phase]), _Stretch(chain)
    return PhaseShares(
        phase=phase.name,
        after=phase.after,
        tokens=_rounded(here.tokens),
        tokens_so_far=_rounded(so_far.tokens),
        shares=tuple(Shares(by=one, lines=_lines(here, so_far, one, weights)) for one in by),
    )


class _Stretch:
    """Some phases together."""

    def __init__(self, phases: Iterable[Phase]) -> None:
        segments = [segment for phase in phases for segment in phase.segments]
        self._parts = [part for segment in segments for part in _parts(segment.supplies)]
        self._last = {part.leaf: part.body for part in self._parts}
        self._epochs = {leaf: usage.epochs for leaf, usage in used(segments).items()}

    @property
    def tokens(self) -> int:
        """Trained on, in parts of `_ONE`."""
        return sum(map(_tokens, self._parts))

    def trained(self, by: By, weights: "_Weights") -> Amounts:
        """Tokens trained on."""
        found: Amounts = {}
        for part in self._parts:
            _add(found, weights.split(part.leaf, part.body, by, _tokens(part)))
        return found

    def unique(self, by: By, weights: "_Weights") -> Amounts:
        """Tokens of one epoch of every leaf, on the shards that it was drawn from last."""
        found: Amounts = {}
        for leaf, body in self._last.items():
            _add(found, weights.split(leaf, body, by, body.tokens * _ONE))
        return found

    def passes(self, by: By, weights: "_Weights") -> Amounts:
        """Epochs of the leaves, weighed by the tokens of one."""
        found: Amounts = {}
        for leaf, body in self._last.items():
            epochs = self._epochs[leaf]
            amount = body.tokens * epochs.numerator * _ONE // epochs.denominator
            _add(found, weights.split(leaf, body, by, amount))
        return found


def _add(found: Amounts, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        found[name] = found.get(name, 0) + amount


def _parts(supplies: Iterable[Supply]) -> Iterator[_Part]:
    for supply in supplies:
        of_head = min(supply.quota, supply.head.count) if supply.head else 0
        if supply.head and of_head:
            yield _Part(leaf=supply.leaf, body=supply.head.body, samples=of_head)
        if supply.quota > of_head:
            yield _Part(leaf=supply.leaf, body=supply.body, samples=supply.quota - of_head)


def _lines(here: _Stretch, so_far: _Stretch, by: By, weights: "_Weights") -> tuple[ShareLine, ...]:
    in_phase, in_all = (_trained(stretch, by, weights) for stretch in (here, so_far))
    unique, none = so_far.unique(by, weights), Trained(tokens=0, share=Fraction(), epochs=None)
    lines = [
        ShareLine(
            name=name,
            unique_tokens=_rounded(unique.get(name, 0)),
            phase=in_phase.get(name, none),
            so_far=trained,
        )
        for name, trained in in_all.items()
    ]
    return tuple(sorted(lines, key=lambda one: (-one.phase.tokens, -one.so_far.tokens, one.name)))


def _trained(stretch: _Stretch, by: By, weights: "_Weights") -> dict[str, Trained]:
    amounts = stretch.trained(by, weights)
    unique, passes = stretch.unique(by, weights), stretch.passes(by, weights)
    total = sum(amounts.values())
    return {
        name: Trained(
            tokens=_rounded(amount),
            share=Fraction(amount, total) if total else Fraction(),
            epochs=Fraction(passes[name], unique[name]) if unique.get(name) else None,
        )
        for name, amount in amounts.items()
    }


def _tokens(part: _Part) -> int:
    """Useful tokens, in parts of `_ONE`."""
    return part.samples * part.body.tokens * _ONE // part.body.samples


def _rounded(amount: int) -> int:
    return (amount + _ONE // 2) // _ONE


class _Weights:
    """What leaves are made of, in tokens; every table is read once."""

    def __init__(self, manifest: Manifest, by: Sequence[By]) -> None:
        self._manifest = manifest
        self._by = [one for one in by if one not in (By.SOURCE, By.LEAF)]
        self._kept: dict[tuple[str, Layout], dict[By, dict[str, int]]] = {}

    def split(self, leaf: str, body: Body, by: By, amount: int) -> Amounts:
        """So many tokens of a body, by name."""
        if by in (By.SOURCE, By.LEAF):
            return {leaf if by is By.LEAF else source_of(leaf): amount}
        key = (body.table, body.layout)
        if key not in self._kept:
            self._kept[key] = self._weights(body.table, body.layout)
        weights = self._kept[key][by]
        total = sum(weights.values())
        return {name: amount * weight // total for name, weight in weights.items()} if total else {}

    def _weights(self, table: str, layout: Layout) -> dict[By, dict[str, int]]:
        """Under STREAM the token that closes a document is trained on as well."""
        columns = [_COLUMNS[by] for by in self._by if by in _COLUMNS]
        sizes = ["step", "tokens", "documents"] if By.STEP in self._by else []
        rows = self._manifest.rows(table, [*columns, *sizes])
        closing = layout is Layout.STREAM
        return {
            by: _by_step(rows, closing=closing)
            if by is By.STEP
            else {
                name: volume.tokens + volume.rows * closing
                for name, volume in composed(rows[_COLUMNS[by]]).items()
            }
            for by in self._by
        }


def _by_step(rows: pa.Table, *, closing: bool) -> dict[str, int]:
    sums = rows.group_by("step").aggregate([("tokens", "sum"), ("documents", "sum")])
    columns = (sums["step"], sums["tokens_sum"], sums["documents_sum"])
    return {
        step: tokens if closing else tokens - documents
        for step, tokens, documents in zip(*(column.to_pylist() for column in columns), strict=True)
    }
