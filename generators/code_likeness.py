"""How alike two sources are in form, and how much of one an instruction gives away."""

import ast
import builtins
import keyword
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from generators.code import (
    Definition,
    Function,
    Snippet,
    definition,
    methods,
    parse,
    without_docstrings,
)

_TOKEN = re.compile(r"\w+|[^\w\s]")
_CODE_LIKE = re.compile(r"_|\d|(?<=[a-z])[A-Z]")
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_BUILTINS = frozenset(dir(builtins))
_SKIPPED = (ast.expr_context, ast.Import, ast.ImportFrom, ast.alias)
LEAK_NGRAM = 5
"""Tokens in a row that count as pasted code [I]."""


def ast_similarity(left: str, right: str) -> float:
    """Dice coefficient, 0 to 1, of the multisets of syntax n-grams of two sources.

    The n-grams are pairs and triples of node labels in source order, and pairs of parent and
    child. Docstrings, annotations, imports, local names and values of constants do not count;
    built-in names and attributes do.
    """
    ours, theirs = _shape(left), _shape(right)
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 0.0


def _shape(code: str) -> Counter[tuple[str, ...]]:
    tree = parse(code)
    if tree is None:
        return Counter()
    edges = list(_edges(without_docstrings(tree)))
    labels = [child for _, child in edges]
    shape: Counter[tuple[str, ...]] = Counter(("edge", *edge) for edge in edges)
    shape.update(pairwise(labels))
    shape.update(zip(labels, labels[1:], labels[2:], strict=False))
    return shape


def _edges(node: ast.AST, parent: str = "") -> Iterator[tuple[str, str]]:
    """(parent's label, label) of every node in source order."""
    if isinstance(node, _SKIPPED):
        return
    label = _label(node)
    yield parent, label
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _edges(child, label)


def _label(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=value):
            return f"Constant {type(value).__name__}"
        case ast.Name(id=name) if name in _BUILTINS:
            return f"Name {name}"
        case ast.Attribute(attr=attr, value=ast.Name(id="self")):
            return "Attribute of self" if attr else ""
        case ast.Attribute(attr=attr):
            return f"Attribute {attr}"
        case ast.AnnAssign():
            return "Assign"
        case _:
            return type(node).__name__


def leakage(snippet: Snippet, instruction: str) -> float:
    """Share of the snippet's token n-grams, those of its signature apart, in the instruction."""
    tree = parse(snippet.code)
    code = ast.unparse(without_docstrings(tree)) if tree else ""
    secret = _ngrams(code) - _ngrams(snippet.signature)
    return len(secret & _ngrams(instruction)) / len(secret) if secret else 0.0


def _ngrams(text: str) -> set[tuple[str, ...]]:
    tokens = _TOKEN.findall(text.replace('"', "'"))
    return {tuple(tokens[i : i + LEAK_NGRAM]) for i in range(len(tokens) - LEAK_NGRAM + 1)}


def leaked_names(snippet: Snippet, instruction: str) -> list[str]:
    """Private names of the snippet that the instruction uses as code, sorted.

    A name such as `total` is also a word: it counts only inside a code span.
    """
    tree = parse(snippet.code)
    if tree is None:
        return []
    private = _names_made(tree) - _public(tree, snippet.name)
    words = set(re.findall(r"\w+", instruction))
    spans = set(re.findall(r"\w+", " ".join(_CODE_SPAN.findall(instruction))))
    said = {name for name in private if name in words and _CODE_LIKE.search(name)}
    return sorted(said | (private & spans))


def _names_made(tree: ast.Module) -> set[str]:
    """Names that the snippet itself introduces."""
    made = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                made.add(name)
            case ast.arg(arg=name):
                made.add(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                made.add(node.name)
    return made


def _public(tree: ast.Module, name: str) -> set[str]:
    """Names that an instruction may use: the API, and what is Python's own."""
    known = {name, *_BUILTINS, *keyword.kwlist}
    target = definition(tree, name)
    if target is not None:
        known |= _api(target)
    return known


def _api(target: Definition) -> set[str]:
    if isinstance(target, Function):
        return {arg.arg for arg in _arguments(target)}
    found = set()
    for node in target.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    for method in methods(target):
        found |= {method.name, *(arg.arg for arg in _arguments(method))}
    return found


def _arguments(function: Function) -> list[ast.arg]:
    args = function.args
    named = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    return named + [arg for arg in (args.vararg, args.kwarg) if arg is not None]
