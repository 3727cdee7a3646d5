import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import ConfigError, DataError
from manifests.export.megatron import export_megatron
from manifests.export.names import file_name
from manifests.objects.manifest import Manifest, write_root
from manifests.store import Store, open_store
from manifests.tokenizers import keep_tokenizer, tokenizer_of
from tests.manifests.exported import END, leaf_table, manifest_of, texts, words

WEB = texts(1, 4, 40)
CODE = texts(2, 2, 20)
KEPT = [list(range(40)), [3, 1, 39], [], list(range(0, 40, 2))]
QUOTAS = {"code/a b": 37, "web": 203}

READ = """
import json, os, shlex, sys
os.environ["TORCH_COMPILE_DISABLE"] = "1"
import numpy as np
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset
from megatron.core.datasets.utils import get_blend_from_list

folder, end = sys.argv[1], int(sys.argv[2])
words = shlex.split(open(f"{folder}/args.txt").read())
value = lambda name: words[words.index(name) + 1]
blend = words[words.index("--data-path") + 1 :]
assert blend == open(f"{folder}/blend.txt").read().split()


class Tokenizer:
    vocab_size, eod, eos, pad = end + 1, end, end, end + 1
    unique_identifiers = {"class": "none"}


config = GPTDatasetConfig(
    random_seed=int(value("--seed")),
    sequence_length=int(value("--seq-length")),
    blend=get_blend_from_list(blend),
    split=value("--split"),
    path_to_cache=None,
    tokenizer=Tokenizer(),
    reset_position_ids="--reset-position-ids" in words,
    reset_attention_mask="--reset-attention-mask" in words,
    eod_mask_loss=False,
)
sizes = [int(value("--train-samples")), 0, 0]
built = BlendedMegatronDatasetBuilder(GPTDataset, sizes, lambda: True, config).build()[0]
leaves = {}
for prefix in blend[1::2]:
    stored = IndexedDataset(prefix)
    assert list(stored.document_indices) == list(range(len(stored) + 1))
    leaves[prefix] = {"type": stored[0].dtype.name, "documents": [one.tolist() for one in stored]}
counts = np.bincount(built.dataset_index, minlength=len(leaves)).tolist()
sample = built[0]
print(json.dumps({
    "leaves": leaves, "samples": len(built), "counts": counts, "tokens": sample["tokens"].tolist(),
    "masked": int(sample["attention_mask"][0].sum()),
}))
"""


