import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError, DataError
from manifests.export.folder import new_folder
from manifests.export.indexed import Batch, token_type, write_indexed


def batch(*documents: list[int]) -> Batch:
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    return Batch(np.array([i for document in documents for i in document], np.int32), lengths)


def read(prefix: Path) -> tuple[list[list[int]], list[int]]:
    """Documents and document index, by the format's description."""
    data = Path(f"{prefix}.idx").read_bytes()
    assert data[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, ends = struct.unpack_from("<QBQQ", data, 9)
    assert (version, ends) == (1, sequences + 1)
    kind = {4: "<i4", 8: "<u2"}[code]
    lengths = np.frombuffer(data, "<i4", sequences, 34)
    offsets = np.frombuffer(data, "<i8", sequences, 34 + 4 * sequences)
    index = np.frombuffer(data, "<i8", ends, 34 + 12 * sequences)
    assert len(data) == 34 + 12 * sequences + 8 * ends
    tokens = Path(f"{prefix}.bin").read_bytes()
    found = [
        np.frombuffer(tokens, kind, length, offset).tolist()
        for length, offset in zip(lengths.tolist(), offsets.tolist(), strict=True)
    ]
    return found, index.tolist()


@given(st.lists(st.lists(st.lists(st.integers(0, 60_000), min_size=1, max_size=5), max_size=4)))
@settings(max_examples=30, deadline=None)
def test_documents_are_read_back_whatever_batches_they_came_in(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[list[int]]]
) -> None:
    prefix = tmp_path_factory.mktemp("indexed") / "leaf"
    documents = [document for documents in batches for document in documents]
    for vocabulary, suffix in ((60_001, "small"), (100_000, "large")):
        place = prefix.with_name(suffix)
        if not documents:
            assert write_indexed(place, [], 0, token_type(vocabulary)) == 0
            continue
        made = (batch(*some) for some in batches if some)
        total = write_indexed(place, made, len(documents), token_type(vocabulary))
        assert total == sum(map(len, documents))
        found, index = read(place)
        assert found == documents
        assert index == list(range(len(documents) + 1))


def test_a_small_vocabulary_takes_two_bytes_and_a_large_one_four() -> None:
    assert token_type(65_499) == np.uint16
    assert token_type(65_500) == np.int32


def test_more_or_fewer_documents_than_the_manifest_says_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 1 documents"):
        write_indexed(tmp_path / "more", [batch([1], [2])], 1, token_type(10))
    with pytest.raises(DataError, match="2 documents, 3 said"):
        write_indexed(tmp_path / "fewer", [batch([1], [2])], 3, token_type(10))


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(RuntimeError), new_folder(out) as folder:  # noqa: PT012
        (folder / "half").write_text("half")
        assert not out.exists()
        raise RuntimeError
    assert list((tmp_path / "deep").iterdir()) == []
    out.mkdir()
    with new_folder(out) as folder:
        (folder / "file").write_text("whole")
    assert (out / "file").read_text() == "whole"
    with pytest.raises(ConfigError, match="not an empty folder"), new_folder(out):
        pass
    with pytest.raises(ConfigError, match="not an empty folder"), new_folder(out / "file"):
        pass
    assert [path.name for path in out.parent.iterdir()] == ["out"]
