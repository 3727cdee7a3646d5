"""Manifests whose digests all fit and that say something else than they should."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.fingerprint import canonical_json, sha256
from manifests.layout import object_file, step_file
from manifests.levels.banned import Banned
from manifests.levels.commits import Task
from manifests.levels.findings import Kind, Level
from manifests.levels.lineage import ungrounded
from manifests.levels.verify import verify_manifest
from manifests.objects.manifest import Manifest, read_root
from manifests.objects.ranges import SHARD_ROWS
from manifests.objects.tree import Objects
from manifests.shards import parquet_bytes
from manifests.store import Store, open_store
from tests.manifests.command_line import SPEC
from tests.manifests.selectable import ids_of
from tests.manifests.verified import (
    TAKEDOWN,
    built,
    findings,
    first_level,
    forged,
    replaced,
    small,
    with_rows,
)

Plain = dict[str, Any]


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def supplies(root: Plain, phase: int = 0, segment: int = 0) -> list[Plain]:
    found: list[Plain] = root["phases"][phase]["segments"][segment]["supplies"]
    return found


def move_a_sample(root: Plain) -> None:
    """From one source to another: every sum stays."""
    first, *_, last = supplies(root)
    first["quota"] -= 1
    last["quota"] += 1


def lose_a_batch(root: Plain) -> None:
    segment = root["phases"][0]["segments"][0]
    segment["stop"] -= segment["global_batch"]
    segment["supplies"][-1]["quota"] -= segment["global_batch"]


def other_seed(root: Plain) -> None:
    root["seed"] += 1


def swap_probes(root: Plain) -> None:
    one, two = root["probes"]
    root["probes"] = {one: root["probes"][two], two: root["probes"][one]}


def rename_leaf(root: Plain) -> None:
    root["leaves"][-1]["name"] = root["leaves"][-1]["source"] = "wep"


def add(what: str, number: int = 1) -> Callable[[Plain], None]:
    def change(root: Plain) -> None:
        *path, last = what.split(".")
        value: Any = root
        for name in path:
            value = value[int(name)] if isinstance(value, list) else value[name]
        value[last] += number

    return change


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (move_a_sample, Kind.RESOLUTION),
        (lose_a_batch, Kind.RESOLUTION),
        (other_seed, Kind.RESOLUTION),
        (rename_leaf, Kind.RESOLUTION),
        (add("leaves.0.tokens"), Kind.COUNT),
        (add("leaves.1.documents", -1), Kind.COUNT),
        (add("leaves.2.shards"), Kind.COUNT),
        (add("phases.0.segments.0.supplies.0.quota"), Kind.COUNT),
        (add("phases.0.segments.0.supplies.0.body.samples"), Kind.COUNT),
        (add("phases.0.segments.0.supplies.1.body.tokens", -1), Kind.COUNT),
        (add("phases.0.segments.0.supplies.2.cursor", 5), Kind.COUNT),
        (add("phases.1.segments.0.supplies.0.cursor"), Kind.COUNT),
        (add("phases.1.segments.0.supplies.0.first_epoch"), Kind.COUNT),
        (add("phases.1.segments.0.supplies.0.first_epoch", -1), Kind.COUNT),
        (add("phases.0.segments.0.start", 8), Kind.COUNT),
        (add("phases.0.segments.0.first_step"), Kind.COUNT),
        (add("phases.0.segments.0.global_batch"), Kind.COUNT),
        (add("phases.0.sequence_length"), Kind.COUNT),
        (add("tokenizer.end_of_document"), Kind.RESOLUTION),
        (add("order", "x"), None),
        (lambda root: root["phases"].pop(), Kind.FORM),
        (lambda root: root["phases"].reverse(), Kind.FORM),
        (lambda root: root["leaves"].reverse(), Kind.FORM),
        (lambda root: root["leaves"].pop(), Kind.MISSING),
        (lambda root: root["objects"].clear(), Kind.MISSING),
        (lambda root: root["objects"].append(root["leaves"][0]["table"]), Kind.FORM),
        (lambda root: root["probes"].popitem(), Kind.FORM),
        (lambda root: root.update(schema="scriptorium.manifest/2"), Kind.FORM),
        (lambda root: root["phases"][0]["train"].update(rope_base=7), Kind.RESOLUTION),
        (lambda root: root["spec"].update(media="toml"), Kind.MISSING),
    ],
)
def test_a_root_that_says_otherwise_is_found_at_level_0(
    change: Callable[[Plain], None], kind: Kind | None, local: Store
) -> None:
    digest = small(local)
    other = forged(local, digest, change)
    assert other != digest
    found = findings(local, other, Level.L0)
    if kind:
        assert (Level.L0, kind) in found
    else:  # an order that this version does not know is a note, and not computed
        assert not found
        levels = verify_manifest(local, other, Level.L4).levels
        assert "knows the order" in levels[0].notes[0]
        assert "not computed" in levels[4].notes[0]


def test_a_stale_probe_is_found_at_level_4(local: Store) -> None:
    digest = forged(local, small(local), swap_probes)
    assert findings(local, digest) == {(Level.L4, Kind.ORDER)}


@pytest.mark.parametrize("column", ["documents", "tokens", "rows", "bytes", "slice_index"])
def test_an_edited_count_of_a_shard_is_found(column: str, local: Store) -> None:
    def change(rows: list[Plain]) -> None:
        rows[1][column] += 1

    digest = with_rows(local, small(local), "web", change)
    expected = {"bytes": Level.L1, "slice_index": Level.L5}.get(column, Level.L0)
    assert first_level(local, digest) == expected
    # Whatever it is, the shard is not what was committed.
    assert (Level.L5, Kind.LINEAGE) in findings(local, digest)


@pytest.mark.parametrize("column", ["buckets", "licences", "teachers", "languages"])
def test_an_edited_composition_is_found_by_sum_or_by_its_records(column: str, local: Store) -> None:
    sound = small(local)

    def sum_up_otherwise(rows: list[Plain]) -> None:
        rows[0][column][0]["rows"] -= 1

    def rename(rows: list[Plain]) -> None:
        rows[0][column][0]["name"] = "something else"

    digest = with_rows(local, sound, "web", sum_up_otherwise)
    assert (Level.L0, Kind.COUNT) in findings(local, digest, Level.L0)
    digest = with_rows(local, sound, "web", rename)
    assert findings(local, digest, Level.L2) == set()
    assert (Level.L3, Kind.COUNT) in findings(local, digest)


def test_a_document_in_another_bin_of_lengths_is_found_at_level_3(local: Store) -> None:
    def change(rows: list[Plain]) -> None:
        first, *_, last = rows[0]["lengths"]
        first["count"] += 1
        last["count"] -= 1
        rows[0]["lengths"] = [entry for entry in rows[0]["lengths"] if entry["count"]]

    digest = with_rows(local, small(local), "web", change)
    assert (Level.L3, Kind.COUNT) in findings(local, digest, Level.L3)


def test_other_picked_rows_of_the_same_number_are_found_at_level_3(local: Store) -> None:
    """Strata pick rows by tokens: the neighbour of a picked row has other tokens."""

    def change(rows: list[Plain]) -> None:
        picked = int.from_bytes(rows[0]["picked"], "little")
        rows[0]["picked"] = (picked << 1).to_bytes(len(rows[0]["picked"]), "little")

    digest = with_rows(local, small(local), "synthetic/below-55", change)
    assert findings(local, digest, Level.L2) == set()
    assert (Level.L3, Kind.COUNT) in findings(local, digest)


def test_two_shards_that_are_swapped_are_found(local: Store) -> None:
    def change(rows: list[Plain]) -> None:
        one, two = rows[0], rows[1]
        one["key"], two["key"] = two["key"], one["key"]

    digest = with_rows(local, small(local), "web", change)
    assert findings(local, digest, Level.L3) == set(), "each file by itself is as it should be"
    found = findings(local, digest)
    assert {(Level.L4, Kind.ORDER), (Level.L5, Kind.LINEAGE)} <= found


def test_a_file_with_other_records_under_its_own_name_is_found_at_level_3(local: Store) -> None:
    """The table names it by its digest and size, but its records are fewer than the row says."""

    def change(rows: list[Plain]) -> None:
        row = rows[0]
        step, old = row["step"], row["sha256"]
        table = pa.BufferReader(local.get(f"{step}/data/{old}.parquet"))
        data = parquet_bytes(pq.read_table(table).slice(1))
        row["sha256"], row["bytes"] = sha256(data), len(data)
        local.put(f"{step}/data/{row['sha256']}.parquet", data)

    digest = with_rows(local, small(local), "web", change)
    assert findings(local, digest, Level.L2) == set()
    found = findings(local, digest)
    assert {(Level.L3, Kind.COUNT), (Level.L5, Kind.LINEAGE)} <= found


def raw_table(store: Store, digest: str, leaf: str, cut: list[pa.Table]) -> str:
    """The manifest with a leaf's table cut into these ranges, as they are given."""
    objects = Objects(store)
    old = next(one for one in read_root(objects, digest).leaves if one.name == leaf)
    ranges = []
    for rows in cut:
        kept = objects.put(parquet_bytes(rows), "parquet")
        keys = rows["key"].to_pylist()
        ranges.append(
            {
                "digest": kept.digest,
                "bytes": kept.bytes,
                "first": keys[0],
                "last": keys[-1],
                "shards": len(keys),
                "documents": sum(rows["documents"].to_pylist()),
                "tokens": sum(rows["tokens"].to_pylist()),
            }
        )
    table = {"schema": "scriptorium.shard-table/1", "ranges": ranges}
    kept = objects.put_json(table)
    return replaced(store, digest, old.table.digest, kept.digest, kept.bytes, {})


