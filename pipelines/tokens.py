"""Counting tokens under a named tokenizer: a count without a name means nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests import layout
from manifests.errors import ConfigError
from manifests.fingerprint import sha256
from manifests.records import Record, Seed
from manifests.store import Store

_loaded: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """A tokenizer, by the sha256 of its `tokenizer.json`."""

    name: str = "utf8-bytes@1"
    """`name@<12 hex digits of the sha256>`; the default needs no file: one token a byte."""
    sha256: str = ""

    def count(self, rows: Sequence[Seed | Record], store: Store) -> list[Seed | Record]:
        """The rows, the records among them with their number of tokens."""
        texts = [row.text for row in rows if isinstance(row, Record)]
        lengths = iter(self._lengths(texts, store))
        return [
            replace(row, tokens=next(lengths)) if isinstance(row, Record) else row for row in rows
        ]

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


def _encoder(store: Store, identity: str) -> Any:
    if identity not in _loaded:
        _loaded[identity] = _parse(store.get(layout.tokenizer_file(identity)))
    return _loaded[identity]


def _parse(data: bytes) -> Any:
    from tokenizers import Tokenizer as Encoder

    return Encoder.from_str(data.decode())
