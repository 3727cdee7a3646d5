from pathlib import Path

import numpy as np
import pytest

from manifests.errors import DataError
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.order import PhaseOrder
from manifests.store import open_store
from tests.trainer.read_slowly import PHASES, SPEC, demo
from trainer.data import probes
from trainer.data.probes import (
    _Said,
    check_order,
    check_ranks,
    content_digest,
    probe_positions,
    refuse_unequal,
)
from trainer.data.samples import PhaseData


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("demo")
    return demo(open_store(str(folder / "root")), folder)[0]


@pytest.mark.parametrize("phase", PHASES)
def test_machines_that_read_the_same_say_the_same(
    manifest: Manifest, phase: str, tmp_path: Path
) -> None:
    digests = set()
    for machine in ("a", "b"):
        data = PhaseData(manifest, phase, tmp_path / machine)
        digests.add(check_ranks(data))
    assert len(digests) == 1


def test_the_digest_is_over_positions_places_documents_and_ids(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = PhaseData(manifest, "pretrain", tmp_path)
    seen = {content_digest(data), content_digest(data, count=50), content_digest(data, shards=1)}
    batch = data.batch
    with monkeypatch.context() as patch:

        def other(positions: np.ndarray) -> object:
            found = batch(positions)
            found.tokens[0, 5] ^= 1
            return found

        patch.setattr(data, "batch", other)
        seen.add(content_digest(data))
    with monkeypatch.context() as patch:
        patch.setattr(probes, "_documents", lambda *_: [["another"]])
        seen.add(content_digest(data))
    with monkeypatch.context() as patch:
        patch.setattr(probes, "base_key", lambda *_: 5)
        seen.add(content_digest(data, count=50))
    assert len(seen) == 6


def test_only_the_first_shards_are_opened(manifest: Manifest, tmp_path: Path) -> None:
    data = PhaseData(manifest, "dpo", tmp_path)
    content_digest(data, shards=1)
    assert len(data.shards._open) == 1


def test_probes_are_different_positions_of_the_phase(manifest: Manifest, tmp_path: Path) -> None:
    data = PhaseData(manifest, "pretrain", tmp_path)
    assert sorted(probe_positions(data).tolist()) == list(range(data.samples))
    few = probe_positions(data, 20).tolist()
    assert len(set(few)) == 20
    assert few != sorted(few)


def test_another_order_than_the_manifests_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    data = PhaseData(manifest, "pretrain", tmp_path)
    check_order(data)
    data.order = PhaseOrder(data.phase, manifest.root.seed + 1, manifest.array)
    with pytest.raises(DataError, match="the order of phase pretrain is not the one that it was"):
        check_order(data)


def test_a_rank_that_differs_is_named() -> None:
    def said(digest: str, host: str, error: str = "") -> _Said:
        return _Said(digest=digest, error=error, host=host)

    same = [said("a", f"node{n}") for n in range(4)]
    refuse_unequal(same, "pretrain")
    with pytest.raises(DataError, match="pretrain: rank 2 on bad would be trained on other data"):
        refuse_unequal([*same[:2], said("b", "bad"), *same[3:]], "pretrain")
    with pytest.raises(DataError, match=r"ranks 1 on bad, 3 on worse .* other 3, by 4,096"):
        refuse_unequal(
            [same[0], said("b", "bad"), same[2], said("c", "worse"), same[3]], "pretrain"
        )
    with pytest.raises(DataError, match="rank 1 on bad: no such file"):
        refuse_unequal([same[0], said("", "bad", "no such file"), same[2]], "pretrain")
    with pytest.raises(DataError, match=r"^no such file$"):
        refuse_unequal([said("", "bad", "no such file")], "pretrain")


def test_another_seed_has_another_digest(manifest: Manifest, tmp_path: Path) -> None:
    other, _ = demo(
        open_store(str(tmp_path / "root")), tmp_path, SPEC.replace("seed = 7", "seed = 8")
    )
    mine, others = (PhaseData(one, "sft", tmp_path / "c") for one in (manifest, other))
    assert content_digest(mine) != content_digest(others)
    assert Contents(other).phase("sft").samples == mine.samples
