import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.completions import Completion, FinishReason, Usage
from manifests.errors import DataError
from manifests.fingerprint import content_id
from manifests.records import Bucket, Call, Kind, Record, Reject, SeedDocument
from manifests.sketches import SAMPLE_ROWS, Distinct, Lengths, Sample, bin_range
from manifests.stats import ShardStats, TeacherUsage, Volume, measure
from manifests.tables import to_table
from tests.manifests.committed import record, reject

TOKENIZER = "words@1"
NO_REJECTS = to_table([], cls=Reject)
WORDS = st.sampled_from(["a", "b", "Straße", "strasse", "é", "e\u0301", " "])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


def call(teacher: str) -> Call:
    return Call(prompt="p", completion="c", teacher=teacher, role="writer")


ROWS = st.builds(
    Record,
    id=st.integers(0, 500).map(str),
    text=TEXTS,
    bucket=st.sampled_from(Bucket),
    generator=st.sampled_from(["g@1", "h@2"]),
    seed_ids=st.just(("s",)),
    source=st.sampled_from(["web", "books"]),
    licence=st.sampled_from(["MIT", "unknown"]),
    lang=st.sampled_from(["en", "de", "und"]),
    tokens=st.integers(0, 2**25),
    lineage=st.lists(st.sampled_from(["m@1", "n@1", "a@2"]).map(call), max_size=4).map(tuple),
)
REASONS = st.sampled_from(["parse", "judge", "poison"])
CALLS = st.tuples(
    st.sampled_from(["writer", "critic"]),
    st.builds(
        Completion,
        text=st.just(""),
        finish_reason=st.sampled_from(FinishReason),
        teacher=st.sampled_from(["m@1", "n@1"]),
        usage=st.builds(Usage, prompt_tokens=st.integers(0, 99), cached_tokens=st.integers(0, 9)),
    ),
)


def stats_of(rows: list[Record], reasons: list[str], calls: list[tuple[str, Completion]]):
    table = to_table(rows, [row.id for row in rows], Record)
    rejects = to_table([reject(str(i), why) for i, why in enumerate(reasons)], cls=Reject)
    return measure(table, rejects, TeacherUsage.of(calls), TOKENIZER)


