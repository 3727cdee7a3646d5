"""Building over packed sources: what will be asked for is known, so every shard is read once."""

from collections import Counter
from pathlib import Path

import pytest

from manifests.build.build import build
from manifests.build.supplies import cuts_of
from manifests.documents import Documents, ShardRow, read_documents
from manifests.levels.packed import PACKING, packed
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.tree import Objects
from manifests.spec.read import parse_mixture
from manifests.spec.types import Layout
from manifests.store import Store, open_store
from tests.manifests.command_line import SPEC, commit_corpus
from tests.manifests.located import WEB

PACKED = (
    SPEC.replace("sequence_length = 64", 'sequence_length = 70\nlayout = "packed"')
    + """
web = { tokens = 500, layout = "stream" }

[phases.long]
after = "sft"
sequence_length = 250
global_batch = 2
tokens = "4K"

[phases.long.mix]
again = { weight = 1, recall = "pretrain" }

[[changes]]
phase = "pretrain"
at_step = 9
mix = { web = { weight = 1, layout = "document" }, synthetic = { weight = 1 } }
"""
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "root"))
    commit_corpus(store)
    return store


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often windows were counted in a file."""
    found: Counter[str] = Counter()

    def noted(store: Store, row: ShardRow) -> Documents:
        found[f"{row.sha256} {row.picked.hex()}"] += 1
        return read_documents(store, row)

    monkeypatch.setattr("manifests.select.window_counts.read_documents", noted)
    return found


def test_the_windows_that_a_mixture_asks_for_follow_recalls_and_changes() -> None:
    cuts = cuts_of(parse_mixture(PACKED, "spec.toml"))
    packed_at = {(Layout.PACKED, length) for length in (70, 250)}
    assert cuts == {
        "web": packed_at | {(Layout.DOCUMENT, 70), (Layout.DOCUMENT, 250)},
        "synthetic": packed_at | {(Layout.DOCUMENT, 32)},
    }


def test_a_build_reads_every_shard_once_for_all_its_windows(
    store: Store, read: Counter[str]
) -> None:
    objects = Objects(store)
    root = build(store, parse_mixture(PACKED, "spec.toml"), objects)
    assert set(read.values()) == {1}
    assert len(read) == 12
    manifest = Manifest(store, write_root(objects, root))
    asked = {supply.body.layout for phase in root.phases for supply in phase.segments[0].supplies}
    assert asked == set(Layout)
    for phase in root.phases:
        for supply in (s for segment in phase.segments for s in segment.supplies):
            body, length = supply.body, phase.sequence_length
            if body.layout is not Layout.PACKED:
                assert body.packing == ""
                continue
            rows = manifest.rows(body.table)
            every = [
                read_documents(store, ShardRow.of(rows, n)).tokens.tolist()
                for n in range(rows.num_rows)
            ]
            assert body.packing == PACKING
            assert manifest.array(body.windows).tolist() == [len(packed(t, length)) for t in every]
            assert body.splits == sum(count > length for some in every for count in some)
            assert body.tokens == sum(map(sum, every))


def test_a_takedown_reads_again_only_the_shards_that_it_changes(
    store: Store, read: Counter[str]
) -> None:
    spec = SPEC.replace("sequence_length = 64", 'sequence_length = 70\nlayout = "packed"')
    removal = f'remove = [{{ records = ["{WEB[1][5].id}"] }}]'
    spec += f'\n[[changes]]\nphase = "pretrain"\nat_step = 9\n{removal}\n'
    build(store, parse_mixture(spec, "spec.toml"), Objects(store))
    assert set(read.values()) == {1}
    picks = Counter(name.partition(" ")[0] for name in read)
    # The shards of synthetic are picked from for two strata, one of web before and after.
    assert sorted(picks.values()) == [1] * 3 + [2] * 5
