"""Methods that make several things of one row: the pieces run side by side and fail one by one.

A row is declined only when nothing is left of it, for the reason that befell most of its pieces.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import TypeVar

from generators.contract import Declined
from manifests.errors import PromptRefused
from manifests.records import Reason, Rejection

Piece = TypeVar("Piece")


async def outcomes(work: Sequence[Coroutine[object, object, Piece]]) -> list[Piece | Rejection]:
    """What came of each piece, in order; an error that is no refusal is raised bare."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(one)) for one in work]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


async def _outcome(work: Coroutine[object, object, Piece]) -> Piece | Rejection:
    try:
        return await work
    except Declined as declined:
        return declined.rejection
    except PromptRefused as refused:
        return Rejection(reason=Reason.TEACHER_ERROR, detail=str(refused))


def all_declined(rejections: Sequence[Rejection], pieces: str) -> Declined:
    """Why nothing is left of a row; `pieces` is their name in the plural."""
    counts = Counter(rejection.reason for rejection in rejections)
    reason, count = counts.most_common(1)[0]
    first = next(r.detail for r in rejections if r.reason is reason)
    return Declined(reason, f"{count} of {len(rejections)} {pieces}: {first}")
