"""The amounts asked of a run, as its commits reach them."""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

from manifests import layout
from manifests.commits import Commit, read_commits
from manifests.errors import StoreFull
from manifests.index import build_index
from manifests.store import Store
from pipelines.backlog import Backlog
from pipelines.plan import Plan, close_taken
from pipelines.quota import Quota
from pipelines.step import Step, Task
from pipelines.work.take import Take


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How near a generator is to what is asked of it."""

    name: str
    have: int
    wanted: int
    unit: str


class Taking:
    """What is asked of the generators of a run; one that has it is closed at once."""

    def __init__(self, store: Store, plan: Plan, window: int) -> None:
        """`window`: slices that are begun ahead of a generator whose yield is not known."""
        self._store = store
        wanted = [end for end in plan.ends if isinstance(end.work, Take)]
        self._everything = len(wanted) < len(plan.ends)
        """Whether some end of the run takes all there is."""
        self.quotas = tuple(Quota(step, plan.slices, window) for step in wanted)
        self._by_screened = {quota.screened: quota for quota in self.quotas}
        self._by_step = {quota.step.address: quota for quota in self.quotas}
        self._taken: dict[str, int] = {}

    def start(self, committed: Mapping[str, Set[str]]) -> None:
        """Count what earlier drivers came to; `committed`: ids of tasks, by step address."""
        for quota in self.quotas:
            for commit in read_commits(self._store, quota.screened):
                quota.screened_slice(commit.slice_index, quota.take.counted(commit))
            self._taken[quota.step.address] = len(committed[quota.step.address])
        self.close()

    def committed(self, task: Task, commit: Commit, backlog: Backlog) -> None:
        """Count a commit of this run."""
        address = task.step.address
        if (quota := self._by_screened.get(address)) is not None:
            for number in quota.screened_slice(task.slice, quota.take.counted(commit)):
                backlog.counted(quota, number)
        elif (quota := self._by_step.get(address)) is not None:
            self._taken[address] += 1
            with suppress(StoreFull):  # `close` tries again
                self._close(quota)

    def close(self) -> None:
        """See that each amount that is there is said to be there.

        Raises:
            StoreFull: No room left; the next driver says it.
        """
        for quota in self.quotas:
            self._close(quota)

    def before(self, task: Task) -> int:
        """What was taken of the slices before this task's; 0 for a task that takes nothing."""
        quota = self._by_step.get(task.step.address)
        return quota.before(task.slice) if quota else 0

    @property
    def done(self) -> bool:
        """Whether amounts are asked of all ends, and all are there."""
        return not self._everything and all(map(self._is_taken, self.quotas))

    @property
    def amounts(self) -> tuple[Amount, ...]:
        """How near each generator is."""
        return tuple(
            Amount(
                name=generator_of(quota.step),
                have=min(quota.have, quota.take.amount),
                wanted=quota.take.amount,
                unit=quota.take.unit.value,
            )
            for quota in self.quotas
        )

    @property
    def lacking(self) -> Sequence[Amount]:
        """Those whose sources are used up before the amount is reached."""
        told = zip(self.amounts, self.quotas, strict=True)
        return [amount for amount, quota in told if quota.exhausted]

    def _is_taken(self, quota: Quota) -> bool:
        return quota.reached and self._taken[quota.step.address] == quota.counted

    def _close(self, quota: Quota) -> None:
        address = quota.step.address
        if self._is_taken(quota) and not self._store.exists(layout.index_file(address)):
            close_taken(self._store, quota.step, quota.counted)
            build_index(self._store, address)


def generator_of(taken: Step) -> str:
    """`name@version` of the generator whose records this step takes."""
    ((generate,),) = (screened.made for screened in taken.made)
    return f"{generate.name}@{generate.version}"
