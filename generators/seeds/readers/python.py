"""Python sources: every documented function and class of a module, as self-contained as can be.

A document is one top-level function, or one top-level class of up to `LONG_CLASS` lines; a longer
class gives its documented methods, each below the class's own header. No text appears twice.
Before the definition stand the module's imports that it names (and `from __future__` ones, which
change what it means), one name each and in the module's order. Definitions under a module-level
`if`, `try` or `with` count as top-level; a second one of the same name is told apart by its line.
"""

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from generators.seeds.inventory import Unit
from generators.seeds.readers.outcomes import Outcome, Row
from generators.seeds.readers.streams import whole_file
from generators.seeds.sources import Source
from manifests.records import Kind, Reason, Reject

LONG_CLASS = 200
"""Lines [I]: about what fits a seed."""
MIN_STATEMENTS = 3
"""Beside the docstring [I]: less gives nothing to ask about."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class _Found:
    qualname: str
    node: Definition
    owner: ast.ClassDef | None


def read_python(source: Source, unit: Unit) -> Iterator[Outcome]:
    """A document for every definition that is documented and does something; at least a reject."""
    module = Row(source=source, url=unit.url)
    data = whole_file(module, unit)
    if isinstance(data, Reject):
        yield data
        return
    try:
        code = _decoded(data)
        tree = _parsed(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield module.reject(Reason.UNREADABLE, f"not Python: {error}", data)
        return
    seen: set[str] = set()
    for found in _definitions(tree.body, None):
        again = f"@{found.node.lineno}" if found.qualname in seen else ""
        seen.add(found.qualname)
        row = Row(source=source, url=f"{unit.url}#{found.qualname}{again}")
        text = _snippet(code.split("\n"), tree, found)
        yield row.document(text, title=found.qualname, kind=Kind.CODE)
    if not seen:
        problem = f"no function or class with a docstring and {MIN_STATEMENTS} statements"
        yield module.reject(Reason.EMPTY, problem, code)


def _decoded(data: bytes) -> str:
    """The text by the file's own coding line, with newlines as LF."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _parsed(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _definitions(body: list[ast.stmt], owner: ast.ClassDef | None) -> Iterator[_Found]:
    for node in body:
        if isinstance(node, ast.ClassDef) and owner is None and _lines(node) > LONG_CLASS:
            yield from _definitions(node.body, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if ast.get_docstring(node, clean=False) and _statements(node) >= MIN_STATEMENTS:
                name = f"{owner.name}.{node.name}" if owner else node.name
                yield _Found(name, node, owner)
        else:
            yield from _definitions(_nested(node), owner)


def _nested(node: ast.stmt) -> list[ast.stmt]:
    """The statements that a module-level `if`, `try` or `with` may run."""
    if isinstance(node, ast.If):
        return node.body + node.orelse
    if isinstance(node, ast.Try):
        handlers = [statement for handler in node.handlers for statement in handler.body]
        return node.body + handlers + node.orelse + node.finalbody
    return node.body if isinstance(node, ast.With) else []


def _lines(node: Definition) -> int:
    return (node.end_lineno or node.lineno) - _first_line(node) + 1


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _statements(node: Definition) -> int:
    inside = sum(isinstance(child, ast.stmt) for child in ast.walk(node))
    return inside - 2  # the definition itself and its docstring


def _snippet(lines: list[str], tree: ast.Module, found: _Found) -> str:
    node = found.node
    code = "\n".join(lines[_first_line(node) - 1 : node.end_lineno])
    if found.owner:
        code = f"{_header(lines, found.owner)}\n{code}"
    elif node.col_offset:
        code = "\n".join(_dedented(line, node.col_offset) for line in code.split("\n"))
    imports = _imports(tree, _names(found))
    return "\n".join(imports) + "\n\n\n" + code + "\n" if imports else code + "\n"


def _dedented(line: str, columns: int) -> str:
    """textwrap.dedent would give up where a string reaches back to the margin."""
    return line[columns:] if not line[:columns].strip() else line


def _header(lines: list[str], owner: ast.ClassDef) -> str:
    """The class's decorators and `class` line, as written, up to its first statement."""
    header = lines[_first_line(owner) - 1 : owner.body[0].lineno - 1]
    while header and not header[-1].split("#")[0].rstrip().endswith(":"):
        header.pop()
    return "\n".join(header)


def _names(found: _Found) -> set[str]:
    header = [*found.owner.bases, *found.owner.decorator_list] if found.owner else []
    nodes = [child for part in (found.node, *header) for child in ast.walk(part)]
    return {child.id for child in nodes if isinstance(child, ast.Name)}


def _imports(tree: ast.Module, names: set[str]) -> list[str]:
    """Import lines of the module for these names, one a name."""
    found: list[str] = []
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names:
            if future or (alias.asname or alias.name.partition(".")[0]) in names:
                found.append(_import_line(node, alias))
    return list(dict.fromkeys(found))


def _import_line(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import(names=[alias]))
    return ast.unparse(ast.ImportFrom(module=node.module, names=[alias], level=node.level))
