"""How results look in a terminal: aligned tables, short numbers, shares, bars."""

import sys
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction

import click

_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
_EIGHTHS = " ▏▎▍▌▋▊▉"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)
) -> list[str]:
    """Aligned lines: the columns `left` to the left, the others to the right.

    Columns that are empty in every row are left out.
    """
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    lines = [[row[at] for at in kept] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if kept[at] in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def short(number: int) -> str:
    """Three digits that matter, as in 1.3T, 290B, 12.5K; below a thousand the number itself."""
    for unit, letter in _UNITS:
        if abs(number) >= unit:
            hundredths = (abs(number) * 100 + unit // 2) // unit
            if hundredths >= 100_000 and unit < 10**12:  # 999,999 is 1M and not 1000K
                return short((1 if number > 0 else -1) * unit * 1000)
            digits = 2 if hundredths < 1000 else 1 if hundredths < 10_000 else 0
            text = f"{decimal(Fraction(abs(number), unit), digits)}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return f"{'-' if number < 0 else ''}{text}{letter}"
    return str(number)


def decimal(number: Fraction, digits: int) -> str:
    """A number to so many decimals, halves away from zero: exact, whatever its size."""
    scaled, sign = abs(number) * 10**digits, "-" if number < 0 else ""
    whole = int(scaled + Fraction(1, 2))
    if not digits:
        return f"{sign}{whole}"
    return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}}"


def percent(share: Fraction) -> str:
    """A share with one decimal; a little is never shown as nothing, nor almost all as all."""
    if 0 < share < Fraction(1, 2000):
        return "<0.1%"
    if Fraction(1999, 2000) <= share < 1:
        return ">99.9%"
    return f"{decimal(share * 100, 1)}%"


def bar(share: Fraction, width: int = 20) -> str:
    """A bar as long as the share, to an eighth of a character; plain where a terminal needs it."""
    eighths = int(min(max(share, Fraction(0)), Fraction(1)) * width * 8 + Fraction(1, 2))
    full, part = divmod(eighths, 8)
    if not _draws_blocks():
        return "#" * (full + (part >= 4))
    return "█" * full + (_EIGHTHS[part] if part else "")


def _draws_blocks() -> bool:
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    return encoding.replace("-", "").startswith("utf")


def plural(count: int, thing: str) -> str:
    """The number and the word."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def warn(text: str) -> str:
    """A line that asks for attention; click drops the colour where no terminal reads it."""
    return f"{click.style('warning:', fg='yellow')} {text}"


def progress() -> Callable[[str, int, int], None] | None:
    """Shows how far long work is, on a terminal's stderr; None where nobody watches."""
    if not sys.stderr.isatty():
        return None

    def show(what: str, done: int, total: int) -> None:
        click.echo(f"\r{what}: {done:,} of {total:,}\x1b[K", nl=done >= total, err=True)

    return show
