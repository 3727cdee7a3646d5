"""What every peer's program is given and says; needs nothing but Python, for they run elsewhere.

A chain is what is asked of one passage: stages one after the other, the calls of a stage at once.
The bodies are those that ours sends, learned beforehand, so every system asks the same.
"""

import json
import os
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Any

Body = dict[str, Any]
Chain = list[list[Body]]


class Job:
    """A JSON file: `urls`, `model`, `in_flight`, `width`, `folder`, `chains`, `keep`, `retry`."""

    def __init__(self, path: str) -> None:
        given: dict[str, Any] = json.loads(Path(path).read_text())
        self.urls: list[str] = given["urls"]
        self.model: str = given["model"]
        self.in_flight: int = given["in_flight"]
        self.width: int = given["width"]
        self.folder = Path(given["folder"])
        self.keep: bool = given["keep"]
        """Whether what makes a restart cheap is switched on, where it can be chosen."""
        self.retry: bool = given["retry"]
        with open(given["chains"]) as lines:
            self.chains: dict[str, Chain] = dict(json.loads(line) for line in lines)


def job() -> Job:
    return Job(sys.argv[1])


def cpu_seconds() -> float:
    """Of this process, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def say(ids: Counter[str], cpu: float) -> None:
    """The one line: passages in the output, those that are there more than once, CPU seconds.

    Unbuffered and at once: some peers' threads do not let the interpreter end.
    """
    twice = sum(1 for count in ids.values() if count > 1)
    os.write(
        1, (json.dumps({"done": len(ids), "twice": twice, "cpu_seconds": cpu}) + "\n").encode()
    )
