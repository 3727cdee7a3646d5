"""Running `manifest`, in this process or as a real one, over small real roots."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from manifests.cli import cli
from manifests.exits import run
from manifests.records import Bucket, Record
from manifests.store import Store
from manifests.tokenizers import UTF8_BYTES
from tests.manifests.selectable import commit_records, record

REPOSITORY = Path(__file__).parents[2]

SPEC = """\
schema = "scriptorium.mixture/1"
name = "demo"
seed = 7 # a remark that show --spec keeps

[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256

[sources.web]
from = "web@1"

[sources.synthetic]
from = "syn@1"
max_epochs = 8
strata = { by = "tokens", bounds = [55], weights = [1, 2] }

[phases.pretrain]
tokens = "15K"
sequence_length = 64
global_batch = 8

[phases.pretrain.mix]
web = "40%"
synthetic = "60%"

[phases.sft]
after = "pretrain"
sequence_length = 32
global_batch = 2
layout = "document"

[phases.sft.mix]
synthetic = { epochs = 1 }
"""
"""Over `commit_corpus`: two phases, a source that is cut, one that is passed over often."""


def manifest(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As `python -m manifests`."""
    command = [sys.executable, "-m", "manifests", *arguments]
    everything = {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=everything, check=False
    )


class Here:
    """Runs the command line in this process, as the console script does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        self._monkeypatch.setattr(sys, "argv", ["manifest", *arguments])
        self._monkeypatch.setattr(sys.modules["__main__"], "__package__", None, raising=False)
        with pytest.raises(SystemExit) as ended:
            run(cli)
        assert isinstance(ended.value.code, int)
        out, err = self._capsys.readouterr()
        return ended.value.code, out, err

    def fine(self, *arguments: str) -> str:
        """stdout of a command that has to end well."""
        status, out, err = self(*arguments)
        assert status == 0, err
        return out

    def refused(self, *arguments: str) -> str:
        """The one line of a command that has to find its input wrong."""
        status, out, err = self(*arguments)
        assert (status, out) == (2, ""), (out, err)
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err.removeprefix("error: ").rstrip()


def records(bucket: Bucket, slices: int, each: int, tokens: int, tag: str) -> list[list[Record]]:
    """Records of about so many tokens, in slices of so many."""
    return [
        [record(f"{tag}{s}/{i}", tokens=tokens + i, bucket=bucket) for i in range(each)]
        for s in range(slices)
    ]


def commit_corpus(store: Store) -> None:
    """Three complete steps of a bucket each: web, synthetic and code, of 8,760, 2,180 and 1,690
    tokens."""
    made: Sequence[tuple[Bucket, str, str, int, int, int]] = (
        (Bucket.WEB, "web", "a", 4, 20, 100),
        (Bucket.SYNTHETIC, "syn", "b", 4, 10, 50),
        (Bucket.CODE, "code", "c", 2, 10, 80),
    )
    for bucket, name, fill, slices, each, tokens in made:
        rows = records(bucket, slices, each, tokens, name)
        commit_records(store, rows, name, fill, index=name != "code", tokenizer=UTF8_BYTES)
