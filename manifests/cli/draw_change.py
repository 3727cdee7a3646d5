"""How a rebase and a merge look in a terminal."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from manifests.cli.text import decimal, percent, plural, short, table, warn
from manifests.views.merge import MergeView
from manifests.views.rebase import RebaseView

if TYPE_CHECKING:
    from manifests.build.three_way import Difference

_WIDEST = 60
_ACCOUNT = (
    *("source", "consumed", "going on", "skipped", "repeated", "lost"),
    *("share", "now", "epochs", "now"),
)


def rebase_text(ref: str, view: RebaseView) -> list[str]:
    """What a rebase costs."""
    if view.unchanged:
        return [f"nothing changes: {ref} goes on like that already"]
    rows = [
        (
            one.source,
            *(f"{n:,}" for n in (one.consumed, one.going_on, one.skipped, one.repeated, one.lost)),
            percent(one.share_before),
            percent(one.share),
            decimal(one.epochs_before, 2),
            decimal(one.epochs, 2),
        )
        for one in view.sources
    ]
    before = "as before" if view.steps == view.steps_before else f"instead of {view.steps_before:,}"
    steps = f"{plural(view.steps, 'step')} {before}"
    lines = [
        f"{ref} goes on otherwise from step {view.step:,} of {view.phase}, after"
        f" {short(view.tokens_over)} tokens; {steps}",
        *(f"  {line}" for line in table(_ACCOUNT, rows)),
        "  consumed to lost: tokens of the epochs that have begun",
        f"  share: of what is still to come, epochs: by the end of {view.phase}; before, and now",
    ]
    if view.taken_down:
        lines.append(f"{plural(view.taken_down, 'record')} more must not be trained on")
    if view.anew:
        lines.append(f"resolved anew: {', '.join(view.anew)}")
    return [*lines, *map(warn, view.remarks)]


def merge_text(view: MergeView, account: RebaseView | None, ours: str, theirs: str) -> list[str]:
    """What a merge is made of."""
    if view.is_one_of_them:
        return [f"one of {ours} and {theirs} has nothing that the other one has not"]
    rows = [
        (
            leaf.name,
            *(f"{n:,}" for n in (leaf.base, leaf.ours, leaf.theirs, leaf.merged)),
            f"{leaf.documents:,}",
        )
        for leaf in view.leaves
    ]
    head = ("shards of", "base", "ours", "theirs", "merged", "documents")
    lines = [
        f"{ours} and {theirs} since sha256:{view.base[:12]}",
        *(f"  {line}" for line in table(head, rows)),
    ]
    return lines if account is None else [*lines, "", *rebase_text(ours, account)]


def conflicts_text(conflicts: Sequence["Difference"], decided: str) -> list[str]:
    """What both sides have changed, each in its way."""
    rows = [(one.what, *map(_value, (one.base, one.ours, one.theirs))) for one in conflicts]
    end = "" if decided else "; --prefer decides for one side, or change one of the two first"
    said = f", decided for {decided}" if decided else ""
    return [
        f"both have changed {plural(len(conflicts), 'thing')}, each in its way{said}{end}",
        *(f"  {line}" for line in table(("what", "base", "ours", "theirs"), rows, range(4))),
    ]


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = "-" if value is None or text == "" else text
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
