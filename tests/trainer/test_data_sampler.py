from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from manifests.errors import ConfigError
from manifests.locate.batch import Ranks
from manifests.locate.batch import batch as batch_at
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.order import PhaseOrder, rank_of
from manifests.store import open_store
from tests.trainer.read_slowly import demo
from trainer.data.sampler import MicroBatches, load, positions_of
from trainer.data.samples import PhaseData


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("demo")
    return demo(open_store(str(folder / "root")), folder)[0]


@pytest.fixture(scope="module")
def order(manifest: Manifest) -> PhaseOrder:
    return manifest.order("pretrain")


def taken(order: PhaseOrder, rank: int, size: int, micro: int, start: int = 0) -> Iterator[int]:
    stop = order.phase.steps
    for row in MicroBatches(
        order=order, start=start, stop=stop, data_rank=rank, data_size=size, micro_batch=micro
    ):
        assert len(row) == micro
        yield from row.tolist()


@pytest.mark.parametrize(("size", "micro"), [(1, 1), (1, 8), (2, 1), (2, 4), (4, 2), (8, 1)])
def test_ranks_take_every_position_once_as_the_order_deals_them(
    order: PhaseOrder, size: int, micro: int
) -> None:
    found = [list(taken(order, rank, size, micro)) for rank in range(size)]
    assert sorted(chain(*found)) == list(range(order.phase.samples))
    for rank, positions in enumerate(found):
        steps, index = order.steps_of(np.array(positions))
        assert (np.diff(steps) >= 0).all()
        for segment in order.phase.segments:
            inside = [segment.start <= position < segment.stop for position in positions]
            here = np.flatnonzero(inside)
            dealt, micro_step = rank_of(
                index[here],
                global_batch=segment.global_batch,
                data_parallel=size,
                micro_batch=micro,
            )
            assert (dealt == rank).all()
            each = segment.global_batch // (size * micro)
            assert (micro_step == np.arange(len(here)) // micro % each).all()


def test_manifest_at_gives_a_rank_the_samples_that_it_reads(
    manifest: Manifest, order: PhaseOrder
) -> None:
    contents, phase = Contents(manifest), order.phase
    for step in (0, 4, 5, 12, phase.steps - 1):
        for rank in range(4):
            asked = Ranks(data_parallel=4, micro_batch=2, rank=rank)
            said = batch_at(contents, phase, step, asked).samples
            mine = positions_of(step, data_rank=rank, data_size=4, micro_batch=2, order=order)
            assert [(one.position, one.micro_step) for one in said] == [
                (position, m) for m, row in enumerate(mine.tolist()) for position in row
            ]


def test_any_step_goes_on_as_the_whole_run_does_at_any_number_of_ranks(order: PhaseOrder) -> None:
    whole = list(taken(order, 0, 1, 8))
    for step in (3, 5, 11, 14):
        first = int(positions_of(step, data_rank=0, data_size=1, micro_batch=8, order=order)[0, 0])
        for size in (1, 2, 4):
            rest = [list(taken(order, rank, size, 2, start=step)) for rank in range(size)]
            assert sorted(chain(*rest)) == whole[first:]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"step": 10**6}, "step 1000000: phase pretrain has steps 0 to"),
        ({"step": -1}, "step -1: phase pretrain has steps 0 to"),
        ({"data_rank": 2}, "rank 2: there are ranks 0 to 1"),
        ({"micro_batch": 3}, "a global batch of 8 samples does not divide into micro batches"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    order: PhaseOrder, asked: dict[str, int], message: str
) -> None:
    given = {"step": 0, "data_rank": 0, "data_size": 2, "micro_batch": 1, **asked}
    with pytest.raises(ConfigError, match=message):
        positions_of(given.pop("step"), order=order, **given)


def test_batches_come_in_order_without_workers(manifest: Manifest, tmp_path: Path) -> None:
    data = PhaseData(manifest, "pretrain", tmp_path)
    rows = MicroBatches(order=data.order, start=2, stop=13, data_rank=1, data_size=2, micro_batch=2)
    found = list(load(data, rows))
    assert [batch.positions.tolist() for batch in found] == [row.tolist() for row in rows]
    for batch, row in zip(found, rows, strict=True):
        np.testing.assert_array_equal(batch.tokens, data.batch(row).tokens)
