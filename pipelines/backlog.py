"""Which tasks of a run can start now, the earliest slice first.

A task is ready when the tasks of the same slice of its input steps have committed; nothing waits
for a whole step. The earliest slice goes first, whatever its step, so that slices are finished one
after another and nothing is read or curated long before it is needed.
"""

import heapq
from collections.abc import Mapping, Set

from pipelines.plan import Plan
from pipelines.step import Step, Task


class Backlog:
    """The tasks that have not started."""

    def __init__(self, plan: Plan, committed: Mapping[str, Set[str]]) -> None:
        """`committed`: the ids of the tasks that have committed before, by step address."""
        self._steps = plan.steps
        self._places = {step.address: place for place, step in enumerate(plan.steps)}
        self._committed = {address: set(ids) for address, ids in committed.items()}
        self._needed_by: dict[str, list[Step]] = {step.address: [] for step in plan.steps}
        for step in plan.steps:
            for needed in step.inputs:
                self._needed_by[needed.address].append(step)
        self._maps: list[tuple[int, int]] = []
        self._generates: list[tuple[int, int]] = []
        for slice_index in range(plan.slices):
            for step in plan.steps:
                self._admit(Task(step, slice_index))

    def __bool__(self) -> bool:
        return bool(self._maps or self._generates)

    def next_map(self) -> Task | None:
        """Take the first map task that can start."""
        return self._take(self._maps)

    def next_generate(self) -> Task | None:
        """Take the first generate task that can start."""
        return self._take(self._generates)

    def put_back(self, task: Task) -> None:
        """It did not come to its end: it has to start again."""
        queue = self._generates if task.step.asks_teacher else self._maps
        heapq.heappush(queue, (task.slice, self._places[task.step.address]))

    def committed(self, task: Task) -> None:
        """It has committed: what waited for it may start."""
        self._committed[task.step.address].add(task.id)
        for step in self._needed_by[task.step.address]:
            self._admit(Task(step, task.slice))

    def _admit(self, task: Task) -> None:
        if task.id in self._committed[task.step.address]:
            return
        inputs = (Task(step, task.slice) for step in task.step.inputs)
        if all(needed.id in self._committed[needed.step.address] for needed in inputs):
            self.put_back(task)

    def _take(self, queue: list[tuple[int, int]]) -> Task | None:
        if not queue:
            return None
        slice_index, place = heapq.heappop(queue)
        return Task(self._steps[place], slice_index)
