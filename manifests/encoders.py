"""What turns text into ids: a byte each, a Hugging Face `tokenizer.json`, or a tiktoken encoding.

Text is only ever text: whatever special token a text spells out, its ids are those of the letters,
so that nobody who writes a web page can end a document or speak as the assistant. Special ids come
from whoever lays out a document.
"""

import os
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from manifests.encodings import Encoding

Ids = npt.NDArray[np.int32]

BATCH = 4096
"""Texts whose encodings are held at once; their ids are a fraction of that."""


class Encoder(Protocol):
    """A tokenizer with its file read."""

    @property
    def vocabulary(self) -> int:
        """Every id is below it."""

    @property
    def specials(self) -> Mapping[str, int]:
        """Special tokens and their ids."""

    def id_of(self, token: str) -> int | None:
        """The id of a token of the vocabulary; None when there is none."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text; none of them is of a special token that the text spells out."""


class ByteEncoder:
    """One id a byte of UTF-8; 256 is left for the end of a document."""

    vocabulary = 257
    specials: Mapping[str, int] = {"<|endoftext|>": 256}

    def id_of(self, token: str) -> int | None:
        """256 for the end of a document."""
        return self.specials.get(token)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Bytes."""
        return [np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32) for text in texts]


class JsonEncoder:
    """A `tokenizer.json`, in the `tokenizers` library.

    Raises:
        Exception: It holds no tokenizer; the library raises nothing narrower.
    """

    def __init__(self, data: bytes) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(data.decode())
        self._tokenizer.encode_special_tokens = True  # as text, which is what they are in a text

    @cached_property
    def vocabulary(self) -> int:
        """One more than the highest id; ids may have gaps."""
        ids: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return 1 + max(ids.values())

    @cached_property
    def specials(self) -> Mapping[str, int]:
        """The added tokens that are marked as special."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in sorted(added.items()) if token.special}

    def id_of(self, token: str) -> int | None:
        """Also of tokens that are not marked as special."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """In the library's own threads; it adds nothing."""
        return [
            np.array(one.ids, dtype=np.int32)
            for some in _batches(texts)
            for one in self._tokenizer.encode_batch_fast(some, add_special_tokens=False)
        ]


class BpeEncoder:
    """An encoding in the `tiktoken` library, with the BPE file that its description names.

    Raises:
        ValueError: The file is no BPE file, or has ids beyond the vocabulary.
    """

    def __init__(self, encoding: Encoding, bpe: bytes) -> None:
        import tiktoken

        ranks = dict(bpe_ranks(bpe))
        taken = {*ranks.values(), *encoding.specials.values()}
        if len(taken) != len(ranks) + len(encoding.specials):
            raise ValueError("two tokens have one id")
        if max(taken) >= encoding.vocabulary:
            raise ValueError(f"id {max(taken)} is beyond the vocabulary of {encoding.vocabulary}")
        self.vocabulary = encoding.vocabulary
        self.specials: Mapping[str, int] = encoding.specials
        self._bpe = tiktoken.Encoding(
            name=encoding.name,
            pat_str=encoding.pattern,
            mergeable_ranks=ranks,
            special_tokens=encoding.specials,
        )

    def id_of(self, token: str) -> int | None:
        """Of special tokens alone: others are bytes and have no name."""
        return self.specials.get(token)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """With a thread a core: the library lets go of Python's lock."""
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads, thread_name_prefix="bpe") as pool:
            encoded: list[list[Ids]] = list(pool.map(self._encode, _batches(texts, 64)))
        return [ids for some in encoded for ids in some]

    def _encode(self, texts: Sequence[str]) -> list[Ids]:
        every: tuple[str, ...] = ()  # of special tokens none is allowed, and none is refused
        return [
            self._bpe.encode_to_numpy(text, disallowed_special=every).astype(np.int32)
            for text in texts
        ]


def bpe_ranks(bpe: bytes) -> Iterable[tuple[bytes, int]]:
    """The lines of a BPE file: a token in base64, a space, its id."""
    for line in bpe.splitlines():
        token, rank = line.split()
        yield b64decode(token, validate=True), int(rank)


def _batches(texts: Sequence[str], size: int = BATCH) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
