"""Two manifests that both come from a third become one."""

import json
import secrets
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.build.build import build, kept_ids
from manifests.build.layered import Layered
from manifests.build.merge import How, Merged, Three, merge
from manifests.build.rebase import Point, rebase
from manifests.build.three_way import Difference, Prefer
from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.tree import Objects
from manifests.store import Store, open_store
from tests.manifests.command_line import Here, commit_corpus
from tests.manifests.mixed import BASE, MORE_DATA, OTHER_MIX, mixture
from tests.manifests.selectable import ids_of
from tests.manifests.trained import held, trained


@pytest.fixture
def store() -> Store:
    store = open_store(f"memory://{secrets.token_hex(6)}")
    commit_corpus(store)
    return store


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