def test_keys_out_of_order_and_false_cuts_are_found_at_level_0(local: Store) -> None:
    digest = small(local)
    manifest = Manifest(local, digest)
    rows = manifest.rows(manifest.leaf("web").table.digest)
    assert rows.num_rows == 4
    backwards = rows.take(pa.array([1, 0, 2, 3]))
    twice = rows.take(pa.array([0, 0, 2, 3]))
    for cut in ([backwards], [twice], [rows.slice(0, 2), rows.slice(2)]):
        other = raw_table(local, digest, "web", cut)
        assert (Level.L0, Kind.FORM) in findings(local, other), cut
    assert not findings(local, raw_table(local, digest, "web", [rows]))


def test_a_range_with_other_columns_or_sums_is_found_at_level_0(local: Store) -> None:
    digest = small(local)
    manifest = Manifest(local, digest)
    rows = manifest.rows(manifest.leaf("web").table.digest)
    fewer = rows.drop_columns(["teachers"])
    assert (Level.L0, Kind.FORM) in findings(local, raw_table(local, digest, "web", [fewer]))
    wrong = rows.set_column(
        3,
        SHARD_ROWS.field("sha256"),
        pa.array([value[:-1] for value in rows["sha256"].to_pylist()]),
    )
    assert (Level.L0, Kind.FORM) in findings(local, raw_table(local, digest, "web", [wrong]))
    table = Objects(local).get_json(manifest.leaf("web").table)
    table["ranges"][0]["tokens"] += 1
    kept = Objects(local).put_json(table)
    old = manifest.leaf("web").table.digest
    other = replaced(local, digest, old, kept.digest, kept.bytes, {})
    assert findings(local, other, Level.L0) == {(Level.L0, Kind.COUNT)}


