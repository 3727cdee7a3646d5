"""What `run` and `plan` do; imported only when one is given, so that --help is instant."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.logs import log_to_stderr
from manifests import layout
from manifests.commits import Commit, read_commits
from manifests.errors import ConfigError, ScriptoriumError
from manifests.store import Store, open_store, probe
from manifests.tokenizers import Tokenizer, keep_tokenizer, tokenizer_of
from pipelines import overrides, status, view, view_plan
from pipelines.amounts import Want, parse_wants, with_wants
from pipelines.estimate import bill, estimates
from pipelines.plan import Plan, code_version, read_runs, record_plan
from pipelines.recipes.catalog import recipe
from pipelines.recipes.flow import Flow, Setting
from pipelines.step import Step, committed_tasks, in_order, tasks
from pipelines.teachers import NOBODY, Teachers, find_teachers, parse_roles, planned_teachers
from pipelines.work.generate import Generate
from pipelines.work.take import Take

if TYPE_CHECKING:
    from pipelines.report import Report

LIMITED = 3
"""Exit status of a run that came to a ceiling before it had everything."""
STOPPED = 143
"""Exit status of a run that was asked to stop: 128 + SIGTERM."""


def run_recipe(name: str, root: str, *, as_json: bool, **options: Any) -> None:
    """Run a recipe to its end."""
    log_to_stderr()
    function = recipe(name)
    values = overrides.parse(name, function, options["overrides"])
    roles = parse_roles(options["role"])
    wants = parse_wants(options["want"])
    tokenizer = named_tokenizer(options["tokenizer"])
    store = open_store(root)
    reuse = tuple(_reused(store, options["reuse"]))
    asked = options["teacher"]
    teachers = find_teachers(asked, options["model"], roles) if asked else NOBODY
    plan = make_plan(name, values, teachers, tokenizer, wants, store)
    report = run_plan(store, plan, teachers, reuse, options)
    print_run(store, plan, root, as_json=as_json)
    end_run(report, wants)


def run_plan(
    store: Store, plan: Plan, teachers: Teachers, reuse: tuple[str, ...], options: dict[str, Any]
) -> "Report | None":
    """Run a plan to its end; None when it is complete already."""
    _probe(store)  # the first write
    record_plan(store, plan, accept_code=options["accept_code_change"])
    if plan.tokenizer_file:
        keep_tokenizer(store, plan.tokenizer_file)
    click.echo(f"run {plan.run} ({plan.recipe}) on {store.url}", err=True)
    return None if is_complete(store, plan) else _drive(store, plan, teachers, reuse, options)


def end_run(report: "Report | None", wants: Sequence[Want] = ()) -> None:
    """Say which bound ended a run, and exit as it asks."""
    if report and report.stopped:
        click.echo("stopped; the same command goes on from here", err=True)
        sys.exit(STOPPED)
    if report and report.ceiling:
        click.echo(f"ended by {report.ceiling}; the same command with more goes on", err=True)
        sys.exit(LIMITED)
    if report and report.lacking:
        told = (
            f"{a.wanted - a.have:,} of {a.wanted:,} {a.unit} of {a.name}" for a in report.lacking
        )
        raise ScriptoriumError(
            f"the sources are used up and lack {', '.join(told)}: give more sources, or want less"
        )
    if wants:
        click.echo("ended: all that is wanted is there", err=True)


def is_complete(store: Store, plan: Plan) -> bool:
    """Whether every task has committed and every step is indexed: nothing is left to do."""
    taken = [end for end in plan.ends if isinstance(end.work, Take)]
    whole = in_order([end for end in plan.ends if end not in taken])
    # An amount that is reached is indexed as a last thing; what it is made of need not be whole.
    return all(store.exists(layout.index_file(step.address)) for step in (*taken, *whole)) and all(
        committed_tasks(store, step) >= {t.id for t in tasks([step], plan.slices_of(step))}
        for step in whole
    )


def print_run(store: Store, plan: Plan, root: str, *, as_json: bool) -> None:
    """What a run came to."""
    found = status.run_status(store, status.find_run(store, plan.run))
    text = json.dumps(status.as_json(found)) if as_json else view.run_text(found, root)
    click.echo(text)


def _probe(store: Store) -> None:
    """See that the root can be written to, and that it creates objects only if absent."""
    try:
        probe(store)
    except ScriptoriumError:
        raise
    except OSError as error:
        raise ConfigError(f"{store.url}: cannot be written to ({error})") from error


def _drive(
    store: Store, plan: Plan, teachers: Teachers, reuse: tuple[str, ...], options: dict[str, Any]
) -> "Report":
    from pipelines import cluster
    from pipelines.ceilings import Ceilings
    from pipelines.progress import Progress
    from pipelines.report import MAPS_BESIDE, Options
    from pipelines.runner import Runner
    from pipelines.worker import WorkerConfig

    most = options["max_teacher_tokens"]
    ceilings = Ceilings(teacher_tokens=most and int(most), hours=options["max_hours"])
    worker = WorkerConfig(
        root=store.url,
        endpoints=teachers.endpoints,
        roles=teachers.roles,
        code=code_version(),
        items_in_flight=options["in_flight"],
        bounded=ceilings.teacher_tokens is not None,
    )
    asking = any(step.asks_teacher for step in plan.steps)
    chosen = Options(
        workers=options["workers"],
        map_tasks=MAPS_BESIDE if asking else max(MAPS_BESIDE, options["workers"]),
        reuse=reuse,
        keep_transcripts=not options["drop_transcripts"],
        ceilings=ceilings,
    )
    progress = Progress()
    with cluster.connected(chosen.workers):
        try:
            return Runner(store, plan, worker, chosen, progress).run()
        finally:
            progress.close()


def named_tokenizer(given: str | None) -> tuple[Tokenizer, Path | None]:
    """The tokenizer in this file, or the one that needs none, and the file."""
    file = Path(given) if given else None
    return (tokenizer_of(file) if file else Tokenizer()), file


def make_plan(
    name: str,
    values: dict[str, Any],
    teachers: Teachers,
    tokenizer: tuple[Tokenizer, Path | None],
    wants: Sequence[Want] = (),
    store: Store | None = None,
) -> Plan:
    """The plan of a recipe with these values, teachers and amounts; `store` is the root's."""
    counted, file = tokenizer
    roles = tuple(sorted(teachers.roles.items()))
    setting = Setting(teachers=roles, tokenizer=counted, store=store)
    made: Flow = recipe(name)(setting, **values)
    return plan_of(name, values, made, wants, file)


