"""Two manifests that both come from a third become one."""

import json
import secrets
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.build.build import build, kept_ids
from manifests.build.layered import Layered
from manifests.build.merge import How, Merged, Three, merge
from manifests.build.merge_rows import merge_rows
from manifests.build.rebase import Point, rebase
from manifests.build.three_way import Difference, Prefer, merge_specs
from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.ranges import SHARD_ROWS
from manifests.objects.tree import Objects
from manifests.records import Bucket
from manifests.select.picking import FACTS, part, with_parts
from manifests.select.rows import step_rows
from manifests.shards import parquet_file
from manifests.spec.read import parse_mixture
from manifests.spec.types import Mixture
from manifests.store import Store, open_store
from manifests.tokenizers import UTF8_BYTES
from tests.manifests.command_line import SPEC, Here, commit_corpus, records
from tests.manifests.committed import address
from tests.manifests.selectable import commit_records, ids_of
from tests.manifests.trained import held, trained

BASE = SPEC.replace("max_epochs = 8", "max_epochs = 40")
OTHER_MIX = BASE.replace('"40%"', '"50%"').replace('"60%"', '"50%"')
MORE_DATA = BASE.replace('from = "web@1"', 'from = ["web@1", "code@1"]')


@pytest.fixture
def store() -> Store:
    store = open_store(f"memory://{secrets.token_hex(6)}")
    commit_corpus(store)
    return store


def mixture(text: str) -> Mixture:
    return parse_mixture(text, "it")


def built(store: Store, text: str) -> Manifest:
    objects = Objects(store)
    return Manifest(store, write_root(objects, build(store, mixture(text), objects)))


def merged(store: Store, base: Manifest, ours: Manifest, theirs: Manifest, **how: Any) -> Manifest:
    made = tried(store, base, ours, theirs, **how)
    assert isinstance(made, Merged), made
    return Manifest(store, made.digest)


def tried(
    store: Store, base: Manifest, ours: Manifest, theirs: Manifest, **how: Any
) -> Merged | tuple[Difference, ...]:
    three = Three(base=base, ours=ours, theirs=theirs)
    return merge(store, three, How(name="demo", **how), Objects(store))


def removing(entry: str, text: str = BASE) -> str:
    return text.replace("seed = 7", f"remove = [{entry}]\nseed = 7")


def taking_down(gone: str, text: str = BASE) -> str:
    return removing(f'{{ records = ["{gone}"] }}', text)


def ids(manifest: Manifest, leaf: str) -> list[str]:
    return ids_of(manifest.store, manifest.rows(manifest.leaf(leaf).table.digest))


def test_a_merge_is_what_a_build_of_both_changes_would_be(store: Store) -> None:
    base, ours, theirs = (built(store, text) for text in (BASE, OTHER_MIX, MORE_DATA))
    found = merged(store, base, ours, theirs)
    both = MORE_DATA.replace('"40%"', '"50%"').replace('"60%"', '"50%"')
    assert replace(found.root, parents=()) == built(store, both).root
    assert found.root.parents == (ours.digest, theirs.digest)


def test_either_way_round_it_is_the_same(store: Store) -> None:
    gone = ids(built(store, BASE), "web")[:2]
    base = built(store, BASE)
    ours = built(store, taking_down(gone[0], OTHER_MIX))
    theirs = built(store, taking_down(gone[1], MORE_DATA))
    one, other = merged(store, base, ours, theirs), merged(store, base, theirs, ours)
    assert replace(one.root, parents=()) == replace(other.root, parents=())
    assert kept_ids(one.objects, one.root) == tuple(sorted(gone))
    left = ids(one, "web")
    assert not set(gone) & set(left)
    assert len(left) == len(ids(theirs, "web")) - 1


def test_with_the_base_it_is_the_other_one_as_it_is(store: Store) -> None:
    base, other = built(store, BASE), built(store, MORE_DATA)
    for ours, theirs in ((base, other), (other, base), (other, other)):
        assert merged(store, base, ours, theirs).digest == other.digest


def test_what_was_taken_down_from_some_step_on_is_out_from_the_first_one(store: Store) -> None:
    base = built(store, BASE)
    early = {record for here in held(base, "pretrain")[:32] for record in here}
    gone = sorted(early & set(ids(base, "web")))[0]
    change = f'[[changes]]\nphase = "pretrain"\nat_step = 4\nremove = [{{ records = ["{gone}"] }}]'
    ours, theirs = built(store, f"{BASE}\n{change}\n"), built(store, MORE_DATA)
    found = merged(store, base, ours, theirs)
    assert found.mixture.changes == ()
    for phase in ("pretrain", "sft"):
        assert not any(gone in here for here in held(found, phase))
    assert gone in {i for here in held(ours, "pretrain") for i in here}


