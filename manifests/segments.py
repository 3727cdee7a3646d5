"""Durable completions: a task's answered calls, as immutable segments below one prefix.

A segment is an Arrow IPC file named by its sha256, so a torn or changed one is known by its name.
It is skipped, and its calls are asked again. Entries are written in key order: equal completions
give equal bytes.
"""

import io
import logging
from collections.abc import Mapping

import pyarrow as pa

from manifests.completions import Completion, FinishReason, Usage
from manifests.errors import NotInStore
from manifests.fingerprint import sha256
from manifests.store import Store

LOGGER = logging.getLogger(__name__)

_SUFFIX = ".arrow"
_SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "text": pa.large_string(),
        "finish_reason": pa.string(),
        "teacher": pa.string(),
        "prompt_tokens": pa.int64(),
        "completion_tokens": pa.int64(),
        "cached_tokens": pa.int64(),
    },
    metadata={"scriptorium.row": "completion", "scriptorium.version": "1"},
)


def write_segment(store: Store, prefix: str, entries: Mapping[str, Completion]) -> str:
    """Write completions by prompt key as one segment; its key.

    Raises:
        StoreFull: No room left; no answer is lost while the caller holds it.
    """
    data = _encode(entries)
    key = f"{prefix}{sha256(data)}{_SUFFIX}"
    store.put(key, data)
    return key


def read_segments(store: Store, prefix: str) -> dict[str, Completion]:
    """Every completion of every sound segment; of two under one prompt key the first stays."""
    merged: dict[str, Completion] = {}
    seen: set[str] = set()
    while True:
        fresh = [key for key in _segments(store, prefix) if key not in seen]
        seen.update(fresh)
        _, gone = _merge(store, fresh, merged)
        if not gone:  # else somebody compacted meanwhile: what went away is in a new segment
            return merged


def compact(store: Store, prefix: str) -> None:
    """Make one segment of many; the merged one is there before the others go."""
    keys = _segments(store, prefix)
    merged: dict[str, Completion] = {}
    sound, _ = _merge(store, keys, merged)
    if len(sound) < 2:
        return
    kept = write_segment(store, prefix, merged)
    for key in sound:
        if key != kept:
            store.delete(key)


def _segments(store: Store, prefix: str) -> list[str]:
    return [key for key in store.list(prefix) if key.endswith(_SUFFIX)]


def _merge(
    store: Store, keys: list[str], merged: dict[str, Completion]
) -> tuple[list[str], list[str]]:
    """Add the segments' completions to `merged`; which were sound, and which were gone."""
    sound: list[str] = []
    gone: list[str] = []
    for key in keys:
        try:
            data = store.get(key)
        except NotInStore:
            gone.append(key)
            continue
        if sha256(data) != key.rpartition("/")[2].removesuffix(_SUFFIX):
            LOGGER.warning("%s: segment %s is corrupt; its calls are asked again", store.url, key)
            continue
        sound.append(key)
        for prompt, completion in _decode(data).items():
            merged.setdefault(prompt, completion)
    return sound, gone


def _encode(entries: Mapping[str, Completion]) -> bytes:
    keys = sorted(entries)
    found = [entries[key] for key in keys]
    columns = [
        keys,
        [completion.text for completion in found],
        [completion.finish_reason.value for completion in found],
        [completion.teacher for completion in found],
        [completion.usage.prompt_tokens for completion in found],
        [completion.usage.completion_tokens for completion in found],
        [completion.usage.cached_tokens for completion in found],
    ]
    arrays = [pa.array(values, type=f.type) for values, f in zip(columns, _SCHEMA, strict=True)]
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(out, _SCHEMA, options=options) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
    return out.getvalue()


def _decode(data: bytes) -> dict[str, Completion]:
    table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    rows = zip(*(table.column(name).to_pylist() for name in _SCHEMA.names), strict=True)
    return {
        key: Completion(
            text=text,
            finish_reason=FinishReason(reason),
            teacher=teacher,
            usage=Usage(prompt_tokens=asked, completion_tokens=answered, cached_tokens=cached),
        )
        for key, text, reason, teacher, asked, answered, cached in rows
    }
