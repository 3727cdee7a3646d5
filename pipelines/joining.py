"""Teachers that join a run while it goes on: `join` writes who, and the driver looks now and then.

What joined stays with the run: a driver that is started again asks it too, beside those that it is
given.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from infra.teacher.models import Endpoint, Teacher
from infra.teacher.resolve import WrongModel, resolve
from manifests import layout
from manifests.errors import ConfigError
from manifests.fingerprint import canonical_json, content_id
from manifests.store import Store
from pipelines.plan import RunNote
from pipelines.teachers import check_url

LOOK_SECONDS = 5.0
"""How often a driver looks who joined: one listing."""


def join(store: Store, note: RunNote, urls: Sequence[str], model: str | None) -> list[Endpoint]:
    """Have these endpoints teach in a run, from a few seconds on.

    Raises:
        ConfigError: The run asks nobody, or one serves a teacher that it does not ask.
        TeacherUnavailable: One does not answer.
    """
    asked = _teachers(store, note)
    if not asked:
        raise ConfigError(f"run {note.run} ({note.recipe}) asks no teacher: nobody can join")
    for url in urls:
        check_url(url)
    only = next(iter(asked)) if len(asked) == 1 else None
    found = asyncio.run(resolve(urls, model or only))
    for endpoint in found:
        if endpoint.teacher.name not in asked:
            raise WrongModel(
                f"{endpoint.url} serves {endpoint.teacher.name}, and run {note.run} asks"
                f" {', '.join(sorted(asked))}"
            )
    for endpoint in found:
        about = asdict(endpoint)
        del about["teacher"]  # its name is the served one's
        key = layout.joined_file(note.run, content_id("teacher", endpoint.url))
        store.put(key, canonical_json(about))
    return found


class Joined:
    """Who joined a run."""

    def __init__(self, store: Store, run: str, known: Sequence[Endpoint]) -> None:
        self._store, self._prefix = store, layout.joined_prefix(run)
        self._urls = {endpoint.url for endpoint in known}
        self._keys: set[str] = set()
        self._looked = float("-inf")

    def look(self) -> list[Endpoint]:
        """Those that joined since the last look; looks only now and then."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return []
        self._looked = time.monotonic()
        new = [key for key in self._store.list(self._prefix) if key not in self._keys]
        self._keys.update(new)
        found = [_endpoint(json.loads(self._store.get(key))) for key in new]
        found = [endpoint for endpoint in found if endpoint.url not in self._urls]
        self._urls.update(endpoint.url for endpoint in found)
        return found


def _endpoint(about: Mapping[str, object]) -> Endpoint:
    length = about["max_model_len"]
    return Endpoint(
        url=str(about["url"]),
        served_name=str(about["served_name"]),
        teacher=Teacher.parse(str(about["served_name"])),
        max_model_len=length if isinstance(length, int) else None,
        hosted=bool(about["hosted"]),
    )


def _teachers(store: Store, note: RunNote) -> set[str]:
    abouts = (json.loads(store.get(layout.step_file(step.address))) for step in note.steps)
    return {name for about in abouts for name in about.get("teachers", {}).values()}