def test_a_source_that_a_change_takes_out_is_there_until_then(store: Store) -> None:
    base = built(store, BASE)
    change = (
        '[[changes]]\nphase = "pretrain"\nat_step = 4\nremove = [{ source = "web" }]\n'
        'mix = { synthetic = "100%" }\n'
    )
    ours = built(store, f"{BASE}\n{change}")
    theirs = built(store, BASE.replace("{ epochs = 1 }", "{ epochs = 2 }"))
    found = merged(store, base, ours, theirs)
    stop = 4 * 8
    assert trained(found, "pretrain")[:stop] == trained(base, "pretrain")[:stop]
    assert {one.leaf.partition("/")[0] for one in trained(found, "pretrain")[stop:]} == {
        "synthetic"
    }


def test_one_may_go_on_under_the_merge(store: Store) -> None:
    base = built(store, BASE)
    gone = ids(base, "web")[5]
    ours = built(store, OTHER_MIX)
    theirs = built(store, taking_down(gone, MORE_DATA))
    found = merged(store, base, ours, theirs, at=Point(phase="pretrain", step=10))
    stop = 10 * 8
    assert trained(found, "pretrain")[:stop] == trained(ours, "pretrain")[:stop]
    assert not any(gone in here for here in held(found, "pretrain")[stop:])
    seen = Counter(
        (one.leaf, one.table, one.epoch, one.sample) for one in trained(found, "pretrain")
    )
    assert set(seen.values()) == {1}
    assert found.root.parents == (ours.digest, theirs.digest)


def test_what_both_changed_is_listed_and_can_be_decided(store: Store) -> None:
    base, ours = built(store, BASE), built(store, OTHER_MIX)
    theirs = built(store, MORE_DATA.replace('"40%"', '"30%"').replace('"60%"', '"70%"'))
    found = tried(store, base, ours, theirs)
    assert isinstance(found, tuple)
    assert [(one.what, one.base, one.ours, one.theirs) for one in found] == [
        ("phases.pretrain.mix.synthetic.share", "60%", "50%", "70%"),
        ("phases.pretrain.mix.web.share", "40%", "50%", "30%"),
    ]
    for prefer, share in ((Prefer.OURS, "50%"), (Prefer.THEIRS, "30%")):
        decided = merged(store, base, ours, theirs, prefer=prefer)
        assert decided.leaf("web").shards == 6
        web = decided.mixture.phase("pretrain").mix[1]
        assert f"{float(web.share or 0):.0%}" == share


def test_records_chosen_otherwise_and_other_shards_do_not_go_together(store: Store) -> None:
    base = built(store, BASE)
    chosen = BASE.replace(
        "[sources.synthetic]", "[sources.web.where]\ntokens = { max = 110 }\n\n[sources.synthetic]"
    )
    ours, theirs = built(store, chosen), built(store, MORE_DATA)
    found = tried(store, base, ours, theirs)
    assert isinstance(found, tuple)
    (one,) = found
    assert one.what.startswith("sources.web")
    # With what was taken down it does.
    gone = ids(ours, "web")[0]
    theirs = built(store, taking_down(gone))
    both = merged(store, base, ours, theirs)
    assert set(ids(both, "web")) == set(ids(ours, "web")) - {gone}


def test_removed_sources_stay_removed(store: Store) -> None:
    base = built(store, BASE)
    only = BASE.replace('web = "40%"\n', "").replace('"60%"', '"100%"')
    ours = built(store, removing('{ source = "web" }', only))
    theirs = built(store, BASE.replace('from = "syn@1"', 'from = ["syn@1", "code@1"]'))
    found = merged(store, base, ours, theirs)
    assert {leaf.source for leaf in found.root.leaves} == {"synthetic"}
    assert {leaf.shards for leaf in found.root.leaves} == {4, 6}
    with pytest.raises(ConfigError, match="web is removed and mixed"):
        tried(store, base, ours, built(store, OTHER_MIX), prefer=Prefer.THEIRS)


def test_what_cannot_be_merged_is_one_line(store: Store) -> None:
    base, ours = built(store, BASE), built(store, OTHER_MIX)
    theirs = built(store, BASE.replace("document = 256", "document = 0"))
    with pytest.raises(ConfigError, match="build both with one tokenizer first"):
        tried(store, base, ours, theirs)


