"""The command line `python -m trainer`. Everything heavy is imported inside the commands."""

import click

from trainer.cli.hf import export, import_directory
from trainer.cli.plan import plan
from trainer.cli.reference import reference
from trainer.cli.release import release
from trainer.cli.report import ablate, curves
from trainer.cli.run import run


@click.group(name="trainer")
def cli() -> None:
    """Train on manifests with Megatron-core, phase by phase.

    REF stands for a manifest: NAME (the newest), NAME@3, NAME@TAG or sha256:DIGEST. A command that
    needs several ranks is started by torchrun: torchrun --nproc-per-node 8 -m trainer run ...
    """


cli.add_command(plan)
cli.add_command(export)
cli.add_command(import_directory)
cli.add_command(reference)
cli.add_command(ablate)
cli.add_command(curves)
cli.add_command(release)
cli.add_command(run)
