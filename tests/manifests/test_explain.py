from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from manifests.locate.batch import batch
from manifests.locate.contents import Contents
from manifests.records import Bucket, Record
from manifests.resolve.state import chain_to
from manifests.resolve.usage import used
from manifests.spec.types import Layout
from manifests.store import Store, open_store
from manifests.tokenizers import UTF8_BYTES
from manifests.views.explain import By, PhaseShares, ShareLine, explain
from tests.manifests.command_line import commit_corpus
from tests.manifests.located import SPEC, publish
from tests.manifests.selectable import commit_records, record

MIXED = """\
schema = "scriptorium.mixture/1"
name = "mixed"
seed = 3

[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256

[sources.one]
from = "one@1"

[sources.two]
from = "two@1"

[phases.first]
sequence_length = 16
global_batch = 1
layout = "LAYOUT"

[phases.first.mix]
one = { epochs = 2 }
two = { epochs = 1 }

[phases.second]
after = "first"
sequence_length = 16
global_batch = 1
layout = "LAYOUT"

[phases.second.mix]
two = { epochs = 3 }
"""
OF: dict[By, Callable[[Record], str]] = {
    By.GENERATOR: lambda made: made.generator,
    By.TEACHER: lambda made: made.lineage[0].teacher,
    By.LICENCE: lambda made: made.licence,
    By.LANGUAGE: lambda made: made.lang,
    By.BUCKET: lambda made: made.bucket.value,
    By.ORIGIN: lambda made: made.source,
}


