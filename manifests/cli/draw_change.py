"""How a rebase and a merge look in a terminal."""

from manifests.cli.text import decimal, percent, plural, short, table, warn
from manifests.views.rebase import RebaseView

_ACCOUNT = (
    *("source", "consumed", "going on", "skipped", "repeated", "lost"),
    *("share", "now", "epochs", "now"),
)


def rebase_text(ref: str, view: RebaseView) -> list[str]:
    """What a rebase costs."""
    if view.unchanged:
        return [f"nothing changes: {ref} is what the spec makes of {view.phase} at any later step"]
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
        "  consumed to lost: tokens of the epochs that have begun; share: of what is still to come",
    ]
    if view.taken_down:
        lines.append(f"{plural(view.taken_down, 'record')} more must not be trained on")
    if view.anew:
        lines.append(f"resolved anew: {', '.join(view.anew)}")
    return [*lines, *map(warn, view.remarks)]
