"""What the commands do; imported only when one is given, so that --help is instant."""

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from generators.catalog import CURATORS, GENERATORS
from infra.logs import log_to_stderr
from manifests.commits import Commit, read_commits
from manifests.errors import ConfigError
from manifests.store import Store, open_store, probe
from pipelines import overrides, status, view
from pipelines.estimate import bill, estimate
from pipelines.plan import Plan, code_version, read_runs, record_plan
from pipelines.recipes.catalog import RECIPES, recipe
from pipelines.recipes.flow import Flow, Setting
from pipelines.show import rows
from pipelines.step import Step
from pipelines.teachers import Teachers, find_teachers, parse_roles, planned_teachers
from pipelines.tokens import Tokenizer, keep_tokenizer, tokenizer_of
from pipelines.work.generate import Generate

STOPPED = 143
"""Exit status of a run that was asked to stop: 128 + SIGTERM."""


def run_recipe(name: str, root: str, *, as_json: bool, **options: Any) -> None:
    """Run a recipe to its end."""
    log_to_stderr()
    function = recipe(name)
    values = overrides.parse(name, function, options["overrides"])
    roles = parse_roles(options["role"])
    if not options["teacher"]:
        raise ConfigError(
            "no teacher: give --teacher URL (`python -m infra.teacher serve` makes one)"
        )
    store = open_store(root)
    probe(store)
    teachers = find_teachers(options["teacher"], options["model"], roles)
    plan = _plan(name, values, teachers, options["tokenizer"])
    reuse = tuple(_reused(store, options["reuse"]))
    record_plan(store, plan, accept_code=options["accept_code_change"])
    if plan.tokenizer_file:
        keep_tokenizer(store, plan.tokenizer_file)
    click.echo(f"run {plan.run} ({name}) on {root}", err=True)
    finished = _drive(store, plan, teachers, reuse, options)
    found = status.run_status(store, status.find_run(store, plan.run))
    click.echo(json.dumps(status.as_json(found)) if as_json else view.run_text(found, root))
    if not finished:
        click.echo("stopped; the same command goes on from here", err=True)
        sys.exit(STOPPED)


def _drive(
    store: Store, plan: Plan, teachers: Teachers, reuse: tuple[str, ...], options: dict[str, Any]
) -> bool:
    from pipelines import cluster
    from pipelines.progress import Progress
    from pipelines.runner import Options, Runner
    from pipelines.worker import WorkerConfig

    worker = WorkerConfig(
        root=store.url,
        endpoints=teachers.endpoints,
        roles=teachers.roles,
        code=code_version(),
        items_in_flight=options["in_flight"],
    )
    chosen = Options(
        workers=options["workers"],
        reuse=reuse,
        keep_transcripts=not options["drop_transcripts"],
    )
    progress = Progress()
    # Ray's own threads print to stdout, which is for results.
    with redirect_stdout(sys.stderr), cluster.connected(chosen.workers):
        try:
            return not Runner(store, plan, worker, chosen, progress).run().stopped
        finally:
            progress.close()


def _plan(name: str, values: dict[str, Any], teachers: Teachers, tokenizer: str | None) -> Plan:
    file = Path(tokenizer) if tokenizer else None
    counted = tokenizer_of(file) if file else Tokenizer()
    setting = Setting(teachers=tuple(sorted(teachers.roles.items())), tokenizer=counted)
    made: Flow = recipe(name)(setting, **values)
    return Plan(
        recipe=name,
        arguments=overrides.shown(values),
        ends=made.ends,
        slices=made.slices,
        inventory=made.inventory,
        tokenizer_file=file,
    )


def _reused(store: Store, given: tuple[str, ...]) -> list[str]:
    """Addresses of the generate steps of the runs and steps named."""
    found: list[str] = []
    for name in given:
        runs = [note for note in read_runs(store) if note.run.startswith(name)]
        if len(runs) == 1:
            found += [step.address for step in runs[0].steps if step.kind == Generate.__name__]
        else:
            found.append(status.find_step(store, name)[0])
    return found


def plan_recipe(name: str, *, as_json: bool, **options: Any) -> None:
    """Tell what a recipe would do."""
    function = recipe(name)
    values = overrides.parse(name, function, options["overrides"])
    roles = parse_roles(options["role"])
    if options["teacher"]:
        teachers = find_teachers(options["teacher"], options["model"], roles)
    else:
        teachers = planned_teachers(options["model"], roles)
    plan = _plan(name, values, teachers, options["tokenizer"])
    store = open_store(options["root"]) if options["root"] else None
    estimates = [
        estimate(step, plan.slices, _measured(store, step))
        for step in plan.steps
        if step.asks_teacher
    ]
    cost = None
    if options["tokens_per_second"]:
        cost = bill(
            estimates,
            tokens_a_second=options["tokens_per_second"],
            gpus=options["gpus"],
            target_tokens=options["target_tokens"],
        )
    elif options["target_tokens"]:
        raise ConfigError("--target-tokens needs --tokens-per-second: the measured speed of a GPU")
    click.echo(
        view.plan_json(plan, estimates, cost) if as_json else view.plan_text(plan, estimates, cost)
    )


def _measured(store: Store | None, step: Step) -> list[Commit]:
    """Commits of the newest run's step of the same name."""
    if store is None:
        return []
    addresses = [note.address for run in read_runs(store) for note in run.steps]
    like = [a for a in addresses if a.split("/")[1] == f"{step.name}@{step.version}"]
    same = [step.address] if step.address in like else like[-1:]
    return [commit for address in same for commit in read_commits(store, address)]


def print_status(run: str | None, root: str, *, as_json: bool) -> None:
    """How far a run is; all runs when several are there and none is named."""
    store = open_store(root)
    notes = read_runs(store)
    chosen = [status.find_run(store, run)] if run or len(notes) < 2 else list(notes)
    found = [status.run_status(store, note) for note in chosen]
    if as_json:
        click.echo(json.dumps([status.as_json(one) for one in found]))
    else:
        click.echo("\n\n".join(status.table(one, root) for one in found))


def print_rows(step: str, root: str, limit: int, *, rejects: bool, as_json: bool) -> None:
    """Some rows of a step."""
    store = open_store(root)
    address, commits = status.find_step(store, step)
    found = rows(store, commits, limit, rejects=rejects)
    if not found:
        raise ConfigError(f"{address} has no {'rejects' if rejects else 'rows'} yet")
    for row in found:
        click.echo(json.dumps(asdict(row)) if as_json else view.row_text(row))  # type: ignore[call-overload]


def print_recipes(*, as_json: bool) -> None:
    """The recipes and the catalog."""
    found = {
        name: {
            key: {"type": overrides.type_name(_hint(function, key)), "default": str(p.default)}
            for key, p in overrides.parameters(function).items()
        }
        for name, function in RECIPES.items()
    }
    if as_json:
        known = {"recipes": found, "generators": sorted(GENERATORS), "curators": sorted(CURATORS)}
        click.echo(json.dumps(known))
        return
    for name, function in RECIPES.items():
        click.echo(f"{name}: {(function.__doc__ or '').strip().splitlines()[0]}")
        for key, about in found[name].items():
            click.echo(f"    {key}={about['default']}  ({about['type']})")
    click.echo(f"generators: {', '.join(sorted(GENERATORS))}")
    click.echo(f"seed curators: {', '.join(sorted(CURATORS))}")


def _hint(function: Any, key: str) -> Any:
    from typing import get_type_hints

    return get_type_hints(function)[key]
