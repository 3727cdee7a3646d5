"""Small committed token steps to test against, written as a run writes them, without Ray.

Documents are tokenized as utf8-bytes@1 has it; the special ids of chats are the ones behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests import layout
from manifests.commits import Commit, Ledger, publish, task_id
from manifests.fingerprint import canonical_json, sha256
from manifests.index import build_index
from manifests.records import Bucket, Record, Reject
from manifests.shards import Shard, write_shard
from manifests.stats import TeacherUsage, measure
from manifests.store import Store
from manifests.tables import to_table
from manifests.token_files import ROW_IDS, TokenFacts, token_file_bytes
from manifests.token_rows import Form, IdSpan, RoleSpan, TokenDocument
from manifests.tokenizers import UTF8_BYTES
from tests.manifests.committed import GENERATOR, address, describe, input_of, item
from tests.manifests.committed import commit_of as commit_records

END, IM_START, IM_SEP, IM_END = 256, 257, 258, 259
VOCABULARY = 260
FACTS = TokenFacts(ids=0, tokenizer=UTF8_BYTES, vocabulary=VOCABULARY, end_of_document=END)

SPEC = """\
schema = "scriptorium.mixture/1"
name = "ids"
seed = 7

[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256

[sources.all]
from = "{step}"

[phases.pretrain]
sequence_length = 32
global_batch = 2

[phases.pretrain.mix]
all = {{ epochs = 1 }}

[phases.sft]
after = "pretrain"
sequence_length = 256
global_batch = 2
layout = "document"

[phases.sft.mix]
all = {{ epochs = 1 }}
"""
"""A mixture over one step: as a stream, then each document in a window of its own."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A document and its ids, without the end of document."""

    name: str
    form: Form
    text: str
    ids: tuple[int, ...]
    loss: tuple[IdSpan, ...] = ()
    spans: tuple[RoleSpan, ...] = ()
    bucket: Bucket
    lang: str = "en"

    @property
    def record(self) -> Record:
        """What it was tokenized from."""
        return Record(
            id=item(self.name),
            text=self.text,
            bucket=self.bucket,
            generator=GENERATOR,
            seed_ids=(self.name,),
            source="web",
            licence="CC0-1.0",
            lang=self.lang,
            scores={"quality": 0.5},
            tokens=len(self.text.encode()),
        )


def text(name: str, words: str, bucket: Bucket = Bucket.WEB, lang: str = "en") -> Made:
    """A plain text: all ids are learned."""
    ids = tuple(words.encode())
    return Made(name=name, form=Form.TEXT, text=words, ids=ids, bucket=bucket, lang=lang)


def texts(tag: str, count: int, seed: int = 0, longest: int = 60) -> list[Made]:
    """So many texts of 1 to `longest` letters."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghij "))
    sizes = rng.integers(1, longest + 1, count).tolist()
    return [text(f"{tag}/{i}", "".join(rng.choice(letters, n))) for i, n in enumerate(sizes)]


def chat(name: str, *turns: tuple[str, str], bucket: Bucket = Bucket.SFT) -> Made:
    """A conversation of (role, content): what the assistant says is learned, and its end."""
    ids: list[int] = []
    spans, loss = [], []
    for role, content in turns:
        ids += [IM_START, *role.encode(), IM_SEP]
        start = len(ids)
        ids += [*content.encode(), IM_END]
        spans.append(RoleSpan(role=role, start=start, stop=len(ids)))
        if role == "assistant":
            loss.append(IdSpan(start=start, stop=len(ids)))
    return Made(
        name=name,
        form=Form.CHAT,
        text="\n".join(f"{role}: {content}" for role, content in turns),
        ids=tuple(ids),
        loss=tuple(loss),
        spans=tuple(spans),
        bucket=bucket,
    )


def response_pair(name: str, question: str, chosen: str, rejected: str) -> Made:
    """A question with the better and the worse response."""
    prompt = _asked(question)
    better, worse = ([*answer.encode(), IM_END] for answer in (chosen, rejected))
    return _pair(
        name, Form.RESPONSE_PAIR, (question, chosen, rejected), [prompt, better, prompt, worse]
    )


def token_pair(name: str, question: str, prefix: str, chosen: str, rejected: str) -> Made:
    """A question, the beginning of its response, and the better and the worse next letter."""
    prompt = [*_asked(question), *prefix.encode()]
    better, worse = list(chosen.encode()), list(rejected.encode())
    assert len(better) == len(worse) == 1
    return _pair(name, Form.TOKEN_PAIR, (question, chosen, rejected), [prompt, better, worse])


def mixed(tag: str, count: int = 12, seed: int = 0) -> list[Made]:
    """Documents of all forms, in turns."""
    words = [made.text for made in texts(tag, 4 * count, seed)]
    return [_of_form(i % 4, f"{tag}/{i}", words[4 * i : 4 * i + 4]) for i in range(count)]


def _of_form(number: int, name: str, words: Sequence[str]) -> Made:
    a, b, c, d = words
    if number == 0:
        return text(name, a)
    if number == 1:
        return chat(name, ("user", a), ("assistant", b), ("user", c), ("assistant", d))
    if number == 2:
        return response_pair(name, a, b, c)
    return token_pair(name, a, b, "y", "n")


def token_step(
    store: Store,
    name: str,
    *slices: Sequence[Made],
    fill: str = "d",
    files: int = 1,
    index: bool = False,
    tokenizer: str = UTF8_BYTES,
    vocabulary: int = VOCABULARY,
) -> str:
    """Commit these documents as records and tokenize them, a commit a slice; the token step's
    address. The records are the step `<name>_records`; a slice has `files` token files. Another
    `tokenizer` and `vocabulary` are only said of the ids.
    """
    facts = TokenFacts(ids=0, tokenizer=tokenizer, vocabulary=vocabulary, end_of_document=END)
    step, before = address(name, fill), address(f"{name}_records", fill)
    describe(store, before, len(slices))
    store.put(
        layout.step_file(step),
        canonical_json({"address": step, "slices": len(slices), "inputs": [before]}),
    )
    for number, made in enumerate(slices):
        records = {item(f"source of {one.name}"): [one.record] for one in made}
        read = publish(store, commit_records(store, before, number, records))
        publish(store, token_commit(store, step, number, made, read, files, facts))
    if index:
        build_index(store, step)
    return step


def token_commit(
    store: Store,
    step: str,
    slice_index: int,
    made: Sequence[Made],
    read: Commit,
    files: int = 1,
    facts: TokenFacts = FACTS,
) -> Commit:
    """The commit, not yet published, of these documents, which are the records that it read."""
    bounds = np.linspace(0, len(made), files + 1).astype(int).tolist()
    parts = [made[low:high] for low, high in pairwise(bounds) if low < high]
    rows: list[TokenDocument] = []
    written: list[Shard] = []
    for part in parts:
        ids = joined(part)
        file = write_token_file(store, step, ids, facts)
        written.append(file)
        start = 0
        for one in part:
            rows.append(_row(one, file.sha256, start))
            start += len(one.ids) + 1
    table = to_table(rows, [one.record.id for one in made], TokenDocument)
    rejects = to_table([], cls=Reject)
    return Commit(
        task=task_id(step, slice_index),
        step=step,
        slice_index=slice_index,
        row_type="tokendocument",
        inputs=(input_of(read),),
        data=write_shard(store, partial(layout.data_file, step), table),
        rejects=write_shard(store, partial(layout.rejects_file, step), rejects),
        tokens=tuple(written),
        ledger=Ledger(planned=len(made), accepted=len(made), rows=len(made)),
        stats=measure(table, rejects, TeacherUsage(), facts.tokenizer),
        nonce="one",
    )


def joined(made: Sequence[Made]) -> npt.NDArray[np.int64]:
    """Their ids, each document followed by its end."""
    return np.array([i for one in made for i in (*one.ids, END)], dtype=np.int64)


def write_token_file(
    store: Store, step: str, ids: npt.NDArray[Any], facts: TokenFacts = FACTS
) -> Shard:
    """Put the token file of these ids into a step."""
    data = token_file_bytes(ids, replace(facts, ids=len(ids)))
    digest = sha256(data)
    store.put(layout.tokens_file(step, digest), data)
    return Shard(sha256=digest, rows=-(-len(ids) // ROW_IDS), bytes=len(data))


def _asked(question: str) -> list[int]:
    """A prompt up to where the assistant begins."""
    user = [IM_START, *b"user", IM_SEP, *question.encode(), IM_END]
    return [*user, IM_START, *b"assistant", IM_SEP]


def _pair(name: str, form: Form, said: tuple[str, str, str], parts: list[list[int]]) -> Made:
    roles = ["prompt", "chosen", "prompt", "rejected"]
    if len(parts) == 3:
        del roles[2]
    ends = np.cumsum([len(part) for part in parts]).tolist()
    spans = tuple(
        RoleSpan(role=role, start=end - len(part), stop=end)
        for role, part, end in zip(roles, parts, ends, strict=True)
    )
    return Made(
        name=name,
        form=form,
        text="\n".join(said),
        ids=tuple(i for part in parts for i in part),
        loss=tuple(IdSpan(start=s.start, stop=s.stop) for s in spans if s.role != "prompt"),
        spans=spans,
        bucket=Bucket.DPO,
    )


def _row(one: Made, file: str, start: int) -> TokenDocument:
    record = one.record
    return TokenDocument(
        id=record.id,
        form=one.form,
        tokens=len(one.ids),
        file=file,
        start=start,
        loss=one.loss,
        spans=one.spans,
        bucket=record.bucket,
        generator=record.generator,
        seed_ids=record.seed_ids,
        source=record.source,
        licence=record.licence,
        lang=record.lang,
        scores=record.scores,
        rounds=record.rounds,
        lineage=record.lineage,
    )
