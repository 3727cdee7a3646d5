"""The quick start as one command: start the packaged teacher, run the recipe, stop the teacher."""

from typing import Any

import click

from infra.setup.environments import environment
from infra.setup.models import teacher_model
from infra.teacher.launch import Launch
from infra.teacher.packaged import MAX_MODEL_LEN
from infra.teacher.serving import Serving
from manifests.store import open_store
from pipelines import overrides
from pipelines.commands import is_complete, make_plan, named_tokenizer, print_run, run_recipe
from pipelines.recipes.quickstart import quickstart as recipe
from pipelines.teachers import planned_teachers


def quickstart(root: str, given: tuple[str, ...], *, as_json: bool, **options: Any) -> None:
    """Run the recipe `quickstart` with a teacher of its own; without it when all is done."""
    model = teacher_model()
    python = environment("teacher") / "bin" / "python"
    launch = Launch(model=str(model), python=str(python), max_model_len=MAX_MODEL_LEN)
    values = overrides.parse("quickstart", recipe, given)
    tokenizer = str(model / "tokenizer.json")
    teachers = planned_teachers(launch.teacher().name, {})
    plan = make_plan("quickstart", values, teachers, named_tokenizer(tokenizer))
    store = open_store(root)
    if is_complete(store, plan):
        print_run(store, plan, root, as_json=as_json)
        return
    click.echo("starting the teacher (a minute on a laptop)", err=True)
    with Serving(launch) as serving:
        click.echo(f"teacher ready: {serving.url}", err=True)
        run_recipe(
            "quickstart",
            root,
            as_json=as_json,
            overrides=given,
            teacher=(serving.url,),
            model=None,
            role=(),
            tokenizer=tokenizer,
            reuse=(),
            workers=1,
            in_flight=64,
            drop_transcripts=False,
            **options,
        )
