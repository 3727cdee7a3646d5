"""A running mixture goes on under another: what stays, what is taken out, what is refused."""

import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from manifests.build.build import build
from manifests.build.layered import Layered
from manifests.build.rebase import Point, Rebased, rebase
from manifests.errors import ConfigError, NotInStore
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.tree import Objects
from manifests.spec.read import parse_mixture
from manifests.store import Store, open_store
from tests.manifests.command_line import SPEC, commit_corpus
from tests.manifests.trained import held, trained

BATCH = 8
LONG = (
    SPEC.replace('tokens = "15K"', 'tokens = "40K"')
    .replace('"40%"', '"80%"')
    .replace('"60%"', '"20%"')
    .replace("max_epochs = 8", "max_epochs = 40")
)
"""Long enough for more than an epoch of everything."""
AT = Point(phase="pretrain", step=10)
"""In the middle of an epoch of everything."""


@pytest.fixture
def store() -> Store:
    store = open_store(f"memory://{secrets.token_hex(6)}")
    commit_corpus(store)
    return store


def built(store: Store, text: str = LONG) -> Manifest:
    objects = Objects(store)
    return Manifest(store, write_root(objects, build(store, parse_mixture(text, "it"), objects)))


def rebased(manifest: Manifest, text: str, at: Point = AT) -> tuple[Manifest, Rebased]:
    """The manifest after it, with its objects in a store over the old one."""
    over = Layered(manifest.store)
    made = rebase(manifest.store, manifest, parse_mixture(text, "it"), at, Objects(over))
    return Manifest(over, made.digest), made


MIXED = LONG.replace('"80%"', '"70%"').replace('"20%"', '"30%"')


def removing(entry: str, text: str = LONG) -> str:
    return text.replace("seed = 7", f"remove = [{entry}]\nseed = 7")


def record_of(manifest: Manifest, source: str) -> str:
    """A record that is trained on both before and after the step."""
    seen = held(manifest, "pretrain")
    stop = AT.step * BATCH
    leaves = [one.leaf.partition("/")[0] for one in trained(manifest, "pretrain")]
    early = {
        i for ids, leaf in zip(seen[:stop], leaves, strict=False) if leaf == source for i in ids
    }
    late = {i for ids in seen[stop:] for i in ids}
    return sorted(early & late)[0]


def test_what_came_before_the_step_stays_as_it_was(store: Store) -> None:
    before = built(store)
    text = MIXED
    after, made = rebased(before, text)
    stop = AT.step * BATCH
    assert trained(after, "pretrain")[:stop] == trained(before, "pretrain")[:stop]
    later = Counter(one.leaf.partition("/")[0] for one in trained(after, "pretrain")[stop:])
    assert abs(later["web"] / sum(later.values()) - 0.7) < 0.01
    assert after.root.parents == (before.digest,)
    assert {leaf.lost for leaf in made.account} == {0}
    assert {leaf.skipped for leaf in made.account} == {0}
    assert made.anew == ("sft",)


def test_every_epoch_goes_on_where_it_was(store: Store) -> None:
    before = built(store)
    after, _ = rebased(before, MIXED)
    seen = Counter((one.leaf, one.epoch, one.sample) for one in trained(after, "pretrain"))
    assert set(seen.values()) == {1}


def test_a_rebase_onto_the_same_spec_and_data_changes_nothing(store: Store) -> None:
    before = built(store)
    over = Layered(store)
    made = rebase(store, before, before.mixture, AT, Objects(over))
    assert made.unchanged
    assert made.digest == before.digest
    after, again = rebased(before, MIXED)
    assert not again.unchanged
    once_more = rebase(store, after, after.mixture, Point(phase="pretrain", step=20), Objects(over))
    assert once_more.unchanged
    earlier = rebase(store, after, after.mixture, Point(phase="pretrain", step=5), Objects(over))
    assert not earlier.unchanged


@pytest.mark.parametrize("source", ["web", "synthetic"])
@pytest.mark.parametrize("how", ["records", "report"])
def test_a_record_taken_down_on_the_way_is_in_no_sample_from_the_step_on(
    store: Store, tmp_path: Path, how: str, source: str
) -> None:
    before = built(store)
    gone = record_of(before, source)
    report = tmp_path / "gone.txt"
    report.write_text(gone + "\n")
    entry = {"records": f'{{ records = ["{gone}"] }}', "report": f'{{ report = "{report}" }}'}[how]
    after, made = rebased(before, removing(entry))
    stop = AT.step * BATCH
    assert trained(after, "pretrain")[:stop] == trained(before, "pretrain")[:stop]
    for phase, start in (("pretrain", stop), ("sft", 0)):
        assert not any(gone in ids for ids in held(after, phase)[start:])
    assert_epochs_are_whole(before, after, made, gone)


