"""Exports of manifests over token steps: ids are copied, and are those that the texts give."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from manifests.commits import read_commits
from manifests.errors import ConfigError, DataError
from manifests.export.croissant import export_croissant
from manifests.export.huggingface import export_huggingface
from manifests.export.megatron import export_megatron
from manifests.layout import tokens_file
from manifests.objects.manifest import Manifest
from manifests.store import Store, open_store
from tests.manifests.selectable import commit_records
from tests.manifests.tokened import (
    END,
    SPEC,
    VOCABULARY,
    Made,
    chat,
    mixed,
    text,
    texts,
    token_step,
)
from tests.manifests.verified import built

SHORT = SPEC.partition("[phases.sft]")[0]
WHERE = 'from = "{step}"\nwhere = {{ lang = "en" }}'
MADE = [
    text(f"doc/{i}", one.text, lang="de" if i in (0, 3, 4, 29) else "en")
    for i, one in enumerate(texts("a", 30))
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def over(store: Store, step: str, spec: str = SHORT) -> Manifest:
    return Manifest(store, built(store, spec.format(step=step)))


def exported(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "all.bin").read_bytes(), (folder / "all.idx").read_bytes()


@pytest.mark.parametrize("spec", [SHORT, SHORT.replace('from = "{step}"', WHERE)])
@pytest.mark.parametrize("files", [1, 3])
def test_ids_are_copied_to_the_bytes_that_the_texts_give(
    store: Store, tmp_path: Path, spec: str, files: int
) -> None:
    commit_records(store, [[made.record for made in MADE]], "plain", tokenizer="utf8-bytes@1")
    token_step(store, "made_tokens", MADE, files=files)
    encoded = export_megatron(over(store, "plain@1", spec), "pretrain", tmp_path / "encoded")
    copied = export_megatron(over(store, "made_tokens@1", spec), "pretrain", tmp_path / "copied")
    assert exported(copied) == exported(encoded)
    kept = [made for made in MADE if made.lang == "en" or "lang" not in spec]
    ids = np.array([i for made in kept for i in (*made.ids, END)], dtype="<u2")
    assert exported(copied)[0] == ids.tobytes()
    said = json.loads((copied / "blend.json").read_text())
    assert said["vocabulary"] == VOCABULARY, "as the token files say"


def test_no_tokenizer_is_needed_where_ids_are_there(store: Store, tmp_path: Path) -> None:
    name = "large@0123456789ab"
    step = token_step(store, "made_tokens", MADE, tokenizer=name, vocabulary=100_352)
    spec = SHORT.replace("utf8-bytes@1", name)
    out = export_megatron(over(store, "made_tokens@1", spec), "pretrain", tmp_path / "out")
    assert step.startswith("steps/made_tokens@1/")
    ids = np.frombuffer((out / "all.bin").read_bytes(), dtype="<i4")
    np.testing.assert_array_equal(ids, [i for made in MADE for i in (*made.ids, END)])
    assert json.loads((out / "blend.json").read_text())["token_type"] == "int32"


def test_what_is_learned_of_a_chat_is_said_to_be_lost(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    talk: list[Made] = [
        chat(f"c/{i}", ("user", one.text), ("assistant", "yes")) for i, one in enumerate(MADE)
    ]
    token_step(store, "talk_tokens", talk)
    with caplog.at_level(logging.WARNING):
        export_megatron(over(store, "talk_tokens@1"), "pretrain", tmp_path / "out")
    assert "pretrain: Megatron learns all ids" in caplog.text


def test_pairs_are_refused_in_one_line(store: Store, tmp_path: Path) -> None:
    token_step(store, "made_tokens", mixed("a", 12))
    with pytest.raises(
        ConfigError, match=r"of the form response_pair, .* the step of records"
    ) as e:
        export_megatron(over(store, "made_tokens@1"), "pretrain", tmp_path / "out")
    assert "\n" not in str(e.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["bit", "file", "end"])
def test_broken_token_files_stop_the_export(store: Store, tmp_path: Path, damage: str) -> None:
    spec = SHORT
    step = token_step(store, "made_tokens", MADE)
    (commit,) = read_commits(store, step)
    key = tokens_file(step, commit.tokens[0].sha256)
    told = "not what its name says"
    if damage == "bit":
        data = bytearray(store.get(key))
        data[len(data) // 2] ^= 1
        store.put(key, bytes(data))
    elif damage == "file":
        store.delete(key)
        told = key
    else:
        spec = SHORT.replace("end_of_document = 256", "end_of_document = 255")
        told = "end of document 256, the manifest utf8-bytes@1 with 255"
    with pytest.raises(DataError, match=told):
        export_megatron(over(store, "made_tokens@1", spec), "pretrain", tmp_path / "out")


@pytest.mark.parametrize("export", [export_huggingface, export_croissant])
def test_data_sets_for_readers_are_made_of_texts(
    store: Store, tmp_path: Path, export: Callable[[Manifest, Path], Path]
) -> None:
    token_step(store, "made_tokens", MADE)
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"source all: .*made_tokens_records@1") as refused:
        export(over(store, "made_tokens@1"), out)
    assert "\n" not in str(refused.value)
    assert not out.exists()
