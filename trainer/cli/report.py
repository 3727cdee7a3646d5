"""`python -m trainer curves` and `ablate`."""

from pathlib import Path

import click

from manifests.cli.options import json_option, root_option
from trainer.cli.options import config_option


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Draw it there too.")
@click.option("--width", type=click.IntRange(40), default=100, show_default=True)
def curves(out: Path, png: Path | None, width: int) -> None:
    """Draw the loss of the training in OUT, phase behind phase."""
    from trainer.report.curves import draw, read_curves, text_of

    found = read_curves(out)
    click.echo(text_of(found, width))
    if png:
        draw(found, png)
        click.echo(f"drawn to {png}", err=True)


@click.command()
@click.argument("mixtures", nargs=-1, required=True, metavar="NAME=REF#PHASE...")
@root_option
@click.option("--eval", "held_out", required=True, metavar="REF#PHASE", help="The held-out set.")
@config_option
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder a mixture, and ablation.json.",
)
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Train so many steps of each.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Of the weights of all.")
@click.option("--eval-samples", type=click.IntRange(1), default=256, show_default=True)
@click.option("--workers", type=click.IntRange(0), default=2, show_default=True, metavar="N")
@json_option
def ablate(
    mixtures: tuple[str, ...],
    root: str,
    held_out: str,
    config: str,
    out: Path,
    steps: int | None,
    seed: int | None,
    eval_samples: int,
    workers: int,
    as_json: bool,
) -> None:
    """Train the same model on several mixtures and compare what each learned.

    Losses are in nats a token, by source of the held-out set. The same command again trains only
    what is not done.
    """
    from trainer.report import ablation

    arms = [ablation.parse_arm(text) for text in mixtures]
    ablation.refuse(arms, root, held_out, config, out)
    options = ["--config", config, "--eval-samples", str(eval_samples), "--workers", str(workers)]
    options += ["--steps", str(steps)] if steps else []
    options += ["--seed", str(seed)] if seed is not None else []
    learned = [ablation.run_arm(arm, root, held_out, out, options) for arm in arms]
    text = ablation.as_json(learned, held_out)
    (out / "ablation.json").write_text(text + "\n")
    click.echo(text if as_json else ablation.table(learned))
