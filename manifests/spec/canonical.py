"""A mixture as plain JSON data and back, exactly; what a manifest keeps of its spec.

Fractions are texts in lowest terms (`3/20`, `2`), so nothing is rounded, and every default is
written out. Specs of equal meaning are equal mixtures (`manifests.spec.read`), so they have equal
bytes under `manifests.fingerprint.canonical_json`.
"""

from dataclasses import fields, is_dataclass
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from manifests.errors import DataError
from manifests.fingerprint import canonical_json
from manifests.spec.types import SCHEMA, Mixture

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import TypeAdapter


def to_plain(mixture: Mixture) -> dict[str, Any]:
    """The mixture as JSON data."""
    return {"schema": SCHEMA, **_fields(mixture)}


def _fields(value: "DataclassInstance") -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return _fields(value) if is_dataclass(value) and not isinstance(value, type) else value


def from_plain(data: object, where: str) -> Mixture:
    """The mixture that `to_plain` made this of; `where` names it in errors.

    Raises:
        DataError: No mixture, or not as `to_plain` writes one.
    """
    from pydantic import ValidationError

    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise DataError(f"{where}: not a mixture of the schema {SCHEMA}")
    plain = {key: value for key, value in data.items() if key != "schema"}
    try:
        mixture = _adapter().validate_json(canonical_json(plain), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise DataError(f"{where}: not a mixture: {at}: {first['msg']}") from error
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if canonical_json(to_plain(mixture)) != canonical_json(data):
        raise DataError(f"{where}: not the canonical form of a mixture; was it edited?")
    return mixture


@cache
def _adapter() -> "TypeAdapter[Mixture]":
    from pydantic import TypeAdapter

    return TypeAdapter(Mixture)
