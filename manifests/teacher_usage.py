"""What was asked of teachers: calls and tokens by role and teacher, which add up in any order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

from manifests.completions import Completion


class Addable(Protocol):
    """What has a sum with its like."""

    def __add__(self, other: Self, /) -> Self: ...


Amount = TypeVar("Amount", int, Addable)


def added(left: Mapping[str, Amount], right: Mapping[str, Amount]) -> dict[str, Amount]:
    """Amounts by name, of both together."""
    sums = dict(left)
    for name, amount in right.items():
        sums[name] = sums[name] + amount if name in sums else amount
    return sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The calls of one role to one teacher."""

    role: str
    teacher: str
    """`model@revision`."""
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Part of `prompt_tokens`."""
    finish_reasons: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Asked") -> "Asked":
        return replace(
            self,
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            finish_reasons=added(self.finish_reasons, other.finish_reasons),
        )


@dataclass(frozen=True, slots=True)
class TeacherUsage:
    """The calls of a task, or of many; `TeacherUsage()` is none."""

    asked: tuple[Asked, ...] = ()
    """By role, then teacher."""

    @classmethod
    def of(cls, completions: Iterable[tuple[str, Completion]]) -> "TeacherUsage":
        """The usage of these calls, each with the role it was asked in."""
        return cls._summed(
            Asked(
                role=role,
                teacher=completion.teacher,
                calls=1,
                prompt_tokens=completion.usage.prompt_tokens,
                completion_tokens=completion.usage.completion_tokens,
                cached_tokens=completion.usage.cached_tokens,
                finish_reasons={completion.finish_reason.value: 1},
            )
            for role, completion in completions
        )

    @classmethod
    def _summed(cls, asked: Iterable[Asked]) -> "TeacherUsage":
        sums: dict[tuple[str, str], Asked] = {}
        for one in asked:
            key = (one.role, one.teacher)
            sums[key] = sums[key] + one if key in sums else one
        return cls(tuple(sums[key] for key in sorted(sums)))

    def __add__(self, other: "TeacherUsage") -> "TeacherUsage":
        return self._summed((*self.asked, *other.asked))

    @property
    def calls(self) -> int:
        return sum(one.calls for one in self.asked)

    @property
    def prompt_tokens(self) -> int:
        return sum(one.prompt_tokens for one in self.asked)

    @property
    def completion_tokens(self) -> int:
        return sum(one.completion_tokens for one in self.asked)

    @property
    def cached_tokens(self) -> int:
        return sum(one.cached_tokens for one in self.asked)

    @property
    def finish_reasons(self) -> dict[str, int]:
        """Calls by finish reason."""
        counts: dict[str, int] = {}
        for one in self.asked:
            counts = added(counts, one.finish_reasons)
        return counts

    def by_role(self) -> dict[str, "TeacherUsage"]:
        """The part of each role."""
        roles = sorted({one.role for one in self.asked})
        return {role: TeacherUsage(self._of_role(role)) for role in roles}

    def by_teacher(self) -> dict[str, "TeacherUsage"]:
        """The part of each teacher."""
        teachers = sorted({one.teacher for one in self.asked})
        return {teacher: TeacherUsage(self._of_teacher(teacher)) for teacher in teachers}

    def _of_role(self, role: str) -> tuple[Asked, ...]:
        return tuple(one for one in self.asked if one.role == role)

    def _of_teacher(self, teacher: str) -> tuple[Asked, ...]:
        return tuple(one for one in self.asked if one.teacher == teacher)
