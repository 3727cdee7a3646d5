"""Shard rows, and small manifests around them, to test against."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest

from manifests.fingerprint import content_id, sha256
from manifests.objects.manifest import write_root
from manifests.objects.ranges import SHARD_ROWS, write_table
from manifests.objects.root import Leaf, Root
from manifests.objects.tree import Objects
from manifests.resolve.types import ORDER
from manifests.spec.types import TokenizerName
from tests.manifests.committed import STEP

LATER = 30 * 86_400.0


def key_of(number: object) -> str:
    return content_id("shard", str(number))


def shard_row(number: int, **changes: object) -> dict[str, object]:
    """A shard row that is told from others by its number."""
    volume = [{"name": f"name-{number % 3}", "rows": 7, "tokens": 70 + number}]
    row: dict[str, object] = {
        "key": key_of(number),
        "step": STEP,
        "slice_index": number,
        "sha256": sha256(str(number).encode()),
        "bytes": 1000 + number,
        "rows": 9,
        "picked": bytes([127, 0]),
        "documents": 7,
        "tokens": 77 + number,
        "lengths": [{"bin": 20, "count": 5}, {"bin": 40, "count": 2}],
    }
    compositions = ("buckets", "generators", "sources", "licences", "languages", "teachers")
    return {**row, **dict.fromkeys(compositions, volume), **changes}


def shard_rows(numbers: Sequence[int]) -> pa.Table:
    """Shard rows with these numbers, in this order."""
    return pa.Table.from_pylist([shard_row(number) for number in numbers], schema=SHARD_ROWS)


def small_root(objects: Objects, rows: pa.Table, name: str = "mix") -> Root:
    """A root with a spec and one leaf; its parts are kept, it itself is not yet."""
    table = write_table(objects, rows)
    leaf = Leaf(
        name="web",
        source="web",
        table=table,
        shards=rows.num_rows,
        documents=sum(rows["documents"].to_pylist()),
        tokens=sum(rows["tokens"].to_pylist()),
    )
    return Root(
        name=name,
        seed=1,
        tokenizer=TokenizerName(name="utf8-bytes@1", end_of_document=256),
        order=ORDER,
        spec=objects.put_json({"spec": name}),
        leaves=(leaf,),
        phases=(),
    )


def small_manifest(objects: Objects, number: int = 0, parents: Sequence[str] = ()) -> str:
    """The digest of a manifest that is told from others by its number."""
    root = small_root(objects, shard_rows([number]), f"mix-{number}")
    return write_root(objects, replace(root, parents=tuple(parents)))


class Clock:
    """Time that a test moves on; `time.time` while the test runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr(time, "time", lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
