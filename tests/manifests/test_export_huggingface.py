import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from manifests.errors import ConfigError, ShardCorrupt
from manifests.export.card import hub_licence, size_category
from manifests.export.huggingface import export_huggingface
from manifests.objects.manifest import Manifest
from manifests.store import Store, open_store
from tests.manifests.exported import leaf_table, manifest_of, texts

WEB = texts(1, 3, 6)
CODE = texts(2, 1, 4)
KEPT = [[0, 1, 2, 3, 4, 5], [1, 4], []]


def small(store: Store) -> Manifest:
    tables = {
        "code/a b": leaf_table(store, "code", CODE),
        "none": leaf_table(store, "none", [["a text"]], [[]]),
        "web": leaf_table(store, "web", WEB, KEPT),
    }
    return manifest_of(store, tables, {"code/a b": 8, "none": 0, "web": 24}, name="mix: one | two")


LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
folder = sys.argv[1]
found = {}
for name in get_dataset_config_names(folder):
    rows = load_dataset(folder, name, split="train")
    found[name] = {"texts": rows["text"][:], "first": rows[0]}
print(json.dumps(found))
"""


def test_datasets_loads_each_source_with_exactly_the_picked_rows(
    store: Store, tmp_path: Path
) -> None:
    out = export_huggingface(small(store), tmp_path / "out")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, str(out)], capture_output=True, env=environment, check=False
    )
    assert loaded.returncode == 0, loaded.stderr.decode()[-2000:]
    found = json.loads(loaded.stdout.decode().splitlines()[-1])
    assert set(found) == {"code", "web"}
    web = [
        text for some, kept in zip(WEB, KEPT, strict=True) for text in map(some.__getitem__, kept)
    ]
    assert sorted(found["web"]["texts"]) == sorted(web)
    assert sorted(found["code"]["texts"]) == sorted(CODE[0])
    first = found["web"]["first"]
    assert first["parts"] == [{"name": "answer", "value": first["text"]}]
    assert first["scores"] == [{"name": "quality", "value": 0.5}]


def test_whole_shards_keep_their_bytes_and_others_only_their_picked_rows(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    manifest = small(store)
    out = export_huggingface(manifest, tmp_path / "out")
    for file in out.rglob("*.parquet"):
        named = file.stem.partition("-")[2]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == named
    committed = set(manifest.rows(manifest.leaf("web").table.digest)["sha256"].to_pylist())
    exported = {file.stem.partition("-")[2]: file for file in (out / "data/web").iterdir()}
    assert len(exported) == 2, "nothing is picked of the third"
    assert len(committed & set(exported)) == 1
    (partial,) = set(exported) - committed
    assert pq.read_table(exported[partial])["text"].to_pylist() == [WEB[1][1], WEB[1][4]]
    digest = hashlib.sha256((out / "manifest.json").read_bytes()).hexdigest()
    assert digest == manifest.digest


def test_the_card_tells_the_hub_and_people_what_it_is(tmp_path: Path) -> None:
    manifest = small(open_store(str(tmp_path / "root")))
    text = (export_huggingface(manifest, tmp_path / "out") / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    said = yaml.safe_load(front)
    assert said["pretty_name"] == "mix: one | two"
    assert said["license"] == ["cc0-1.0"]
    assert said["language"] == ["en"]
    assert said["size_categories"] == ["n<1K"]
    assert "synthetic" in said["tags"]
    assert [config["config_name"] for config in said["configs"]] == ["code", "web"]
    assert manifest.digest in body
    assert "| web | 24 | 75.00% |" in body
    assert "| rewrite@1 | 12 |" in body
    assert "| some/model@abc | 12 |" in body


def test_nothing_is_left_of_an_export_that_failed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    manifest = small(store)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        export_huggingface(manifest, tmp_path / "out")
    shard = next((tmp_path / "root/steps").rglob("data/*.parquet"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ShardCorrupt):
        export_huggingface(manifest, tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"root", "out"}


def test_licences_and_sizes_are_named_as_the_hub_names_them() -> None:
    names = ["CC-BY-SA-4.0", "ODC-By-1.0", "GPL-3.0-only", "unknown", "My-Own"]
    assert [hub_licence(name) for name in names] == [
        "cc-by-sa-4.0", "odc-by", "gpl-3.0", "unknown", "other",
    ]  # fmt: skip
    sizes = [0, 999, 1000, 10**9 - 1, 10**9, 10**12]
    assert [size_category(size) for size in sizes] == [
        "n<1K", "n<1K", "1K<n<10K", "100M<n<1B", "1B<n<10B", "n>1T",
    ]  # fmt: skip
