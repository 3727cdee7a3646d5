"""Tokenizers by name: counting and encoding text; a count without a name means nothing.

A tokenizer is a file: a Hugging Face `tokenizer.json`, or the description of a tiktoken encoding
(`manifests.encodings`), which pins its BPE file. Runs keep it in their store under its sha256.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manifests import layout
from manifests.encoders import BpeEncoder, ByteEncoder, Encoder, Ids, JsonEncoder
from manifests.encodings import read_encoding
from manifests.errors import ConfigError, DataError
from manifests.fingerprint import sha256
from manifests.records import Record, Seed
from manifests.store import Store

__all__ = [
    "ENDS",
    "UTF8_BYTES",
    "Ids",
    "Tokenizer",
    "keep_tokenizer",
    "kept_tokenizer",
    "tokenizer_of",
]

UTF8_BYTES = "utf8-bytes@1"
"""One token a byte; the 257th token, 256, occurs in no text and so may close documents."""
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")
"""Special tokens that close documents, in the order in which they are looked for."""

_NAME = re.compile(r".+@([0-9a-f]{12})")
_loaded: dict[str, Encoder] = {"": ByteEncoder()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """A tokenizer, by the sha256 of its file."""

    name: str = UTF8_BYTES
    """`name@<12 hex digits of the sha256>`; the default needs no file."""
    sha256: str = ""

    def count(self, rows: Sequence[Seed | Record], store: Store) -> list[Seed | Record]:
        """The rows, the records among them with their number of tokens."""
        texts = [row.text for row in rows if isinstance(row, Record)]
        lengths = map(len, self.encode(texts, store))
        return [
            replace(row, tokens=next(lengths)) if isinstance(row, Record) else row for row in rows
        ]

    def encode(self, texts: Sequence[str], store: Store) -> list[Ids]:
        """The token ids of each text, as `count` counts them: no special token is added, and what
        a text spells out is never one.
        """
        return self.encoder(store).encode(texts)

    def vocabulary(self, store: Store) -> int:
        """A number above every token id: one more than the highest, or as padded."""
        return self.encoder(store).vocabulary

    def encoder(self, store: Store) -> Encoder:
        """What encodes, from the file that the store keeps.

        Raises:
            NotInStore: It keeps none.
            DataError: The file is another one, or holds no tokenizer.
        """
        if self.sha256 not in _loaded:
            key = layout.tokenizer_file(self.sha256)
            data = _checked(store, key, self.sha256)
            encoding = read_encoding(data, f"{store.url}: {key}")
            if encoding is not None:
                bpe = _checked(store, layout.bpe_file(encoding.sha256), encoding.sha256)
                _loaded[self.sha256] = BpeEncoder(encoding, bpe)
            else:
                try:
                    _loaded[self.sha256] = JsonEncoder(data)
                except Exception as error:  # the library raises bare Exception
                    raise DataError(f"{store.url}: {key}: no tokenizer ({error})") from error
        return _loaded[self.sha256]


def tokenizer_of(file: Path) -> Tokenizer:
    """The tokenizer in this file: a `tokenizer.json`, or the description of an encoding.

    Raises:
        ConfigError: There is no such file, or it holds no tokenizer, or its BPE file is another.
    """
    if not file.is_file():
        raise ConfigError(f"tokenizer {file}: no such file; give the path of a tokenizer.json")
    data = file.read_bytes()
    identity = sha256(data)
    encoding = read_encoding(data, f"tokenizer {file}")
    if encoding is not None:
        bpe = _bpe_beside(file, encoding.file, encoding.sha256)
        try:
            _loaded[identity] = BpeEncoder(encoding, bpe)
        except ValueError as error:
            raise ConfigError(f"tokenizer {file}: {encoding.file}: {error}") from error
        return Tokenizer(name=f"{encoding.name}@{identity[:12]}", sha256=identity)
    try:
        _loaded[identity] = JsonEncoder(data)
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(f"tokenizer {file}: not a tokenizer.json ({error})") from error
    return Tokenizer(name=f"{file.absolute().parent.name}@{identity[:12]}", sha256=identity)


def keep_tokenizer(store: Store, file: Path) -> None:
    """Put a tokenizer's file, and its BPE file where it has one, into the store, so that every
    worker counts with the same one.
    """
    data = file.read_bytes()
    encoding = read_encoding(data, f"tokenizer {file}")
    if encoding is not None:
        bpe = _bpe_beside(file, encoding.file, encoding.sha256)
        _keep(store, layout.bpe_file(encoding.sha256), bpe)
    _keep(store, layout.tokenizer_file(sha256(data)), data)


def kept_tokenizer(store: Store, name: str) -> Tokenizer:
    """The tokenizer of this name, whose file runs that counted with it keep in the store.

    Raises:
        ConfigError: The name is none, or the store has no such file, or more than one.
    """
    if name == UTF8_BYTES:
        return Tokenizer()
    matched = _NAME.fullmatch(name)
    if not matched:
        raise ConfigError(
            f"tokenizer {name}: not a name; give {UTF8_BYTES} or name@<12 hex digits of the sha256"
            " of its file>"
        )
    # The first part of the key says nothing: a tokenizer is found by its content alone.
    start = layout.tokenizer_file(matched[1]).removesuffix(".json")
    folder = start.rpartition("/")[0] + "/"
    found = [key for key in store.list(folder) if key.startswith(start) and key.endswith(".json")]
    if len(found) != 1:
        raise ConfigError(
            f"tokenizer {name}: {len(found)} files {start}* in {store.url}, one needed; a run with"
            " --tokenizer keeps it there"
        )
    return Tokenizer(name=name, sha256=found[0].removeprefix(folder).removesuffix(".json"))


def _bpe_beside(file: Path, name: str, identity: str) -> bytes:
    bpe = file.parent / name
    if not bpe.is_file():
        raise ConfigError(f"tokenizer {file}: no file {name} beside it, which it is made of")
    data = bpe.read_bytes()
    if sha256(data) != identity:
        raise ConfigError(f"tokenizer {file}: {bpe} has sha256 {sha256(data)}, expected {identity}")
    return data


def _keep(store: Store, key: str, data: bytes) -> None:
    if not store.exists(key):
        store.put(key, data)


def _checked(store: Store, key: str, identity: str) -> bytes:
    data = store.get(key)
    if sha256(data) != identity:
        raise DataError(f"{store.url}: {key} has sha256 {sha256(data)}; put the file back")
    return data
