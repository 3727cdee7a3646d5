"""Whole runs: killed, asked to stop, resumed on other layouts, through all phases, refused.

Two processes groups do it all: one rank, then two, each a list of commands; the tests read what
they left.
"""

import json
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.locate.contents import Contents
from manifests.locate.where import Asked, where
from manifests.objects.gc import plan as gc_plan
from manifests.objects.manifest import Manifest
from manifests.objects.pins import pins
from manifests.objects.refs import Refs
from manifests.store import Store
from tests.manifests.committed import item
from tests.trainer.loop_mixtures import STEPS, make_root, publish, publish_rebased
from tests.trainer.ranks import run_ranks
from trainer.loop.directories import open_checkpoint, steps_of
from trainer.loop.lines import read_lines

KILL, TERM = int(signal.SIGKILL), int(signal.SIGTERM)
CLOSE = 1e-5
WORKER = Path(__file__).with_name("loop_worker.py")
