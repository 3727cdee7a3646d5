"""What is not as it was committed is refused when it is opened; what is opened once stays open."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from manifests.documents import ShardRow, read_columns
from manifests.errors import ConfigError, DataError, NotInStore, ShardCorrupt
from manifests.layout import tokens_file
from manifests.objects.manifest import Manifest
from manifests.spec.types import Layout
from manifests.store import Store, open_store
from manifests.token_files import TokenFacts, token_file_bytes
from tests.manifests import tokened
from tests.manifests.tokened import END
from tests.trainer.read_slowly import SPEC, demo
from trainer.data.document_index import DocumentIndex, build_index, open_index
from trainer.data.samples import PhaseData
from trainer.data.token_files import TokenFiles


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("demo")
    return demo(open_store(str(folder / "root")), folder)[0]


@pytest.fixture
def manifest(made: Manifest, tmp_path: Path) -> Manifest:
    """In a root of the test's own."""
    shutil.copytree(made.store.url, tmp_path / "root")
    return Manifest(open_store(str(tmp_path / "root")), made.digest)


def first_file(data: PhaseData) -> tuple[ShardRow, str]:
    """The shard of position 0, and its token file's key."""
    row = data.shards.row(int(data.locate(np.array([0])).shard[0]))
    name = read_columns(data.manifest.store, row, ("file",))["file"][0].as_py()
    return row, tokens_file(row.step, name)