def assert_epochs_are_whole(before: Manifest, after: Manifest, made: Rebased, gone: str) -> None:
    """Of the epoch that had begun everything came exactly once, but for what held the record."""
    stop = AT.step * BATCH
    everything, ids = trained(after, "pretrain"), held(before, "pretrain")
    for account in made.account:
        was = [one for one in trained(before, "pretrain") if one.leaf == account.leaf]
        (begun,) = {
            one.epoch for one in trained(after, "pretrain")[:stop] if one.leaf == account.leaf
        }
        seen = Counter(
            one.sample
            for one in everything
            if one.leaf == account.leaf and one.epoch == begun and one.table == was[0].table
        )
        assert set(seen.values()) == {1}
        holding = {
            one.sample
            for one, held_here in zip(trained(before, "pretrain"), ids, strict=True)
            if one.leaf == account.leaf and one.epoch == begun and gone in held_here
        }
        before_it = {one.sample for one in everything[:stop] if one.leaf == account.leaf}
        whole = {one.sample for one in was if one.epoch == begun}
        assert whole - seen.keys() == holding - before_it
        assert account.skipped == len(holding - before_it)
        assert account.consumed == len(before_it)
        assert account.going_on == len(whole) - len(before_it) - account.skipped
        assert (account.lost, account.repeated) == (0, 0)
    assert sum(account.skipped for account in made.account) > 0


@pytest.mark.parametrize("layout", ["document", "packed"])
def test_documents_that_are_no_stream_are_taken_down(layout: str, store: Store) -> None:
    text = LONG.replace("global_batch = 8\n", f'global_batch = 8\nlayout = "{layout}"\n')
    before = built(store, text)
    gone = record_of(before, "web")
    after, made = rebased(before, removing(f'{{ records = ["{gone}"] }}', text))
    stop = AT.step * BATCH
    assert not any(gone in ids for ids in held(after, "pretrain")[stop:])
    assert_epochs_are_whole(before, after, made, gone)


def test_a_source_taken_down_on_the_way_is_in_no_sample_from_the_step_on(store: Store) -> None:
    before = built(store)
    text = removing('{ source = "web" }').replace('web = "80%"\n', "").replace('"20%"', '"100%"')
    after, made = rebased(before, text)
    stop = AT.step * BATCH
    assert trained(after, "pretrain")[:stop] == trained(before, "pretrain")[:stop]
    assert {one.leaf.partition("/")[0] for one in trained(after, "pretrain")[stop:]} == {
        "synthetic"
    }
    (web,) = [account for account in made.account if account.leaf == "web"]
    assert web.skipped > 0
    assert web.going_on == web.lost == 0


@pytest.mark.parametrize(
    "removal", ['{ records = ["%s"] }', '{ report = "%s" }', '{ source = "web" }']
)
def test_a_takedown_as_a_change_of_the_spec_gives_the_same_positions(
    store: Store, tmp_path: Path, removal: str
) -> None:
    before = built(store)
    gone = record_of(before, "web")
    report = tmp_path / "gone.txt"
    report.write_text(gone)
    removal = removal.replace("%s", str(report) if "report" in removal else gone)
    without_web = ""
    text = removing(removal)
    if "source" in removal:
        without_web = 'mix = { synthetic = "100%" }\n'
        text = text.replace('web = "80%"\n', "").replace('"20%"', '"100%"')
    change = (
        f'[[changes]]\nphase = "pretrain"\nat_step = {AT.step}\n{without_web}remove = [{removal}]'
    )
    changed = built(store, f"{LONG}\n{change}\n")
    after, _ = rebased(before, text)
    for phase in ("pretrain", "sft"):
        assert trained(after, phase) == trained(changed, phase)
    assert after.root.phases == changed.root.phases
    assert after.root.removed == changed.root.removed


def test_changes_of_the_spec_after_the_step_are_still_to_come(store: Store) -> None:
    before = built(store)
    gone = record_of(before, "web")
    change = (
        f'[[changes]]\nphase = "pretrain"\nat_step = 50\n'
        f'remove = [{{ records = ["{gone}"] }}]\nmix = {{ web = "90%", synthetic = "10%" }}\n'
    )
    planned = f"{LONG}\n{change}"
    after, _ = rebased(before, planned)
    seen = held(after, "pretrain")
    assert any(gone in ids for ids in seen[AT.step * BATCH : 50 * BATCH])
    assert not any(gone in ids for ids in seen[50 * BATCH :])
    segments = after.phase("pretrain").segments
    assert [segment.first_step for segment in segments] == [0, 10, 50]
    # Once it is over it says what holds, and no more.
    last, _ = rebased(after, planned.replace('"90%"', '"85%"').replace('"10%"', '"15%"'), AT)
    assert [segment.first_step for segment in last.phase("pretrain").segments] == [0, 10, 50]


