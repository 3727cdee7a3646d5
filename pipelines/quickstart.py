"""The quick start as one command: start the packaged teacher, run the recipe, stop the teacher."""

from typing import Any

import click

from infra.setup.environments import environment
from infra.setup.models import teacher_model
from infra.teacher.launch import Launch
from infra.teacher.serving import Serving
from pipelines.commands import run_recipe

MAX_MODEL_LEN = 4096


def quickstart(root: str, overrides: tuple[str, ...], **options: Any) -> None:
    """Run the recipe `quickstart` with a teacher of its own."""
    model = teacher_model()
    python = environment("teacher") / "bin" / "python"
    click.echo("starting the teacher (a minute on a laptop)", err=True)
    launch = Launch(model=str(model), python=str(python), max_model_len=MAX_MODEL_LEN)
    with Serving(launch) as serving:
        click.echo(f"teacher ready: {serving.url}", err=True)
        run_recipe(
            "quickstart",
            root,
            overrides=overrides,
            teacher=(serving.url,),
            model=None,
            role=(),
            tokenizer=str(model / "tokenizer.json"),
            reuse=(),
            workers=1,
            in_flight=64,
            drop_transcripts=False,
            **options,
        )
