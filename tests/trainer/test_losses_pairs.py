from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from manifests.errors import ConfigError
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.store import open_store
from tests.manifests.trained import held
from tests.trainer.paired import SPEC, judged, pair_manifest, pivotal, unknown
from trainer.losses.pairs import PhasePairs, names_of, phase_pairs


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("pairs")
    return pair_manifest(open_store(str(folder / "root")), folder)


def names(manifest: Manifest, pairs: PhasePairs) -> list[str]:
    found: list[str] = names_of(Contents(manifest), pairs, 0, len(pairs))["pair"].to_pylist()
    return found


@pytest.mark.parametrize("phase", ["dpo1", "dpo2"])
def test_every_position_leads_to_the_pair_that_is_trained_on_there(
    manifest: Manifest, phase: str
) -> None:
    pairs = phase_pairs(manifest, manifest.phase(phase))
    called = names(manifest, pairs)
    assert len(set(called)) == len(called)
    assert [{called[number]} for number in pairs.index] == held(manifest, phase)
    assert pairs.index[pairs.first].tolist() == list(range(len(pairs)))


def test_a_pair_of_many_epochs_is_one(manifest: Manifest) -> None:
    phase = manifest.phase("dpo2")
    pairs = phase_pairs(manifest, phase)
    assert sorted(names(manifest, pairs)) == sorted(made.record.id for made in judged())
    assert phase.samples == 3 * len(pairs)
    assert set(Counter(pairs.index.tolist()).values()) == {3}


def test_the_names_of_a_slice_are_those_of_its_pairs(manifest: Manifest) -> None:
    pairs = phase_pairs(manifest, manifest.phase("dpo1"))
    contents = Contents(manifest)
    whole = names_of(contents, pairs, 0, len(pairs))
    assert names_of(contents, pairs, 3, 11).equals(whole.slice(3, 8).combine_chunks())
    for row in whole.to_pylist():
        table = manifest.leaf(row["leaf"]).table.digest
        shard = contents.table(table)["sha256"].to_pylist().index(row["shard"])
        assert contents.documents(table, shard).ids[row["document"]].as_py() == row["pair"]


def test_the_limit_is_on_the_sources_that_it_names(manifest: Manifest) -> None:
    pairs = phase_pairs(manifest, manifest.phase("dpo1"))
    limited = np.array(names(manifest, pairs))[pairs.limited]
    assert sorted(limited) == sorted(made.record.id for made in unknown())
    assert not phase_pairs(manifest, manifest.phase("dpo2")).limited.any()


def test_without_a_name_the_limit_is_on_all_pairs(tmp_path: Path) -> None:
    spec = SPEC.replace('first_tokens_of = "unknown"\n', "")
    manifest = pair_manifest(open_store(str(tmp_path / "root")), tmp_path, spec)
    pairs = phase_pairs(manifest, manifest.phase("dpo1"))
    assert pairs.limited.all()
    assert len(pairs) == len(pivotal()) + len(unknown())


def test_pairs_that_are_not_alone_in_a_window_are_refused(tmp_path: Path) -> None:
    spec = SPEC.replace('layout = "document"', 'layout = "stream"').replace("128", "32")
    manifest = pair_manifest(open_store(str(tmp_path / "root")), tmp_path, spec)
    with pytest.raises(ConfigError, match=r'phase dpo2: judged is .* need layout = "document"'):
        phase_pairs(manifest, manifest.phase("dpo2"))


def test_a_pair_that_is_longer_than_the_window_is_refused_by_its_id(tmp_path: Path) -> None:
    manifest = pair_manifest(
        open_store(str(tmp_path / "root")), tmp_path, SPEC.replace("= 128", "= 90")
    )
    pairs = phase_pairs(manifest, manifest.phase("dpo2"))
    longest = max(judged(), key=lambda made: len(made.ids)).record.id
    line = rf"phase dpo2: pair {longest} has 93 tokens and the window 90; leave such pairs out"
    with pytest.raises(ConfigError, match=line):
        names(manifest, pairs)