def read(folder: Path, end: int) -> dict[str, Any]:
    """The export as megatron-core reads it."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder), str(end)],
        capture_output=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return found


def small(store: Store) -> Manifest:
    tables = {
        "code/a b": leaf_table(store, "code", CODE),
        "web": leaf_table(store, "web", WEB, KEPT),
    }
    return manifest_of(store, tables, QUOTAS)


def documents(manifest: Manifest, leaf: str, shards: list[list[str]], kept: list[list[int]]) -> Any:
    """Token ids of the picked texts in leaf order."""
    order = manifest.rows(manifest.leaf(leaf).table.digest)["slice_index"].to_pylist()
    picked = [shards[number][i] for number in order for i in sorted(kept[number])]
    return [[*text.encode(), END] for text in picked]


def test_megatron_reads_our_documents_in_our_proportions(tmp_path: Path) -> None:
    manifest = small(open_store(str(tmp_path / "root")))
    out = export_megatron(manifest, "train", tmp_path / "out")
    found = read(out, END)
    code, web = (f"{out}/{file_name(leaf)}" for leaf in QUOTAS)
    assert set(found["leaves"]) == {code, web}
    assert found["leaves"][web] == {
        "type": "uint16",
        "documents": documents(manifest, "web", WEB, KEPT),
    }
    whole = [list(range(20)), list(range(20))]
    assert found["leaves"][code]["documents"] == documents(manifest, "code/a b", CODE, whole)
    assert found["samples"] == sum(QUOTAS.values())
    for count, quota in zip(found["counts"], QUOTAS.values(), strict=True):
        assert abs(count - quota) <= 1
    assert len(found["tokens"]) == 32
    assert END in found["tokens"]
    assert found["masked"] > 32 * 31 // 2, "documents are masked from one another"
    said = json.loads((out / "blend.json").read_text())
    assert said["manifest"] == manifest.digest
    assert (said["vocabulary"], said["end_of_document"]) == (257, END)
    assert {x["leaf"]: x["samples"] for x in said["blend"]} == QUOTAS


def test_the_arguments_are_those_of_the_phase(tmp_path: Path) -> None:
    manifest = small(open_store(str(tmp_path / "root")))
    out = export_megatron(manifest, "train", tmp_path / "out", seen_at="/data/mix/")
    arguments = shlex.split((out / "args.txt").read_text())
    assert arguments[: arguments.index("--data-path")] == [
        "--seq-length", "32",
        "--max-position-embeddings", "32",
        "--global-batch-size", "8",
        "--train-samples", "240",
        "--seed", "1234",
        "--split", "1,0,0",
        "--reset-attention-mask",
        "--reset-position-ids",
        "--rotary-base", "10000",
    ]  # fmt: skip
    names = {"code/a b": file_name("code/a b"), "web": "web"}
    wanted = [f"37 /data/mix/{names['code/a b']}", "203 /data/mix/web"]
    assert (out / "blend.txt").read_text().splitlines() == wanted
    assert Counter(path.suffix for path in out.iterdir()) == {
        ".bin": 2, ".idx": 2, ".txt": 2, ".json": 1,
    }  # fmt: skip


def test_a_large_vocabulary_takes_four_bytes_a_token(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    file = words(tmp_path / "small", "the", "cat")
    keep_tokenizer(store, file)
    tokenizer = tokenizer_of(file)
    table = leaf_table(store, "web", [["the cat", "cat the dog"] * 40], tokenizer=tokenizer)
    manifest = manifest_of(store, {"web": table}, {"web": 8}, tokenizer=tokenizer.name, end=99_999)
    found = read(export_megatron(manifest, "train", tmp_path / "out"), 99_999)
    (leaf,) = found["leaves"].values()
    assert leaf["type"] == "int32"
    assert leaf["documents"] == [[0, 1, 99_999], [1, 0, 500, 99_999]] * 40


def test_shards_counted_with_another_tokenizer_are_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "root"))
    file = words(tmp_path / "small", "the", "cat")
    keep_tokenizer(store, file)
    name = tokenizer_of(file).name
    table = leaf_table(store, "web", [["the cat sat on the mat"]])
    manifest = manifest_of(store, {"web": table}, {"web": 8}, tokenizer=name, length=4)
    with pytest.raises(DataError, match=f"7 tokens under {name}, 23 counted"):
        export_megatron(manifest, "train", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"root", "small"}


@pytest.mark.parametrize("end", [-1, 2**31])
def test_an_end_of_document_that_is_no_token_id_is_refused(tmp_path: Path, end: int) -> None:
    store = open_store(str(tmp_path / "root"))
    table = leaf_table(store, "web", [["one text"]])
    manifest = manifest_of(store, {"web": table}, {"web": 8}, length=4, end=end)
    with pytest.raises(ConfigError, match=f"end of document {end}: not a token id"):
        export_megatron(manifest, "train", tmp_path / "out")


def test_what_cannot_be_exported_is_said_before_anything_is_written(tmp_path: Path) -> None:
    manifest = small(open_store(str(tmp_path / "root")))
    with pytest.raises(ConfigError, match="phase sft: not in this manifest, which has train"):
        export_megatron(manifest, "sft", tmp_path / "out")
    with pytest.raises(ConfigError, match="splits its list of paths at spaces"):
        export_megatron(manifest, "train", tmp_path / "an out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        export_megatron(manifest, "train", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_phase_with_a_change_is_exported_segment_by_segment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = small(open_store(str(tmp_path / "root")))
    (phase,) = manifest.root.phases
    (first,) = phase.segments
    code, web = first.supplies
    later = (replace(code, quota=0, cursor=code.quota), replace(web, quota=80, cursor=web.quota))
    second = replace(first, start=240, stop=320, first_step=30, supplies=later)
    root = replace(manifest.root, phases=(replace(phase, segments=(first, second)),))
    manifest = Manifest(manifest.store, write_root(manifest.objects, root))
    with pytest.raises(ConfigError, match="name one segment of 0: from step 0, 1: from step 30"):
        export_megatron(manifest, "train", tmp_path / "out")
    out = export_megatron(manifest, "train", tmp_path / "out", segment_number=1)
    assert (out / "blend.txt").read_text() == f"80 {out}/web\n"
    assert "--train-samples 80" in (out / "args.txt").read_text()
    assert "web in train goes on where an earlier phase or segment stopped" in caplog.text
