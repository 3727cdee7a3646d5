"""`python -m trainer export` and `import`: checkpoints and Hugging Face directories."""

from pathlib import Path

import click

from manifests.cli.options import echo_json, json_option, root_option

_DTYPE = click.Choice(["bfloat16", "float32"])


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The new directory.",
)
@root_option
@click.option(
    "--names",
    type=click.Choice(["phi3", "llama"]),
    default="phi3",
    show_default=True,
    help="Of the weights: Phi3ForCausalLM, as phi-4 was published, or LlamaForCausalLM.",
)
@click.option("--dtype", type=_DTYPE, help="Of the weights.  [default: as in the checkpoint]")
@click.option(
    "--config",
    metavar="NAME|FILE",
    help="The model, where the checkpoint was trained with a TOML file.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The manifest's tokenizer, where the root does not keep it.",
)
@click.option(
    "--max-shard-size",
    "largest",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="GB",
    help="Of a file of weights, in 10^9 bytes.",
)
@json_option
def export(
    checkpoint: Path,
    to: Path,
    root: str,
    names: str,
    dtype: str | None,
    config: str | None,
    tokenizer: Path | None,
    largest: float,
    as_json: bool,
) -> None:
    """Write CHECKPOINT as a new directory that transformers and vLLM load.

    Weights, config.json, the manifest's tokenizer with the chat template, and a card that names the
    manifest, the phase and the step. CHECKPOINT may be a phase's folder, whose newest is taken.
    """
    from dataclasses import asdict

    from trainer.convert.export import export_checkpoint
    from trainer.convert.parts import Names

    made = export_checkpoint(
        checkpoint,
        to,
        root=root,
        names=Names(names),
        dtype=dtype,
        config=config,
        tokenizer=tokenizer,
        largest=int(largest * 1e9),
    )
    if as_json:
        echo_json(asdict(made))
        return
    click.echo(
        f"{made.path} is step {made.step:,} of phase {made.phase} of sha256:{made.manifest[:12]}:"
        f" {made.parameters:,} parameters in {made.dtype}, names as in {made.names}"
    )


@click.command(name="import")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--config", required=True, metavar="NAME|FILE", help="The model.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="The new checkpoint's directory.",
)
@click.option("--dtype", type=_DTYPE, help="Of the weights.  [default: as in DIRECTORY]")
@click.option(
    "--vocabulary",
    type=click.IntRange(min=1),
    metavar="N",
    help="Ids of the model, where the tokenizer has more than DIRECTORY: new rows are the mean.",
)
@json_option
def import_directory(
    directory: Path,
    config: str,
    out: Path,
    dtype: str | None,
    vocabulary: int | None,
    as_json: bool,
) -> None:
    """Write the Hugging Face DIRECTORY as a checkpoint, for trainer run --init.

    Weights only, at step 0: no state of an optimizer.
    """
    from dataclasses import asdict

    from trainer.convert.importing import import_model

    made = import_model(directory, out, config=config, dtype=dtype, vocabulary=vocabulary)
    if as_json:
        echo_json(asdict(made))
        return
    click.echo(
        f"{made.path} has {made.parameters:,} parameters in {made.dtype}; they were trained with"
        f" rope_base = {made.rope_base:g}, which the phase that goes on has to say"
    )