def test_a_table_that_is_none_is_found(local: Store) -> None:
    digest = small(local)
    old = Manifest(local, digest).leaf("web").table.digest
    for plain in ({"schema": "x"}, {"schema": "scriptorium.shard-table/1", "ranges": [1]}, [3]):
        kept = Objects(local).put_json(plain)
        other = replaced(local, digest, old, kept.digest, kept.bytes, {})
        assert (Level.L0, Kind.FORM) in findings(local, other)


def test_a_spec_that_asks_for_something_else_is_found_at_level_0(local: Store) -> None:
    digest, other = (
        small(local),
        built(
            local,
            SPEC.replace('web = "40%"', 'web = "41%"').replace(
                'synthetic = "60%"', 'synthetic = "59%"'
            ),
        ),
    )
    spec = read_root(Objects(local), other).spec

    def change(root: Plain) -> None:
        root["spec"] = {"digest": spec.digest, "bytes": spec.bytes, "media": spec.media}

    report = verify_manifest(local, forged(local, digest, change), Level.L0)
    (found,) = report.findings
    assert found.kind is Kind.RESOLUTION
    assert "quota" in found.what


def removed_on_the_way(store: Store) -> tuple[str, str]:
    """A manifest, and a record of web that was removed at a step of it."""
    first = Manifest(store, small(store))
    gone = ids_of(store, first.rows(first.leaf("web").table.digest))[0]
    return built(store, SPEC + TAKEDOWN.format(ids=f'"{gone}"')), gone


