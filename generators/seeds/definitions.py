"""Where the definitions of a source file lie: functions and classes at its outermost level.

Python is parsed. Any other language is read by layout: a definition is a run of lines that starts
at the outermost indentation after a blank line and has a body indented deeper.
"""

import ast
import re
import warnings
from collections.abc import Sequence
from itertools import pairwise

_CLOSER = re.compile(r"\s*(?:[}\])]|end\b|else\b|#endif)")
_COMMENT = re.compile(r"\s*(?://|#|/?\*|--|;)")


def definition_spans(text: str) -> list[tuple[int, int]]:
    """The lines of each definition with the comment right above: 0-based, end exclusive."""
    lines = text.split("\n")
    tree = _parsed(text)
    return _by_layout(lines) if tree is None else _python(tree, lines)


def _parsed(text: str) -> ast.Module | None:
    """The syntax tree if this is Python whose line numbers are those of a split at newlines."""
    if "\r" in text.replace("\r\n", "\n"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _python(tree: ast.Module, lines: Sequence[str]) -> list[tuple[int, int]]:
    spans = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)]) - 1
            while first and lines[first - 1].startswith("#"):
                first -= 1
            spans.append((first, node.end_lineno or node.lineno))
    return spans


def _by_layout(lines: Sequence[str]) -> list[tuple[int, int]]:
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    outermost = min(indents, default=0)
    starts = [
        at
        for at, line in enumerate(lines)
        if line.strip()
        and len(line) - len(line.lstrip()) == outermost
        and not _CLOSER.match(line)
        and (at == 0 or not lines[at - 1].strip())
    ]
    spans = []
    for start, following in pairwise([*starts, len(lines)]):
        end = following
        while not lines[end - 1].strip():
            end -= 1
        if _has_body(lines[start:end], outermost):
            spans.append((start, end))
    return spans


def _has_body(lines: Sequence[str], outermost: int) -> bool:
    code = [line for line in lines if line.strip() and not _COMMENT.match(line)]
    deeper = (len(line) - len(line.lstrip()) > outermost for line in code[1:])
    return bool(code) and any(deeper)
