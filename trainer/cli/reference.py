"""`python -m trainer reference`."""

import os
from pathlib import Path

import click

from manifests.cli.options import echo_json, json_option, ref_argument, root_option
from trainer.cli.options import COUNT, cache_option, config_option, layout_options


@click.command()
@ref_argument
@root_option
@click.option("--phase", required=True, metavar="P", help="A phase that learns from pairs.")
@click.option(
    "--init",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="What the phase will begin with: a checkpoint, or a phase's folder for its newest.",
)
@config_option
@cache_option
@click.option("--micro-batch", type=COUNT, metavar="N", help="Pairs of a micro batch.")
@layout_options
@json_option
def reference(ref: str, root: str, as_json: bool, **asked: object) -> None:
    """Compute what a checkpoint says of the pairs of a phase of the manifest REF.

    A phase with the loss dpo or pivotal needs this once, before it begins. The same command again
    goes on with what is missing. The result lies in the store, under the digests of the manifest
    and of the checkpoint.
    """
    from dataclasses import asdict

    from trainer.losses.reference_run import Asked, compute

    done = compute(Asked(ref=ref, root=root, **asked))  # type: ignore[arg-type]  # as click made them
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        echo_json(asdict(done))
    else:
        click.echo(
            f"{done.phase}: {done.pairs:,} pairs under checkpoint {done.checkpoint[:12]},"
            f" {done.computed:,} of {done.slices:,} slices computed: {done.address}"
        )
