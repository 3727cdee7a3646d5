"""A small manifest over token steps with all that makes reading hard, and its samples by loops.

The reference knows documents as they were made (`tests.manifests.tokened`), in the order of the
manifest's tables, and goes through a window id by id.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from manifests.cli.building import make_plan, publish_plan
from manifests.locate.contents import Contents, body_of
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Body
from manifests.spec.types import Layout
from manifests.store import Store
from manifests.token_rows import Form
from tests.manifests.tokened import (
    END,
    Made,
    chat,
    item,
    response_pair,
    text,
    texts,
    token_pair,
    token_step,
)

GONE = "web/1/3"
"""Removed in the middle of pretrain."""

SPEC = f"""\
schema = "scriptorium.mixture/1"
name = "demo"
seed = 7

[tokenizer]
name = "utf8-bytes@1"
end_of_document = {END}

[sources.web]
from = "web_tokens@1"
where = {{ lang = "en" }}

[sources.code]
from = "code_tokens@1"

[sources.talk]
from = "talk_tokens@1"
where = {{ bucket = "sft" }}

[sources.judged]
from = "judged_tokens@1"

[phases.pretrain]
tokens = "8K"
sequence_length = 64
global_batch = 8

[phases.pretrain.mix]
web = "60%"
code = "40%"

[phases.midtrain]
after = "pretrain"
tokens = "3K"
sequence_length = 256
global_batch = 4

[phases.midtrain.mix]
code = "40%"
talk = "30%"
pretrain = {{ recall = "pretrain", share = "30%" }}

[phases.midtrain.train]
mask = "causal"
end_of_document = "mask"

[phases.sft]
after = "midtrain"
sequence_length = 32
global_batch = 4
layout = "document"
unit = "samples"

[phases.sft.mix]
talk = {{ epochs = 2 }}
web = {{ tokens = 600 }}

[phases.sft.train]
loss = "assistant"
end_of_document = "mask"

[phases.talked]
after = "sft"
sequence_length = 48
global_batch = 2

[phases.talked.mix]
talk = {{ epochs = 1 }}
code = {{ epochs = 1 }}

[phases.talked.train]
loss = "assistant"

[phases.dpo]
after = "talked"
sequence_length = 96
global_batch = 4
layout = "document"
unit = "samples"

[phases.dpo.mix]
judged = {{ epochs = 2 }}

[phases.dpo.train]
loss = "dpo"

[phases.small]
after = "dpo"
sequence_length = 8
global_batch = 2

[phases.small.mix]
code = {{ epochs = 1 }}

[phases.small.train]
end_of_document = "mask"

[phases.read]
after = "small"
sequence_length = 96
global_batch = 2
layout = "document"
unit = "samples"

[phases.read.mix]
judged = {{ epochs = 1 }}

[[changes]]
phase = "pretrain"
at_step = 5
mix = {{ web = "50%", code = "50%" }}
remove = [{{ records = ["{item(GONE)}"] }}]

