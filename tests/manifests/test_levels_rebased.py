"""Manifests that go on from others: their spec alone does not give them, their cursors do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.build.rebase import Point, rebase
from manifests.layout import object_file
from manifests.levels.findings import Kind, Level
from manifests.levels.verify import verify_manifest
from manifests.objects.manifest import Manifest
from manifests.objects.tree import Objects
from manifests.spec.read import parse_mixture
from manifests.store import Store, open_store
from tests.manifests.command_line import SPEC
from tests.manifests.selectable import ids_of
from tests.manifests.verified import findings, forged, small

EDITED = SPEC.replace('web = "40%"', 'web = "30%"').replace(
    'synthetic = "60%"', 'synthetic = "70%"'
)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def rebased(store: Store, digest: str, step: int, removed: str = "", edited: str = EDITED) -> str:
    """The manifest gone on from a step of pretrain, under the edited spec and without a record."""
    text = edited + (f'\n[[remove]]\nrecords = ["{removed}"]\n' if removed else "")
    mixture, at = parse_mixture(text, "spec.toml"), Point(phase="pretrain", step=step)
    return rebase(store, Manifest(store, digest), mixture, at, Objects(store)).digest


@pytest.fixture
def digest(local: Store) -> str:
    """A rebased manifest, a record of which was taken down at the rebase."""
    first = Manifest(local, small(local))
    gone = ids_of(local, first.rows(first.leaf("web").table.digest))[7]
    return rebased(local, first.digest, 9, gone)


def test_a_rebased_manifest_is_sound_and_says_how_it_was_checked(local: Store, digest: str) -> None:
    report = verify_manifest(local, digest, Level.L5)
    assert [str(found) for found in report.findings] == []
    (note,) = report.levels[0].notes
    assert note == "resolved again as going on from step 9 of pretrain of a parent: the same"
    assert report.levels[4].checked["changed shards"] == 1
    again = rebased(local, digest, 15)
    assert [str(found) for found in verify_manifest(local, again, Level.L5).findings] == []


def test_packed_windows_of_a_rebased_manifest_are_sound(local: Store) -> None:
    first, after = (
        text.replace("sequence_length = 64", 'sequence_length = 150\nlayout = "packed"')
        for text in (SPEC, EDITED)
    )
    before = Manifest(local, small(local, first))
    gone = ids_of(local, before.rows(before.leaf("web").table.digest))[7]
    digest = rebased(local, before.digest, 1, gone, after)
    report = verify_manifest(local, digest, Level.L5)
    assert [str(found) for found in report.findings] == []
    assert report.levels[4].checked["changed shards"] == 1
    supplies = Manifest(local, digest).root.phases[0].segments[1].supplies
    assert any(one.head and one.head.holes for one in supplies)


@pytest.mark.parametrize("key", ["cursor", "first_epoch", "head.start", "head.taken", "head.epoch"])
def test_a_cursor_that_does_not_go_on_is_found_at_level_0(
    key: str, local: Store, digest: str
) -> None:
    def change(root: dict[str, Any]) -> None:
        supply = root["phases"][0]["segments"][1]["supplies"][-1]
        *path, last = key.split(".")
        for name in path:
            supply = supply[name]
        supply[last] += 1
        if last in ("start", "taken"):
            supply["count"] -= 1

    assert (Level.L0, Kind.COUNT) in findings(local, forged(local, digest, change), Level.L0)


def less(name: str) -> Callable[[dict[str, Any]], None]:
    def change(root: dict[str, Any]) -> None:
        for supply in root["phases"][0]["segments"][0]["supplies"]:
            supply[name] -= 1

    return change


@pytest.mark.parametrize("name", ["quota", "planned"])
def test_a_plan_that_did_not_come_to_its_quotas_is_found(
    name: str, local: Store, digest: str
) -> None:
    assert (Level.L0, Kind.COUNT) in findings(local, forged(local, digest, less(name)), Level.L0)


def test_a_head_that_was_forgotten_is_found_in_the_documents(local: Store, digest: str) -> None:
    def change(root: dict[str, Any]) -> None:
        supply = root["phases"][0]["segments"][1]["supplies"][-1]
        assert supply["head"]
        supply["head"] = None

    other = forged(local, digest, change)
    assert (Level.L4, Kind.ORDER) in findings(local, other, Level.L4)


def test_a_sample_moved_from_one_source_to_another_is_found(local: Store, digest: str) -> None:
    def change(root: dict[str, Any]) -> None:
        first, *_, last = root["phases"][0]["segments"][1]["supplies"]
        first["quota"] += 1
        last["quota"] -= 1

    found = findings(local, forged(local, digest, change), Level.L0)
    assert (Level.L0, Kind.RESOLUTION) in found


def test_without_its_parent_nobody_can_tell_what_it_went_on_from(local: Store, digest: str) -> None:
    (parent,) = Manifest(local, digest).root.parents
    local.delete(object_file(parent, "json"))
    report = verify_manifest(local, digest, Level.L0)
    assert [found.kind for found in report.findings] == [Kind.MISSING]
    assert report.levels[0].notes == ["not resolved again: a parent is not there"]
