"""A mixture as plain JSON data and back, exactly; what a manifest keeps of its spec.

Fractions are texts in lowest terms (`3/20`, `2`), so nothing is rounded, and every default is
written out. Specs of equal meaning are equal mixtures (`manifests.spec.read`), so they have equal
bytes under `manifests.fingerprint.canonical_json`.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from manifests.errors import DataError
from manifests.fingerprint import canonical_json
from manifests.spec.types import SCHEMA, Mixture

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def to_plain(mixture: Mixture) -> dict[str, Any]:
    """The mixture as JSON data."""
    plain: dict[str, Any] = _adapter().dump_python(mixture, mode="json")
    return {"schema": SCHEMA, **plain}


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