def test_new_data_begins_when_the_old_epoch_is_over(store: Store) -> None:
    text = LONG.replace('from = "web@1"', 'from = ["web@1", "code@1"]')
    before = built(store)
    after, made = rebased(before, text)
    (web,) = [account for account in made.account if account.leaf == "web"]
    assert (web.skipped, web.repeated, web.lost) == (0, 0, 0)
    old, new = before.leaf("web").table.digest, after.leaf("web").table.digest
    seen = [one for one in trained(after, "pretrain") if one.leaf == "web"]
    first = Counter(one.sample for one in seen if one.table == old)
    assert len(first) == before.phase("pretrain").segments[0].supplies[-1].body.samples
    assert set(first.values()) == {1}
    assert {one.table for one in seen} == {old, new}


Edit = Callable[[str], str]


@pytest.mark.parametrize(
    ("edit", "at", "said"),
    [
        (lambda t: t.replace("seed = 7", "seed = 8"), AT, "its seed is 7, and the spec's is 8"),
        (lambda t: t.replace("document = 256", "document = 0"), AT, "its end_of_document is 256"),
        (lambda t: t.replace("= 64", "= 32"), AT, "its sequence_length is 64 and cannot become 32"),
        (lambda t: t, Point(phase="pretrain", step=10**6), "steps and cannot go on otherwise"),
        (
            lambda t: t,
            Point(phase="midtrain", step=1),
            "has no phase midtrain; it has pretrain, sft",
        ),
        (lambda t: t.replace('"40K"', '"5K"'), AT, "and its budget is 5,000"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    store: Store, edit: Edit, at: Point, said: str
) -> None:
    before = built(store)
    with pytest.raises(ConfigError) as refused:
        rebased(before, edit(LONG), at)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_tokenizer_cannot_change_on_the_way(store: Store) -> None:
    with pytest.raises(ConfigError, match="its tokenizer is utf8-bytes@1"):
        rebased(built(store), LONG.replace("utf8-bytes@1", "words@0123456789ab"))


def test_a_shard_of_the_past_that_is_gone_is_named_with_the_remedy(store: Store) -> None:
    before = built(store)
    gone = record_of(before, "web")
    rows = before.rows(before.leaf("web").table.digest)
    for key in [key for key in store.list("steps/") if rows["sha256"][0].as_py() in key]:
        store.delete(key)
    with pytest.raises(NotInStore, match="put it back from a copy, or"):
        rebased(before, removing(f'{{ records = ["{gone}"] }}'))
    # Without its step nothing needs it any more.
    code = LONG.replace('from = "web@1"', 'from = "code@1"')
    after, made = rebased(before, code)
    (web,) = [account for account in made.account if account.leaf == "web"]
    assert web.skipped > 0
    assert web.going_on == 0
    assert after.leaf("web").shards == 2


def test_a_takedown_that_is_lifted_comes_back_in_what_is_left_of_the_epoch(store: Store) -> None:
    lifted = record_of(built(store), "web")
    before = built(store, removing(f'{{ records = ["{lifted}"] }}'))
    after, made = rebased(before, LONG)
    assert {(account.skipped, account.lost) for account in made.account} == {(0, 0)}
    stop = AT.step * BATCH
    seen = held(after, "pretrain")
    assert not any(lifted in ids for ids in seen[:stop])
    assert any(lifted in ids for ids in seen[stop:])


def test_other_phases_stay_and_are_named_where_the_spec_has_them_otherwise(store: Store) -> None:
    before = built(store)
    text = LONG.replace('"40K"', '"41K"').replace("{ epochs = 1 }", "{ epochs = 2 }")
    after, made = rebased(before, text, Point(phase="sft", step=4))
    assert made.kept == ("pretrain",)
    assert after.phase("pretrain") == before.phase("pretrain")
    assert after.phase("sft").samples > before.phase("sft").samples
    stop = 4 * 2
    assert trained(after, "sft")[:stop] == trained(before, "sft")[:stop]


def test_a_phase_that_has_not_begun_is_resolved_anew(store: Store) -> None:
    before = built(store)
    text = LONG.replace("{ epochs = 1 }", "{ epochs = 2 }").replace("= 32\n", "= 16\n")
    after, made = rebased(before, text, Point(phase="sft", step=0))
    assert after.phase("pretrain") == before.phase("pretrain")
    assert after.phase("sft") == built(store, text).phase("sft")
    assert {account.lost for account in made.account} == {0}
