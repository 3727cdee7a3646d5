"""How a source is cut: the reader of `strata`, whose weights take three shapes."""

from fractions import Fraction
from itertools import pairwise

from manifests.spec import keys
from manifests.spec.form import NUMBER, RATIO, TEXT, Place, Table, parsed
from manifests.spec.quantities import shown
from manifests.spec.types import Strata


def read_strata(value: object, place: Place) -> Strata:
    """The strata in this table.

    Raises:
        ConfigError: Bounds that do not fit the column, or weights that do not fit the strata.
    """
    table = Table(value, keys.STRATUM, place)
    by = table.need(keys.BY)
    bounds = _bounds(by, table.get(keys.BOUNDS), place)
    weights = table.get(keys.WEIGHTS)
    if weights is None:
        return Strata(by=by, bounds=bounds)
    here = place.at("weights")
    match weights:
        case str():
            return Strata(by=by, bounds=bounds, rule=parsed(keys.RULE, weights, here))
        case list() if bounds:
            names = Strata(by=by, bounds=bounds).numbered
            if len(weights) != len(names):
                raise here.error(
                    f"{len(bounds)} bounds make {len(names)} strata, but there are "
                    f"{len(weights)} weights; give one a stratum"
                )
            factors = dict(zip(names, weights, strict=True))
        case dict() if not bounds and weights:
            factors = {parsed(TEXT, name, here): weight for name, weight in weights.items()}
        case _:
            expected = "a list, one a stratum" if bounds else "a table, { value = factor }"
            raise here.error(
                f'{shown(weights)} does not fit {by}; write "proportional", "sqrt", "equal" or '
                f"{expected}"
            )
    return Strata(by=by, bounds=bounds, rule="weights", weights=_factors(factors, here))


def _bounds(by: str, values: list[object] | None, place: Place) -> tuple[float, ...]:
    if not keys.takes_numbers(by):
        if values is not None:
            raise place.error(f"{by} is a column of texts and has no bounds; leave them out")
        return ()
    if not values:
        raise place.error(f"{by} is a column of numbers; say where to cut, as in bounds = [16384]")
    bounds = tuple(
        parsed(NUMBER, value, place.at("bounds", number)) for number, value in enumerate(values, 1)
    )
    if any(low >= high for low, high in pairwise(bounds)):
        raise place.at("bounds").error("each bound must be above the one before")
    return bounds


def _factors(values: dict[str, object], place: Place) -> tuple[tuple[str, Fraction], ...]:
    found = {name: parsed(RATIO, value, place.at(name)) for name, value in values.items()}
    return tuple(sorted(found.items()))
