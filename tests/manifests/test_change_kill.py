"""Build, rebase and merge, killed while they write: what is there is whole, and again is the same.

A process is killed at system calls below the root, drawn at random, and at the last ones, which
publish. strace does it, so that there is no luck in where.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manifests.objects.refs import Refs
from manifests.store import open_store
from tests.manifests.command_line import REPOSITORY, SPEC, commit_corpus, manifest

pytestmark = pytest.mark.timeout(600)

WRITING = "write,fsync,link,linkat,unlink,unlinkat,mkdir,mkdirat,rename,renameat"
DRAWN = 3
LAST = 3
BASE = SPEC.replace("max_epochs = 8", "max_epochs = 40")
MIXED = BASE.replace('"40%"', '"50%"').replace('"60%"', '"50%"')
GROWN = BASE.replace('from = "web@1"', 'from = ["web@1", "code@1"]')
COMMANDS = {
    "build": ["build", "mixed.toml"],
    "rebase": ["rebase", "demo@1", "mixed.toml", "--phase", "pretrain", "--at-step", "9", "--yes"],
    "merge": ["merge", "other", "demo@1", "--base", "demo@1", "--name", "demo", "--yes"],
}


def in_folder(folder: Path, arguments: list[str]) -> list[str]:
    paths = [str(folder / word) if word.endswith(".toml") else word for word in arguments]
    return [*paths, "--root", str(folder / "root"), "--json"]


def prepared(folder: Path) -> Path:
    folder.mkdir()
    store = open_store(str(folder / "root"))
    commit_corpus(store)
    other = GROWN.replace('name = "demo"', 'name = "other"')
    for name, text in (("base", BASE), ("mixed", MIXED), ("grown", other)):
        (folder / f"{name}.toml").write_text(text)
    for name in ("base", "grown"):
        done = manifest(*in_folder(folder, ["build", f"{name}.toml"]))
        assert done.returncode == 0, done.stderr
    return folder


def traced(folder: Path, arguments: list[str], *options: str) -> int:
    command = ["strace", "-f", "-y", "-e", f"trace={WRITING}", *options]
    run = [sys.executable, "-B", "-m", "manifests", *in_folder(folder, arguments)]
    done = subprocess.run([*command, *run], capture_output=True, timeout=300, cwd=REPOSITORY)
    return done.returncode


def calls_below(folder: Path, log: Path) -> list[tuple[str, int]]:
    """The calls that write below the root, in order: name, and the how manieth of its thread."""
    points: list[tuple[str, int]] = []
    counts: dict[tuple[str, str], int] = {}
    for line in log.read_text().splitlines():
        if matched := re.match(r"(\d+) +(\w+)\((.*)", line):
            thread, name, arguments = matched.groups()
            counts[thread, name] = counts.get((thread, name), 0) + 1
            if str(folder / "root") in arguments:
                points.append((name, counts[thread, name]))
    return points


def digests(folder: Path) -> list[str]:
    return [entry.digest for entry in Refs(open_store(str(folder / "root"))).log("demo")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_leaves_whole_manifests_and_the_same_again(command: str, tmp_path: Path) -> None:
    probe = ["strace", "-o", "/dev/null", "true"]
    if shutil.which("strace") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("strace cannot trace here")
    start, arguments = prepared(tmp_path / "start"), COMMANDS[command]
    first = digests(start)
    whole = tmp_path / "whole"
    shutil.copytree(start, whole)
    assert traced(whole, arguments, "-o", str(tmp_path / "log")) == 0
    after = digests(whole)
    assert (len(after), after[:1]) == (2, first)
    points = calls_below(whole, tmp_path / "log")
    drawn = [*random.Random(command).sample(points[:-LAST], DRAWN), *points[-LAST:]]

    def killed(number: int) -> bool:
        """Whether it was killed before it had published."""
        (name, count), folder = drawn[number], tmp_path / f"killed-{number}"
        shutil.copytree(start, folder)
        options = ("-o", os.devnull, "-e", f"inject={name}:signal=SIGKILL:when={count}")
        # Threads take their work as it comes: a call that was there need not come again.
        assert traced(folder, arguments, *options) in (0, -9), (name, count)
        left = digests(folder)
        assert left in (first, after), (name, count)
        root = ("--root", str(folder / "root"))
        checked = manifest("verify", "demo", "--level", "L1", *root)
        assert checked.returncode == 0, checked.stdout
        again = manifest(*in_folder(folder, arguments))
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["digest"] == after[1]
        assert digests(folder) == after
        shutil.rmtree(folder)
        return left == first

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(killed, range(len(drawn))))
    assert outcomes == {True, False}, "some have to be killed before they publish, some after"
