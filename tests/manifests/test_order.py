"""Orders against the whole phase written down."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.interleave import Interleave
from manifests.order import PhaseOrder, Places, SegmentOrder, rank_of
from manifests.permutation import base_key, mix, permute
from manifests.resolve.types import ORDER, Body, Head, Phase, Segment, Supply
from manifests.resolve.usage import cut
from manifests.spec.types import Layout

Ints = npt.NDArray[np.int64]
Row = tuple[int, int, bool, int, int]
GOLDEN = Path(__file__).parent / "golden" / "order.json"
SEED = 1234


def body(samples: int, table: str = "table") -> Body:
    return Body(table=table, layout=Layout.STREAM, samples=samples, tokens=samples * 8)


def supply(leaf: str, quota: int, samples: int, cursor: int = 0, first_epoch: int = 0) -> Supply:
    return Supply(
        leaf=leaf, quota=quota, body=body(samples), cursor=cursor, first_epoch=first_epoch
    )


def phase(*segments: tuple[int, list[Supply]], name: str = "pretrain") -> Phase:
    """Segments one behind the other, each a global batch and its supplies."""
    made: list[Segment] = []
    start = step = 0
    for batch, supplies in segments:
        stop = start + sum(one.quota for one in supplies)
        made.append(
            Segment(
                start=start,
                stop=stop,
                first_step=step,
                global_batch=batch,
                supplies=tuple(supplies),
            )
        )
        start, step = stop, step + (stop - start) // batch
    return Phase(name=name, after="", sequence_length=8, segments=tuple(made))


def no_holes(digest: str) -> Ints:
    raise AssertionError("no holes to load")


def rows(places: Places) -> list[Row]:
    return list(
        zip(
            places.segment.tolist(),
            places.supply.tolist(),
            places.in_head.tolist(),
            places.epoch.tolist(),
            places.sample.tolist(),
            strict=True,
        )
    )


def all_rows(order: PhaseOrder) -> list[Row]:
    return rows(order.places(np.arange(order.phase.samples)))


# A phase with all there is: after 120 positions, in the middle of epoch 1 of "books" (of 40
# samples, 12 are over), three of its documents are taken out: the rest of the epoch is a head with
# holes, and a smaller body follows. "web" goes on at its cursor; the batch changes.
HOLES = np.array([15, 16, 39])
FIRST = [supply("books", 52, 40), supply("code", 3, 500), supply("web", 65, 70)]
SECOND = [
    replace(
        supply("books", 100, 37, first_epoch=2),
        head=Head(body=body(40), epoch=1, start=12, holes="holes", count=25),
    ),
    supply("code", 2, 500, cursor=3),
    supply("web", 138, 70, cursor=65),
]
CHANGED = phase((12, FIRST), (16, SECOND))


def changed() -> PhaseOrder:
    return PhaseOrder(CHANGED, SEED, {"holes": HOLES}.__getitem__)


def test_every_sample_of_an_epoch_comes_once_and_a_begun_epoch_is_a_part_of_one() -> None:
    order = PhaseOrder(phase((10, [supply("a", 95, 20), supply("b", 5, 7)])), SEED, no_holes)
    seen: dict[tuple[int, int], list[int]] = defaultdict(list)
    for _, number, _, epoch, sample in all_rows(order):
        seen[number, epoch].append(sample)
    for epoch in range(4):
        assert sorted(seen[0, epoch]) == list(range(20))
    assert len(set(seen[0, 4])) == len(seen[0, 4]) == 15
    assert len(set(seen[1, 0])) == 5
    counts = Counter(sample for (number, _), part in seen.items() if not number for sample in part)
    assert max(counts.values()) - min(counts.values()) == 1


def test_an_epoch_goes_on_over_a_change_and_what_is_taken_out_does_not_come_back() -> None:
    seen: dict[tuple[str, bool, int], list[int]] = defaultdict(list)
    for segment, number, in_head, epoch, sample in all_rows(changed()):
        leaf = CHANGED.segments[segment].supplies[number].leaf
        seen[leaf, leaf == "books" and segment == 1 and not in_head, epoch].append(sample)
    keys = mix(base_key("scriptorium.order", "leaf", str(SEED), "books"), np.array([1]))
    taken_out = set(permute(HOLES, 40, keys).tolist())
    assert sorted(seen["books", False, 0]) == list(range(40))
    assert sorted(seen["books", False, 1]) == sorted(set(range(40)) - taken_out)
    assert sorted(seen["books", True, 2]) == sorted(seen["books", True, 3]) == list(range(37))
    assert len(seen["books", True, 4]) == 1
    assert sorted(seen["web", False, 0]) == sorted(seen["web", False, 1]) == list(range(70))
    assert len(set(seen["code", False, 0])) == 5


def test_the_way_back_finds_every_position_and_no_other() -> None:
    order = changed()
    expected: dict[tuple[int, int, bool, int], list[int]] = defaultdict(list)
    for position, (segment, number, in_head, _, sample) in enumerate(all_rows(order)):
        expected[segment, number, in_head, sample].append(position)
    for segment, part in enumerate(CHANGED.segments):
        for number, one in enumerate(part.supplies):
            for in_head in (False, True) if one.head else (False,):
                samples = (one.head.body if one.head and in_head else one.body).samples
                found = [
                    order.positions(segment, number, in_head, sample).tolist()
                    for sample in range(samples)
                ]
                assert found == [
                    expected.get((segment, number, in_head, sample), [])
                    for sample in range(samples)
                ]
                which, positions = order.occurrences(segment, number, in_head, np.arange(samples))
                assert which.tolist() == [i for i, some in enumerate(found) for _ in some]
                assert positions.tolist() == [one for some in found for one in some]


def test_counts_are_those_of_every_prefix() -> None:
    order = changed()
    listed = all_rows(order)
    for position in range(CHANGED.samples + 1):
        so_far = Counter((segment, number) for segment, number, *_ in listed[:position])
        assert [counts.tolist() for counts in order.counts(position)] == [
            [so_far[segment, number] for number in range(3)] for segment in range(2)
        ]
    with pytest.raises(IndexError):
        order.counts(CHANGED.samples + 1)


def test_a_step_holds_what_the_tree_deals_it_in_another_order() -> None:
    order = changed()
    source, _ = Interleave([one.quota for one in SECOND]).locate(np.arange(240))
    places = order.places(np.arange(120, 360))
    for step in range(15):
        batch = slice(step * 16, step * 16 + 16)
        assert sorted(places.supply[batch].tolist()) == sorted(source[batch].tolist())
    assert places.supply.tolist() != source.tolist()


def test_steps_go_on_over_segments_with_other_batches() -> None:
    step, index = changed().steps_of(np.array([0, 11, 12, 119, 120, 135, 136, 359]))
    assert step.tolist() == [0, 0, 1, 9, 10, 10, 11, 24]
    assert index.tolist() == [0, 11, 0, 11, 0, 15, 0, 15]
    assert CHANGED.steps == 25


def test_positions_may_be_asked_for_in_any_order_and_number() -> None:
    order = changed()
    listed = all_rows(order)
    asked = np.random.default_rng(0).integers(0, CHANGED.samples, 500)
    assert rows(order.places(asked)) == [listed[position] for position in asked.tolist()]
    assert rows(order.places(np.empty(0, dtype=np.int64))) == []
    for outside in (-1, CHANGED.samples):
        with pytest.raises(IndexError):
            order.places(np.array([outside]))


def test_more_positions_than_are_held_at_once() -> None:
    supplies = [supply("a", 250_000, 100_001, cursor=7), supply("b", 50_000, 3)]
    order = PhaseOrder(phase((100, supplies)), SEED, no_holes)
    places = order.places(np.arange(300_000))
    for start in range(0, 300_000, 60_000):
        part = order.places(np.arange(start, start + 60_000))
        assert np.array_equal(part.sample, places.sample[start : start + 60_000])
    which, positions = order.occurrences(0, 0, False, np.arange(100_001))
    assert np.array_equal(np.sort(positions), np.flatnonzero(places.supply == 0))
    assert np.array_equal(places.sample[positions], which)
    assert len(order.positions(0, 1, False, 2)) in (16_666, 16_667)


def test_a_head_alone_may_be_longer_than_the_quota() -> None:
    head = Head(body=body(30), epoch=0, start=10, count=20)
    one = replace(supply("a", 12, 0), head=head)
    order = PhaseOrder(phase((4, [one])), SEED, no_holes)
    listed = all_rows(order)
    assert all(in_head for _, _, in_head, _, _ in listed)
    found = order.occurrences(0, 0, True, np.arange(30))
    assert sorted(found[1].tolist()) == list(range(12))
    assert [listed[position][4] for position in found[1].tolist()] == found[0].tolist()
    assert order.occurrences(0, 0, False, np.empty(0, dtype=np.int64))[1].tolist() == []


small_supplies = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(0, 40), st.integers(0, 3)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(small_supplies, st.integers(1, 9), st.integers(0, 1 << 62))
def test_forth_and_back_agree_on_any_small_phase(
    drawn: list[tuple[int, int, int, int]], batch: int, seed: int
) -> None:
    total = sum(quota for quota, *_ in drawn)
    drawn[0] = (drawn[0][0] + (-total % batch or batch), *drawn[0][1:])
    supplies = [supply(f"leaf {i}", *one) for i, one in enumerate(drawn)]
    order = PhaseOrder(phase((batch, supplies)), seed, no_holes)
    listed = all_rows(order)
    for number, one in enumerate(supplies):
        mine = [(e, s, p) for p, (_, n, _, e, s) in enumerate(listed) if n == number]
        times = Counter((epoch, sample) for epoch, sample, _ in mine)
        assert set(times.values()) <= {1}
        taken = range(one.cursor, one.cursor + one.quota)
        assert Counter(epoch for epoch, _, _ in mine) == Counter(
            one.first_epoch + place // one.body.samples for place in taken
        )
        for sample in range(one.body.samples):
            assert order.positions(0, number, False, sample).tolist() == [
                position for _, s, position in mine if s == sample
            ]


def test_a_phase_of_more_than_2_to_the_49_samples_starts_at_once_and_is_exact() -> None:
    supplies = [
        supply("a", 1, 3),
        supply("b", (1 << 40) + 1, (1 << 33) + 7, cursor=11),
        supply("c", (1 << 48) - 2, 1 << 49),
        supply("d", (1 << 48) * 2 - (1 << 40), 5_000_000_000_000),
    ]
    order = PhaseOrder(phase((1 << 12, supplies)), SEED, no_holes)
    draw = np.random.default_rng(0)
    asked = np.concatenate((draw.integers(0, order.phase.samples, 300), [order.phase.samples - 1]))
    places = order.places(asked)
    for number in range(4):
        at = places.supply == number
        which, positions = order.occurrences(0, number, False, places.sample[at])
        again = order.places(positions)
        assert np.array_equal(again.sample, places.sample[at][which])
        assert set(asked[at].tolist()) <= set(positions.tolist())
    assert sum(counts.sum() for counts in order.counts(1 << 49)) == 1 << 49


def test_seed_leaf_and_phase_each_change_the_order() -> None:
    def samples(name: str = "p", leaf: str = "a", seed: int = 1) -> list[int]:
        made = phase((8, [supply(leaf, 64, 64)]), name=name)
        return [row[4] for row in all_rows(PhaseOrder(made, seed, no_holes))]

    orders = [samples(), samples(name="q"), samples(leaf="b"), samples(seed=2)]
    assert len({tuple(order) for order in orders}) == 4
    assert samples() == orders[0]


def test_two_segments_of_a_phase_do_not_permute_their_batches_alike() -> None:
    part = [supply("a", 64, 1000)]
    first, second = phase((64, part), (64, part)).segments
    one, other = (
        SegmentOrder("p", segment, SEED, no_holes).places(np.arange(segment.start, segment.stop))
        for segment in (first, second)
    )
    assert sorted(one.sample.tolist()) == sorted(other.sample.tolist())
    assert one.sample.tolist() != other.sample.tolist()


def test_holes_are_loaded_when_a_head_is_met_and_once() -> None:
    loaded: list[str] = []

    def load(digest: str) -> Ints:
        loaded.append(digest)
        return HOLES

    order = PhaseOrder(CHANGED, SEED, load)
    order.places(np.arange(120))
    assert loaded == []
    order.places(np.arange(120, 360))
    order.positions(1, 0, True, 5)
    assert loaded == ["holes"]


def test_a_segment_cut_short_is_as_it_was_up_to_there_and_knows_of_nothing_beyond() -> None:
    whole = phase((16, SECOND))
    (kept,) = cut(whole.segments, 7)
    assert sum(one.quota for one in kept.supplies) == 7 * 16
    assert [one.planned for one in kept.supplies] == [one.quota for one in SECOND]
    before = PhaseOrder(whole, SEED, {"holes": HOLES}.__getitem__)
    order = PhaseOrder(replace(whole, segments=(kept,)), SEED, {"holes": HOLES}.__getitem__)
    listed = all_rows(order)
    assert listed == all_rows(before)[: 7 * 16]
    for position in (0, 5, 16, 37, 111, 112):
        so_far = Counter(number for _, number, *_ in listed[:position])
        assert order.counts(position)[0].tolist() == [so_far[number] for number in range(3)]
    for number, one in enumerate(kept.supplies):
        for in_head in (False, True) if one.head else (False,):
            samples = (one.head.body if one.head and in_head else one.body).samples
            expected = [
                position
                for sample in range(samples)
                for position, (_, n, h, _, s) in enumerate(listed)
                if (n, h, s) == (number, in_head, sample)
            ]
            _, positions = order.occurrences(0, number, in_head, np.arange(samples))
            assert positions.tolist() == expected


def test_a_supply_without_a_head_has_no_sample_in_it() -> None:
    with pytest.raises(ValueError, match="no head"):
        changed().positions(1, 2, True, 0)


def test_micro_batches_go_to_the_ranks_in_turn() -> None:
    ranks, micro_steps = rank_of(np.arange(12), global_batch=12, data_parallel=3, micro_batch=2)
    assert ranks.tolist() == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]
    assert micro_steps.tolist() == [0] * 6 + [1] * 6
    for ranks_of, size in ((5, 2), (3, 3), (0, 2)):
        with pytest.raises(ConfigError, match="global batch of 12"):
            rank_of(np.arange(12), global_batch=12, data_parallel=ranks_of, micro_batch=size)


def test_orders_are_as_they_were_written_down() -> None:
    """A changed value is a changed order: every manifest there is would mean something else.

    Whoever means it gives ORDER a new version and writes golden/order.json anew.
    """
    golden = json.loads(GOLDEN.read_text())
    assert golden["order"] == ORDER
    for case in golden["permutations"]:
        keys = mix(base_key(*case["key"]), np.array([case["number"]]))
        assert permute(np.array(case["x"]), case["n"], keys).tolist() == case["y"]
    for case in golden["interleaves"]:
        source, index = Interleave(case["quotas"]).locate(np.array(case["positions"]))
        assert [source.tolist(), index.tolist()] == [case["source"], case["index"]]
    listed = rows(changed().places(np.array(golden["phase"]["positions"])))
    assert [list(row) for row in listed] == golden["phase"]["places"]
