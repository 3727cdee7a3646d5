"""Descriptions of tiktoken encodings: a small JSON that pins the BPE file and says the rest.

A BPE file alone is no tokenizer: how text is cut into pieces, the special tokens and the size of
the vocabulary are code in tiktoken. Here they are data, so that an encoding has one digest. The
description of cl100k, as phi-4 uses it, is shipped in this folder.
"""

import json
import re
from dataclasses import dataclass, fields

from manifests.errors import ConfigError

SCHEMA = "scriptorium.tiktoken/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A description, read."""

    name: str
    file: str
    """Name of the BPE file, which lies beside the description."""
    sha256: str
    """Of the BPE file."""
    pattern: str
    """Regular expression of the pieces of text that no token crosses."""
    specials: dict[str, int]
    vocabulary: int
    """Padded: every id is below it, and not every number below it is an id."""


def read_encoding(data: bytes, where: str) -> Encoding | None:
    """The description in these bytes, None when they are of another kind; `where` names them.

    Raises:
        ConfigError: It is a description, and something is wrong with it.
    """
    try:
        found = json.loads(data)
    except ValueError:
        return None
    if not isinstance(found, dict) or "schema" not in found:
        return None
    names = {field.name for field in fields(Encoding)}
    if found.pop("schema") != SCHEMA or set(found) != names:
        listed = ", ".join(sorted(names))
        raise ConfigError(f'{where}: expected "schema": "{SCHEMA}" and {listed}, and nothing else')
    texts = [found[name] for name in ("name", "file", "sha256", "pattern")]
    if not all(type(text) is str and text for text in texts) or "/" in found["file"]:
        raise ConfigError(f"{where}: name, file, sha256 and pattern are texts; file has no folder")
    if not re.fullmatch("[0-9a-f]{64}", found["sha256"]):
        raise ConfigError(f"{where}: sha256 {found['sha256']}: expected 64 hex digits")
    specials = found["specials"].values() if isinstance(found["specials"], dict) else [None]
    if not all(type(n) is int and n >= 0 for n in (found["vocabulary"], *specials)):
        raise ConfigError(f"{where}: vocabulary and the ids of specials are whole numbers")
    return Encoding(**found)
