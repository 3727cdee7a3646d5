"""The order that is trained in, against plain arithmetic written apart from it."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.interleave import Interleave
from manifests.levels.plain import PlainOrder, Tree, key, mixed, permuted, survivor
from manifests.order import PhaseOrder
from manifests.permutation import base_key, mix, permute
from manifests.resolve.types import Body, Head, Phase, Segment, Supply
from manifests.spec.types import Layout
from manifests.survivors import Survivors


@given(st.integers(1, 2**45), st.integers(0, 2**64 - 1), st.data())
def test_a_permutation_is_the_same_number_by_number(
    n: int, keyed: int, data: st.DataObject
) -> None:
    xs = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8))
    keys = np.array([keyed], dtype=np.uint64)
    assert permute(np.array(xs), n, keys).tolist() == [permuted(x, n, keyed) for x in xs]


@given(st.text(max_size=20), st.integers(0, 2**40))
def test_keys_are_the_same(text: str, number: int) -> None:
    base = base_key("scriptorium.order", text)
    assert base == key("scriptorium.order", text)
    assert mix(base, np.array([number])).tolist() == [mixed(base, number)]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=9).filter(any))
def test_the_tree_deals_the_same(quotas: list[int]) -> None:
    tree, trained, total = Tree(quotas), Interleave(quotas), sum(quotas)
    source, number = trained.locate(np.arange(total))
    dealt = list(zip(source.tolist(), number.tolist(), strict=True))
    assert dealt == [tree.at(k) for k in range(total)]
    for k in {0, 1, total // 3, total}:
        assert tree.before(k) == trained.counts(k).tolist()


def body(samples: int) -> Body:
    return Body(table="t", layout=Layout.STREAM, samples=samples, tokens=samples)


@given(st.integers(2, 200), st.data())
def test_survivors_have_the_same_ranks(samples: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, samples - 2))
    gone = sorted(data.draw(st.sets(st.integers(start, samples - 1), max_size=samples - start - 1)))
    left = samples - start - len(gone)
    taken = data.draw(st.integers(0, left - 1))
    head = Head(body=body(samples), epoch=0, start=start, taken=taken, count=left - taken)
    trained = Survivors(head, np.array(gone, dtype=np.int64))
    numbers = np.arange(head.count)
    assert trained.ranks(numbers).tolist() == [
        survivor(gone, start, taken + number) for number in numbers.tolist()
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.data())
def test_places_are_the_same_with_heads_cuts_and_many_epochs(
    seed: int, data: st.DataObject
) -> None:
    small = st.integers(1, 40)
    batch = data.draw(small)
    holes: dict[str, Sequence[int]] = {"h": [3, 4, 9]}
    head = Head(body=body(14), epoch=2, start=2, holes="h", taken=1, count=8)
    plans = [data.draw(st.lists(small, min_size=3, max_size=3)) for _ in range(2)]
    plans[1][0] += -sum(plans[1]) % batch
    plans[0][0] += -sum(plans[0]) % batch + batch
    stop = (
        data.draw(st.integers(1, sum(plans[0]) // batch - 1)) * batch
        if sum(plans[0]) > batch
        else batch
    )
    counts = Tree(plans[0]).before(stop)
    first = tuple(
        Supply(leaf=leaf, quota=count, planned=plan, body=body(7 + i), cursor=3 * i, first_epoch=i)
        for i, (leaf, count, plan) in enumerate(zip("abc", counts, plans[0], strict=True))
    )
    second = tuple(
        Supply(leaf=leaf, quota=quota, body=body(5 + i), cursor=i, head=head if i == 1 else None)
        for i, (leaf, quota) in enumerate(zip("abc", plans[1], strict=True))
    )
    end = stop + sum(plans[1])
    segments = (
        Segment(start=0, stop=stop, first_step=0, global_batch=batch, supplies=first),
        Segment(
            start=stop, stop=end, first_step=stop // batch, global_batch=batch, supplies=second
        ),
    )
    phase = Phase(name="p", after="", sequence_length=8, segments=segments)
    plain = PlainOrder(phase, seed, holes.__getitem__)
    trained = PhaseOrder(phase, seed, lambda held: np.array(holes[held])).places(np.arange(end))
    columns = (trained.segment, trained.supply, trained.in_head, trained.epoch, trained.sample)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    assert [tuple(plain.place(position)) for position in range(end)] == list(rows)