def test_holes_that_leave_out_other_samples_are_found_at_level_4(local: Store) -> None:
    digest, _ = removed_on_the_way(local)
    manifest = Manifest(local, digest)
    head = next(s.head for s in manifest.phase("pretrain").segments[1].supplies if s.head)
    holes = manifest.array(head.holes).copy()
    holes[-1] += 1 if holes[-1] + 1 < head.body.samples else -1
    kept = Objects(local).put_npy(holes)
    other = replaced(local, digest, head.holes, kept.digest, kept.bytes, {})
    assert findings(local, other, Level.L3) == set()
    assert (Level.L4, Kind.ORDER) in findings(local, other)


def test_a_head_that_is_left_out_is_found_at_level_4(local: Store) -> None:
    digest, _ = removed_on_the_way(local)

    def change(root: Plain) -> None:
        for supply in supplies(root, 0, 1):
            supply["head"] = None

    found = findings(local, forged(local, digest, change))
    assert (Level.L4, Kind.ORDER) in found


def test_a_removed_record_that_is_there_is_found_at_level_5(local: Store) -> None:
    digest, gone = removed_on_the_way(local)
    assert not findings(local, digest)
    first = Manifest(local, built(local))
    whole = first.rows(first.leaf("web").table.digest).to_pylist()

    def put_back(rows: list[Plain]) -> None:
        rows[:] = whole

    report = verify_manifest(local, with_rows(local, digest, "web", put_back), Level.L5)
    banned = [found for found in report.findings if found.kind is Kind.BANNED]
    assert [found.level for found in banned] == [Level.L5]
    assert gone in banned[0].what


@pytest.mark.parametrize(
    ("value", "files"),
    [
        (("licence", "CC0-1.0"), 8),
        (("bucket", "synthetic"), 4),
        (("teacher", "m@1"), 8),
        (("generator", "rewrite@1"), 8),
        (("source", "wiki"), 8),
        (("language", "en"), 8),
        (("bucket", "code"), 0),
        (("teacher", "m"), 0),
    ],
)
def test_what_is_banned_is_found_in_every_file_that_has_it(
    value: tuple[str, str], files: int, local: Store
) -> None:
    banned = Banned(values=frozenset({value}))
    report = verify_manifest(local, small(local), Level.L5, banned=banned, sample=1)
    assert all(found.level is Level.L5 for found in report.findings)
    assert len({found.where for found in report.findings}) == files


def test_a_banned_id_is_found_where_it_is(local: Store) -> None:
    manifest = Manifest(local, small(local))
    ids = ids_of(local, manifest.rows(manifest.leaf("web").table.digest))
    banned = Banned(ids=frozenset({ids[5], "no such id"}))
    (found,) = verify_manifest(local, manifest.digest, Level.L5, banned=banned).findings
    assert (found.kind, found.what) == (Kind.BANNED, f"web holds id:{ids[5]}")


