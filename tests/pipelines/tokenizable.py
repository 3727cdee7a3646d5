"""Records of every form, committed, and what their ids say when they are read as text again."""

import secrets
from base64 import b64decode
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import tiktoken
from tiktoken_ext import openai_public

from infra.setup.models import encoding_file
from manifests import layout
from manifests.commits import publish
from manifests.fingerprint import canonical_json, sha256
from manifests.records import Bucket, Record, Turn
from manifests.store import Store, open_store
from manifests.tables import from_table
from manifests.token_files import open_token_file
from manifests.token_rows import TokenDocument
from manifests.tokenizers import Tokenizer, keep_tokenizer, tokenizer_of
from pipelines.work.forms import Choice
from pipelines.work.outcome import Outcome
from pipelines.work.tokenize import Tokenize
from tests.manifests.committed import address, commit_of, item, record

END = 100257
SOURCE = address("made_screened")


@cache
def cl100k() -> Tokenizer:
    """The tokenizer of phi-4, the real one."""
    return tokenizer_of(encoding_file())


def memory() -> Store:
    """An empty store that keeps that tokenizer."""
    store = open_store(f"memory://{secrets.token_hex(6)}")
    keep_tokenizer(store, encoding_file())
    return store


def made(name: str, text: str = "a text", *turns: str, **parts: str) -> Record:
    """A record; turns are the user's and the assistant's, one after the other."""
    roles = ("user", "assistant")
    return replace(
        record(item(name), text=text),
        turns=tuple(Turn(role=roles[i % 2], content=turn) for i, turn in enumerate(turns)),
        parts=parts,
    )


def pair(name: str, **parts: str) -> Record:
    """A record of a pair."""
    return replace(made(name, **parts), bucket=Bucket.DPO)


def commit_slices(store: Store, *slices: list[Record], step: str = SOURCE) -> None:
    """Commit these records as a whole step."""
    about = {"address": step, "slices": len(slices), "inputs": []}
    store.put(layout.step_file(step), canonical_json(about))
    for number, records in enumerate(slices):
        publish(store, commit_of(store, step, number, {one.id: [one] for one in records}))


def tokenized(*records: Record, form: Choice = Choice.AUTO, **options: int) -> Outcome:
    """What tokenizing these records comes to."""
    store = memory()
    commit_slices(store, list(records))
    work = Tokenize(tokenizer=cl100k(), end_of_document=END, form=form, **options)
    return work.run(store, [SOURCE], 0)


def rows_of(outcome: Outcome) -> list[TokenDocument]:
    return from_table(TokenDocument, outcome.table)


def ids_of(outcome: Outcome, folder: Path) -> list[list[int]]:
    """Of each row the ids in the token file, what closes the document included."""
    files = {}
    for data in outcome.token_files:
        path = folder / sha256(data)
        path.write_bytes(data)
        files[path.name] = open_token_file(path)[1]
    rows = rows_of(outcome)
    return [files[row.file][row.start : row.start + row.tokens + 1].tolist() for row in rows]


@cache
def reference() -> tiktoken.Encoding:
    """cl100k in tiktoken's own hands, with the ids of phi-4's special tokens."""
    lines = (encoding_file().parent / "cl100k_base.tiktoken").read_bytes().splitlines()
    ranks = {b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
        known = openai_public.cl100k_base()
    known["special_tokens"] |= {
        "<|im_start|>": 100264,
        "<|im_end|>": 100265,
        "<|im_sep|>": 100266,
    }
    return tiktoken.Encoding(**known)


def read(ids: list[int]) -> str:
    """Ids as text, special tokens in words."""
    return reference().decode(ids)
