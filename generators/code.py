"""Python snippets as reversal needs them: read, cleaned and judged without ever running them.

A snippet is one public function or class with the private helpers, constants and imports that it
needs. Names that come from anywhere else mean that it can't be understood, or run, on its own.
"""

import ast
import builtins
import copy
import symtable
import sys
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from generators.contract import Declined
from manifests.records import Reason

MAX_CHARS = 20_000
MAX_DEPTH = 60
"""Of nested syntax nodes: far above what people write, far below Python's recursion limit."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_MODULE_NAMES = frozenset({*dir(builtins), "__name__", "__file__", "__doc__", "__class__"})
_PURE_MODULES = frozenset({"os.path", "urllib.parse"})
_WORLD = frozenset(
    {"asyncio", "concurrent", "ctypes", "ftplib", "http", "multiprocessing", "os", "select"}
    | {"shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "tempfile"}
    | {"threading", "urllib", "webbrowser"}
)
_WORLD_CALLS = frozenset(
    {"open", "input", "exec", "eval", "compile", "__import__", "exit", "quit", "breakpoint"}
)


class Unit(StrEnum):
    """What a snippet defines."""

    FUNCTION = "function"
    CLASS = "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A cleaned snippet and what is known of it."""

    code: str
    unit: Unit
    name: str
    """Of the one public definition."""
    signature: str
    """Headers only: of the function, or of the class and its public methods."""
    docstring: str
    runnable: bool
    """Whether its behaviour may be compared: it is synchronous and leaves the world alone."""


def parse(code: str) -> ast.Module | None:
    """The syntax tree; None if this is not Python, or too long or too deep to be looked at."""
    if len(code) > MAX_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
            if _depth(tree) > MAX_DEPTH:
                return None
            ast.unparse(tree)  # fails on a few f-strings that the parser takes
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree


def _depth(tree: ast.AST) -> int:
    level: list[ast.AST] = [tree]
    depth = 0
    while level and depth <= MAX_DEPTH:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    return depth


def read_snippet(text: str, unit: Unit, *, min_lines: int, max_lines: int) -> Snippet:
    """The snippet in `text`; the bounds count lines of code without comments and docstrings.

    Raises:
        Declined: UNSUITED (not Python, not one public definition of this unit, names from
            elsewhere), TOO_SHORT, TOO_LONG, or LOW_QUALITY for a body that does nothing.
    """
    code = textwrap.dedent(text.replace("\r\n", "\n").expandtabs(4)).strip("\n") + "\n"
    code = _without_main_block(code)
    tree = parse(code)
    if tree is None:
        raise Declined(Reason.UNSUITED, f"no Python of at most {MAX_CHARS} characters")
    target = _target(tree, unit)
    if outside := outside_names(code, tree):
        raise Declined(Reason.UNSUITED, f"needs names from elsewhere: {', '.join(outside)}"[:300])
    if _does_nothing(target):
        raise Declined(Reason.LOW_QUALITY, f"{target.name} does nothing")
    lines = len(ast.unparse(without_docstrings(tree)).split("\n"))
    if lines < min_lines:
        raise Declined(Reason.TOO_SHORT, f"{lines} lines of code, expected at least {min_lines}")
    if lines > max_lines:
        raise Declined(Reason.TOO_LONG, f"{lines} lines of code, expected at most {max_lines}")
    return Snippet(
        code=code,
        unit=unit,
        name=target.name,
        signature=signature(target),
        docstring=ast.get_docstring(target) or "",
        runnable=not _touches_world(tree) and not _is_async(tree),
    )


def definition(tree: ast.Module, name: str) -> Definition | None:
    """The last top-level definition of `name`."""
    found = [node for node in tree.body if isinstance(node, Definition) and node.name == name]
    return found[-1] if found else None


def methods(target: ast.ClassDef) -> list[Function]:
    """The methods that callers may use: public ones and special ones."""
    found = [node for node in target.body if isinstance(node, Function)]
    return [one for one in found if not one.name.startswith("_") or one.name.endswith("__")]


