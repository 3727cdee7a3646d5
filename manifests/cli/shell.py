"""Completion of commands, options and manifests in a shell."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets a shell complete `manifest`.

    For bash or zsh, put this into ~/.bashrc or ~/.zshrc, with the shell's own name:
    eval "$(manifest completion bash)". For fish, this into ~/.config/fish/config.fish:
    manifest completion fish | source

    Names, versions and tags of manifests complete where SCRIPTORIUM_ROOT is set, or --root stands
    before them.
    """
    from click.shell_completion import get_completion_class

    from manifests.cli import cli

    made = get_completion_class(shell)
    assert made is not None  # the choices are those that click has
    click.echo(made(cli, {}, "manifest", "_MANIFEST_COMPLETE").source())
