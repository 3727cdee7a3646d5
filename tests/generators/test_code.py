import pytest

from generators.code import Snippet, Unit, parse, read_snippet
from generators.contract import Declined
from manifests.records import Reason

CLAMP = '''
import math

_LIMIT = 10

def _floor(x):
    return math.floor(x)

def clamp(x: float, low: int = 0) -> int:
    """Clamp."""
    # a comment
    if x < low:
        return low
    return min(_floor(x), _LIMIT)

if __name__ == "__main__":
    print(clamp(3))
'''


def read(text: str, unit: Unit = Unit.FUNCTION, low: int = 2, high: int = 60) -> Snippet:
    return read_snippet(text, unit, min_lines=low, max_lines=high)


def refusal(text: str, unit: Unit = Unit.FUNCTION, low: int = 2, high: int = 60) -> Declined:
    with pytest.raises(Declined) as caught:
        read(text, unit, low, high)
    return caught.value


def test_a_snippet_is_read_with_its_helpers_and_without_its_main_block() -> None:
    snippet = read(CLAMP)
    assert snippet.name == "clamp"
    assert snippet.signature == "def clamp(x: float, low: int=0) -> int: ..."
    assert snippet.docstring == "Clamp."
    assert "__main__" not in snippet.code
    assert "# a comment" in snippet.code
    assert snippet.runnable


def test_an_indented_snippet_with_windows_lines_is_dedented() -> None:
    text = CLAMP.replace("\n", "\r\n    ")
    assert read(text).code.startswith("import math\n")


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("def f(:", "no Python"),
        ("function f() { return 1; }", "no Python"),
        ("def f(x):\n    return " + "-" * 500 + "x", "no Python"),
        ("x = 1\n" * 5000, "no Python"),
        ("def f(x):\n    return \x00x", "no Python"),
        ("def f(x):\n    y = helper(x)\n    return y", "elsewhere: helper"),
        ("import numpy as np\ndef f(x):\n    return np.sum(x)", "module numpy"),
        ("from . import other\ndef f(x):\n    return other.g(x)", "module ."),
        ("from math import *\ndef f(x):\n    return sqrt(x)", "math.*"),
        ("def f(x):\n    return x + 1\ndef g(x):\n    return x", "found f, g"),
        ("class A:\n    def f(self):\n        return 1 + 1", "found A"),
        ("def f(x):\n    return x + 1\nprint(f(2))", "acts when"),
    ],
)
def test_what_does_not_stand_alone_is_unsuited(text: str, evidence: str) -> None:
    declined = refusal(text)
    assert declined.rejection.reason is Reason.UNSUITED
    assert evidence in declined.rejection.detail


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    pass",
        'def f(x):\n    """Doc."""\n    raise NotImplementedError',
        "def f(x):\n    return x",
        "def f(x):\n    ...",
    ],
)
def test_a_body_that_does_nothing_is_low_quality(text: str) -> None:
    assert refusal(text).rejection.reason is Reason.LOW_QUALITY


def test_lines_are_counted_without_comments_and_docstrings() -> None:
    text = 'def f(x):\n    """One\n    two\n    three."""\n    # four\n    return x + 1\n'
    assert refusal(text, low=3).rejection.reason is Reason.TOO_SHORT
    assert read(text, low=2, high=2).name == "f"
    assert refusal(text + "\n" * 3, low=1, high=1).rejection.reason is Reason.TOO_LONG


@pytest.mark.parametrize(
    "body",
    ["open(x).read()", "os.remove(x)", "subprocess.run(x)", "eval(x)", "urllib.request.urlopen(x)"],
)
def test_code_that_reaches_for_the_world_is_not_run(body: str) -> None:
    text = f"import os, subprocess, urllib.request\ndef f(x):\n    return {body}"
    assert not read(text).runnable


def test_paths_and_urls_as_texts_may_be_run() -> None:
    assert read("import os.path\ndef f(x):\n    return os.path.join(x, 'a')").runnable
    assert read("from urllib.parse import quote\ndef f(x):\n    return quote(x) + 'a'").runnable


def test_coroutines_are_not_run() -> None:
    assert not read("async def f(x):\n    y = x + 1\n    return y").runnable


def test_a_class_shows_the_headers_of_its_public_methods() -> None:
    text = """
class Stack:
    def __init__(self, items=()):
        self._items = list(items)
    @property
    def top(self) -> int:
        return self._items[-1]
    def push(self, item: int) -> None:
        self._items.append(item)
    def _hidden(self):
        return 1 + 1
"""
    assert read(text, Unit.CLASS).signature == (
        "class Stack:\n"
        "    def __init__(self, items=()): ...\n"
        "    @property\n"
        "    def top(self) -> int: ...\n"
        "    def push(self, item: int) -> None: ..."
    )


@pytest.mark.parametrize("depth", [200, 3000])
def test_code_nested_too_deep_is_no_python(depth: int) -> None:
    assert parse("x = " + "+".join("1" * depth)) is None
    assert parse("x = " + "[" * depth + "]" * depth) is None
