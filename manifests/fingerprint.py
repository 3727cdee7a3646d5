"""Identity of values (fingerprint) and of bytes (content id). It refuses to guess.

A fingerprint is the sha256 of a value's canonical JSON. Anything without an obvious canonical form
(a callable, a set, NaN, an object with a default repr) is a TypeError, because a guess would split
or, worse, merge two identities in silence.
"""

import dataclasses
import hashlib
import json
import math
from enum import Enum


def canonical(value: object) -> object:
    """`value` as plain JSON with a stable order, or TypeError."""
    if isinstance(value, Enum):
        return canonical(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return {"float": value.hex()}
    if isinstance(value, tuple | list):
        return [canonical(v) for v in value]
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {k: canonical(value[k]) for k in sorted(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__qualname__, "fields": fields}
    raise TypeError(f"no stable identity for {type(value).__qualname__}: {value!r:.80}")


def canonical_json(value: object) -> bytes:
    """Canonical JSON bytes of plain JSON data: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def fingerprint(value: object) -> str:
    """64 hex digits that identify `value`; independent of key order and of the machine."""
    return hashlib.sha256(canonical_json(canonical(value))).hexdigest()


def sha256(data: bytes) -> str:
    """64 hex digits that identify these bytes."""
    return hashlib.sha256(data).hexdigest()


def content_id(*parts: str) -> str:
    """32 hex digits that identify a tuple of texts; parts are length-framed, so none merge."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:32]