def test_a_token_file_with_a_changed_bit_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    data = PhaseData(manifest, "pretrain", tmp_path / "cache")
    path = Path(manifest.store.url) / first_file(data)[1]
    broken = bytearray(path.read_bytes())
    broken[len(broken) // 2] ^= 1
    path.write_bytes(broken)
    with pytest.raises(ShardCorrupt, match="not that of its name"):
        data.batch(np.array([0]))


def test_a_copy_with_other_bytes_is_refused_and_not_kept(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/root")
    manifest, _ = demo(store, tmp_path)
    data = PhaseData(manifest, "dpo", tmp_path / "cache")
    key = first_file(data)[1]
    whole = store.get(key)
    store.put(key, whole[:-1] + b"?")
    with pytest.raises(ShardCorrupt, match="has sha256"):
        data.batch(np.array([0]))
    store.put(key, whole)
    assert data.batch(np.array([0])).tokens.shape == (1, 96)


def test_a_store_that_is_far_is_read_once_by_a_machine(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/root")
    manifest, _ = demo(store, tmp_path)
    first = PhaseData(manifest, "dpo", tmp_path / "cache")
    positions = np.arange(first.samples)
    found = first.batch(positions)
    for key in list(store.list("steps/")):
        store.delete(key)
    again = PhaseData(manifest, "dpo", tmp_path / "cache")
    np.testing.assert_array_equal(again.batch(positions).tokens, found.tokens)
    with pytest.raises(NotInStore):
        PhaseData(manifest, "dpo", tmp_path / "other").batch(positions)


def test_a_file_is_hashed_once_a_machine_until_it_changes(
    manifest: Manifest, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    data = PhaseData(manifest, "pretrain", cache)
    row, key = first_file(data)
    path = Path(manifest.store.url) / key
    name = path.stem
    tokenizer = manifest.root.tokenizer
    opened = TokenFiles(manifest.store, cache, tokenizer).ids(row.step, name)
    path.chmod(0o600)
    state = path.stat()
    with path.open("r+b") as file:  # other bytes, the same size and time
        file.write(b"PAR2")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    TokenFiles(manifest.store, cache, tokenizer).ids(row.step, name)  # its note is believed
    os.utime(path)
    with pytest.raises(ShardCorrupt):
        TokenFiles(manifest.store, cache, tokenizer).ids(row.step, name)
    assert len(opened) > 0


def test_a_file_that_is_gone_is_named(manifest: Manifest, tmp_path: Path) -> None:
    data = PhaseData(manifest, "pretrain", tmp_path / "cache")
    path = Path(manifest.store.url) / first_file(data)[1]
    path.unlink()
    with pytest.raises(NotInStore, match=f"no token file {path}"):
        data.batch(np.array([0]))


def test_a_file_in_another_layout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compressed(ids: np.ndarray, facts: TokenFacts) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pq.ParquetFile(pa.BufferReader(token_file_bytes(ids, facts)))
        out = pa.BufferOutputStream()
        with pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer:
            writer.write_table(file.read())
            writer.add_key_value_metadata(dict(file.metadata.metadata))
        return out.getvalue().to_pybytes()

    monkeypatch.setattr(tokened, "token_file_bytes", compressed)
    manifest, _ = demo(open_store(str(tmp_path / "root")), tmp_path)
    with pytest.raises(DataError, match="its ids do not lie in one page"):
        PhaseData(manifest, "pretrain", tmp_path / "cache").batch(np.array([0]))


def test_ids_of_another_vocabulary_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tokened.write_token_file

    def other(store: Store, step: str, ids: np.ndarray, facts: TokenFacts) -> object:
        return whole(store, step, ids, replace(facts, end_of_document=END + 1))

    monkeypatch.setattr(tokened, "write_token_file", other)
    manifest, _ = demo(open_store(str(tmp_path / "root")), tmp_path)
    with pytest.raises(ConfigError, match="end of document 257; the manifest is of utf8-bytes@1"):
        PhaseData(manifest, "pretrain", tmp_path / "cache").batch(np.array([0]))


def test_documents_beyond_their_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tokened.write_token_file

    def short(store: Store, step: str, ids: np.ndarray, facts: TokenFacts) -> object:
        return whole(store, step, ids[:-3], facts)

    monkeypatch.setattr(tokened, "write_token_file", short)
    manifest, _ = demo(open_store(str(tmp_path / "root")), tmp_path)
    with pytest.raises(DataError, match="documents beyond their token file"):
        PhaseData(manifest, "pretrain", tmp_path / "cache").batch(np.array([0]))


def test_an_index_is_kept_as_it_was_built(manifest: Manifest, tmp_path: Path) -> None:
    for phase in ("pretrain", "sft", "dpo"):
        data = PhaseData(manifest, phase, tmp_path / "cache")
        for number in range(len(data.shards)):
            layout = Layout.STREAM if phase == "pretrain" else Layout.DOCUMENT
            length = data.phase.sequence_length
            row = data.shards.row(number)
            built = build_index(manifest.store, row, layout, length)
            for _ in range(2):
                found = open_index(manifest.store, row, layout, length, tmp_path / "cache")
                same(found, built)


def same(found: DocumentIndex, built: DocumentIndex) -> None:
    assert found.files == built.files
    for name in ("ends", "run_starts", "run_files", "run_at", "learned", "pairs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(built, name))
    np.testing.assert_array_equal(found.spans, built.spans)
    np.testing.assert_array_equal(found.window_spans, built.window_spans)


def test_records_that_are_not_tokenized_are_refused(tmp_path: Path) -> None:
    from manifests.cli.building import make_plan, publish_plan
    from tests.manifests.command_line import SPEC as RECORDS
    from tests.manifests.command_line import commit_corpus

    store = open_store(str(tmp_path / "root"))
    commit_corpus(store)
    (tmp_path / "spec.toml").write_text(RECORDS)
    planned = make_plan(store, tmp_path / "spec.toml")
    publish_plan(store, planned, "", None)
    data = PhaseData(Manifest(store, planned.digest), planned.root.phases[0].name, tmp_path / "c")
    with pytest.raises(ConfigError, match="are records, not tokens"):
        data.batch(np.array([0]))


def test_a_phase_that_is_not_there_is_named(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="demo has no phase posttrain; it has pretrain"):
        PhaseData(manifest, "posttrain", tmp_path)


def test_pairs_under_a_causal_mask_are_refused(tmp_path: Path) -> None:
    spec = SPEC.replace('loss = "dpo"', 'loss = "dpo"\nmask = "causal"')
    manifest, _ = demo(open_store(str(tmp_path / "root")), tmp_path, spec)
    with pytest.raises(ConfigError, match="phase dpo: loss = 'dpo' puts texts into one window"):
        PhaseData(manifest, "dpo", tmp_path)


def test_a_cache_that_cannot_be_written_to_is_an_error(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to: Not a directory"):
        PhaseData(manifest, "pretrain", tmp_path / "file").batch(np.array([0]))