def corpus(source: str, shards: int) -> list[list[Record]]:
    """Records of many kinds, of which some are long and some have no tokens at all."""
    return [
        [
            record(
                f"{source}{number}/{i}",
                tokens=(i * 7 + number * 5) % 40,
                bucket=(Bucket.WEB, Bucket.CODE, Bucket.SYNTHETIC)[i % 3],
                generator=f"g{i % 2}@{number % 2 + 1}",
                source=f"{source}{i % 4}",
                licence=("CC0-1.0", "MIT")[number % 2],
                lang=("en", "de", "fr")[(i + number) % 3],
                teachers=(f"m{i % 5}@1",),
            )
            for i in range(12)
        ]
        for number in range(shards)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def mixed(store: Store, layout: str, folder: Path) -> tuple[Contents, dict[str, Record]]:
    """A manifest of whole epochs, and its records by id."""
    made = {"one": corpus("one", 5), "two": corpus("two", 3)}
    for (name, shards), fill in zip(made.items(), "ab", strict=True):
        commit_records(store, shards, name, fill, tokenizer=UTF8_BYTES)
    by_id = {one.id: one for shards in made.values() for some in shards for one in some}
    return Contents(publish(store, MIXED.replace("LAYOUT", layout), folder)), by_id


def trained(contents: Contents, phase: str) -> Counter[tuple[str, str]]:
    """Tokens that all batches of a phase hold, by leaf and record; a label is not counted."""
    supplies = contents.phase(phase).segments[0].supplies
    apart = all(supply.body.layout is not Layout.STREAM for supply in supplies)
    found: Counter[tuple[str, str]] = Counter()
    for step in range(contents.phase(phase).steps):
        for sample in batch(contents, contents.phase(phase), step).samples:
            for piece in sample.documents:
                found[sample.leaf, piece.id] += piece.length - apart
            if not apart:
                found[sample.leaf, sample.documents[-1].id] -= 1
    return found


def lines(found: PhaseShares, by: By) -> dict[str, ShareLine]:
    (shares,) = [one for one in found.shares if one.by is by]
    return {one.name: one for one in shares.lines}


@pytest.mark.parametrize("layout", ["document", "packed"])
def test_whole_epochs_are_told_as_their_batches_have_them(
    layout: str, store: Store, tmp_path: Path
) -> None:
    contents, by_id = mixed(store, layout, tmp_path)
    first, second = explain(contents.manifest, ["first", "second"], list(By))
    so_far: Counter[tuple[str, str]] = Counter()
    for found in (first, second):
        here = trained(contents, found.phase)
        so_far += here
        assert found.tokens == here.total()
        assert found.tokens_so_far == so_far.total()
        for by, value in OF.items():
            for amounts, told in (
                (here, {name: one.phase for name, one in lines(found, by).items()}),
                (so_far, {name: one.so_far for name, one in lines(found, by).items()}),
            ):
                expected: Counter[str] = Counter()
                for (_, name), tokens in amounts.items():
                    expected[value(by_id[name])] += tokens
                assert {name: one.tokens for name, one in told.items() if one.tokens} == +expected
                assert sum(one.share for one in told.values()) == 1
        by_leaf: Counter[str] = Counter()
        for (leaf, _), tokens in here.items():
            by_leaf[leaf] += tokens
        for by in (By.SOURCE, By.LEAF):
            told_leaves = {name: one.phase.tokens for name, one in lines(found, by).items()}
            assert {name: n for name, n in told_leaves.items() if n} == dict(by_leaf)
        steps = {
            name.split("/")[1].split("@")[0]: one for name, one in lines(found, By.STEP).items()
        }
        assert {
            name: one.phase.tokens for name, one in steps.items() if one.phase.tokens
        } == by_leaf


def test_epochs_are_the_passes_over_what_has_a_name(store: Store, tmp_path: Path) -> None:
    contents, by_id = mixed(store, "document", tmp_path)
    first, second = explain(contents.manifest, ["first", "second"], list(By))
    assert {name: one.phase.epochs for name, one in lines(first, By.SOURCE).items()} == {
        "one": 2,
        "two": 1,
    }
    assert lines(second, By.SOURCE)["two"].so_far.epochs == 4
    assert lines(second, By.SOURCE)["one"].so_far.epochs == 2
    assert lines(second, By.SOURCE)["one"].phase.epochs is None
    for by, value in OF.items():
        for name, line in lines(first, by).items():
            unique = sum(made.tokens for made in by_id.values() if value(made) == name)
            assert line.unique_tokens == unique
            assert line.phase.epochs == pytest.approx(line.phase.tokens / unique)


def test_a_stream_counts_what_closes_documents(store: Store, tmp_path: Path) -> None:
    """Exact but for what fills no window, less than one of 16 tokens in each of two sources."""
    contents, by_id = mixed(store, "stream", tmp_path)
    (found,) = explain(contents.manifest, ["first"], [By.LICENCE, By.SOURCE])
    here = trained(contents, "first")
    assert found.tokens == here.total()
    expected: Counter[str] = Counter()
    for (_, name), tokens in here.items():
        expected[by_id[name].licence] += tokens
    for name, line in lines(found, By.LICENCE).items():
        assert abs(line.phase.tokens - expected[name]) < 2 * 16 + 16


def test_sources_and_leaves_add_up_with_changes_and_strata(store: Store, tmp_path: Path) -> None:
    commit_corpus(store)
    manifest = publish(store, SPEC, tmp_path)
    for phase, found in zip(
        manifest.root.phases, explain(manifest, ["pretrain", "sft"], [By.LEAF]), strict=True
    ):
        chain = chain_to(manifest.root.phases, phase.name)
        for told, segments in (
            ({name: one.phase for name, one in lines(found, By.LEAF).items()}, phase.segments),
            (
                {name: one.so_far for name, one in lines(found, By.LEAF).items()},
                [segment for one in chain for segment in one.segments],
            ),
        ):
            usage = used(segments)
            assert sorted(told) == sorted(usage)
            total = sum(one.tokens for one in usage.values())
            for name, one in usage.items():
                assert abs(told[name].tokens - one.tokens) <= Fraction(1, 2) + Fraction(1, 10**9)
                assert told[name].epochs == pytest.approx(float(one.epochs))
                assert float(told[name].share) == pytest.approx(float(one.tokens / total))
