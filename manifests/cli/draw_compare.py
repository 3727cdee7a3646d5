"""How shares of a mixture, and differences of two, look in a terminal."""

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from manifests.cli.text import bar, decimal, percent, plural, short, table
from manifests.views.diff import Amount, Diff, PhaseChange, PhaseSize
from manifests.views.explain import PhaseShares, ShareLine, Shares
from manifests.views.shard_diff import LeafChange
from manifests.views.spec_diff import SpecChange


def explain_text(phases: Sequence[PhaseShares]) -> list[str]:
    """Phase by phase, a table for each thing that was asked for."""
    lines: list[str] = []
    for phase in phases:
        after = f" after {phase.after}" if phase.after else ""
        so_far = f", {short(phase.tokens_so_far)} so far" if phase.after else ""
        lines += [f"phase {phase.phase}{after}: {short(phase.tokens)} tokens{so_far}"]
        for shares in phase.shares:
            lines += [*(f"  {line}" for line in _shares(shares, chained=bool(phase.after))), ""]
    return lines[:-1]


def _shares(shares: Shares, *, chained: bool) -> list[str]:
    head = (shares.by.value, "", "share", "tokens", "unique", "epochs")
    so_far = ("share so far", "tokens", "epochs") if chained else ()
    rows = [_share(line, chained=chained) for line in shares.lines]
    return table((*head, *so_far), rows, left=(0, 1))


def _share(line: ShareLine, *, chained: bool) -> tuple[str, ...]:
    one, all_ = line.phase, line.so_far
    here = (
        _name(line.name),
        bar(one.share),
        percent(one.share),
        short(one.tokens),
        short(line.unique_tokens),
        _epochs(one.epochs),
    )
    return (
        (*here, percent(all_.share), short(all_.tokens), _epochs(all_.epochs)) if chained else here
    )


def _name(name: str) -> str:
    """A step as people name it; nothing is a name as well."""
    if found := re.fullmatch(r"steps/(.*)/([0-9a-f]{32})", name):
        return f"{found[1]}/{found[2][:8]}"
    return name or "(none)"


def diff_text(found: Diff, old: str, new: str) -> list[str]:
    """All that differs."""
    lines = [f"{old} (sha256:{found.old[:12]}) -> {new} (sha256:{found.new[:12]})"]
    if found.equal:
        return [*lines, "the same manifest"]
    if found.order:
        lines += [f"order function: {found.order[0]} -> {found.order[1]}"]
    if found.spec:
        lines += ["", "spec", *(f"  {_change(one)}" for one in found.spec)]
    lines += ["", *_leaves(found.leaves)]
    if found.composition:
        rows = [
            (one.kind, _name(one.name), _more(one.documents), _more(one.tokens))
            for one in found.composition
        ]
        lines += [
            "",
            "what came and went",
            *_indented(("", "", "documents", "tokens"), rows, (0, 1)),
        ]
    for phase in found.phases:
        lines += ["", *_phase(phase)]
    return lines


def _change(one: SpecChange) -> str:
    if one.old is None:
        return f"{one.path}: {one.new or 'nothing'}, which was not there"
    if one.new is None:
        return f"{one.path}: {one.old} is gone"
    return f"{one.path}: {one.old} -> {one.new}"


def _leaves(leaves: Sequence[LeafChange]) -> list[str]:
    if not leaves:
        return ["the same shards"]
    counts: tuple[Callable[[LeafChange], int], ...] = (
        lambda one: one.added,
        lambda one: -one.removed,
        lambda one: one.replaced,
        lambda one: one.repicked,
    )
    rows = [
        (
            leaf.leaf,
            *(
                f"{'+' if at == 0 else ''}{n:,}" if (n := count(leaf)) else ""
                for at, count in enumerate(counts)
            ),
            _more(leaf.documents),
            _more(leaf.tokens),
        )
        for leaf in leaves
    ]
    head = ("source", "added", "removed", "replaced", "other rows", "documents", "tokens")
    return ["shards", *_indented(head, rows, (0,)), *_shards(leaves)]


def _shards(leaves: Sequence[LeafChange]) -> Iterator[str]:
    for leaf in leaves:
        for shard in leaf.shards:
            files = " -> ".join(sha[:12] for sha in (shard.old, shard.new) if sha)
            if shard.change == "repicked":
                files = shard.new[:12]
            what = "other rows of" if shard.change == "repicked" else shard.change
            yield f"  {leaf.leaf}: {what} {_name(shard.step)} slice {shard.slice_index:,}, {files}"
        more = leaf.added + leaf.removed + leaf.replaced + leaf.repicked - len(leaf.shards)
        if more:
            yield f"  {leaf.leaf}: and {more:,} more (--json lists all)"


def _phase(phase: PhaseChange) -> Iterator[str]:
    yield f"phase {phase.name}: {_order(phase)}"
    if phase.old and phase.new and phase.old != phase.new:
        yield f"  {_size(phase.old)} -> {_size(phase.new)}"
    rows = [
        (
            one.leaf,
            _two(one.old, one.new, lambda amount: f"{amount.samples:,}"),
            _two(one.old, one.new, lambda amount: percent(amount.share)),
            _two(one.old, one.new, lambda amount: _epochs(amount.epochs)),
        )
        for one in phase.amounts
    ]
    # A shard more is a millionth of an epoch: not worth a line that says nothing.
    if rows := [row for row in rows if any(" -> " in cell for cell in row)]:
        yield from _indented(("source", "samples", "share", "epochs"), rows, (0,))


def _order(phase: PhaseChange) -> str:
    if phase.old is None or phase.new is None:
        return "new" if phase.old is None else "gone"
    if not phase.compared:
        return "the orders cannot be compared: this version computes another order function"
    if phase.position is None:
        return "the same order"
    return f"the orders first differ at position {phase.position:,}, in step {phase.step:,}"


def _size(size: PhaseSize) -> str:
    samples = f"{plural(size.samples, 'sample')} of {size.sequence_length:,} tokens"
    return f"{plural(size.steps, 'step')}, {samples}"


def _two(old: Amount | None, new: Amount | None, of: Callable[[Amount], str]) -> str:
    before, after = (of(one) if one else "-" for one in (old, new))
    return before if before == after else f"{before} -> {after}"


def _indented(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], left: tuple[int, ...]
) -> list[str]:
    return [f"  {line}" for line in table(head, rows, left)]


def _more(number: int) -> str:
    return f"{number:+,}" if number else "0"


def _epochs(number: Fraction | None) -> str:
    return "" if number is None else decimal(number, 2)
