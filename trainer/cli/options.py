"""What several commands of the trainer ask for in the same words."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., object])

COUNT = click.IntRange(min=1)


def config_option(command: _Command) -> _Command:
    """Add `--config`, as `config`."""
    return click.option(
        "--config",
        required=True,
        metavar="NAME|FILE",
        help="The model: tiny, 125m, 1b, phi4_14b, or a TOML file.",
    )(command)


def cache_option(command: _Command) -> _Command:
    """Add `--cache`."""
    return click.option(
        "--cache",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "scriptorium",
        show_default="~/.cache/scriptorium",
        help="A folder of this machine: what is fetched or found out about the data is kept there.",
    )(command)


def phases_option(*, default: str | None = None) -> Callable[[_Command], _Command]:
    """Add `--phase`, of one or several, as `phases`; without a default it has to be given."""
    return click.option(
        "--phase",
        "--phases",
        "phases",
        required=default is None,
        default=default,
        show_default=default is not None,
        metavar="NAME[,NAME...]",
        help="The phases, one after another; all: every one, in the manifest's order.",
    )


def layout_options(command: _Command) -> _Command:
    """Add `--tensor-parallel` and `--pipeline-parallel`, as `tensor` and `pipeline`."""
    stages = click.option(
        "--pipeline-parallel",
        "pipeline",
        type=COUNT,
        default=1,
        metavar="N",
        help="Stages that the layers are cut into; all other ranks are data-parallel.",
    )
    layers = click.option(
        "--tensor-parallel", "tensor", type=COUNT, default=1, metavar="N", help="Ranks a layer."
    )
    return layers(stages(command))
