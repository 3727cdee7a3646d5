"""Which tasks of a run can start now, the earliest slice first.

A task is ready when the tasks of the same slice of its input steps have committed; nothing waits
for a whole step. The earliest slice goes first, whatever its step, so that slices are finished one
after another and nothing is read or curated long before it is needed.

Where an amount is asked of a generator, no slice is begun that by what is known it does not need,
and what a slice gives is taken once all slices before it are counted.
"""

import heapq
from collections.abc import Mapping, Sequence, Set

from pipelines.plan import Plan
from pipelines.quota import Quota
from pipelines.step import Step, Task, in_order
from pipelines.work.take import Take


class Backlog:
    """The tasks that have not started."""

    def __init__(
        self, plan: Plan, committed: Mapping[str, Set[str]], quotas: Sequence[Quota] = ()
    ) -> None:
        """`committed`: the ids of the tasks that have committed before, by step address."""
        self._steps = plan.steps
        self._places = {step.address: place for place, step in enumerate(plan.steps)}
        self._committed = {address: set(ids) for address, ids in committed.items()}
        self._needed_by: dict[str, list[Step]] = {step.address: [] for step in plan.steps}
        for step in plan.steps:
            for needed in step.made:
                self._needed_by[needed.address].append(step)
        self._quotas = {quota.step.address: quota for quota in quotas}
        self._bounds = self._find_bounds(plan)
        self._ready: dict[str, list[int]] = {step.address: [] for step in plan.steps}
        for step in plan.steps:
            for slice_index in range(plan.slices_of(step)):
                self._admit(Task(step, slice_index))

    def __bool__(self) -> bool:
        return any(self._startable(step) for step in self._steps)

    def next_map(self, *, begin: bool = True) -> Task | None:
        """Take the first map task that can start; without `begin`, of what is begun already."""
        maps = [step for step in self._steps if not step.asks_teacher]
        return self._take([step for step in maps if begin or step.inputs])

    def next_generate(self) -> Task | None:
        """Take the first generate task that can start."""
        return self._take([step for step in self._steps if step.asks_teacher])

    def put_back(self, task: Task) -> None:
        """It did not come to its end: it has to start again."""
        heapq.heappush(self._ready[task.step.address], task.slice)

    def committed(self, task: Task) -> None:
        """It has committed: what waited for it may start."""
        self._committed[task.step.address].add(task.id)
        for step in self._needed_by[task.step.address]:
            if not isinstance(step.work, Take):
                self._admit(Task(step, task.slice))

    def counted(self, quota: Quota, slice_index: int) -> None:
        """This slice and all before it have passed the gates: it can be taken from."""
        self._admit(Task(quota.step, slice_index))

    def all_committed(self, step: Step, slices: int) -> bool:
        """Whether the first `slices` tasks of a step have committed."""
        there = self._committed[step.address]
        return len(there) >= slices and all(Task(step, i).id in there for i in range(slices))

    def _find_bounds(self, plan: Plan) -> dict[str, list[Quota] | None]:
        """By step: the quotas it works for; None where an end that takes everything needs it."""
        bounds: dict[str, list[Quota] | None] = {step.address: [] for step in plan.steps}
        for end in plan.ends:
            quota = self._quotas.get(end.address)
            for step in in_order([end]):
                before = bounds[step.address]
                bounds[step.address] = None if before is None or not quota else [*before, quota]
        return bounds

    def _startable(self, step: Step) -> bool:
        ready, bounds = self._ready[step.address], self._bounds[step.address]
        if not ready or bounds is None:
            return bool(ready)
        return any(ready[0] < quota.horizon for quota in bounds)

    def _admit(self, task: Task) -> None:
        address = task.step.address
        if task.id in self._committed[address]:
            return
        quota = self._quotas.get(address)
        inputs = (Task(step, task.slice) for step in task.step.made)
        if (quota is None or task.slice < quota.counted) and all(
            needed.id in self._committed[needed.step.address] for needed in inputs
        ):
            self.put_back(task)

    def _take(self, steps: Sequence[Step]) -> Task | None:
        found = [
            (self._ready[step.address][0], self._places[step.address])
            for step in steps
            if self._startable(step)
        ]
        if not found:
            return None
        slice_index, place = min(found)
        heapq.heappop(self._ready[self._steps[place].address])
        return Task(self._steps[place], slice_index)
