"""Which committed steps a first mixture can be made of: finished records, each text once.

Where steps have been tokenized, it is made of these alone: a trainer reads ids, not texts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from manifests.select.rows import ROW_TYPES
from manifests.stats import Volume
from manifests.views.steps import StepLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """The steps to take, and why the others are left."""

    tokenizer: str
    """The one that counted most of the tokens; empty when there is nothing to take."""
    steps: dict[str, StepLine]
    """By the shortest text that means this step and no other."""
    left: tuple[tuple[str, str], ...]
    """Steps of records or token documents that are not taken, each with the reason."""

    @property
    def buckets(self) -> dict[str, Volume]:
        """What there is, by bucket."""
        found: dict[str, Volume] = {}
        for line in self.steps.values():
            for name, volume in line.buckets.items():
                found[name] = found.get(name, Volume()) + volume
        return {name: volume for name, volume in sorted(found.items()) if volume.tokens}


def usable(lines: Sequence[StepLine]) -> Usable:
    """Choose among all steps of a root."""
    records = [line for line in lines if line.row_type in ROW_TYPES]
    read = {address for line in records if line.complete for address in line.inputs}
    whole = [line for line in records if line.complete and line.tokens and line.step not in read]
    of_ids = [line for line in whole if line.row_type == "tokendocument"]
    whole = of_ids or whole
    tokenizer = _most_used(whole)
    fitting = _one_form([line for line in whole if line.tokenizers == (tokenizer,)])
    newest: dict[str, StepLine] = {}
    for line in fitting:  # of one version with several parameters, the largest
        name = line.name.partition("@")[0]
        newest[name] = max(newest.get(name, line), line, key=lambda one: (one.tokens, one.step))
    taken = {_text(line, lines): line for line in newest.values()}
    chosen = {line.step for line in newest.values()}
    left = [(line.short, _why(line, read, tokenizer, bool(of_ids))) for line in records]
    kept = [pair for line, pair in zip(records, left, strict=True) if line.step not in chosen]
    return Usable(tokenizer=tokenizer, steps=taken, left=tuple(kept))


def _one_form(lines: Sequence[StepLine]) -> list[StepLine]:
    """Of the same records tokenized in several forms those with the plainest name."""
    plainest: dict[tuple[str, ...], str] = {}
    for line in sorted(lines, key=lambda one: (len(one.name), one.name)):
        if line.row_type == "tokendocument":
            plainest.setdefault(line.inputs, line.name)
    return [line for line in lines if plainest.get(line.inputs, line.name) == line.name]


def _most_used(lines: Iterable[StepLine]) -> str:
    tokens: dict[str, int] = {}
    for line in lines:
        for name in line.tokenizers:
            tokens[name] = tokens.get(name, 0) + line.tokens
    return max(sorted(tokens), key=lambda name: tokens[name], default="")


def _text(line: StepLine, lines: Sequence[StepLine]) -> str:
    """`name@version`, with the start of the fingerprint where there are several of it."""
    same = [one.step for one in lines if one.name == line.name]
    fingerprint = line.step.rpartition("/")[2]
    for digits in (0, 8, len(fingerprint)):
        start = f"{line.name}/{fingerprint[:digits]}"
        if sum(step.startswith(f"steps/{start}") for step in same) == 1:
            break
    return start.rstrip("/")


def _why(line: StepLine, read: set[str], tokenizer: str, of_ids: bool) -> str:
    if not line.complete:
        return "not complete"
    if not line.tokens:
        return "no tokens"
    if line.step in read:
        return "another step was made from it"
    if of_ids and line.row_type == "record":
        return "not tokenized, as others are"
    if line.tokenizers != (tokenizer,):
        return f"counted with {', '.join(line.tokenizers)}"
    return "another version, run or form of the same step is taken"
