"""The quick start as one command: its own teacher, the recipe, a manifest of what was made."""

from importlib import resources
from pathlib import Path
from typing import Any

import click

from infra.setup.environments import environment
from infra.setup.models import teacher_model
from infra.teacher.launch import Launch
from infra.teacher.packaged import MAX_MODEL_LEN
from infra.teacher.serving import Serving
from manifests.cli.building import make_plan as plan_mixture
from manifests.cli.building import publish_plan
from manifests.errors import ConfigError
from manifests.store import Store, open_store
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
        _mix(store, root, quiet=as_json)
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
            want=(),
            max_teacher_tokens=None,
            max_hours=None,
            reuse=(),
            workers=1,
            in_flight=64,
            drop_transcripts=False,
            **options,
        )
    _mix(store, root, quiet=as_json)


def _mix(store: Store, root: str, *, quiet: bool) -> None:
    """Build the mixture `quickstart` over what was made; with `quiet`, stdout stays as it is.

    What the small teacher writes may be too little for it, which is no failure of the run.
    """
    mixture = resources.files("manifests") / "mixtures" / "quickstart.toml"
    try:
        with resources.as_file(mixture) as spec:
            version = publish_plan(store, plan_mixture(store, Path(spec)), "the quick start", None)
    except ConfigError as error:
        click.echo(f"no manifest: {error}", err=True)
        return
    ref = f"{version.name}@{version.number}"
    look = f"python -m manifests show {ref} --root {root}"
    click.echo(
        f"\nmanifest      {ref} sha256:{version.digest[:12]}\nlook at it    {look}", err=quiet
    )
