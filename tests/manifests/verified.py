"""Small built manifests to verify, and ways to forge them so that every digest fits again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from manifests.build.build import build
from manifests.fingerprint import canonical_json
from manifests.levels.banned import Banned
from manifests.levels.findings import Kind, Level
from manifests.levels.verify import verify_manifest
from manifests.objects.manifest import read_root, write_root
from manifests.objects.ranges import read_table, write_table
from manifests.objects.tree import Objects
from manifests.spec.read import parse_mixture
from manifests.store import Store
from tests.manifests.command_line import SPEC, commit_corpus

TAKEDOWN = """
[[changes]]
phase = "pretrain"
at_step = 9
remove = [{{ records = [{ids}] }}]
"""


def built(store: Store, spec: str = SPEC) -> str:
    """The digest of a manifest of this spec over what is committed."""
    objects = Objects(store)
    return write_root(objects, build(store, parse_mixture(spec, "spec.toml"), objects))


def small(store: Store, spec: str = SPEC) -> str:
    """The same over `commit_corpus`."""
    commit_corpus(store)
    return built(store, spec)


Found = set[tuple[Level, Kind]]


def findings(store: Store, digest: str, top: Level = Level.L5, **options: Any) -> Found:
    """Level and kind of all findings."""
    report = verify_manifest(store, digest, top, **options)
    return {(found.level, found.kind) for found in report.findings}


def first_level(store: Store, digest: str, banned: Banned | None = None) -> Level:
    """The lowest level with a finding, of all."""
    return min(level for level, _ in findings(store, digest, banned=banned or Banned()))


def forged(store: Store, digest: str, change: Callable[[dict[str, Any]], None]) -> str:
    """The digest of the manifest with its root changed, as plain data."""
    objects = Objects(store)
    root = json.loads(objects.get_by_digest(digest, "json"))
    change(root)
    return objects.put(canonical_json(root), "json").digest


def with_rows(
    store: Store, digest: str, leaf: str, change: Callable[[list[dict[str, Any]]], None]
) -> str:
    """The digest of the manifest with a leaf's shard rows changed, and all that names them."""
    objects = Objects(store)
    old = next(one for one in read_root(objects, digest).leaves if one.name == leaf)
    table = read_table(objects, old.table.digest)
    rows = table.to_pylist()
    change(rows)
    new = write_table(objects, pa.Table.from_pylist(rows, schema=table.schema))
    sums = {
        "shards": len(rows),
        "documents": sum(row["documents"] for row in rows),
        "tokens": sum(row["tokens"] for row in rows),
    }
    return replaced(store, digest, old.table.digest, new.digest, new.bytes, sums)


def replaced(
    store: Store, digest: str, old: str, new: str, size: int, sums: Mapping[str, int]
) -> str:
    """The manifest with one object in the place of another, with these numbers of its leaf."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return new if value == old else value
        found = {name: walk(item) for name, item in value.items()}
        if value.get("digest") == old:
            found["bytes"] = size
        if isinstance(value.get("table"), dict) and value["table"].get("digest") == old:
            found |= sums
        return found

    def change(root: dict[str, Any]) -> None:
        root |= walk(root)
        root["objects"].sort(key=lambda part: part["digest"])

    return forged(store, digest, change)
