"""Ablation: the same model on several mixtures, and what each learned of each held-out source.

Every mixture is trained by a run of its own, from the same weights, with the same settings, and is
then asked about the same held-out samples. A run that is complete already is not run again.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import ConfigError, ScriptoriumError
from trainer.loop.lines import read_lines
from trainer.loop.metrics import FILE
from trainer.loop.request import Request
from trainer.loop.task import open_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One mixture of an ablation."""

    name: str
    ref: str
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one arm came to on a held-out set."""

    arm: Arm
    loss: float
    """Nats a token, over the whole set."""
    sources: Mapping[str, float]
    """By source."""


def parse_arm(text: str) -> Arm:
    """`NAME=REF#PHASE`.

    Raises:
        ConfigError: Not of that form.
    """
    name, equals, rest = text.partition("=")
    ref, mark, phase = rest.partition("#")
    if not (name and equals and ref and mark and phase) or "/" in name:
        raise ConfigError(f"{text}: expected NAME=REF#PHASE, as in more_code=mix-b#pretrain")
    return Arm(name=name, ref=ref, phase=phase)


def refuse(arms: Sequence[Arm], root: str, held_out: str, config: str, out: Path) -> None:
    """Raise ConfigError where one of the runs would be refused, before the first is begun."""
    names = [arm.name for arm in arms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"two mixtures have the name {twice[0]}: give each its own, as its folder"
        )
    for arm in arms:
        open_run(
            Request(
                ref=arm.ref,
                root=root,
                phases=(arm.phase,),
                config=config,
                out=out / arm.name,
                cache=out,
                evaluations=(held_out,),
            )
        )


def run_arm(arm: Arm, root: str, held_out: str, out: Path, options: Sequence[str]) -> Learned:
    """Train one arm, unless that is done, and read what it learned.

    Raises:
        ScriptoriumError: Its training failed; its own words stand above.
    """
    command = [sys.executable, "-m", "trainer", "run", arm.ref, "--root", root]
    command += ["--phase", arm.phase, "--init", "none", "--out", str(out / arm.name)]
    done = subprocess.run(
        [*command, "--eval", held_out, *options], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise ScriptoriumError(f"{arm.name}: its training ended with exit {done.returncode}")
    return read_learned(arm, held_out, out / arm.name / arm.phase / FILE)


def read_learned(arm: Arm, held_out: str, file: Path) -> Learned:
    """The last look at a held-out set.

    Raises:
        ConfigError: The set was not looked at.
    """
    looks = [
        line
        for line in read_lines(file)
        if line["kind"] == "evaluation" and line["set"] == held_out
    ]
    if not looks:
        raise ConfigError(f"{file}: {held_out} was not looked at; use another --out for this set")
    sources = looks[-1]["sources"]
    assert isinstance(sources, dict)
    return Learned(
        arm=arm,
        loss=float(str(looks[-1]["loss"])),
        sources={name: float(part["loss"]) for name, part in sources.items()},
    )


def table(learned: Sequence[Learned]) -> str:
    """Losses by source; below the first arm, the differences to it."""
    first = learned[0]
    names = list(first.sources)
    rows = [["mixture", *names, "all"]]
    for one in learned:
        cells = [f"{one.sources[name]:.4f}" for name in names]
        rows.append([one.arm.name, *cells, f"{one.loss:.4f}"])
        if one is not first:
            apart = [one.sources[name] - first.sources[name] for name in names]
            total = one.loss - first.loss
            rows.append([f"  - {first.arm.name}", *(f"{d:+.4f}" for d in [*apart, total])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_json(learned: Sequence[Learned], held_out: str) -> str:
    """For programs."""
    arms = [
        {
            "name": one.arm.name,
            "ref": one.arm.ref,
            "phase": one.arm.phase,
            "loss": one.loss,
            "sources": dict(one.sources),
        }
        for one in learned
    ]
    return json.dumps({"held_out": held_out, "mixtures": arms}, indent=2)
