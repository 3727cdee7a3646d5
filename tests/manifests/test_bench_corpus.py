"""The corpus that manifests are measured on is one that builds, verifies and can be listed."""

import json
from pathlib import Path

import pytest

from benchmarks import json_listing, manifest_corpus
from manifests.index import SCHEMA
from tests.manifests.command_line import Here


def test_its_mixture_builds_and_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    manifest_corpus.make(root, 60, files=True)
    monkeypatch.setenv("SCRIPTORIUM_ROOT", str(root))
    here = Here(monkeypatch, capsys)
    here.fine("build", str(root / "mixture.toml"))
    assert "no finding; 60 data files, 60 token files" in here.fine(
        "verify", "phi4-pretrain", "--level", "l1"
    )
    json_listing.build(root, tmp_path / "list")
    json_listing.verify(root, tmp_path / "list")
    assert len(json.loads((tmp_path / "list").read_bytes())) == 120
    assert f"({len(SCHEMA)} columns" in " ".join((manifest_corpus.__doc__ or "").split())