[[changes]]
phase = "pretrain"
at_step = 11
tokens = "12K"
global_batch = 16
"""
PHASES = ("pretrain", "midtrain", "sft", "talked", "dpo", "small", "read")


def corpus() -> dict[str, list[list[Made]]]:
    """Steps by slices: several files, an empty slice, languages to pick, an empty document."""
    rng = np.random.default_rng(3)
    web = [
        [
            text(f"web/{s}/{n}", "x" * int(size), lang="de" if n % 5 == 2 else "en")
            for n, size in enumerate(rng.integers(1, 90, 14).tolist())
        ]
        for s in range(3)
    ]
    # Of two files, the second of which goes on, after what is not picked, where the first ends.
    twice = [text("t/0", "x" * 5), text("t/1", "y" * 5, lang="de"), text("t/2", "z" * 7)]
    return {
        "web_tokens": [web[0], [], web[1], web[2], twice],
        "code_tokens": [texts("code/0", 30, seed=1), texts("code/1", 3, seed=2, longest=9), []],
        "talk_tokens": [
            [*_chats("talk/0", 6), *texts("plain", 2, seed=5)],
            [*_chats("talk/1", 4), chat("long", ("user", "u" * 70), ("assistant", "a" * 90))],
        ],
        "judged_tokens": [
            [response_pair(f"rp{n}", "q" * n, "yes" * n, "no") for n in range(1, 6)],
            [token_pair(f"tp{n}", "w" * n, "p" * (n - 1), "y", "n") for n in range(1, 5)],
        ],
    }


def _chats(tag: str, count: int) -> list[Made]:
    return [
        chat(
            f"{tag}/{n}",
            ("system", "be"),
            ("user", "hello" * (n % 3)),
            ("assistant", "a" * (7 * n % 40 + 1)),
            ("user", "more"),
            ("assistant", "b" * (n + 1)),
        )
        for n in range(count)
    ]


def demo(store: Store, folder: Path, spec: str = SPEC) -> tuple[Manifest, dict[str, Made]]:
    """The manifest, published, and its documents by record id."""
    made: dict[str, Made] = {}
    for name, slices in corpus().items():
        token_step(store, name, *slices, files=2, index=True)
        made |= {item(one.name): one for part in slices for one in part}
    file = folder / "demo.toml"
    file.write_text(spec)
    planned = make_plan(store, file)
    publish_plan(store, planned, "", None)
    return Manifest(store, planned.digest), made


@dataclass(frozen=True, kw_only=True)
class Id:
    """An id of a window, and what is known of it."""

    id: int
    name: str
    """Of the record."""
    place: int
    """In its document; `tokens` is the end-of-document id."""


def documents_of(contents: Contents, body: Body, made: dict[str, Made]) -> list[tuple[str, Made]]:
    """The documents of a body, in order."""
    found = []
    for shard in range(contents.table(body.table).num_rows):
        names = contents.documents(body.table, shard).ids.to_pylist()
        found += [(name, made[name]) for name in names]
    return found


def windows_of(documents: Sequence[tuple[str, Made]], layout: Layout, length: int) -> list[Any]:
    """All windows of an epoch: the ids of each, in one list a span."""
    runs = [
        [
            *(Id(id=one, name=name, place=place) for place, one in enumerate(made.ids)),
            Id(id=END, name=name, place=len(made.ids)),
        ]
        for name, made in documents
    ]
    if layout is Layout.STREAM:
        stream = [one for run in runs for one in run]
        return [
            [stream[first : first + length + 1]] for first in range(0, len(stream) - length, length)
        ]
    return [
        [run[start : start + length + 1]]
        for run in runs
        for start in range(0, max(1, len(run) - 1), length)
    ]


def row_of(
    window: Sequence[Sequence[Id]],
    length: int,
    train: dict[str, Any],
    made: dict[str, Made],
) -> dict[str, Any]:
    """A window as a row of a batch, id by id."""
    tokens, labels, learned, begins = [], [], [], [0]
    chosen, rejected = [0, 0], [0, 0]
    for span in window:
        for one, following in pairwise(span):
            if _begins(one, made) and tokens:
                begins.append(len(tokens))
            if one is span[0] and tokens:
                begins.append(len(tokens))
            for role, pair in (("chosen", chosen), ("rejected", rejected)):
                for said in made[one.name].spans if _is_pair(made[one.name]) else ():
                    if said.role == role:
                        shift = len(tokens) - one.place
                        pair[:] = [said.start + shift, said.stop + shift]
            tokens.append(one.id)
            labels.append(following.id)
            learned.append(_learned(one, following, train, made))
    if len(tokens) < length:
        begins.append(len(tokens))
    missing = length - len(tokens)
    causal = train.get("mask") == "causal"
    begins = [0] if causal else sorted(set(begins))
    ends = [*begins[1:], length]
    return {
        "tokens": tokens + [END] * missing,
        "labels": labels + [END] * missing,
        "loss_mask": learned + [0.0] * missing,
        "position_ids": [n for a, b in zip(begins, ends, strict=True) for n in range(b - a)],
        "cu_seqlens": [*begins, length],
        "max_seqlen": max(b - a for a, b in zip(begins, ends, strict=True)),
        "chosen": chosen,
        "rejected": rejected,
    }


def _is_pair(one: Made) -> bool:
    return one.form in (Form.RESPONSE_PAIR, Form.TOKEN_PAIR)


def _begins(one: Id, made: dict[str, Made]) -> bool:
    """Whether a segment begins with this id: a document, or the second half of a pair."""
    if one.place == 0:
        return True
    document = made[one.name]
    return document.form is Form.RESPONSE_PAIR and any(
        said.role == "prompt" and said.start == one.place for said in document.spans
    )


def _learned(one: Id, following: Id, train: dict[str, Any], made: dict[str, Made]) -> float:
    document = made[following.name]
    is_end = following.place == len(document.ids)
    if _begins(following, made) or (is_end and train.get("end_of_document") == "mask"):
        return 0.0
    if train.get("loss", "language_model") == "language_model" or not document.loss:
        return 1.0
    return float(any(span.start <= following.place < span.stop for span in document.loss))


class Slowly:
    """The samples of a phase by loops."""

    def __init__(self, manifest: Manifest, phase: str, made: dict[str, Made]) -> None:
        self._contents = Contents(manifest)
        self._phase = manifest.phase(phase)
        self._order = manifest.order(phase)
        self._made = made
        self._windows: dict[Body, list[Any]] = {}

    def windows(self, body: Body) -> list[Any]:
        if body not in self._windows:
            documents = documents_of(self._contents, body, self._made)
            self._windows[body] = windows_of(documents, body.layout, self._phase.sequence_length)
        return self._windows[body]

    def rows(self) -> Iterator[dict[str, Any]]:
        """All samples, by position."""
        for position in range(self._phase.samples):
            place = self._order.places(np.array([position]))
            segment = self._phase.segments[int(place.segment[0])]
            supply = segment.supplies[int(place.supply[0])]
            body = body_of(supply, bool(place.in_head[0]))
            window = self.windows(body)[int(place.sample[0])]
            length = self._phase.sequence_length
            row = row_of(window, length, dict(self._phase.train), self._made)
            yield {**row, "position": position, "window": window}
