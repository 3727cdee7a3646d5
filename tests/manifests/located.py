"""A small manifest with all that makes an order hard, and what it trains on by a plain loop."""

from pathlib import Path

from manifests.cli.building import make_plan, publish_plan
from manifests.levels.packed import packed
from manifests.locate.contents import Contents
from manifests.objects.manifest import Manifest
from manifests.records import Bucket
from manifests.resolve.types import Body
from manifests.spec.types import Layout
from manifests.store import Store
from tests.manifests.command_line import records

WEB = records(Bucket.WEB, 4, 20, 100, "web")
SYNTHETIC = records(Bucket.SYNTHETIC, 4, 10, 50, "syn")
CODE = records(Bucket.CODE, 2, 10, 80, "code")
"""What `tests.manifests.command_line.commit_corpus` commits, slice by slice."""

GONE = WEB[1][4].id
"""Removed in the middle of pretrain."""
NEVER = WEB[2][0].id
"""Removed from the start."""

SPEC = f"""\
schema = "scriptorium.mixture/1"
name = "demo"
seed = 7
remove = [{{ records = ["{NEVER}"] }}]

[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256

[sources.web]
from = "web@1"

[sources.synthetic]
from = "syn@1"
strata = {{ by = "tokens", bounds = [55], weights = [1, 2] }}

[phases.pretrain]
tokens = "15K"
sequence_length = 64
global_batch = 8

[phases.pretrain.mix]
web = "60%"
synthetic = "40%"

[phases.sft]
after = "pretrain"
sequence_length = 32
global_batch = 4
layout = "document"

[phases.sft.mix]
synthetic = {{ epochs = 1 }}
web = {{ tokens = 500 }}

[[changes]]
phase = "pretrain"
at_step = 9
mix = {{ web = "50%", synthetic = "50%" }}
remove = [{{ records = ["{GONE}"] }}]

[[changes]]
phase = "pretrain"
at_step = 20
tokens = "20K"
global_batch = 16
"""
"""Over `commit_corpus`: three segments, strata, both layouts, one takedown on the way."""
LAST_CHANGE = '[[changes]]\nphase = "pretrain"\nat_step = 20'


def publish(store: Store, text: str, folder: Path) -> Manifest:
    """The manifest of a spec, published."""
    file = folder / "spec.toml"
    file.write_text(text)
    planned = make_plan(store, file)
    publish_plan(store, planned, "", None)
    return Manifest(store, planned.digest)


def pieces(contents: Contents, body: Body, length: int) -> list[list[tuple[str, int, int]]]:
    """The samples of an epoch as id, first token and tokens of each piece, by plain loops."""
    documents: list[tuple[str, int]] = []
    for shard in range(contents.table(body.table).num_rows):
        found = contents.documents(body.table, shard)
        documents += zip(found.ids.to_pylist(), found.tokens.tolist(), strict=True)
    if body.layout is Layout.PACKED:
        windows = []
        for shard in range(contents.table(body.table).num_rows):
            here = contents.documents(body.table, shard)
            names = here.ids.to_pylist()
            windows += [
                [(names[document], start, inputs + 1) for document, start, inputs in window]
                for window in packed(here.tokens.tolist(), length)
            ]
        return windows
    if body.layout is Layout.DOCUMENT:
        return [
            [(name, start, min(length, tokens - start) + 1)]
            for name, tokens in documents
            for start in range(0, max(1, tokens), length)
        ]
    stream = [(name, token) for name, tokens in documents for token in range(tokens + 1)]
    samples = []
    for first in range(0, len(stream) - length, length):
        held: list[tuple[str, int, int]] = []
        for name, token in stream[first : first + length + 1]:
            if held and held[-1][0] == name:
                held[-1] = (name, held[-1][1], held[-1][2] + 1)
            else:
                held.append((name, token, 1))
        samples.append(held)
    return samples