# Specs, value by value.


def test_specs_merge_by_what_their_values_are() -> None:
    ours = mixture(BASE.replace("seed = 7", "seed = 8").replace("epochs = 1 }", "tokens = 999 }"))
    theirs = mixture(
        BASE.replace("global_batch = 8\n", 'global_batch = 8\nround = "down"\n').replace(
            "weights = [1, 2]", "weights = [1, 3]"
        )
    )
    found = merge_specs(mixture(BASE), ours, theirs, "other")
    assert found.conflicts == ()
    expected = (
        BASE.replace("seed = 7", "seed = 8")
        .replace("epochs = 1 }", "tokens = 999 }")
        .replace("global_batch = 8\n", 'global_batch = 8\nround = "down"\n')
        .replace("weights = [1, 2]", "weights = [1, 3]")
        .replace('"demo"', '"other"')
    )
    assert found.mixture == mixture(expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        (("seed = 7", "seed = 8"), ("seed = 7", "seed = 9"), ["seed"]),
        (("[1, 2]", "[1, 3]"), ("[55]", "[60]"), ["sources.synthetic.strata"]),
        (
            (
                'after = "pretrain"\nsequence_length = 32',
                'after = "pretrain"\nsequence_length = 16',
            ),
            (
                'after = "pretrain"\nsequence_length = 32',
                'after = "pretrain"\nsequence_length = 64',
            ),
            ["phases.sft.sequence_length"],
        ),
        (
            (SPEC[SPEC.index("[phases.sft]") :], ""),
            ("{ epochs = 1 }", "{ epochs = 2 }"),
            ["phases.sft"],
        ),
    ],
)
def test_one_value_changed_in_two_ways_is_a_conflict(
    ours: tuple[str, str], theirs: tuple[str, str], what: list[str]
) -> None:
    sides = [mixture(BASE.replace(*side)) for side in (ours, theirs)]
    found = merge_specs(mixture(BASE), sides[0], sides[1], "demo")
    assert [one.what for one in found.conflicts] == what
    assert found.mixture is None


EDITS = (
    ("seed = 7", "seed = 8"),
    ("seed = 7", 'remove = [{ records = ["0123"] }]\nseed = 7'),
    ('"15K"', '"16K"'),
    ('from = "web@1"', 'from = ["code@1", "web@1"]'),
    ('from = "syn@1"', 'from = "syn@1"\nwhere = { tokens = { max = 9 } }'),
    ("max_epochs = 40\n", ""),
    ("weights = [1, 2]", "weights = [2, 1]"),
    ("{ epochs = 1 }", "{ tokens = 99 }"),
    ("global_batch = 2\n", 'global_batch = 2\nround = "down"\n'),
    (
        'web = "40%"\nsynthetic = "60%"',
        'web = { weight = 1, layout = "document" }\nsynthetic = { weight = 2 }',
    ),
)
"""Each is fine with every other one."""


def edited(chosen: set[int]) -> Mixture:
    text = BASE
    for number in sorted(chosen, reverse=True):
        old, new = EDITS[number]
        assert old in text
        text = text.replace(old, new)
    return mixture(text)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(range(len(EDITS)))), st.sets(st.sampled_from(range(len(EDITS)))))
def test_what_each_side_edited_is_in_the_merge(ours: set[int], theirs: set[int]) -> None:
    base, both = edited(set()), edited(ours | theirs)
    one = merge_specs(base, edited(ours), edited(theirs), "demo")
    other = merge_specs(base, edited(theirs), edited(ours), "demo")
    assert one.conflicts == other.conflicts == ()
    assert one.mixture == other.mixture == both
    assert merge_specs(base, edited(ours), base, "demo").mixture == edited(ours)
    assert one.mixture == mixture(one.text)


def test_lists_that_mean_sets_are_united() -> None:
    def taking(*steps: str) -> Mixture:
        return mixture(BASE.replace('"web@1"', json.dumps(steps)))

    found = merge_specs(
        taking("a@1", "b@1"), taking("a@1", "c@1"), taking("a@1", "b@1", "d@1"), "x"
    )
    assert found.mixture is not None
    assert found.mixture.source("web").steps == ("a@1", "c@1", "d@1")


