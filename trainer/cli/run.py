"""`python -m trainer run`."""

import os
import sys
from pathlib import Path

import click

from manifests.cli.options import echo_json, json_option, ref_argument, root_option
from trainer.cli.options import COUNT, cache_option, config_option, layout_options, phases_option

_FROM_ZERO = click.IntRange(min=0)


@click.command()
@ref_argument
@root_option
@phases_option()
@config_option
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where checkpoints and logs go, a folder a phase; all ranks must see it.",
)
@cache_option
@click.option(
    "--init",
    default="",
    metavar="CHECKPOINT",
    help="What the first phase begins from; none: random weights. Without it a phase begins from"
    " what the phase before it left in OUT.",
)
@click.option(
    "--steps",
    type=COUNT,
    metavar="N",
    help="Stop each phase after N steps; its schedule stays that of the whole phase.",
)
@click.option("--micro-batch", type=COUNT, metavar="N", help="Samples of a micro batch.")
@layout_options
@click.option(
    "--workers",
    type=_FROM_ZERO,
    default=2,
    show_default=True,
    metavar="N",
    help="Processes a rank that read samples ahead.",
)
@click.option(
    "--save-every",
    type=COUNT,
    default=1000,
    show_default=True,
    metavar="N",
    help="Steps between checkpoints; there is always one after the last step.",
)
@click.option(
    "--keep",
    type=_FROM_ZERO,
    default=3,
    show_default=True,
    metavar="N",
    help="Checkpoints of a phase that are kept, the newest ones; 0: all.",
)
@click.option(
    "--eval",
    "evaluations",
    multiple=True,
    metavar="REF#PHASE",
    help="A held-out set, a phase of a manifest; may be given often.",
)
@click.option(
    "--eval-every",
    type=_FROM_ZERO,
    default=0,
    metavar="N",
    help="Steps between looks at the held-out sets; there is always one after the last step.",
)
@click.option(
    "--eval-samples",
    type=COUNT,
    default=256,
    show_default=True,
    metavar="N",
    help="Samples of each set that are looked at.",
)
@click.option("--seed", type=_FROM_ZERO, metavar="N", help="Of initialisation and dropout.")
@click.option(
    "--recompute/--no-recompute",
    default=None,
    help="Compute activations again in the backward pass instead of keeping them.",
)
@click.option(
    "--distributed-optimizer/--no-distributed-optimizer",
    default=None,
    help="Spread the optimizer's state over the data-parallel ranks. [default: on GPUs]",
)
@click.option(
    "--peak-tflops",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Of one device, for the MFU; known GPUs need none.",
)
@json_option
def run(
    ref: str,
    root: str,
    phases: str,
    out: Path,
    peak_tflops: float | None,
    evaluations: tuple[str, ...],
    as_json: bool,
    **asked: object,
) -> None:
    """Train phases of the manifest REF.

    The same command again goes on from the newest whole checkpoint in OUT, on any number of ranks:
    same samples, same order. SIGTERM and Ctrl-C save a checkpoint after the step that is under way.
    Loss, rates and speed go to OUT/PHASE/metrics.jsonl and to TensorBoard.
    """
    from dataclasses import asdict

    from trainer.loop.request import Request
    from trainer.loop.train import train

    found = train(
        Request(
            ref=ref,
            root=root,
            phases=() if phases == "all" else tuple(phases.split(",")),
            out=out.absolute(),
            peak_flops=peak_tflops * 1e12 if peak_tflops else None,
            evaluations=evaluations,
            **asked,  # type: ignore[arg-type]  # click has made them what the request says
        )
    )
    if os.environ.get("RANK", "0") == "0":
        if as_json:
            echo_json({"phases": [asdict(one) for one in found]})
        else:
            for one in found:
                loss = "" if one.loss is None else f", loss {one.loss:.4f}"
                click.echo(
                    f"{one.phase}: step {one.step:,} of {one.steps:,}{loss}: {one.checkpoint}"
                )
    if found[-1].signal:
        sys.exit(128 + found[-1].signal)
