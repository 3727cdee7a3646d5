"""Tokenizing, killed at system calls of its commit: nothing is lost, twice or wrong.

A process is killed at calls that write below the root, drawn at random, and at the last ones, which
commit. strace does it, so that there is no luck in where.
"""

import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manifests.commits import read_commits
from manifests.layout import data_file, tokens_file
from manifests.raw_files import RawFiles
from manifests.shards import read_shard
from manifests.store import open_store
from manifests.tables import from_table
from manifests.token_files import open_token_file
from manifests.token_rows import TokenDocument
from manifests.tokenizers import Tokenizer
from manifests.verify import Verifier
from pipelines.work.forms import Choice
from pipelines.work.outcome import commit_outcome
from pipelines.work.tokenize import Tokenize
from tests.manifests.committed import address
from tests.pipelines.tokenizable import SOURCE, commit_slices, made

REPOSITORY = Path(__file__).parents[2]
STEP = address("made_tokens")
WRITING = "write,fsync,link,linkat,unlink,unlinkat,mkdir,mkdirat,rename,renameat"
DRAWN = 8
LAST = 3
TASK = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from manifests.store import open_store
from manifests.tokenizers import Tokenizer
from pipelines.work.outcome import commit_outcome
from pipelines.work.forms import Choice
from pipelines.work.tokenize import Tokenize
store = open_store(sys.argv[1])
work = Tokenize(tokenizer=Tokenizer(), end_of_document=256, form=Choice.TEXT)
commit_outcome(store, {STEP!r}, 0, work.run(store, [{SOURCE!r}], 0))
"""
WORK = Tokenize(tokenizer=Tokenizer(), end_of_document=256, form=Choice.TEXT)
TEXTS = [f"text {number} of some" for number in range(40)]


def prepared(folder: Path) -> Path:
    store = open_store(str(folder))
    commit_slices(store, [made(text, text) for text in [*TEXTS, ""]])
    store.put(f"{STEP}/step.json", b'{"inputs":[],"slices":1}')
    return folder


def traced(root: Path, *options: str) -> int:
    command = ["strace", "-f", "-y", "-e", f"trace={WRITING}", *options]
    run = [sys.executable, "-Bc", TASK, str(root)]
    return subprocess.run([*command, *run], capture_output=True, timeout=300).returncode


def calls_below(root: Path, log: Path) -> list[tuple[str, int]]:
    """The calls that write below the root, in order: name, and the how manieth of its thread."""
    points: list[tuple[str, int]] = []
    counts: dict[tuple[str, str], int] = {}
    for line in log.read_text().splitlines():
        if matched := re.match(r"(\d+) +(\w+)\((.*)", line):
            thread, name, arguments = matched.groups()
            counts[thread, name] = counts.get((thread, name), 0) + 1
            if str(root) in arguments:
                points.append((name, counts[thread, name]))
    return points


def documents(root: Path) -> list[tuple[str, bytes]]:
    """By record: what its ids say; from every commit that is there."""
    store, found = open_store(str(root)), []
    for commit in read_commits(store, STEP):
        table = read_shard(store, data_file(STEP, commit.data.sha256), commit.data)
        for row in from_table(TokenDocument, table):
            _, ids = open_token_file(root / tokens_file(STEP, row.file))
            assert ids[row.start + row.tokens] == 256
            found.append((row.id, bytes(ids[row.start : row.start + row.tokens].astype("u1"))))
    return sorted(found)


def test_a_kill_at_any_call_of_its_commit_leaves_all_of_it_or_none(tmp_path: Path) -> None:
    probe = ["strace", "-o", "/dev/null", "true"]
    if shutil.which("strace") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("strace cannot trace here")
    start = prepared(tmp_path / "start")
    whole = shutil.copytree(start, tmp_path / "whole")
    assert traced(whole, "-o", str(tmp_path / "log")) == 0
    after = documents(whole)
    assert sorted(text for _, text in after) == sorted(text.encode() for text in TEXTS)
    points = calls_below(whole, tmp_path / "log")
    assert any(name.startswith("link") for name, _ in points), "commits are links"
    drawn = [*random.Random(7).sample(points[:-LAST], DRAWN), *points[-LAST:]]

    def killed(number: int) -> bool:
        """Whether it was killed before it had committed."""
        (name, count), root = drawn[number], tmp_path / f"killed-{number}"
        shutil.copytree(start, root)
        inject = ("-o", os.devnull, "-e", f"inject={name}:signal=SIGKILL:when={count}")
        assert traced(root, *inject) == -9, (name, count)
        left = documents(root)
        assert left in ([], after), (name, count)
        store = open_store(str(root))
        commit_outcome(store, STEP, 0, WORK.run(store, [SOURCE], 0))
        assert documents(root) == after
        reports = list(Verifier(RawFiles(str(root))).verify_all(STEP, complete=True))
        assert [finding for report in reports for finding in report.findings] == []
        assert (reports[0].planned, reports[0].accepted) == (len(TEXTS) + 1, len(TEXTS))
        return not left

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(killed, range(len(drawn))))
    assert outcomes == {True, False}, "some have to be killed before they commit, some after"
