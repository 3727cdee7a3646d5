"""Where two specs differ, as plain JSON data: by the path to each value."""

import json
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecChange:
    """One value of a spec."""

    path: str
    """As `phases.pretrain.mix.web.share`."""
    old: str | None
    """None: it was not there."""
    new: str | None
    """None: it is not there any more."""


def spec_changes(old: object, new: object) -> tuple[SpecChange, ...]:
    """All of them, by path; what has a name is compared with what has the same one."""
    return tuple(_changes("", old, new))


def _changes(path: str, old: object, new: object) -> Iterator[SpecChange]:
    before, after = _parts(old), _parts(new)
    before, after = {} if old == [] else before, {} if new == [] else after
    if before is None or after is None:
        if old != new:
            yield SpecChange(path=path, old=_text(old), new=_text(new))
        return
    for name in sorted(before.keys() | after.keys()):
        yield from _changes(f"{path}.{name}".lstrip("."), before.get(name), after.get(name))


def _parts(value: object) -> dict[str, object] | None:
    """By name, what has names or numbers in it; None for a value of its own."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        names = [str(one.get("name", number)) for number, one in enumerate(value, 1)]
        if len(set(names)) == len(names):
            return {
                name: {key: part for key, part in one.items() if key != "name"}
                for name, one in zip(names, value, strict=True)
            }
    return None


def _text(value: object) -> str | None:
    """As short as it can be said; None for what is not there."""
    if value is None or value in ([], {}, ""):
        return None
    if isinstance(value, str):
        return value
    return json.dumps(_said(value), ensure_ascii=False)


def _said(value: object) -> object:
    """Without what says nothing."""
    if isinstance(value, dict):
        kept = {key: _said(part) for key, part in value.items()}
        return {key: part for key, part in kept.items() if part not in (None, [], {}, "")}
    return [_said(part) for part in value] if isinstance(value, list) else value
