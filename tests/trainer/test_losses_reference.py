"""What the store keeps of a reference model, without a model: slices, commits, stale digests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.errors import ConfigError, DataError, ShardCorrupt
from manifests.fingerprint import content_id
from manifests.layout import data_file, reference_commit_file
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.store import open_store
from tests.trainer.paired import pair_manifest
from trainer.losses import reference_store
from trainer.losses.pair_rows import ALL
from trainer.losses.pairs import names_of, phase_pairs
from trainer.losses.reference import checkpoint_digest, open_reference
from trainer.losses.reference_store import ReferenceStore

CHECKPOINT, OTHER = content_id("one") * 2, content_id("other") * 2


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setattr(reference_store, "SLICE_PAIRS", 10)
    return pair_manifest(open_store(str(tmp_path / "root")), tmp_path)


def kept(manifest: Manifest, phase: str, checkpoint: str = CHECKPOINT) -> ReferenceStore:
    return ReferenceStore(
        store=manifest.store,
        manifest=manifest.digest,
        phase=phase,
        checkpoint=checkpoint,
        pairs=len(phase_pairs(manifest, manifest.phase(phase))),
    )


def numbers(start: int, stop: int, more: float = 0) -> Any:
    """Made up: -n of the chosen, -n - 0.5 of the rejected response of pair n."""
    chosen = -np.arange(start, stop, dtype=np.float32) + more
    return np.stack([chosen, chosen - 0.5], axis=1)


def fill(manifest: Manifest, phase: str, *slices: int, more: float = 0) -> list[bool]:
    store, contents = kept(manifest, phase), Contents(manifest)
    pairs = phase_pairs(manifest, manifest.phase(phase))
    store.begin()
    return [
        store.commit(
            number,
            names_of(contents, pairs, *store.span(number)),
            numbers(*store.span(number), more),
        )
        for number in slices
    ]


def test_what_was_kept_is_found_by_position(manifest: Manifest) -> None:
    assert fill(manifest, "dpo1", 2, 0, 1) == [True] * 3
    phase = manifest.phase("dpo1")
    pairs = phase_pairs(manifest, phase)
    found = open_reference(manifest, phase, CHECKPOINT)
    positions = np.random.default_rng(0).permutation(phase.samples)
    np.testing.assert_array_equal(
        found.reference(positions), numbers(0, len(pairs))[pairs.index[positions]]
    )
    assert found.reference(positions).dtype == np.float32
    limits = np.where(pairs.limited[pairs.index[positions]], 5, ALL)
    np.testing.assert_array_equal(found.limits(positions), limits)
    assert set(limits.tolist()) == {5, ALL}


def test_the_first_to_commit_a_slice_wins(manifest: Manifest) -> None:
    assert kept(manifest, "dpo2").missing() == [0, 1, 2]
    assert fill(manifest, "dpo2", 1) == [True]
    assert kept(manifest, "dpo2").missing() == [0, 2]
    assert fill(manifest, "dpo2", 0, 1, 2, more=1000) == [True, False, True]
    assert kept(manifest, "dpo2").missing() == []
    assert kept(manifest, "dpo2").read()[[9, 10, 19, 20], 0].tolist() == [991, -10, -19, 980]


def refusal(manifest: Manifest, checkpoint: str = CHECKPOINT) -> str:
    with pytest.raises(ConfigError) as caught:
        open_reference(manifest, manifest.phase("dpo2"), checkpoint, init="out/sft")
    return str(caught.value)


def test_what_is_stale_or_missing_is_refused_with_the_command(manifest: Manifest) -> None:
    command = (
        f"; run python -m trainer reference sha256:{manifest.digest[:12]}"
        f" --root {manifest.store.url} --phase dpo2 --init out/sft --config CONFIG"
    )
    needs = "phase dpo2 needs the log probabilities of its 24 pairs under checkpoint"
    assert refusal(manifest) == (
        f"{needs} {CHECKPOINT[:12]}: there are none for this manifest{command}"
    )
    fill(manifest, "dpo2", 0, 2)
    assert f"{CHECKPOINT[:12]}: 1 of 3 slices is missing{command}" in refusal(manifest)
    fill(manifest, "dpo2", 1)
    line = f"{OTHER[:12]}: there are only those under {CHECKPOINT[:12]}{command}"
    assert line in refusal(manifest, OTHER)
    assert "\n" not in refusal(manifest, OTHER)
    open_reference(manifest, manifest.phase("dpo2"), CHECKPOINT)


def test_bytes_that_changed_are_refused(manifest: Manifest) -> None:
    fill(manifest, "dpo2", 0, 1, 2)
    store = kept(manifest, "dpo2")
    prefix = data_file(store.address, "")[: -len(".parquet")]
    key = next(manifest.store.list(prefix))
    good = manifest.store.get(key)
    manifest.store.put(key, good[:200] + bytes([good[200] ^ 1]) + good[201:])
    with pytest.raises(ShardCorrupt, match="sha256"):
        store.read()
    manifest.store.put(key, good)
    store.read()
    manifest.store.put(reference_commit_file(store.address, 1), b'{"slice": 2}')
    with pytest.raises(DataError, match=r"00000001\.json: not the commit of a slice"):
        store.read()


def test_numbers_that_are_none_are_refused(manifest: Manifest) -> None:
    fill(manifest, "dpo2", 0, 1)
    fill(manifest, "dpo2", 2, more=np.nan)
    with pytest.raises(DataError, match="not finite"):
        kept(manifest, "dpo2").read()


def test_slices_of_another_size_are_not_mixed(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(manifest, "dpo2", 0)
    monkeypatch.setattr(reference_store, "SLICE_PAIRS", 11)
    with pytest.raises(DataError, match="remove references/"):
        kept(manifest, "dpo2").begin()


def test_a_checkpoint_is_known_by_its_tensors_wherever_it_lies(tmp_path: Path) -> None:
    for name, where in (("a", "/old"), ("b", "/new")):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "0.distcp").write_bytes(b"weights")
        (tmp_path / name / "state.json").write_text(where)
    digest = checkpoint_digest(tmp_path / "a")
    assert digest == checkpoint_digest(tmp_path / "b")
    (tmp_path / "b" / "deep" / "0.distcp").write_bytes(b"weightz")
    assert digest != checkpoint_digest(tmp_path / "b")
    (tmp_path / "a" / "deep" / "0.distcp").rename(tmp_path / "a" / "0.distcp")
    assert digest != checkpoint_digest(tmp_path / "a")
