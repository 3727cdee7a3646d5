"""A small real manifest to export: records in shards, leaf tables, a root, all in a store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from manifests.commits import task_id
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.ranges import SHARD_ROWS, write_table
from manifests.objects.root import Leaf, Root
from manifests.objects.tree import Objects
from manifests.records import Call, Record
from manifests.resolve.types import ORDER, Body, Phase, Segment, Supply
from manifests.spec.types import Layout, TokenizerName
from manifests.store import Store
from manifests.tokenizers import Tokenizer
from tests.manifests.committed import TEACHER, address, commit_of, item, record

END = 256
STEP = address("made", "c")


def texts(seed: int, shards: int, documents: int) -> list[list[str]]:
    """Texts of 1 to 60 letters, shard by shard."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghij é"))
    return [
        ["".join(rng.choice(letters, rng.integers(1, 60))) for _ in range(documents)]
        for _ in range(shards)
    ]


def words(folder: Path, *known: str, specials: Sequence[str] = ()) -> Path:
    """A `tokenizer.json` that knows these words and no other, and these special tokens."""
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Encoder
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    ids = {word: number for number, word in enumerate(known)} | {"[UNK]": 500}
    encoder = Encoder(WordLevel(ids, unk_token="[UNK]"))
    encoder.pre_tokenizer = Whitespace()
    encoder.add_special_tokens([AddedToken(token, special=True) for token in specials])
    folder.mkdir()
    encoder.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def counted(text: str, name: str, store: Store, tokenizer: Tokenizer) -> Record:
    """A record with scores, parts and lineage."""
    call = Call(prompt="p" * 32, completion="c" * 32, teacher=TEACHER, role="writer")
    made = record(item(name), text=text)
    made = replace(made, parts={"answer": text}, scores={"quality": 0.5}, lineage=(call,))
    (done,) = tokenizer.count([made], store)
    assert isinstance(done, Record)
    return done


def leaf_table(
    store: Store,
    name: str,
    shards: Sequence[Sequence[str]],
    kept: Sequence[Sequence[int]] | None = None,
    tokenizer: Tokenizer | None = None,
) -> pa.Table:
    """Commit these texts, one list a shard, and the shard rows of what is kept of them."""
    tokenizer = tokenizer or Tokenizer()
    rows = []
    for number, some in enumerate(shards):
        made = {
            item(f"{name}/{number}/{i}"): [counted(text, f"{name}/{number}/{i}", store, tokenizer)]
            for i, text in enumerate(some)
        }
        shard = commit_of(store, STEP, number, made).data
        chosen = list(range(len(some))) if kept is None else list(kept[number])
        mask = np.isin(np.arange(len(some)), chosen)
        picked = [row for made_of in made.values() for row in made_of]
        tokens = sum(picked[i].tokens for i in chosen)
        volume = [{"rows": len(chosen), "tokens": tokens}]
        rows.append(
            {
                "key": task_id(STEP, number),
                "step": STEP,
                "slice_index": number,
                "sha256": shard.sha256,
                "bytes": shard.bytes,
                "rows": shard.rows,
                "picked": b"" if mask.all() else np.packbits(mask, bitorder="little").tobytes(),
                "documents": len(chosen),
                "tokens": tokens + len(chosen),
                "lengths": [],
                "buckets": [{"name": "web_rewrite", **volume[0]}],
                "generators": [{"name": "rewrite@1", **volume[0]}],
                "sources": [{"name": "web", **volume[0]}],
                "licences": [{"name": "CC0-1.0", **volume[0]}],
                "languages": [{"name": "en", **volume[0]}],
                "teachers": [{"name": TEACHER, **volume[0]}],
            }
        )
    return pa.Table.from_pylist(rows, schema=SHARD_ROWS).sort_by("key")


def manifest_of(
    store: Store,
    tables: Mapping[str, pa.Table],
    quotas: Mapping[str, int],
    name: str = "mix",
    tokenizer: str = "utf8-bytes@1",
    length: int = 32,
    end: int = END,
) -> Manifest:
    """A manifest of one phase, `train`, with these quotas from leaves `source` or `source/stratum`.

    The tables are of each leaf; a step has 8 samples.
    """
    objects = Objects(store)
    leaves, supplies = [], []
    for leaf in sorted(tables):
        table = tables[leaf]
        kept = write_table(objects, table)
        total = int(np.sum(table["tokens"].to_numpy()))
        source, _, stratum = leaf.partition("/")
        leaves.append(
            Leaf(
                name=leaf,
                source=source,
                stratum=stratum,
                table=kept,
                shards=table.num_rows,
                documents=int(np.sum(table["documents"].to_numpy())),
                tokens=total,
            )
        )
        samples = (total - 1) // length
        body = Body(
            table=kept.digest, layout=Layout.STREAM, samples=samples, tokens=samples * length
        )
        supplies.append(Supply(leaf=leaf, quota=quotas[leaf], body=body, cursor=0))
    stop = sum(quotas.values())
    segment = Segment(start=0, stop=stop, first_step=0, global_batch=8, supplies=tuple(supplies))
    phase = Phase(
        name="train",
        after="",
        sequence_length=length,
        segments=(segment,),
        train={"mask": "document", "rope_base": 10000},
    )
    root = Root(
        name=name,
        seed=1234,
        tokenizer=TokenizerName(name=tokenizer, end_of_document=end),
        order=ORDER,
        spec=objects.put_json({"name": name}),
        leaves=tuple(leaves),
        phases=(phase,),
        probes={"train": "0" * 64},
    )
    return Manifest(store, write_root(objects, root))
