"""Tokenizers by name: counting and encoding text; a count without a name means nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests import layout
from manifests.errors import ConfigError, DataError
from manifests.fingerprint import sha256
from manifests.records import Record, Seed
from manifests.store import Store

UTF8_BYTES = "utf8-bytes@1"
"""One token a byte; the 257th token, 256, occurs in no text and so may close documents."""

Ids = npt.NDArray[np.int32]

_NAME = re.compile(r".+@([0-9a-f]{12})")
_loaded: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """A tokenizer, by the sha256 of its `tokenizer.json`."""

    name: str = UTF8_BYTES
    """`name@<12 hex digits of the sha256>`; the default needs no file."""
    sha256: str = ""

    def count(self, rows: Sequence[Seed | Record], store: Store) -> list[Seed | Record]:
        """The rows, the records among them with their number of tokens."""
        texts = [row.text for row in rows if isinstance(row, Record)]
        lengths = iter(self._lengths(texts, store))
        return [
            replace(row, tokens=next(lengths)) if isinstance(row, Record) else row for row in rows
        ]

    def encode(self, texts: Sequence[str], store: Store) -> list[Ids]:
        """The token ids of each text, as `count` counts them: no special token is added."""
        if not self.sha256:
            return [np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32) for text in texts]
        encoded = _encoder(store, self.sha256).encode_batch(list(texts), add_special_tokens=False)
        return [np.array(one.ids, dtype=np.int32) for one in encoded]

    def vocabulary(self, store: Store) -> int:
        """One more than the highest token id."""
        if not self.sha256:
            return 257
        ids: dict[str, int] = _encoder(store, self.sha256).get_vocab(with_added_tokens=True)
        return 1 + max(ids.values())

    def _lengths(self, texts: Sequence[str], store: Store) -> list[int]:
        if not self.sha256:
            return [len(text.encode()) for text in texts]
        encoder = _encoder(store, self.sha256)
        return [len(e.ids) for e in encoder.encode_batch(list(texts), add_special_tokens=False)]


def tokenizer_of(file: Path) -> Tokenizer:
    """The tokenizer in this `tokenizer.json`.

    Raises:
        ConfigError: There is no such file, or it holds no tokenizer.
    """
    if not file.is_file():
        raise ConfigError(f"tokenizer {file}: no such file; give the path of a tokenizer.json")
    data = file.read_bytes()
    identity = sha256(data)
    try:
        _loaded[identity] = _parse(data)
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(f"tokenizer {file}: not a tokenizer.json ({error})") from error
    return Tokenizer(name=f"{file.absolute().parent.name}@{identity[:12]}", sha256=identity)


def keep_tokenizer(store: Store, file: Path) -> None:
    """Put a `tokenizer.json` into the store, so that every worker counts with the same one."""
    data = file.read_bytes()
    key = layout.tokenizer_file(sha256(data))
    if not store.exists(key):
        store.put(key, data)


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
            " of its tokenizer.json>"
        )
    # The first part of the key says nothing: a tokenizer is found by its content alone.
    start = layout.tokenizer_file(matched[1]).removesuffix(".json")
    folder = start.rpartition("/")[0] + "/"
    found = [key for key in store.list(folder) if key.startswith(start)]
    if len(found) != 1:
        raise ConfigError(
            f"tokenizer {name}: {len(found)} files {start}* in {store.url}, one needed; a run with"
            " --tokenizer keeps it there"
        )
    return Tokenizer(name=name, sha256=found[0].removeprefix(folder).removesuffix(".json"))


def _encoder(store: Store, identity: str) -> Any:
    if identity not in _loaded:
        key = layout.tokenizer_file(identity)
        data = store.get(key)
        if sha256(data) != identity:
            raise DataError(f"{store.url}: {key} has sha256 {sha256(data)}; put the file back")
        _loaded[identity] = _parse(data)
    return _loaded[identity]


def _parse(data: bytes) -> Any:
    from tokenizers import Tokenizer as Encoder

    return Encoder.from_str(data.decode())
