import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import ConfigError
from manifests.export.croissant import export_croissant
from manifests.export.huggingface import export_huggingface
from manifests.objects.manifest import Manifest
from manifests.records import Record
from manifests.store import Store, open_store
from manifests.tables import schema_of
from tests.manifests.exported import leaf_table, manifest_of, texts

WEB = texts(1, 3, 5)
CODE = texts(2, 1, 4)
KEPT = [[0, 1, 2, 3, 4], [1, 4], []]

READ = """
import json, sys
import mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
plain = lambda value: value.decode() if isinstance(value, bytes) else str(value)
records = {
    named.uuid: list(dataset.records(named.uuid)) if len(sys.argv) == 2 else []
    for named in dataset.metadata.record_sets
}
report = {"errors": list(dataset.metadata.ctx.issues.errors), "records": records}
print(json.dumps(report, default=plain))
"""


def small(store: Store) -> Manifest:
    tables = {
        "code": leaf_table(store, "code", CODE),
        "none": leaf_table(store, "none", [["a text"]], [[]]),
        "web": leaf_table(store, "web", WEB, KEPT),
    }
    return manifest_of(store, tables, {"code": 8, "none": 0, "web": 24})


def read(file: Path, *only_metadata: str) -> dict[str, Any]:
    """What mlcroissant makes of a description."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(file), *only_metadata], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    assert report["errors"] == []
    return dict(report["records"])


def test_mlcroissant_reads_the_records_of_a_local_root(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    file = export_croissant(small(store), tmp_path / "root" / "croissant.json")
    records = read(file)
    assert {row["code/text"] for row in records["code"]} == set(CODE[0])
    committed = {text for some in WEB[:2] for text in some}
    assert {row["web/text"] for row in records["web"]} == committed
    row = records["code"][0]
    assert {name.partition("/")[2] for name in row} == set(schema_of(Record).names)
    assert row["code/tokens"] == len(row["code/text"].encode())
    assert row["code/scores"] == [{"code/scores/name": "quality", "code/scores/value": 0.5}]
    assert len(row["code/seed_ids"]) == 1
    said = json.loads(file.read_text())
    described = {named["name"]: named["description"] for named in said["recordSet"]}
    assert described["code"] == "Source code: 4 documents."
    assert "further rows, which are no part of it" in described["web"]


def test_every_shard_is_described_with_its_sha256(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    manifest = small(store)
    said = json.loads(export_croissant(manifest, tmp_path / "mix.json").read_text())
    files = {x["sha256"]: x for x in said["distribution"] if x["@type"] == "cr:FileObject"}
    rows = manifest.rows(manifest.leaf("code").table.digest).to_pylist()
    for row in rows:
        assert (
            files[row["sha256"]]["contentUrl"] == f"root/{row['step']}/data/{row['sha256']}.parquet"
        )
        assert files[row["sha256"]]["contentSize"] == f"{row['bytes']} B"
    assert said["license"] == ["CC0-1.0"]
    assert said["url"] == f"urn:sha256:{manifest.digest}"
    assert read(tmp_path / "mix.json")["code"], "from above the root, too"


def test_a_description_of_any_store_is_valid(store: Store, tmp_path: Path) -> None:
    above = tmp_path / "mix.json"
    read(export_croissant(small(store), above), "only the metadata")


def test_an_exported_folder_describes_itself_with_the_picked_rows_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    out = export_huggingface(small(store), tmp_path / "out")
    records = read(out / "croissant.json")
    kept = {WEB[0][i] for i in KEPT[0]} | {WEB[1][i] for i in KEPT[1]}
    assert {row["web/text"] for row in records["web"]} == kept


def test_a_description_where_no_reader_finds_the_shards_is_refused(tmp_path: Path) -> None:
    manifest = small(open_store(str(tmp_path / "root")))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError, match="or above, where readers look from"):
        export_croissant(manifest, tmp_path / "elsewhere" / "mix.json")
    export_croissant(manifest, tmp_path / "mix.json")
    with pytest.raises(ConfigError, match="give a new file"):
        export_croissant(manifest, tmp_path / "mix.json")
