"""Values for a parameter: by its annotation, else by its default's type, else by its name."""

import ast

from generators.code import parse

MAX_ANNOTATION = 500
"""Characters of a quoted annotation that is looked at."""

VALUES: dict[str, tuple[object, ...]] = {
    "int": (3, 0, 1, 7, -2, 12, 100, 4),
    "float": (2.5, 0.0, 1.0, -1.5, 10.0, 0.25),
    "complex": (1 + 2j, 0j),
    "str": ("abc", "", "Hello World", "a,b,c", "racecar", "12", "  x  y ", "Zz9-k"),
    "bool": (True, False),
    "bytes": (b"abc", b"", b"\x00\xff"),
    "None": (None,),
    "object": (3, "abc", 2.5, True),
}
_LISTS = frozenset({"list", "sequence", "iterable", "collection", "iterator", "mutablesequence"})
_SETS = frozenset({"set", "frozenset", "abstractset", "mutableset"})
_DICTS = frozenset({"dict", "mapping", "mutablemapping", "defaultdict", "counter", "ordereddict"})
_ANYTHING: tuple[object, ...] = (
    *(3, "abc", [1, 2, 3], "a", 2.5, {"a": 1}, b"abc", (1, 2), 0, "", [], ["b", "a"], None),
)
"""For a parameter of which only the name is known."""
_NAMES = {
    "int": "n m k i j x y a b num number count size index limit year depth",
    "str": "s t text string word name line sentence char prefix suffix sep",
    "list[int]": "nums numbers values arr array lst list xs items data seq",
    "list[str]": "words lines names strings tokens parts",
    "list[list[int]]": "matrix grid board rows pairs intervals",
    "dict[str, int]": "d dct mapping counts table graph",
}
_TYPE_OF = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def values_for(
    annotation: ast.expr | None, name: str, default: ast.expr | None = None
) -> tuple[object, ...]:
    """Values to try; empty where the type is unknown."""
    if annotation is not None:
        return _typed(annotation)
    known = _literal(default) if default is not None else None
    if known is not None:
        kind = type(known).__name__
        return (known, *(VALUES.get(kind) or _typed(ast.Name(id=kind))))
    hinted = _TYPE_OF.get(name.lower().strip("_0123456789"))
    likely = _typed(ast.parse(hinted, mode="eval").body) if hinted else ()
    return likely + _ANYTHING


def _typed(annotation: ast.expr) -> tuple[object, ...]:
    """Values of an annotated type; empty where the type is unknown."""
    match annotation:
        case ast.Constant(value=None):
            return VALUES["None"]
        case ast.Constant(value=str() as text) if len(text) <= MAX_ANNOTATION:
            quoted = parse(text)
            body = quoted.body[0] if quoted and quoted.body else None
            return _typed(body.value) if isinstance(body, ast.Expr) else ()
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _typed(left) + _typed(right)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _named(name)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic(name.lower(), parts)
        case _:
            return ()


def _named(name: str) -> tuple[object, ...]:
    if name in VALUES:
        return VALUES[name]
    match name.lower():
        case "any":
            return VALUES["object"]
        case "number" | "real":
            return VALUES["int"][:4] + VALUES["float"][:2]
        case lowered:
            return _generic(lowered, [])


def _generic(name: str, parts: list[ast.expr]) -> tuple[object, ...]:
    """Values of a container, optional or union type; without parts, of integers."""
    inner = [_typed(part) for part in parts] or [VALUES["int"]]
    if not all(inner) and name != "tuple":
        return ()
    if name == "optional":
        return (*inner[0], None)
    if name == "union":
        return tuple(value for values in inner for value in values)
    if name in _LISTS:
        return tuple(_lists(inner[0]))
    if name in _SETS:
        return tuple(set(one) for one in _lists(inner[0]) if _hashable(one))
    if name in _DICTS:
        keys, values = (inner[0], inner[-1]) if parts else (VALUES["str"], VALUES["int"])
        sized = (3, 0, 1, 4)
        return tuple(dict(zip(keys[:n], (values * n)[:n], strict=False)) for n in sized)
    if name == "tuple":
        if not parts or (isinstance(parts[-1], ast.Constant) and parts[-1].value is Ellipsis):
            return tuple(tuple(one) for one in _lists(inner[0])) if inner[0] else ()
        longest = max(len(values) for values in inner)
        if not all(inner):
            return ()
        return tuple(tuple(values[k % len(values)] for values in inner) for k in range(longest))
    return ()


def _lists(values: tuple[object, ...]) -> list[list[object]]:
    """Lists over `values`: plain, empty, single, with repeats, longer, reversed."""
    few, many = list(values[:3]), list(values[:6])
    return [few, [], few[:1], [*few[:2], *few[:2]], many, many[::-1]]


def _hashable(values: list[object]) -> bool:
    return not any(isinstance(value, list | set | dict) for value in values)


def _literal(node: ast.expr) -> object:
    """The value of a literal; None for anything else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None
