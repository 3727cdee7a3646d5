"""Exact amounts: `--want GENERATOR=AMOUNT` on the command line becomes a last step of the plan."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from manifests.errors import ConfigError
from pipelines.step import Step
from pipelines.work.screen import Screen
from pipelines.work.take import Take, Unit

_AMOUNT = re.compile(r"(?P<number>\d[\d_]*(\.\d+)?([eE]\+?\d{1,2})?)(?P<unit>[a-z]+)")
_EXAMPLE = "rewrite_textbook@1=5000records or 2e6tokens"


@dataclass(frozen=True, slots=True)
class Want:
    """An amount asked of one generator, or of each that is not named by another want."""

    generator: str
    """`name@version`, or empty."""
    amount: int
    unit: Unit


def parse_wants(given: Sequence[str]) -> tuple[Want, ...]:
    """The wants in `[GENERATOR=]AMOUNT` texts.

    Raises:
        ConfigError: Not of that form, not a whole number above 0, or a generator given twice.
    """
    wants: dict[str, Want] = {}
    for text in given:
        generator, _, amount = text.rpartition("=")
        if generator in wants:
            raise ConfigError(f"--want {text}: {generator or 'every generator'} is given twice")
        wants[generator] = Want(generator, *_amount(text, amount))
    return tuple(wants.values())


def _amount(text: str, given: str) -> tuple[int, Unit]:
    found = _AMOUNT.fullmatch(given)
    if found is None or found["unit"] not in tuple(Unit):
        raise ConfigError(f"--want {text}: expected [GENERATOR=]AMOUNT, as in {_EXAMPLE}")
    number = Decimal(found["number"].replace("_", ""))
    if number < 1 or number != int(number):
        raise ConfigError(f"--want {text}: expected a whole number of {found['unit']}, at least 1")
    return int(number), Unit(found["unit"])


def with_wants(ends: Sequence[Step], wants: Sequence[Want]) -> tuple[Step, ...]:
    """The last steps of a plan; a step that takes goes behind those of which an amount is wanted.

    Raises:
        ConfigError: A want names a generator that the run does not have, or the run has none.
    """
    if wants and not all(isinstance(end.work, Screen) for end in ends):
        raise ConfigError("--want: this run screens nothing of which an amount could be asked")
    named = {want.generator: want for want in wants}
    known = [_generator(end) for end in ends]
    for name in named:
        if name and name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"this run has {', '.join(known)}"
            raise ConfigError(f"--want {name}: this run has no such generator; {hint}")
    return tuple(
        _taken(end, want) if (want := named.get(name, named.get(""))) else end
        for end, name in zip(ends, known, strict=True)
    )


def _generator(end: Step) -> str:
    """The step whose records are screened, by `name@version`."""
    (made,) = end.made or (end,)
    return f"{made.name}@{made.version}"


def _taken(screened: Step, want: Want) -> Step:
    assert isinstance(screened.work, Screen)
    work = Take(amount=want.amount, unit=want.unit, tokenizer=screened.work.tokenizer)
    name = f"{screened.name.removesuffix('_screened')}_taken"
    return Step(name=name, version=1, work=work, inputs=(screened,))