STATS = st.builds(
    stats_of,
    st.lists(ROWS, max_size=8),
    st.lists(REASONS, max_size=4),
    st.lists(CALLS, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(STATS, STATS, STATS)
def test_stats_merge_in_any_grouping_and_order_to_the_same_bytes(a, b, c) -> None:
    assert (a + b) + c == a + (b + c)
    assert ((a + b) + c).to_json() == (c + (b + a)).to_json()
    assert (a + b).to_json() == (b + a).to_json()


@settings(max_examples=30, deadline=None)
@given(STATS)
def test_empty_stats_are_the_identity(stats: ShardStats) -> None:
    for empty in (ShardStats.empty(), ShardStats.empty(TOKENIZER)):
        assert (stats + empty).to_json() == (empty + stats).to_json() == stats.to_json()


@settings(max_examples=30, deadline=None)
@given(st.lists(ROWS, max_size=10, unique_by=lambda row: row.id), st.randoms())
def test_stats_do_not_depend_on_the_order_of_rows(rows: list[Record], random) -> None:
    shuffled = random.sample(rows, len(rows))
    assert stats_of(rows, [], []).to_json() == stats_of(shuffled, [], []).to_json()


@settings(max_examples=30, deadline=None)
@given(st.lists(ROWS, max_size=10, unique_by=lambda row: row.id), st.integers(0, 10))
def test_stats_of_parts_add_up_to_those_of_the_whole_but_for_duplicates(rows, cut) -> None:
    parts = stats_of(rows[:cut], [], []) + stats_of(rows[cut:], [], [])
    whole = stats_of(rows, [], [])
    assert parts.duplicates <= whole.duplicates
    names = [name for name in ShardStats.__slots__ if name != "duplicates"]
    assert all(getattr(parts, name) == getattr(whole, name) for name in names)


def test_stats_say_what_is_in_the_rows() -> None:
    rows = [
        record("s1"),
        record("s1", 1),
        record("s2", text="one  two"),
        record("s3", text="ONE two "),
    ]
    table = to_table(rows, ["s1", "s1", "s2", "s3"])
    rejects = to_table([reject("s4", "judge"), reject("s5", "poison"), reject("s6", "judge")])
    stats = measure(table, rejects, TeacherUsage(), TOKENIZER)
    assert (stats.items, stats.rows, stats.tokens) == (3, 4, 4 + 4 + 2 + 2)
    assert stats.chars == sum(len(row.text) for row in rows)
    assert stats.duplicates == 1
    assert stats.distinct.estimate() == 3
    assert stats.buckets == {"web_rewrite": Volume(4, 12)}
    assert stats.generators == {"rewrite@1": Volume(4, 12)}
    assert stats.sources == {"web": Volume(4, 12)}
    assert stats.licences == {"CC0-1.0": Volume(4, 12)}
    assert stats.languages == {"en": Volume(4, 12)}
    assert stats.teachers == {"": Volume(4, 12)}
    assert stats.rejected == {"judge": 2, "poison": 1}
    assert stats.token_lengths.quantile(0.5) == (2, 2)
    assert stats.token_lengths.quantile(1.0) == (4, 4)
    assert {row.id for row in stats.sample.rows} == {row.id for row in rows}


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=10, unique_by=lambda row: row.id), st.integers(0, 10))
def test_volumes_of_teachers_name_each_teacher_of_a_row_once(rows: list[Record], cut: int) -> None:
    table = to_table(rows, [row.id for row in rows], Record)
    table = pa.concat_tables([table.slice(cut), table.slice(0, cut)])
    expected: dict[str, Volume] = {}
    for row in rows:
        name = " + ".join(sorted({one.teacher for one in row.lineage}))
        expected[name] = expected.get(name, Volume()) + Volume(1, row.tokens)
    assert measure(table, NO_REJECTS, TeacherUsage(), TOKENIZER).teachers == expected


def test_rows_without_tokens_are_measured_in_characters() -> None:
    document = SeedDocument(
        id=content_id("x"), source="s", url="u", licence="MIT", lang="en", kind=Kind.PROSE,
        title="", text="four", sha256="",
    )  # fmt: skip
    stats = measure(to_table([document], ["x"]), NO_REJECTS, TeacherUsage(), "")
    assert (stats.tokens, stats.token_lengths.count, stats.char_lengths.count) == (0, 0, 1)
    assert stats.char_lengths.quantile(0.5) == (4, 4)
    assert (stats.generators, stats.buckets, stats.teachers) == ({}, {}, {})
    assert (stats.sources, stats.licences) == ({"s": Volume(1, 0)}, {"MIT": Volume(1, 0)})
    assert stats.languages == {"en": Volume(1, 0)}
    assert stats + ShardStats.empty(TOKENIZER) == measure(
        to_table([document], ["x"]), NO_REJECTS, TeacherUsage(), TOKENIZER
    )


def test_the_chunks_of_a_table_do_not_matter() -> None:
    rows = [record(str(i)) for i in range(10)]
    table = to_table(rows, [str(i) for i in range(10)])
    pieces = pa.concat_tables([table.slice(0, 3), table.slice(3, 0), table.slice(3)])
    assert measure(table, NO_REJECTS, TeacherUsage(), "t") == measure(
        pieces, NO_REJECTS, TeacherUsage(), "t"
    )


def test_counts_under_different_tokenizers_do_not_add_up() -> None:
    with pytest.raises(DataError, match="count both with one"):
        ShardStats.empty("a@1") + ShardStats.empty("b@1")


def test_a_large_shard_with_many_kinds_stays_below_16_kilobytes() -> None:
    random = np.random.default_rng(0)
    lengths = np.minimum(random.lognormal(6, 2, 5000), 2**24).astype(int)
    rows = [
        Record(
            id=content_id(str(i)), text=f"text {i}", bucket=list(Bucket)[i % len(Bucket)],
            generator=f"some_generator_name_{i % 30}@1", seed_ids=("s",), source="web",
            licence="MIT", lang=["en", "de", "fr", "und"][i % 4], tokens=int(lengths[i]),
        )
        for i in range(5000)
    ]  # fmt: skip
    stats = measure(to_table(rows, [row.id for row in rows]), NO_REJECTS, TeacherUsage(), TOKENIZER)
    assert len(stats.to_json()) < 16_384
    assert len(stats.sample.rows) == SAMPLE_ROWS