def signature(target: Definition) -> str:
    """The header of a function, or of a class with those of its methods."""
    if isinstance(target, Function):
        return _header(target)
    bases = ", ".join(ast.unparse(base) for base in target.bases)
    heads = [textwrap.indent(_header(method), "    ") for method in methods(target)]
    fields = [f"    {ast.unparse(node)}" for node in target.body if isinstance(node, ast.AnnAssign)]
    first = f"class {target.name}({bases}):" if bases else f"class {target.name}:"
    return "\n".join([first, *fields, *heads])


def _header(function: Function) -> str:
    kept = {"property", "staticmethod", "classmethod"}
    marks = [f"@{ast.unparse(mark)}" for mark in function.decorator_list]
    marks = [mark for mark in marks if mark[1:] in kept or mark.endswith(".setter")]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    start = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    head = f"{start} {function.name}({ast.unparse(function.args)}){returns}: ..."
    return "\n".join([*marks, head])


def without_docstrings(tree: ast.Module) -> ast.Module:
    """A copy of the tree without docstrings (comments are not in a tree)."""
    bare = copy.deepcopy(tree)
    for node in ast.walk(bare):
        if isinstance(node, ast.Module | Definition) and _opens_with_text(node.body):
            node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    return bare


def outside_names(code: str, tree: ast.Module) -> list[str]:
    """Names, modules and relative imports that neither the snippet nor Python itself has."""
    foreign = [f"module {module}" for module in _modules(tree) if _is_foreign(module)]
    table = symtable.symtable(code, "<snippet>", "exec")
    bound, used = set(_MODULE_NAMES), set()
    for scope in _scopes(table):
        for symbol in scope.get_symbols():
            at_module = scope is table or symbol.is_declared_global()
            makes = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if at_module and makes:
                bound.add(symbol.get_name())
            # `is_local` too: Python 3.11 takes a function named `top` for the module.
            free = symbol.is_global() and not symbol.is_local()
            if symbol.is_referenced() and (scope is table or free):
                used.add(symbol.get_name())
    return foreign + sorted(used - bound)


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _modules(tree: ast.Module) -> Iterator[str]:
    """Dotted names of the imported modules; a relative one starts with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            star = ".*" if any(alias.name == "*" for alias in node.names) else ""
            yield "." * node.level + (node.module or "") + star


def _is_foreign(module: str) -> bool:
    known = module.split(".")[0] in sys.stdlib_module_names
    return not known or module.endswith("*")


def _target(tree: ast.Module, unit: Unit) -> Definition:
    """The one public definition, which must be of this unit."""
    defined = [node for node in tree.body if isinstance(node, Definition)]
    public = [node for node in defined if not node.name.startswith("_")] or defined
    if len(public) != 1 or isinstance(public[0], ast.ClassDef) is not (unit is Unit.CLASS):
        names = ", ".join(node.name for node in public) or "none"
        raise Declined(Reason.UNSUITED, f"expected one public {unit}, found {names}"[:300])
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, *Definition.__args__)
    for node in tree.body:
        if not isinstance(node, allowed) and not _is_text(node):
            raise Declined(Reason.UNSUITED, f"line {node.lineno} acts when the snippet is imported")
    return public[0]


def _without_main_block(code: str) -> str:
    tree = parse(code)
    lines = code.split("\n")
    for node in reversed(tree.body if tree else []):
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).rstrip("\n") + "\n"


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _opens_with_text(body: list[ast.stmt]) -> bool:
    return bool(body) and _is_text(body[0])


def _does_nothing(target: Definition) -> bool:
    """Whether no function in it does more than pass, raise at once, or return a fixed value."""
    functions = [node for node in ast.walk(target) if isinstance(node, Function)]
    return all(_is_idle(statement) for function in functions for statement in function.body)


def _is_idle(node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Raise() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Return(value=None | ast.Constant() | ast.Name()):
            return True
        case _:
            return False


def _is_async(tree: ast.Module) -> bool:
    kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    return any(isinstance(node, kinds) for node in ast.walk(tree))


def _touches_world(tree: ast.Module) -> bool:
    """Whether it reaches for files, processes, threads or the network, as far as names tell."""
    modules = {module for module in _modules(tree) if module not in _PURE_MODULES}
    worldly = {module.split(".")[0] for module in modules} & _WORLD
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=attr) if attr != "path":
                return True
            case ast.Call(func=ast.Name(id=name)) if name in _WORLD_CALLS:
                return True
    return bool(worldly - {"os"}) or any(module.startswith("os.") for module in modules)
