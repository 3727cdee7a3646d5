"""`python -m trainer release`."""

from pathlib import Path

import click

from manifests.cli.options import echo_json, json_option, root_option


@click.command()
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
@root_option
@json_option
def release(out: Path, root: str, as_json: bool) -> None:
    """Let go of the manifests that the run in OUT holds, before OUT is removed.

    A run holds what its checkpoints were trained on, so that `manifest gc` keeps it.
    """
    from manifests.store import open_store
    from trainer.loop.pinning import let_all_go

    gone = let_all_go(open_store(root), out)
    if as_json:
        echo_json({"released": gone})
        return
    for digest in gone:
        click.echo(f"sha256:{digest}")
    if not gone:
        click.echo(f"{root} holds nothing for {out}; is it the root of the run?", err=True)
