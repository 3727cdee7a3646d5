"""Checkpoint directories, states and logs on a disk; which manifest a checkpoint goes on with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from manifests.build.build import build
from manifests.build.rebase import Point, rebase
from manifests.errors import ConfigError, DataError
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.tree import Objects
from manifests.spec.read import parse_mixture
from manifests.store import Store, open_store
from tests.manifests.tokened import texts, token_step
from trainer.loop import directories
from trainer.loop.ancestry import refuse_other_manifest
from trainer.loop.lines import Lines, read_lines
from trainer.loop.seen import Seen, forget_after, ranges, seen_file
from trainer.loop.state import Origin, State

STATE = State(
    manifest="a" * 64,
    phase="pretrain",
    segment=0,
    step=3,
    position=24,
    tokens=384,
    order="o",
    model="m",
    model_name="tiny",
    vocabulary=260,
    loss="language_model",
    precision="fp32",
    seed=1,
    distributed_optimizer=False,
    origin=Origin(path="/x", manifest="b" * 64, phase="before", step=7),
    recent_losses=(2.5, 2.25),
    layout={"data": 2},
)


def saved(folder: Path, step: int) -> Path:
    part = directories.begin(folder, step)
    (part / "tensors").mkdir()
    (part / "tensors" / "0.distcp").write_bytes(b"weights" * step)
    return directories.publish(part, replace(STATE, step=step))


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = saved(tmp_path, 3)
    found = directories.newest(tmp_path)
    assert found is not None
    assert found == (path, replace(STATE, files={"tensors/0.distcp": 21}))


def test_a_checkpoint_with_another_byte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    part = directories.begin(tmp_path, 3)
    (part / ".metadata").write_bytes(b"where the tensors lie")
    path = directories.publish(part, replace(STATE, step=3))
    (path / ".metadata").write_bytes(b"where the tensors lIe")
    with pytest.raises(DataError, match=r"step-00000003: \.metadata is not as it was written"):
        directories.open_checkpoint(path)


def test_what_is_half_written_is_not_seen_and_goes(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    (directories.begin(tmp_path, 4) / "0.distcp").write_bytes(b"half")
    saved(tmp_path, 2).rename(tmp_path / "step-00000002.gone")
    assert directories.steps_of(tmp_path) == [3]
    assert directories.clean(tmp_path) == ["step-00000002.gone", "step-00000004.part"]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        saved(tmp_path, step)
    assert directories.prune(tmp_path, 0) == []
    assert directories.prune(tmp_path, 2) == [1, 2]
    assert directories.steps_of(tmp_path) == [3, 4]


def test_a_second_writer_of_the_same_step_changes_nothing(tmp_path: Path) -> None:
    first = saved(tmp_path, 3)
    kept = (first / "state.json").stat().st_ino
    assert saved(tmp_path, 3) == first
    assert (first / "state.json").stat().st_ino == kept
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("harm", ["short", "missing", "state"])
def test_a_broken_checkpoint_is_refused_by_name(tmp_path: Path, harm: str) -> None:
    path = saved(tmp_path, 3)
    if harm == "short":
        (path / "tensors/0.distcp").write_bytes(b"weigh")
    elif harm == "missing":
        (path / "tensors/0.distcp").unlink()
    else:
        (path / "state.json").write_text("{")
    with pytest.raises(DataError, match=str(path)):
        directories.newest(tmp_path)


def test_a_phase_or_its_folder_stands_for_its_newest_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "pretrain" / "checkpoints"
    saved(folder, 1)
    newest = saved(folder, 2)
    for path in (newest, folder, tmp_path / "pretrain"):
        assert directories.open_checkpoint(path)[0] == newest
    with pytest.raises(ConfigError, match="no checkpoint; give one such as"):
        directories.open_checkpoint(tmp_path)


def test_a_log_goes_on_after_a_kill_with_no_step_twice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = Lines(path, 0)
    for step in range(5):
        lines.write({"step": step, "loss": 1.0})
    lines.close()
    with path.open("ab") as file:
        file.write(b'{"step": 5, "lo')  # the line that the kill tore
    lines = Lines(path, 3)
    lines.write({"step": 3, "loss": 2.0})
    lines.close()
    assert [(one["step"], one["loss"]) for one in read_lines(path)] == [
        (0, 1.0),
        (1, 1.0),
        (2, 1.0),
        (3, 2.0),
    ]


def test_the_log_of_what_was_seen_forgets_later_steps_of_all_ranks(tmp_path: Path) -> None:
    for rank in (0, 1):
        seen = Seen(tmp_path, rank, 0)
        for step in range(3):
            seen.note(np.array([step * 4 + rank, step * 4 + rank + 2]))
            seen.end_step(step)
        seen.close()
    forget_after(tmp_path, 2)
    for rank in (0, 1):
        found = read_lines(seen_file(tmp_path, rank))
        assert [one["step"] for one in found] == [0, 1]
        assert found[1]["positions"] == [[4 + rank, 4 + rank], [6 + rank, 6 + rank]]


def test_positions_are_told_as_ranges() -> None:
    assert ranges([]) == []
    assert ranges([np.array([7, 3, 4]), np.array([5])]) == [[3, 5], [7, 7]]


SPEC = """
schema = "scriptorium.mixture/1"
name = "tiny"
seed = 3
tokenizer = {{ name = "utf8-bytes@1", end_of_document = 256 }}
[sources.web]
from = "web_tokens@1"
max_epochs = 9
[phases.pretrain]
tokens = "{tokens}"
sequence_length = 16
global_batch = 4
[phases.pretrain.mix]
web = 1
[phases.pretrain.train]
learning_rate = {rate}
"""


def mixture(tokens: str = "1280", rate: str = "1e-3") -> str:
    return SPEC.format(tokens=tokens, rate=rate)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "root"))
    token_step(store, "web_tokens", texts("web", 60), index=True)
    return store


def test_a_checkpoint_goes_on_only_with_what_begins_as_it_was_trained(store: Store) -> None:
    first, other = built(store, mixture()), built(store, mixture("640"))
    after = rebased(store, first, 6)
    state = replace(STATE, manifest=first.digest, step=6)
    refuse_other_manifest(state, first, "tiny")
    refuse_other_manifest(state, after, "tiny")
    refuse_other_manifest(replace(state, step=5), after, "tiny")
    refuse_other_manifest(state, rebased(store, after, 9, "1920"), "tiny")
    told = f"step 6 of phase pretrain was trained on sha256:{first.digest[:12]}, and tiny names"
    with pytest.raises(ConfigError, match=f"{told} .*rebase tiny --phase pretrain --at-step 6"):
        refuse_other_manifest(state, other, "tiny")
    with pytest.raises(ConfigError, match="goes another way from step 6 on: take a checkpoint of"):
        refuse_other_manifest(replace(state, step=7), after, "tiny")
    with pytest.raises(ConfigError, match="which was not made from it"):
        refuse_other_manifest(replace(state, manifest=after.digest), first, "tiny")


def built(store: Store, text: str) -> Manifest:
    objects = Objects(store)
    return Manifest(store, write_root(objects, build(store, parse_mixture(text, "it"), objects)))


def rebased(store: Store, manifest: Manifest, step: int, tokens: str = "2560") -> Manifest:
    spec = parse_mixture(mixture(tokens), "it")
    made = rebase(store, manifest, spec, Point(phase="pretrain", step=step), Objects(store))
    assert not made.unchanged
    return Manifest(store, made.digest)


def test_states_of_other_versions_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, 3)
    found = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**found, "schema": "scriptorium.checkpoint/9"}))
    with pytest.raises(DataError, match=r"not of scriptorium\.checkpoint/2"):
        directories.open_checkpoint(path)