def commits(store: Store) -> list[str]:
    return [key for key in store.list("steps/web@1/") if "/commits/" in key]


def test_a_commit_that_is_missing_or_another_is_found_at_level_5(local: Store) -> None:
    digest = small(local)
    one, two = commits(local)[:2]
    data = local.get(one)
    local.delete(one)
    assert findings(local, digest) == {(Level.L5, Kind.MISSING)}
    local.put(one, local.get(two))
    assert findings(local, digest) == {(Level.L5, Kind.LINEAGE)}
    for name, edited in (("rows", 99), ("sha256", "0" * 64), ("bytes", 1)):
        commit = json.loads(data)
        commit["data"][name] = edited
        local.put(one, canonical_json(commit))
        assert findings(local, digest) == {(Level.L5, Kind.LINEAGE)}
    commit = json.loads(data)
    commit["stats"]["licences"] = {"CC-BY-4.0": {"rows": 20, "tokens": 2190}}
    local.put(one, canonical_json(commit))
    assert findings(local, digest) == {(Level.L5, Kind.LINEAGE)}
    local.put(one, b"{}")
    assert findings(local, digest) == {(Level.L5, Kind.CORRUPT)}
    local.put(one, data)
    assert not findings(local, digest)


def test_inputs_are_followed_to_the_commits_that_read_sources(local: Store) -> None:
    digest = small(local)
    place = commits(local)[0]
    commit = json.loads(local.get(place))
    code = next(key for key in local.list("steps/code@1/") if "/commits/" in key)
    first = json.loads(local.get(code))
    read = {"step": first["step"], "task": first["task"], "sha256": first["data"]["sha256"]}
    local.put(place, canonical_json(commit | {"inputs": [read | {"rows": first["data"]["rows"]}]}))
    report = verify_manifest(local, digest, Level.L5)
    assert list(report.findings) == []
    assert report.levels[5].checked["commits"] == 9
    data = local.get(code)
    local.put(code, canonical_json(first | {"data": first["data"] | {"sha256": "0" * 64}}))
    assert findings(local, digest) == {(Level.L5, Kind.LINEAGE)}
    local.delete(code)
    assert findings(local, digest) == {(Level.L5, Kind.MISSING)}
    itself = {"step": commit["step"], "task": commit["task"], "sha256": commit["data"]["sha256"]}
    local.put(code, canonical_json(first | {"inputs": [itself | {"rows": 1}]}))
    report = verify_manifest(local, digest, Level.L5)
    assert ["circle" in found.what for found in report.findings] == [True]
    local.put(code, data)
    step = step_file(first["step"])
    local.put(step, canonical_json({"inputs": ["steps/lost@1/0"], "slices": 2}))
    assert findings(local, digest) == {(Level.L5, Kind.LINEAGE)}
    local.delete(step)
    assert findings(local, digest) == {(Level.L5, Kind.MISSING)}


def test_only_circles_and_what_reads_them_are_without_ground() -> None:
    a, b, c, d, e = (Task("steps/x@1/0", name, "") for name in "abcde")
    graph: dict[Task, tuple[Task, ...] | None] = {a: (b, c), b: (), c: (b, b), d: (e,), e: (d, b)}
    assert ungrounded(graph) == [d, e]
    assert ungrounded({a: (b,), b: None}) == []


def test_an_object_that_nothing_refers_to_is_found(local: Store) -> None:
    digest = small(local)
    extra = Objects(local).put_json({"nothing": 1})

    def change(root: Plain) -> None:
        part = {"digest": extra.digest, "bytes": extra.bytes, "media": extra.media}
        root["objects"] = sorted([*root["objects"], part], key=lambda one: one["digest"])

    report = verify_manifest(local, forged(local, digest, change), Level.L0)
    assert any("nothing refers to it" in found.what for found in report.findings)
    assert object_file(extra.digest, "json") in {found.where for found in report.findings}
