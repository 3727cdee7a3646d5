"""Stored answers of tasks that have not committed: paid for, and not asked again."""

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass

from manifests import layout
from manifests.segments import read_segments
from manifests.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Answers of tasks that have not committed: what going on will not ask again."""

    tasks: int = 0
    segments: int = 0
    tokens: int = 0
    """Written by teachers."""


def kept_answers(store: Store, step: str, committed: Set[str]) -> Kept:
    """What is stored for the tasks of a step that are not among those committed."""
    # The prefix of all tasks is that of one less its last part.
    above = layout.completions_prefix(step, "").rstrip("/") + "/"
    segments: dict[str, int] = defaultdict(int)
    for key in store.list(above):
        segments[key.removeprefix(above).split("/")[0]] += 1
    tasks = sorted(segments.keys() - committed)
    prefixes = [layout.completions_prefix(step, task) for task in tasks]
    answers = (read_segments(store, prefix).values() for prefix in prefixes)
    return Kept(
        tasks=len(tasks),
        segments=sum(segments[task] for task in tasks),
        tokens=sum(one.usage.completion_tokens for found in answers for one in found),
    )
