"""The program that runs inside the sandbox: do two pieces of code behave alike?

It is sent as source, never imported to run code: stdin holds {original, regenerated, name, cases}
as JSON, and the last line of stdout the report {original, regenerated, cases}. Each case is a list
of steps [method, args, kwargs], the arguments as Python literals, made anew for every call; the
first step calls the function or the class itself. The original runs twice, and a case on which
it differs from itself is unusable. What a call may take is counted in lines run, so that the
verdict does not hang on how busy the machine is; a clock stands behind that.
"""

import ast
import contextlib
import io
import itertools
import json
import os
import signal
import sys
import types
from collections.abc import Iterator
from typing import Any

LINES = 200_000
SECONDS = 2.0
ITEMS = 1_000
CHARS = 20_000
STOPS = 2
"""Calls that may be stopped before the rest of a run is given up."""

Outcome = tuple[str, str]


class Stop(BaseException):
    """The call took more than it may."""


class Opaque(BaseException):
    """A value whose equality cannot be told from its text."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Stops what runs inside after LINES lines of Python, or SECONDS."""
    left = LINES

    def count(frame: types.FrameType, event: str, arg: object) -> object:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise Stop
        return count

    def ring(number: int, frame: types.FrameType | None) -> None:
        raise Stop

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.settrace(None)
        signal.setitimer(signal.ITIMER_REAL, 0)


def freeze(value: object, depth: int = 0) -> str:
    """A text that is equal for equal values; sets and dicts have no order, floats nine digits."""
    if depth > 8:
        raise Opaque
    if value is None or isinstance(value, bool | int | str | bytes | complex):
        text = repr(value)
    elif isinstance(value, float):
        text = f"{value + 0.0:.9g}f"
    elif isinstance(value, dict):
        pairs = sorted(freeze(pair, depth + 1) for pair in bounded(value.items()))
        text = "{" + ",".join(pairs) + "}"
    elif isinstance(value, set | frozenset):
        text = "set(" + ",".join(sorted(freeze(v, depth + 1) for v in bounded(value))) + ")"
    elif isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        text = kind + "(" + ",".join(freeze(v, depth + 1) for v in bounded(value)) + ")"
    elif isinstance(value, Iterator):
        text = "iterator(" + ",".join(freeze(v, depth + 1) for v in bounded(value)) + ")"
    else:
        text = repr(value)
        if " at 0x" in text or isinstance(value, type | types.FunctionType):
            raise Opaque
    if len(text) > CHARS:
        raise Opaque
    return text


def bounded(values: Any) -> list[object]:
    """The items of an iterable that has at most ITEMS of them."""
    items = list(itertools.islice(values, ITEMS + 1))
    if len(items) > ITEMS:
        raise Opaque
    return items


def literal(text: str) -> Any:
    """The value of a literal, made anew."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError):
        raise Opaque from None


def play(target: Any, steps: list[list[str]]) -> Outcome:
    """What the steps give: whether any of them returned, and everything that can be seen."""
    _, args_text, kwargs_text = steps[0]
    args, kwargs = literal(args_text), literal(kwargs_text)
    made = target(*args, **kwargs)
    if not isinstance(target, type):
        return "returned", freeze([made, args, kwargs])
    seen = []
    for method, args_text, kwargs_text in steps[1:]:
        try:
            found = getattr(made, method)
            if callable(found):
                found = found(*literal(args_text), **literal(kwargs_text))
            seen.append("returned " + ("self" if found is made else freeze(found)))
        except Exception as error:
            seen.append(f"raised {type(error).__name__}")
    returned = any(one.startswith("returned") for one in seen)
    return ("returned" if returned else "raised"), "\n".join(seen)


def outcome(target: object, steps: list[list[str]]) -> Outcome:
    """How a case ends, and what can be seen of it."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), limited():
            kind, seen = play(target, steps)
    except Stop:
        return "stopped", ""
    except Opaque:
        return "opaque", ""
    except BaseException as error:
        return "raised", type(error).__name__
    return kind, seen + printed.getvalue()[:CHARS]


def outcomes(target: object, cases: list[list[list[str]]]) -> list[Outcome]:
    """How all cases end, in order; after STOPS stopped ones the rest are not tried."""
    found: list[Outcome] = []
    for steps in cases:
        given_up = sum(kind == "stopped" for kind, _ in found) >= STOPS
        found.append(("stopped", "") if given_up else outcome(target, steps))
    return found


def load(source: str, name: str, module_name: str) -> tuple[object, str]:
    """(what `source` defines as `name`, "ok"), or (None, what went wrong)."""
    module = types.ModuleType(module_name)
    sys.modules[module_name] = module
    silent = io.StringIO()
    try:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), limited():
            exec(compile(source, f"<{module_name}>", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        return None, type(error).__name__
    target = getattr(module, name, None)
    return (target, "ok") if callable(target) else (None, f"does not define {name}")


def main() -> None:
    """Compare what stdin holds and write the report."""
    out = sys.stdout
    task = json.load(sys.stdin)
    sys.stdin = io.StringIO()
    name, cases = task["name"], task["cases"]
    first, loaded = load(task["original"], name, "first")
    again, _ = load(task["original"], name, "again")
    report: dict[str, object] = {"original": loaded, "regenerated": "", "cases": []}
    if loaded == "ok":
        ours = [
            (one if one == two and one[0] in ("returned", "raised") else ("unusable", ""))
            for one, two in zip(outcomes(first, cases), outcomes(again, cases), strict=True)
        ]
        print(json.dumps({"stage": "original"}), file=out, flush=True)
        target, report["regenerated"] = load(task["regenerated"], name, "regenerated")
        theirs = outcomes(target, cases) if target is not None else [("absent", "")] * len(cases)
        pairs = zip(ours, theirs, strict=True)
        report["cases"] = [[one[0], one == other] for one, other in pairs]
    print("\n" + json.dumps(report), file=out, flush=True)
    os._exit(0)  # neither threads nor exit handlers of the code have the last word


if __name__ == "__main__":
    main()
