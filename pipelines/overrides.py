"""Overrides on the command line, `name=value`, checked against the recipe's own signature."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from manifests.errors import ConfigError


def parameters(recipe: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a recipe can be asked with, by name."""
    found = inspect.signature(recipe).parameters.values()
    return {p.name: p for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY}


def parse(name: str, recipe: Callable[..., Any], given: Sequence[str]) -> dict[str, Any]:
    """The values of `name=value` texts, each of the type that the recipe's signature gives.

    Raises:
        ConfigError: No such parameter, given twice, or not a value of its type.
    """
    known = parameters(recipe)
    hints = get_type_hints(recipe)
    values: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(
                f"override {text!r}: expected name=value, for example {_example(known)}"
            )
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
            raise ConfigError(f"recipe {name} has no parameter {key!r}: {hint}")
        if key in values:
            raise ConfigError(f"override {key!r} is given twice: keep one")
        values[key] = _convert(key, value, hints[key])
    return values


def shown(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as they would be typed."""
    return {k: ",".join(v) if isinstance(v, tuple) else str(v) for k, v in values.items()}


def type_name(hint: Any) -> str:
    """A parameter's type in words."""
    if get_origin(hint) is tuple:
        return f"list of {get_args(hint)[0].__name__}, separated by commas"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}[
        hint.__name__
    ]


def _convert(key: str, value: str, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return tuple(part for part in value.split(",") if part)
    if hint is bool:
        if value not in ("true", "false"):
            raise ConfigError(f"override {key}={value}: expected true or false")
        return value == "true"
    try:
        return hint(value)
    except ValueError as error:
        raise ConfigError(f"override {key}={value}: expected a {type_name(hint)}") from error


def _example(known: Mapping[str, inspect.Parameter]) -> str:
    name, parameter = next(iter(known.items()))
    return f"{name}={shown({name: parameter.default})[name]}"