def plan_of(
    name: str,
    values: dict[str, Any],
    made: Flow,
    wants: Sequence[Want] = (),
    tokenizer_file: Path | None = None,
) -> Plan:
    """The plan of what a recipe made of these values."""
    return Plan(
        recipe=name,
        arguments=overrides.shown(values),
        ends=with_wants(made.ends, wants),
        slices=made.slices,
        inventory=made.inventory,
        tokenizer_file=tokenizer_file,
    )


def _reused(store: Store, given: tuple[str, ...]) -> list[str]:
    """Addresses of the generate steps of the runs and steps named."""
    found: list[str] = []
    for name in given:
        runs = [note for note in read_runs(store) if note.run.startswith(name)]
        if len(runs) == 1:
            found += [step.address for step in runs[0].steps if step.kind == Generate.__name__]
        else:
            found.append(status.find_step(store, name).address)
    return found


def plan_recipe(name: str, *, as_json: bool, **options: Any) -> None:
    """Tell what a recipe would do."""
    function = recipe(name)
    values = overrides.parse(name, function, options["overrides"])
    roles = parse_roles(options["role"])
    if options["target_tokens"] and not options["tokens_per_second"]:
        raise ConfigError("--target-tokens needs --tokens-per-second: the measured speed of a GPU")
    tokenizer = named_tokenizer(options["tokenizer"])
    if options["teacher"]:
        teachers = find_teachers(options["teacher"], options["model"], roles)
    elif options["model"] or roles:
        teachers = planned_teachers(options["model"], roles)
    else:
        teachers = NOBODY
    store = open_store(options["root"]) if options["root"] else None
    plan = make_plan(name, values, teachers, tokenizer, store=store)
    found = estimates(plan, {step.address: _measured(store, step) for step in plan.steps})
    cost = None
    if options["tokens_per_second"]:
        cost = bill(
            found,
            tokens_a_second=options["tokens_per_second"],
            gpus=options["gpus"],
            target_tokens=options["target_tokens"],
        )
    click.echo(
        view_plan.plan_json(plan, found, cost)
        if as_json
        else view_plan.plan_text(plan, found, cost)
    )


def _measured(store: Store | None, step: Step) -> list[Commit]:
    """Commits of the newest run's step of the same name."""
    if store is None:
        return []
    addresses = [note.address for run in read_runs(store) for note in run.steps]
    like = [a for a in addresses if a.split("/")[1] == f"{step.name}@{step.version}"]
    same = [step.address] if step.address in like else like[-1:]
    return [commit for address in same for commit in read_commits(store, address)]
