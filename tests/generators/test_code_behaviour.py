"""The harness runs here in a plain subprocess: the code is the test's own."""

import ast
import asyncio
import subprocess
import sys
from collections.abc import Sequence

import pytest

from generators.code import Snippet, Unit, read_snippet
from generators.code_behaviour import Behaviour, compare_behaviour
from generators.code_inputs import cases_for
from manifests.errors import SandboxUnavailable
from manifests.programs import Execution, ExecutionStatus, Program


async def run_plainly(program: Program) -> Execution:
    done = subprocess.run(
        [sys.executable, "-I", "-c", program.source],
        input=program.stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    status = ExecutionStatus.OK if done.returncode == 0 else ExecutionStatus.ERROR
    return Execution(
        status=status, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr
    )


def snippet_of(code: str, unit: Unit = Unit.FUNCTION) -> Snippet:
    return read_snippet(code, unit, min_lines=1, max_lines=200)


def compare(
    original: str, again: str, unit: Unit = Unit.FUNCTION, examples: Sequence[str] = ()
) -> Behaviour | None:
    snippet = snippet_of(original, unit)
    cases = cases_for(snippet, examples)
    return asyncio.run(compare_behaviour(snippet, again, cases, run_plainly))


def share(outcome: Behaviour | None) -> float:
    assert outcome is not None
    return outcome.equal


SORTED = "def unique(items: list[int]) -> list[int]:\n    return sorted(set(items))\n"


def test_code_written_otherwise_behaves_alike() -> None:
    again = """
def unique(items):
    found = []
    for item in items:
        if item not in found:
            found.append(item)
    found.sort()
    return found
"""
    outcome = compare(SORTED, again)
    assert outcome is not None
    assert outcome.inputs >= 3
    assert outcome.equal == 1.0


def test_another_result_lowers_the_share() -> None:
    assert share(compare(SORTED, "def unique(items):\n    return list(items)\n")) < 0.8


@pytest.mark.parametrize(
    "again",
    [
        "def unique(items):\n    return undefined\n",
        "def other(items):\n    return 1\n",
        "raise SystemExit(0)\n",
        "import nowhere_to_be_found\ndef unique(items):\n    return sorted(set(items))\n",
        "while True:\n    pass\n",
        "def unique(items):\n    while True:\n        pass\n",
        "def unique(items):\n    return 10 ** 10 ** 10\n",
    ],
    ids=["name error", "other name", "exit", "no module", "load hangs", "call hangs", "huge"],
)
def test_code_that_fails_has_no_equal_outcome(again: str) -> None:
    assert share(compare(SORTED, again)) == 0.0


def test_code_that_ends_the_program_is_not_faithful() -> None:
    again = "import os\ndef unique(items):\n    os._exit(0)\n"
    assert share(compare(SORTED, again)) == 0.0


def test_printing_does_not_hide_the_report_and_is_compared() -> None:
    original = "def shout(text: str) -> None:\n    print(text.upper())\n"
    assert share(compare(original, "def shout(t):\n    print(t.upper())\n")) == 1.0
    assert share(compare(original, "def shout(t):\n    print(t)\n")) < 1.0


def test_changed_arguments_are_compared() -> None:
    original = "def add(items: list[int]) -> None:\n    items.append(1)\n"
    assert share(compare(original, "def add(items):\n    items += [1]\n")) == 1.0
    assert share(compare(original, "def add(items):\n    items = items + [1]\n")) == 0.0


def test_exceptions_are_compared_by_type() -> None:
    original = """
def half(n: int) -> int:
    if n < 0:
        raise ValueError(n)
    return n // 2
"""
    assert share(compare(original, original.replace("(n)\n    ret", "('x')\n    ret"))) == 1.0
    assert share(compare(original, original.replace("ValueError", "KeyError"))) < 1.0


@pytest.mark.parametrize(
    "original",
    [
        "import random\ndef f(n: int) -> float:\n    return random.random() + n\n",
        "def f(n: int) -> object:\n    return lambda: n + 1\n",
        "def f(n: int) -> int:\n    while True:\n        n += 1\n",
        "def f(n: int) -> int:\n    raise ValueError(n + 1)\n    return 2\n",
        "import os\ndef f(n: int) -> int:\n    return os.getpid() + n\n",
        "def f(thing: 'Unknown') -> int:\n    return thing.x + 1\n",
    ],
    ids=["random", "function", "endless", "always raises", "world", "unknown type"],
)
def test_where_behaviour_cannot_tell_there_is_no_verdict(original: str) -> None:
    code = original.replace("raise ValueError(n + 1)", "x = n + 1\n    raise ValueError(x)")
    assert compare(code, code) is None


def test_order_of_sets_and_dicts_and_rounding_do_not_count() -> None:
    original = "def f(n: int) -> tuple:\n    return {1, n, 'a'}, {'a': n, 'b': 2}, 0.1 + 0.2\n"
    again = "def f(n):\n    return {'a', n, 1}, {'b': 2, 'a': n}, 0.3\n"
    assert share(compare(original, again)) == 1.0


def test_generators_are_compared_by_what_they_yield() -> None:
    original = "def f(n: int):\n    for i in range(n):\n        yield i * i\n"
    assert share(compare(original, "def f(n):\n    return (i * i for i in range(n))\n")) == 1.0


STACK = """
class Stack:
    def __init__(self, items: list[int]):
        self._items = list(items)
    def push(self, item: int) -> int:
        self._items.append(item)
        return len(self._items)
    def pop(self) -> int:
        return self._items.pop()
    @property
    def top(self) -> int:
        return self._items[-1]
    def __len__(self) -> int:
        return len(self._items)
"""


def test_classes_are_compared_through_their_methods() -> None:
    again = STACK.replace("_items", "_held")
    assert share(compare(STACK, again, Unit.CLASS)) == 1.0
    wrong = STACK.replace(".pop()", ".pop(0)")
    assert share(compare(STACK, wrong, Unit.CLASS)) < 0.8


def test_a_dataclass_is_constructed_from_its_fields() -> None:
    original = """
from dataclasses import dataclass
@dataclass
class Point:
    x: int
    y: int
    def norm(self) -> float:
        return (self.x ** 2 + self.y ** 2) ** 0.5
"""
    assert share(compare(original, original, Unit.CLASS)) == 1.0
    wrong = original.replace("+ self.y", "- self.y")
    assert share(compare(original, wrong, Unit.CLASS)) < 0.8


def test_examples_come_first_and_only_literal_ones_count() -> None:
    code = '''
def area(w, h=1):
    """Area.

    >>> area(2, h=5)
    10
    >>> area(side)
    1
    """
    return w * h
'''
    examples = ["area(4, 4)", "area(__import__('os'))", "other(1)", "area(*x)", "area(", "x" * 900]
    first, second, *rest = cases_for(snippet_of(code), examples)
    assert (first[0].args, first[0].kwargs) == ("(2,)", "{'h': 5}")
    assert second[0].args == "(4, 4)"
    assert rest


@pytest.mark.parametrize(
    "annotation",
    [
        *("int", "float", "str", "bool", "bytes", "None", "list", "dict", "tuple", "object"),
        *("list[int]", "dict[str, list[int]]", "tuple[int, ...]", "tuple[int, str]", "set[str]"),
        *("int | None", "'list[str]'", "Optional[int]", "Sequence[float]", "Union[int, str]"),
    ],
)
def test_known_annotations_give_distinct_literal_cases(annotation: str) -> None:
    code = (
        "from typing import Optional, Sequence, Union\n"
        f"def f(first: {annotation}, *, last: {annotation} = None):\n    return (first, last)\n"
    )
    snippet = snippet_of(code)
    cases = cases_for(snippet)
    assert cases
    assert cases == cases_for(snippet)
    assert len(set(cases)) == len(cases)
    for (step,) in cases:
        assert isinstance(ast.literal_eval(step.args), tuple)
        assert isinstance(ast.literal_eval(step.kwargs), dict)


def test_a_program_that_dies_before_the_original_is_done_says_nothing() -> None:
    async def dies(program: Program) -> Execution:
        return Execution(status=ExecutionStatus.KILLED, exit_code=None, stdout="", stderr="")

    async def dies_late(program: Program) -> Execution:
        stdout = '{"stage": "original"}\n'
        return Execution(status=ExecutionStatus.TIMEOUT, exit_code=None, stdout=stdout, stderr="")

    snippet = snippet_of(SORTED)
    cases = cases_for(snippet)
    assert asyncio.run(compare_behaviour(snippet, SORTED, cases, dies)) is None
    assert share(asyncio.run(compare_behaviour(snippet, SORTED, cases, dies_late))) == 0.0


def test_without_a_sandbox_nothing_is_run() -> None:
    async def missing(program: Program) -> Execution:
        raise SandboxUnavailable("no user namespaces")

    snippet = snippet_of(SORTED)
    with pytest.raises(SandboxUnavailable):
        asyncio.run(compare_behaviour(snippet, SORTED, cases_for(snippet), missing))
