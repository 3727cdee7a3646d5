"""A run: its phases one after another, each from what the one before it left."""

import sys
from dataclasses import asdict

from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase
from manifests.store import Store
from trainer.loop import checkpoint, directories
from trainer.loop.phase import Outcome, PhaseRun
from trainer.loop.pinning import hold, let_go
from trainer.loop.request import Request
from trainer.loop.signals import Asked, listening
from trainer.loop.state import Origin
from trainer.loop.task import Task, open_manifest, phases_of, task_of


def train(request: Request) -> list[Outcome]:
    """Train the phases that are asked for, as far as they are not trained yet.

    Raises:
        ConfigError: What is asked for cannot be; nothing was written.
        DataError: A checkpoint or the data is broken.
    """
    store, manifest = open_manifest(request)
    phases = phases_of(request, manifest)
    # What can be refused is refused before torch is imported, which takes a while.
    task_of(request, store, manifest, phases[0], first=True)
    from trainer.loop.machine import start

    place = start(request)
    with listening() as asked:
        found = []
        for number, phase in enumerate(phases):
            task = task_of(request, store, manifest, phase, first=number == 0)
            found.append(_phase(task, place, asked))
            if found[-1].signal:
                break
    return found
