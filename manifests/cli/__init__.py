"""The command line `manifest`: a module for each family of commands.

Everything heavy is imported inside the commands, so that help and completion come at once.
"""

import click

from manifests.cli.build import build, plan
from manifests.cli.change import merge, rebase
from manifests.cli.compare import diff, explain
from manifests.cli.export import export
from manifests.cli.init import init
from manifests.cli.locate import at, where
from manifests.cli.look import list_manifests, show
from manifests.cli.names import gc, tag, untag
from manifests.cli.schema import schema
from manifests.cli.shell import completion
from manifests.cli.sign import sign, verify_signature
from manifests.cli.steps import step
from manifests.cli.verify import verify

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "From data to a manifest": (step, init, schema, plan, build),
    "Manifests": (list_manifests, show),
    "Mixtures that change": (rebase, merge),
    "What they train on": (explain, diff, where, at),
    "Trust, and other formats": (verify, sign, verify_signature, export),
    "Names and room": (tag, untag, gc),
    "This command": (completion,),
}


class Sections(click.Group):
    """A group whose help lists its commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Draw SECTIONS, each command with the first line of its help."""
        width = max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [(str(c.name).ljust(width), c.get_short_help_str(80)) for c in commands]
                formatter.write_dl(rows)


@click.group(name="manifest", cls=Sections)
def cli() -> None:
    """Versioned mixtures of training data.

    A spec in TOML says which committed data is trained on and how much of it; `build` resolves it
    into a manifest that never changes and gives it a name. REF stands for a manifest: NAME (the
    newest), NAME@3, NAME@TAG or sha256:DIGEST.
    """


for _commands in SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)