def test_changes_are_told_apart_by_where_they_happen() -> None:
    def changed(*changes: tuple[int, int]) -> Mixture:
        made = [
            f'[[changes]]\nphase = "pretrain"\nat_step = {step}\nglobal_batch = {batch}\n'
            for step, batch in changes
        ]
        return mixture("\n".join([BASE, *made]))

    found = merge_specs(changed((5, 4)), changed((5, 4), (9, 2)), changed((5, 6), (7, 2)), "demo")
    assert found.mixture == changed((5, 6), (7, 2), (9, 2))


# Shards, key by key.

KEYS = [f"{n:032x}" for n in range(4)]
STATES = st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=4, max_size=4)
"""Of each key: not there, or one of three files."""


def rows(files: list[str | None]) -> pa.Table:
    made = [
        {
            "key": key,
            "step": "steps/x@1/0",
            "slice_index": number,
            "sha256": file * 64,
            "bytes": 1,
            "rows": 1,
            "picked": b"",
            "documents": 1,
            "tokens": 2,
            **{name: [] for name in SHARD_ROWS.names[9:]},
        }
        for number, (key, file) in enumerate(zip(KEYS, files, strict=True))
        if file
    ]
    return pa.Table.from_pylist(made, schema=SHARD_ROWS)


def expected(b: str | None, o: str | None, t: str | None, *, keep: bool) -> str | None:
    """What is there after a merge; `clash` where nobody knows."""
    if o == t or t == b:
        return o
    if o == b:
        return t
    if o and t:
        return "clash"
    return (o or t) if keep else None


@settings(max_examples=200, deadline=None)
@given(STATES, STATES, STATES, st.booleans())
def test_shards_merge_as_a_plain_loop_says(
    base: list[str | None], ours: list[str | None], theirs: list[str | None], keep: bool
) -> None:
    nowhere = open_store("memory://nowhere")
    found = merge_rows(nowhere, rows(base), rows(ours), rows(theirs), keep_removed=keep)
    should = [expected(*states, keep=keep) for states in zip(base, ours, theirs, strict=True)]
    there = dict(zip(found.rows["key"].to_pylist(), found.rows["sha256"].to_pylist(), strict=True))
    for key, file in zip(KEYS, should, strict=True):
        assert there.get(key) == (file * 64 if file and file != "clash" else None)
    assert sorted(found.conflicts) == [
        k for k, file in zip(KEYS, should, strict=True) if file == "clash"
    ]
    other = merge_rows(nowhere, rows(base), rows(theirs), rows(ours), keep_removed=keep)
    assert other.rows == found.rows
    assert (other.from_theirs == found.from_ours).all()
    assert merge_rows(nowhere, rows(base), rows(ours), rows(base)).rows == rows(ours)
    assert merge_rows(nowhere, rows(base), rows(base), rows(ours)).rows == rows(ours)


@settings(max_examples=30, deadline=None)
@given(*[st.lists(st.booleans(), min_size=9, max_size=9)] * 3, st.booleans())
def test_records_of_one_shard_merge_one_by_one(
    base: list[bool], ours: list[bool], theirs: list[bool], in_base: bool
) -> None:
    store, whole = one_shard()
    tables = [picking(store, whole, mask) for mask in (base, ours, theirs)]
    before = tables[0] if in_base else SHARD_ROWS.empty_table()
    found = merge_rows(store, before, tables[1], tables[2])
    was = base if in_base and any(base) else None
    should = [
        (t if o == was[n] else o) if was else (o and t)
        for n, (o, t) in enumerate(zip(ours, theirs, strict=True))
    ]
    if any(ours) and any(theirs) and ours != theirs:
        assert found.rows == picking(store, whole, should)
    assert found.conflicts == ()


def one_shard() -> tuple[Store, pa.Table]:
    store = open_store("memory://one-shard-to-merge")
    step = address("one", "a")
    if not list(store.list("steps/")):
        commit_records(store, records(Bucket.WEB, 1, 9, 5, "x"), "one", "a", tokenizer=UTF8_BYTES)
    return store, step_rows(store, step, UTF8_BYTES).table


def picking(store: Store, whole: pa.Table, mask: list[bool]) -> pa.Table:
    """The shard with these of its records."""
    if all(mask) or not any(mask):
        return whole if all(mask) else whole.slice(0, 0)
    sha = whole["sha256"][0].as_py()
    (key,) = [key for key in store.list("steps/") if sha in key]
    facts = parquet_file(store.get(key)).read(columns=list(FACTS))
    return with_parts(whole, np.zeros(0, dtype=np.int64), [part(0, facts, np.array(mask))])