def test_usage_is_counted_by_role_and_by_teacher() -> None:
    def answer(teacher: str, reason: FinishReason) -> Completion:
        counted = Usage(prompt_tokens=10, completion_tokens=3, cached_tokens=4)
        return Completion(text="", finish_reason=reason, teacher=teacher, usage=counted)

    usage = TeacherUsage.of(
        [
            ("writer", answer("m@1", FinishReason.STOP)),
            ("writer", answer("n@1", FinishReason.LENGTH)),
            ("critic", answer("m@1", FinishReason.STOP)),
        ]
    )
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (3, 30, 9)
    assert usage.cached_tokens == 12
    assert usage.finish_reasons == {"stop": 2, "length": 1}
    assert {role: part.calls for role, part in usage.by_role().items()} == {
        "writer": 2,
        "critic": 1,
    }
    assert {name: part.calls for name, part in usage.by_teacher().items()} == {"m@1": 2, "n@1": 1}


@given(st.integers(1, 2**24))
def test_a_length_lies_in_the_range_of_its_bin_which_is_at_most_a_tenth_wide(length: int) -> None:
    found = Lengths.of(np.array([length])).quantile(0.5)
    assert found is not None
    assert found.low <= length <= found.high
    assert found.high <= found.low * 2 ** (1 / 8)


@given(st.lists(st.integers(1, 5000), min_size=1), st.floats(0, 1))
def test_a_quantile_is_in_the_bin_that_is_named(lengths: list[int], q: float) -> None:
    found = Lengths.of(np.array(lengths)).quantile(q)
    exact = int(np.quantile(lengths, q, method="inverted_cdf"))
    assert found is not None
    assert found.low <= exact <= found.high


def test_bins_cover_all_lengths_and_what_is_longer_is_in_the_last() -> None:
    assert Lengths.of(np.array([0, 2**24, 2**30])).bins == ((191, 2),)
    covered = {n for i in range(60) for n in range(bin_range(i).low, bin_range(i).high + 1)}
    assert covered >= set(range(1, bin_range(59).high + 1))
    assert Lengths().quantile(0.5) is None


def hashes(values: range) -> np.ndarray:
    joined = b"".join(hashlib.sha256(str(value).encode()).digest()[:8] for value in values)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)


@pytest.mark.parametrize("count", [0, 1, 30, 1000, 5000, 40_000, 200_000])
def test_distinct_values_are_estimated_within_four_standard_errors(count: int) -> None:
    values = hashes(range(count))
    sketch = Distinct.of(np.concatenate([values, values[::3]]))
    assert abs(sketch.estimate() - count) <= 4 * 0.0163 * count
    assert len(sketch.registers) <= 4096


def test_distinct_counts_merge_to_the_sketch_of_the_union() -> None:
    left, right = hashes(range(3000)), hashes(range(2000, 5000))
    union = Distinct.of(np.concatenate([right, left]))
    assert Distinct.of(left) + Distinct.of(right) == union


@pytest.mark.parametrize("registers", ["", "4095", "4097", "0", "A" * 4095, "4095!", "1000" * 4])
def test_a_broken_distinct_count_is_refused(registers: str) -> None:
    with pytest.raises(ValueError, match="4096 registers"):
        Distinct(registers)


def test_a_sample_is_the_same_whichever_shards_its_rows_came_in() -> None:
    ids = [str(i) for i in range(300)]
    whole = Sample.of(ids, range(300))
    parts = Sample.of(ids[200:], range(200, 300)) + Sample.of(ids[:200], range(200))
    assert parts == whole
    smallest = sorted(ids, key=content_id)[:SAMPLE_ROWS]
    assert [row.id for row in whole.rows] == smallest
