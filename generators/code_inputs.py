"""Inputs on which two pieces of code are compared: from examples given, annotations and names.

Nothing is random: the same snippet always gets the same cases. A case is a list of steps; for a
function it has one, for a class the construction and then calls of its methods.
"""

import ast
import doctest
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from generators.code import Function, Snippet, definition, methods, parse
from generators.code_values import VALUES, values_for
from manifests.fingerprint import content_id

MAX_CASES = 32
MAX_STEPS = 12
MAX_LITERAL = 500
"""Characters of an example call that is looked at."""

_SPECIAL = frozenset(
    {"__len__", "__str__", "__repr__", "__bool__", "__contains__", "__getitem__", "__call__"}
    | {"__iter__", "__setitem__", "__delitem__", "__int__", "__float__", "__reversed__"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call, its arguments as Python literals."""

    method: str = ""
    """Empty for the function, or the class, itself."""
    args: str = "()"
    kwargs: str = "{}"


Case = tuple[Step, ...]


def cases_for(snippet: Snippet, examples: Iterable[str] = ()) -> tuple[Case, ...]:
    """At most MAX_CASES distinct cases; `examples` are calls as text, such as `f([1, 2], k=1)`.

    Examples, those of the docstring first, come before made-up inputs; what is not a call with
    literal arguments is passed over. Empty if some parameter is of a type unknown here.
    """
    tree = parse(snippet.code)
    target = definition(tree, snippet.name) if tree else None
    if target is None:
        return ()
    if isinstance(target, Function):
        calls = [*_docstring_calls(snippet.docstring), *examples]
        given: list[Case] = [(s,) for call in calls if (s := _literal_call(call, snippet.name))]
        made: list[Case] = [
            (step,) for i in range(MAX_CASES) if (step := _made(target, "", i, skip=0))
        ]
        found = [*given, *made]
    else:
        found = list(_class_cases(target))
    return tuple(dict.fromkeys(found))[:MAX_CASES]


def _class_cases(target: ast.ClassDef) -> Iterator[Case]:
    """Construct, then call the public methods, in an order that turns from case to case."""
    public = [one for one in methods(target) if one.name[0] != "_" or one.name in _SPECIAL]
    for i in range(MAX_CASES):
        first = _construction(target, i)
        turned = [public[(k + i) % len(public)] for k in range(len(public))] if public else []
        calls = [
            step
            for k, method in enumerate((turned * MAX_STEPS)[: MAX_STEPS - 1])
            if (step := _method_call(method, i * MAX_STEPS + k))
        ]
        if first and calls:
            yield (first, *calls)


def _construction(target: ast.ClassDef, i: int) -> Step | None:
    init = [one for one in methods(target) if one.name == "__init__"]
    if init:
        return _made(init[-1], "", i, skip=1)
    if not any("dataclass" in ast.unparse(mark) for mark in target.decorator_list):
        return Step()
    values = []
    for node in target.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.value is not None:
                break
            pool = values_for(node.annotation, node.target.id)
            if not pool:
                return None
            values.append(_pick(pool, node.target.id, i))
    return Step(args=repr(tuple(values)))


def _method_call(method: Function, i: int) -> Step | None:
    marks = {ast.unparse(mark) for mark in method.decorator_list}
    return _made(method, method.name, i, skip=0 if "staticmethod" in marks else 1)


def _made(function: Function, method: str, i: int, *, skip: int) -> Step | None:
    """The i-th made-up call; None if a required parameter is of an unknown type.

    Optional parameters are left out of every other call.
    """
    args = function.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    values: list[object] = []
    for arg, default in list(zip(positional, defaults, strict=True))[skip:]:
        pool = values_for(arg.annotation, arg.arg, default)
        if default is not None and (i % 2 == 0 or not pool):
            break
        if not pool:
            return None
        values.append(_pick(pool, arg.arg, i))
    else:
        if args.vararg:
            pool = values_for(args.vararg.annotation, args.vararg.arg) or VALUES["int"]
            values += [_pick(pool, f"{args.vararg.arg}{k}", i) for k in range(i % 4)]
    named: dict[str, object] = {}
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        pool = values_for(arg.annotation, arg.arg, default)
        if default is None and not pool:
            return None
        if pool and (default is None or i % 2):
            named[arg.arg] = _pick(pool, arg.arg, i)
    return Step(method=method, args=repr(tuple(values)), kwargs=repr(named))


def _pick(pool: tuple[object, ...], name: str, i: int) -> object:
    """The first value for the first call, then any, by the digest of name and number."""
    return pool[int(content_id(name, str(i)), 16) % len(pool)] if i else pool[0]


def _docstring_calls(docstring: str) -> list[str]:
    """The examples of a docstring, as text; they are parsed and not run."""
    try:
        return [example.source for example in doctest.DocTestParser().get_examples(docstring)]
    except ValueError:
        return []


def _literal_call(call: str, name: str) -> Step | None:
    """The step that a call `name(<literals>)` describes; None for anything else."""
    tree = parse(call.strip()) if len(call) <= MAX_LITERAL else None
    statement = tree.body[0] if tree and len(tree.body) == 1 else None
    made = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
    if not isinstance(made, ast.Call) or not isinstance(made.func, ast.Name):
        return None
    if made.func.id != name or any(keyword.arg is None for keyword in made.keywords):
        return None
    try:
        args = tuple(ast.literal_eval(arg) for arg in made.args)
        kwargs = {str(word.arg): ast.literal_eval(word.value) for word in made.keywords}
    except (ValueError, TypeError):
        return None
    return Step(args=repr(args), kwargs=repr(kwargs))