# The command.


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root"
    commit_corpus(open_store(str(root)))
    monkeypatch.setenv("SCRIPTORIUM_ROOT", str(root))
    return tmp_path


def spec(folder: Path, text: str) -> str:
    file = folder / f"{secrets.token_hex(4)}.toml"
    file.write_text(text)
    return str(file)


def test_rebases_of_one_manifest_merge_without_a_base(local: Path, here: Here) -> None:
    here.fine("build", spec(local, BASE))
    at = ("--phase", "pretrain", "--yes", "--at-step")
    here.fine("rebase", "demo@1", spec(local, OTHER_MIX), *at, "10")
    here.fine("rebase", "demo@1", spec(local, MORE_DATA), *at, "12")
    plan = json.loads(here.fine("merge", "demo@2", "demo@3", "--json"))
    assert plan["written"] is None
    assert json.loads(here.fine("list", "demo", "--json"))["manifests"][0]["ref"] == "demo@3"
    assert here.fine("merge", "demo@2", "demo@3", "--yes").count("demo@4 sha256:") == 1
    (shown,) = [json.loads(here.fine("show", "demo", "--json"))]
    assert shown["digest"] == plan["digest"]
    assert len(shown["manifest"]["parents"]) == 2
    assert 'web = "50%"' in here.fine("show", "demo", "--spec")
    here.fine("verify", "demo", "--level", "L5")
    again = here.fine("merge", "demo@2", "demo@4")
    assert "has nothing that the other one has not" in again


def test_a_conflict_is_listed_with_exit_status_1(local: Path, here: Here) -> None:
    for text in (BASE, OTHER_MIX, BASE.replace('"40%"', '"30%"').replace('"60%"', '"70%"')):
        here.fine("build", spec(local, text))
    assert "give --base" in here.refused("merge", "demo@2", "demo@3")
    status, out, _ = here("merge", "demo@2", "demo@3", "--base", "demo@1")
    assert status == 1
    assert "phases.pretrain.mix.web.share" in out
    status, out, _ = here("merge", "demo@2", "demo@3", "--base", "demo@1", "--json", "--yes")
    assert (status, len(json.loads(out)["conflicts"])) == (1, 2)
    assert len(json.loads(here.fine("list", "demo", "--json"))["manifests"]) == 3
    decided = here.fine(
        "merge", "demo@2", "demo@3", "--base", "demo@1", "--prefer", "ours", "--yes"
    )
    assert "decided for ours" in decided


def test_a_rebase_prints_the_account_and_writes_only_when_told(local: Path, here: Here) -> None:
    here.fine("build", spec(local, BASE))
    other = spec(local, OTHER_MIX)
    command = ("rebase", "demo", other, "--phase", "pretrain", "--at-step", "10")
    said = json.loads(here.fine(*command, "--json"))
    assert said["written"] is None
    assert {one["lost"] for one in said["account"]["sources"]} == {0}
    assert [one["source"] for one in said["account"]["sources"]] == ["synthetic", "web"]
    assert "nothing written; --yes makes it demo@2" in here.fine(*command)
    done = json.loads(here.fine(*command, "--json", "--yes"))
    assert (done["written"], done["digest"]) == ("demo@2", said["digest"])
    assert "nothing changes" in here.fine(*command, "--yes")
    assert here.fine("show", "demo", "--spec") == OTHER_MIX
    assert "no phase midtrain" in here.refused(*command[:4], "midtrain", "--at-step", "10")
    here.fine("verify", "demo", "--level", "L5")


def test_rebase_over_rebase_keeps_all_that_was_trained_on(store: Store) -> None:
    first = built(store, BASE)
    manifest, text = first, BASE
    for step, (web, synthetic) in ((7, ("30%", "70%")), (15, ("55%", "45%")), (22, ("5%", "95%"))):
        text = BASE.replace('"40%"', f'"{web}"').replace('"60%"', f'"{synthetic}"')
        over = Layered(manifest.store)
        made = rebase(
            manifest.store,
            manifest,
            mixture(text),
            Point(phase="pretrain", step=step),
            Objects(over),
        )
        after = Manifest(over, made.digest)
        before_it = trained(manifest, "pretrain")[: step * 8]
        assert trained(after, "pretrain")[: step * 8] == before_it
        seen = Counter(
            (one.leaf, one.table, one.epoch, one.sample) for one in trained(after, "pretrain")
        )
        assert set(seen.values()) == {1}
        manifest = after
