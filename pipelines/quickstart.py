"""The quick start as one command: a teacher of its own, the recipe, token shards, a manifest of
them, and a small model that is trained on it.
"""

import sys
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
from manifests.errors import ConfigError, ScriptoriumError
from manifests.objects.log import Version
from manifests.store import Store, open_store
from manifests.tokenizers import tokenizer_of
from pipelines import overrides, status, view
from pipelines.children import run_child
from pipelines.commands import (
    end_run,
    is_complete,
    make_plan,
    named_tokenizer,
    plan_of,
    print_run,
    run_plan,
    run_recipe,
)
from pipelines.plan import Plan
from pipelines.recipes.flow import Setting
from pipelines.recipes.quickstart import quickstart as recipe
from pipelines.recipes.quickstart import quickstart_tokens
from pipelines.teachers import NOBODY, planned_teachers

ALONE = {
    "max_teacher_tokens": None,
    "max_hours": None,
    "workers": 1,
    "in_flight": 64,
    "drop_transcripts": False,
}
"""How it runs: one worker, no ceilings."""


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
    else:
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
                reuse=(),
                **ALONE,
                **options,
            )
    _tokenize(store, plan, Path(tokenizer), options, quiet=as_json)
    if (version := _mix(store, root, quiet=as_json)) and "://" not in root:
        _train(version, Path(root), quiet=as_json)


def _tokenize(
    store: Store, made: Plan, tokenizer: Path, options: dict[str, Any], *, quiet: bool
) -> None:
    """Turn what was screened into token shards; with `quiet`, stdout stays as it is."""
    setting = Setting(teachers=(), tokenizer=tokenizer_of(tokenizer), store=store)
    flow = quickstart_tokens(setting, screened=made.ends)
    plan = plan_of("quickstart_tokens", {}, flow, tokenizer_file=tokenizer)
    report = run_plan(store, plan, NOBODY, (), {**ALONE, **options})
    found = status.run_status(store, status.find_run(store, plan.run))
    click.echo(f"\n{view.run_table(found, store.url)}", err=quiet)
    end_run(report)


def _mix(store: Store, root: str, *, quiet: bool) -> Version | None:
    """Build the mixture `quickstart` over what was made; None where that cannot be.

    With `quiet`, stdout stays as it is. What the small teacher writes may be too little for it,
    which is no failure of the run.
    """
    mixture = resources.files("manifests") / "mixtures" / "quickstart.toml"
    try:
        with resources.as_file(mixture) as spec:
            version = publish_plan(store, plan_mixture(store, Path(spec)), "the quick start", None)
    except ConfigError as error:
        click.echo(f"no manifest: {error}", err=True)
        return None
    ref = f"{version.name}@{version.number}"
    look = f"python -m manifests show {ref} --root {root}"
    click.echo(
        f"\nmanifest      {ref} sha256:{version.digest[:12]}\nlook at it    {look}", err=quiet
    )
    return version


def _train(version: Version, root: Path, *, quiet: bool) -> None:
    """Train the model `tiny` on all phases of the manifest, and draw its loss.

    By commands of the trainer, in processes of their own: Ray and Megatron need not share one.
    """
    out = root / "training" / version.digest[:12]
    if (out / "loss.png").exists():
        return
    run = [
        "run",
        f"sha256:{version.digest}",
        "--root",
        str(root),
        "--phase",
        "all",
        "--config",
        "tiny",
    ]
    curves = ["curves", str(out), "--png", str(out / "loss.png")]
    click.echo("\ntraining      a small model on all phases (a minute)", err=quiet)
    for command in ([*run, "--out", str(out), "--workers", "0"], curves):
        trainer = [sys.executable, "-m", "trainer", *command]
        if code := run_child(trainer, stdout=sys.stderr if quiet else None):
            raise ScriptoriumError(f"the training ended with exit {code}")
    click.echo(f"loss curve    {out / 'loss.png'}\ncheckpoints   {out}", err=quiet)
