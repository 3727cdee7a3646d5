"""What `status`, `show`, `recipes` and `join` do; all but the last write nothing."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, get_type_hints

import click

from generators.catalog import CURATORS, GENERATORS
from infra.sandbox.bubblewrap import Sandbox
from manifests.errors import ConfigError
from manifests.store import Store, open_store
from pipelines import overrides, status, view
from pipelines.joining import join
from pipelines.plan import read_runs
from pipelines.recipes.catalog import RECIPES
from pipelines.replay import Exchange, replay
from pipelines.show import Shown, commits_in_order, find_rows
from pipelines.view_rows import shown_json, shown_text


def print_status(run: str | None, root: str, *, as_json: bool) -> None:
    """How far a run is; all runs when several are there and none is named."""
    store = open_store(root)
    notes = read_runs(store)
    chosen = [status.find_run(store, run)] if run or len(notes) < 2 else list(notes)
    found = [status.run_status(store, note) for note in chosen]
    if as_json:
        click.echo(json.dumps([status.as_json(one) for one in found]))
    elif len(found) == 1:
        click.echo(view.run_text(found[0], root))
    else:
        click.echo("\n\n".join(view.run_table(one, root) for one in found))


def join_run(run: str, urls: Sequence[str], root: str, model: str | None) -> None:
    """Write down who joins a run."""
    store = open_store(root)
    note = status.find_run(store, run)
    for endpoint in join(store, note, urls, model):
        click.echo(f"{endpoint.url} ({endpoint.teacher.name}) joins run {note.run}")


def print_rows(
    step: str,
    root: str,
    *,
    limit: int,
    row_id: str | None,
    rejects: bool,
    transcript: bool,
    as_json: bool,
) -> None:
    """Some rows of a step, with what they were made from."""
    store = open_store(root)
    note = status.find_step(store, step)
    commits = commits_in_order(store, note.address, note.slices)
    found = find_rows(store, commits, limit, rejects=rejects, row_id=row_id or "")
    what = "rejects" if rejects else "rows"
    if not found:
        wanted = f" whose id begins with {row_id}" if row_id else ""
        raise ConfigError(f"{note.address} has no {what}{wanted} yet: see `status --root {root}`")
    for shown in found:
        exchanges = _exchanges(store, shown) if transcript else None
        click.echo((shown_json if as_json else shown_text)(shown, exchanges))


def _exchanges(store: Store, shown: Shown) -> list[Exchange]:
    if shown.making is None:
        raise ConfigError(
            f"{shown.placed.commit.step} asks no teacher, so it has no transcript: drop"
            " --transcript, or show a step of a generator or of its gates"
        )
    made, source = shown.making

    async def run() -> list[Exchange]:
        return await replay(store, made, source, Sandbox())

    return asyncio.run(run())


def print_recipes(*, as_json: bool) -> None:
    """The recipes and the catalog."""
    if as_json:
        found = {name: _parameters(function) for name, function in RECIPES.items()}
        known = {"recipes": found, "generators": sorted(GENERATORS), "curators": sorted(CURATORS)}
        click.echo(json.dumps(known))
        return
    for name, function in RECIPES.items():
        click.echo(f"{name}: {' '.join((function.__doc__ or '').split())}")
        for key, about in _parameters(function).items():
            click.echo(f"    {key}={about['default']}  ({about['type']})")
    click.echo(f"\ngenerators: {', '.join(sorted(GENERATORS))}")
    click.echo(f"seed curators: {', '.join(sorted(CURATORS))}")


def _parameters(function: Any) -> dict[str, dict[str, str]]:
    hints = get_type_hints(function)
    known = overrides.parameters(function)
    typed = overrides.shown({key: parameter.default for key, parameter in known.items()})
    return {key: {"type": overrides.type_name(hints[key]), "default": typed[key]} for key in known}
