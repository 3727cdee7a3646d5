"""Sound manifests have no finding; broken bytes are found at the level that promises it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import ConfigError, NotInStore
from manifests.fingerprint import canonical_json
from manifests.layout import MANIFEST_OBJECTS
from manifests.levels.banned import Banned
from manifests.levels.findings import Kind, Level
from manifests.levels.verify import verify_manifest
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest, read_root, write_root
from manifests.objects.tree import Objects
from manifests.spec.types import Layout
from manifests.store import Store, open_store
from tests.manifests.command_line import SPEC
from tests.manifests.selectable import ids_of
from tests.manifests.verified import TAKEDOWN, built, findings, first_level, forged, small

RECALL = """
[phases.again]
after = "sft"
sequence_length = 64
global_batch = 4
tokens = "2K"

[phases.again.mix]
web = { weight = 1, cursor = "restart" }
synthetic = { weight = 1 }

[phases.last]
on_cap = "redistribute"
after = "again"
sequence_length = 64
global_batch = 4
tokens = "2K"

[phases.last.mix]
old = { weight = 1, recall = "pretrain" }
"""


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def taken_down(store: Store, spec: str = SPEC) -> str:
    """A manifest that a record of each leaf was removed from on the way."""
    root = read_root(Objects(store), small(store, spec))
    manifest = Manifest(store, write_root(Objects(store), root))
    ids = [ids_of(store, manifest.rows(leaf.table.digest))[3] for leaf in root.leaves]
    removed = ", ".join(f'"{found}"' for found in ids)
    return built(store, spec + TAKEDOWN.format(ids=removed))


def test_a_sound_manifest_has_no_finding_in_any_store(store: Store) -> None:
    digest = small(store)
    absent = Banned(ids=frozenset({"0" * 32}), values=frozenset({("licence", "unknown")}))
    report = verify_manifest(store, digest, Level.L5, banned=absent)
    assert list(report.findings) == []
    assert report.ok
    checked = {level.level: level.checked for level in report.levels}
    assert checked[Level.L0]["shard rows"] == 12
    assert checked[Level.L1]["data files"] == checked[Level.L3]["data files"] == 8
    assert checked[Level.L4]["positions"] == 320
    assert checked[Level.L5]["data files searched"] == checked[Level.L5]["commits"] == 8
    assert report.levels[0].notes == ["resolved again from the spec and the tables: the same"]


def test_a_takedown_on_the_way_is_sound_and_its_holes_are_counted_again(store: Store) -> None:
    report = verify_manifest(store, taken_down(store), Level.L5)
    assert list(report.findings) == []
    assert report.levels[4].checked["changed shards"] >= 3
    assert report.levels[5].checked["removed or banned"] == 3


@pytest.mark.parametrize(
    "spec",
    [
        SPEC + RECALL,
        SPEC.replace("sequence_length = 64", 'sequence_length = 16\nlayout = "document"'),
        SPEC.replace("sequence_length = 64", 'sequence_length = 100\nlayout = "packed"'),
        SPEC.replace('tokens = "15K"', 'tokens = "3K"\nunit = "samples"'),
        SPEC + '\n[[changes]]\nphase = "pretrain"\nat_step = 5\nglobal_batch = 4\n',
        SPEC + '\n[[changes]]\nphase = "pretrain"\nat_step = 5\n[changes.mix]\nweb = "100%"\n',
    ],
    ids=["recall and restart", "document", "packed", "samples", "another batch", "another mix"],
)
def test_mixtures_of_all_kinds_are_sound(spec: str, local: Store) -> None:
    report = verify_manifest(local, small(local, spec), Level.L5)
    assert [str(found) for found in report.findings] == []
    assert report.levels[0].notes == ["resolved again from the spec and the tables: the same"]


PACKED = SPEC.replace("sequence_length = 64", 'sequence_length = 100\nlayout = "packed"')


def test_a_takedown_out_of_packed_windows_is_sound(local: Store) -> None:
    report = verify_manifest(local, taken_down(local, PACKED), Level.L5)
    assert [str(found) for found in report.findings] == []
    assert report.levels[4].checked["changed shards"] >= 3


@pytest.mark.parametrize(
    ("name", "change", "level"),
    [
        ("packing", lambda packing: "", Level.L0),
        ("splits", lambda splits: splits + 10**6, Level.L0),
        ("samples", lambda samples: samples - 1, Level.L0),
    ],
    ids=["no packing", "splits", "samples"],
)
def test_a_packed_body_that_was_forged_is_found(
    name: str, change: Callable[[Any], Any], level: Level, local: Store
) -> None:
    def forge(root: dict[str, Any]) -> None:
        for supply in root["phases"][0]["segments"][0]["supplies"]:
            supply["body"][name] = change(supply["body"][name])

    other = forged(local, small(local, PACKED), forge)
    assert first_level(local, other) == level


def test_windows_that_a_shard_does_not_make_are_found_in_its_documents(local: Store) -> None:
    """One more here and one fewer there: all sums stay. Some rests of documents fit together,
    and some do not, so there is room for doubt.
    """
    spec = PACKED.replace("sequence_length = 100", "sequence_length = 70")
    manifest = Manifest(local, small(local, spec))
    body = manifest.root.phases[0].segments[0].supplies[-1].body
    assert body.layout is Layout.PACKED
    windows = manifest.array(body.windows).copy()
    windows[:2] += [1, -1]
    kept = manifest.objects.put_npy(windows)

    def forge(root: dict[str, Any]) -> None:
        root.update(json.loads(json.dumps(root).replace(body.windows, kept.digest)))
        root["objects"].sort(key=lambda one: one["digest"])

    other = forged(local, manifest.digest, forge)
    assert findings(local, other, Level.L2) == set()
    assert (Level.L3, Kind.COUNT) in findings(local, other)


def test_a_packing_of_another_version_is_told_and_not_computed(local: Store) -> None:
    def forge(root: dict[str, Any]) -> None:
        for supply in root["phases"][0]["segments"][0]["supplies"]:
            supply["body"]["packing"] = "best-fit@2"

    digest = forged(local, small(local, PACKED), forge)
    report = verify_manifest(local, digest, Level.L4)
    assert report.levels[4].notes == ["not computed, since documents are packed by best-fit@2"]
    with pytest.raises(ConfigError, match="packed by 'best-fit@2'"):
        Contents(Manifest(local, digest))


def test_levels_above_are_not_looked_at(local: Store) -> None:
    digest = small(local)
    for top in Level:
        levels = verify_manifest(local, digest, top).levels
        assert [report.level for report in levels] == list(Level)[: top + 1]


def test_a_byte_flipped_in_any_object_is_found_at_level_0(local: Store) -> None:
    digest = taken_down(local)
    objects = reached(local, digest)
    assert len(objects) > 10
    for key in objects:
        data = local.get(key)
        for at in {0, len(data) // 2, len(data) - 1}:
            local.put(key, data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            report = verify_manifest(local, digest, Level.L0)
            found = {(one.kind, one.where) for one in report.findings}
            assert (Kind.CORRUPT, key) in found, (key, at)
        local.put(key, data[:-1])
        assert (Level.L0, Kind.CORRUPT) in findings(local, digest, Level.L0), key
        local.put(key, data)
    assert not findings(local, digest)


def test_an_object_that_is_missing_is_named_at_level_0(local: Store) -> None:
    digest = taken_down(local)
    for key in reached(local, digest):
        data = local.get(key)
        local.delete(key)
        report = verify_manifest(local, digest, Level.L5)
        assert (Kind.MISSING, key) in {(one.kind, one.where) for one in report.findings}
        local.put(key, data)


def test_without_a_root_there_is_one_level(local: Store) -> None:
    report = verify_manifest(local, "0" * 64, Level.L5)
    (only,) = report.levels
    assert [found.kind for found in only.findings] == [Kind.MISSING]


def test_a_data_file_that_is_gone_or_short_is_found_at_level_1(local: Store) -> None:
    digest = small(local)
    key = data_keys(local)[0]
    data = local.get(key)
    local.delete(key)
    assert first_level(local, digest) == Level.L1
    assert (Level.L1, Kind.MISSING) in findings(local, digest, Level.L1)
    local.put(key, data[:-1])
    assert findings(local, digest, Level.L1) == {(Level.L1, Kind.CORRUPT)}


def test_a_byte_flipped_in_a_data_file_is_found_at_level_2(local: Store) -> None:
    digest = small(local)
    key = data_keys(local)[0]
    data = local.get(key)
    for at in range(0, len(data), len(data) // 7):
        local.put(key, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert findings(local, digest, Level.L1) == set()
        assert findings(local, digest) == {(Level.L2, Kind.CORRUPT)}


def test_a_sample_is_the_same_for_everyone_and_only_that_is_read(local: Store) -> None:
    digest = small(local)
    good = {key: local.get(key) for key in data_keys(local)}
    for key, data in good.items():
        local.put(key, data[:-1] + b"?")
    named = [
        {found.where for found in verify_manifest(local, digest, Level.L3, sample=k).findings}
        for k in (3, 3, 5, 100)
    ]
    assert named[0] == named[1]
    assert list(map(len, named)) == [3, 3, 5, 8]
    assert named[0] < named[2] < named[3]
    for key, data in good.items():
        local.put(key, data)
    report = verify_manifest(local, digest, Level.L3, sample=3)
    assert report.levels[2].checked["data files"] == report.levels[3].checked["data files"] == 3


def test_a_root_that_is_not_canonical_or_no_root_is_found(local: Store) -> None:
    digest = small(local)
    objects = Objects(local)
    data = objects.get_by_digest(digest, "json")
    spaced = objects.put(data.replace(b",", b", "), "json").digest
    other = objects.put(canonical_json({"schema": "scriptorium.manifest/1"}), "json").digest
    for wrong in (spaced, other, objects.put(b"{", "json").digest):
        assert findings(local, wrong) == {(Level.L0, Kind.FORM)}


def test_a_parent_that_is_gone_is_found(local: Store) -> None:
    objects = Objects(local)
    first = small(local)
    root = replace(read_root(objects, first), parents=(first,))
    child = write_root(objects, root)
    assert not findings(local, child)
    orphan = write_root(objects, replace(root, parents=("0" * 64,)))
    assert findings(local, orphan, Level.L0) == {(Level.L0, Kind.MISSING)}
    with pytest.raises(NotInStore):
        read_root(objects, "0" * 64)


def reached(store: Store, digest: str) -> list[str]:
    """Keys of the manifest's objects; nothing else was built but what it was made from."""
    from manifests.objects.reach import reachable

    keys = reachable(Objects(store), [digest]).keys
    assert keys <= set(store.list(MANIFEST_OBJECTS))
    return sorted(keys)


def data_keys(store: Store) -> list[str]:
    """Keys of the data files of the steps web and syn, which the mixture is made of."""
    return [
        key
        for step in ("steps/web@1/", "steps/syn@1/")
        for key in store.list(step)
        if "/data/" in key
    ]


def test_windows_that_no_manifest_keeps_are_counted_at_level_4(local: Store) -> None:
    """A stratum without a sample: its windows count in the resolution, and no body names them."""
    spec = SPEC.replace("weights = [1, 2]", 'weights = ["1/100000", 2]')
    spec = spec.replace("max_epochs = 8", "max_epochs = 99")
    spec = spec.replace("global_batch", "allow_zero = true\nglobal_batch")
    digest = small(local, spec.replace("sequence_length = 32", "sequence_length = 52"))
    report = verify_manifest(local, digest, Level.L4)
    assert report.ok
    assert "synthetic/below-55 has is told by its shards only" in report.levels[0].notes[0]
    assert report.levels[4].notes == ["resolved again from the spec and the tables: the same"]
