"""`python -m pipelines`: run, plan, status, show, recipes."""

from collections.abc import Callable
from typing import Any

import click

ROOT = click.option("--root", required=True, help="Where everything is kept: any fsspec URL.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for programs.")
AS_JSON_LINES = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line on stdout, with everything."
)


@click.group(help="Runs of recipes: start one, plan it, see how far it is, look at what it made.")
def cli() -> None:
    pass


def _what_runs(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.argument("recipe"),
            click.argument("overrides", nargs=-1, metavar="[NAME=VALUE]..."),
            click.option(
                "--teacher",
                multiple=True,
                metavar="URL",
                help="A replica; repeatable. Recipes without a teacher take none.",
            ),
            click.option("--model", help="NAME or NAME@REVISION; default: the only one served."),
            click.option(
                "--role",
                multiple=True,
                metavar="ROLE=MODEL=URL",
                help="Another model for a role, as in critic=judge=http://host:8000.",
            ),
            click.option(
                "--tokenizer",
                metavar="FILE",
                help="tokenizer.json that tokens are counted with; default: one token a byte.",
            ),
        ]
    ):
        command = option(command)
    return command


@cli.command()
@_what_runs
@ROOT
@click.option(
    "--want",
    multiple=True,
    metavar="[GENERATOR=]AMOUNT",
    help="End with so many accepted records or tokens, as in rewrite_easy@1=5000records or"
    " 2e6tokens; without GENERATOR, of each that is not named.",
)
@click.option(
    "--max-teacher-tokens",
    type=click.FloatRange(1),
    help="End when teachers have written so many for the run's steps, as in 1e9.",
)
@click.option(
    "--max-hours",
    type=click.FloatRange(0, min_open=True),
    help="End when drivers of the run have worked for so long, resumed ones added up.",
)
@click.option("--reuse", multiple=True, metavar="RUN|STEP", help="Take its answers where equal.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that ask the teacher, each of many items at once; without one, tasks at once.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Items a worker works on at once.",
)
@click.option("--drop-transcripts", is_flag=True, help="Keep no answers of committed tasks.")
@click.option("--accept-code-change", is_flag=True, help="Go on with steps begun by other code.")
@AS_JSON
def run(recipe: str, root: str, as_json: bool, **options: Any) -> None:
    """Run RECIPE until every task has committed; the same command goes on after any stop.

    NAME=VALUE sets what the recipe can be asked with: `python -m pipelines recipes` lists it.
    """
    from pipelines.commands import run_recipe

    run_recipe(recipe, root, as_json=as_json, **options)


@cli.command()
@_what_runs
@click.option("--root", help="A root with measured commits, to take the numbers from.")
@click.option(
    "--tokens-per-second",
    type=click.FloatRange(0, min_open=True),
    help="Measured speed of one GPU (or CPU) in tokens written a second.",
)
@click.option(
    "--gpus", type=click.IntRange(1), default=1, show_default=True, help="That teach at once."
)
@click.option(
    "--target-tokens",
    type=click.FloatRange(0, min_open=True),
    help="Accepted tokens wanted in all, as in 400e9.",
)
@AS_JSON
def plan(recipe: str, as_json: bool, **options: Any) -> None:
    """Tell what RECIPE with these NAME=VALUE would do and take; writes nothing."""
    from pipelines.commands import plan_recipe

    plan_recipe(recipe, as_json=as_json, **options)


@cli.command()
@click.argument("run")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@ROOT
@click.option("--model", help="NAME or NAME@REVISION; default: the run's only teacher.")
def join(run: str, urls: tuple[str, ...], root: str, model: str | None) -> None:
    """Let the teachers at URL... teach in RUN as well, which goes on meanwhile.

    RUN is a recipe, or the beginning of a run's id. A driver asks them within seconds, and so does
    every later one of the run.
    """
    from pipelines.readers import join_run

    join_run(run, urls, root, model)


@cli.command()
@click.argument("run", required=False)
@ROOT
@AS_JSON
def status(run: str | None, root: str, as_json: bool) -> None:
    """How far a run is, from the store alone.

    RUN is the beginning of a run's id; without it all runs on the root are told.
    """
    from pipelines.readers import print_status

    print_status(run, root, as_json=as_json)


@cli.command()
@click.argument("step")
@ROOT
@click.option("-n", "limit", type=click.IntRange(1), default=3, show_default=True, help="Rows.")
@click.option("--record", metavar="ID", help="Rows whose id begins so, instead of the first.")
@click.option("--rejects", is_flag=True, help="What was refused instead, and why.")
@click.option("--transcript", is_flag=True, help="Also every question asked, and its answer.")
@AS_JSON_LINES
def show(step: str, root: str, record: str | None, **options: Any) -> None:
    """Print rows of STEP with all that they were made from: calls, seed, document.

    STEP is a name, as in rewrite_easy, or the beginning of an address, as in
    rewrite_easy@1/3f2a. The transcript is made by running the generator again over the stored
    answers, which proves that the row can be made again.
    """
    from pipelines.readers import print_rows

    print_rows(step, root, row_id=record, **options)


@cli.command()
@click.argument("overrides", nargs=-1, metavar="[NAME=VALUE]...")
@ROOT
@click.option("--accept-code-change", is_flag=True, help="Go on with steps begun by other code.")
@AS_JSON
def quickstart(
    overrides: tuple[str, ...], root: str, accept_code_change: bool, as_json: bool
) -> None:
    """Run the recipe quickstart with the packaged teacher, started and stopped for it.

    NAME=VALUE sets what the recipe can be asked with: `python -m pipelines recipes` lists it.
    """
    from pipelines import quickstart as command

    command.quickstart(root, overrides, accept_code_change=accept_code_change, as_json=as_json)


@cli.command()
@AS_JSON
def recipes(as_json: bool) -> None:
    """List the recipes, what each can be asked with, and the generators."""
    from pipelines.readers import print_recipes

    print_recipes(as_json=as_json)
