from pathlib import Path

import numpy as np
import pytest

from manifests.errors import ConfigError, DataError
from manifests.layout import tokenizer_file
from manifests.records import Record
from manifests.store import Store
from manifests.tokenizers import Tokenizer, keep_tokenizer, kept_tokenizer, tokenizer_of
from tests.manifests.committed import record
from tests.manifests.exported import words


def test_bytes_are_tokens_of_text_and_leave_one_token_for_the_end(store: Store) -> None:
    tokenizer = kept_tokenizer(store, "utf8-bytes@1")
    first, second = tokenizer.encode(["né", ""], store)
    assert first.tolist() == [110, 195, 169]
    assert second.tolist() == []
    assert tokenizer.vocabulary(store) == 257
    assert tokenizer.encode([], store) == []


def test_a_kept_tokenizer_is_found_by_its_name_and_encodes_what_it_counts(
    store: Store, tmp_path: Path
) -> None:
    file = words(tmp_path / "small", "the", "cat")
    named = tokenizer_of(file)
    keep_tokenizer(store, file)
    found = kept_tokenizer(store, named.name)
    assert found == named
    encoded = found.encode(["the cat the", "dog", ""], store)
    assert [ids.tolist() for ids in encoded] == [[0, 1, 0], [500], []]
    assert {ids.dtype for ids in encoded} == {np.dtype(np.int32)}
    assert found.vocabulary(store) == 501, "ids may have gaps"
    (counted,) = found.count([record("a", text="the cat")], store)
    assert isinstance(counted, Record)
    assert counted.tokens == 2


def test_a_tokenizer_that_the_store_does_not_have_is_named(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer gpt@0123456789ab: 0 files .*one needed"):
        kept_tokenizer(store, "gpt@0123456789ab")
    with pytest.raises(ConfigError, match="tokenizer gpt: not a name"):
        kept_tokenizer(store, "gpt")


def test_a_tokenizer_whose_file_was_changed_is_refused(store: Store, tmp_path: Path) -> None:
    data = words(tmp_path / "small", "one", "two", "three").read_bytes()
    identity = "0123456789ab" + 52 * "0"
    store.put(tokenizer_file(identity), data)
    changed = Tokenizer(name="small@0123456789ab", sha256=identity)
    with pytest.raises(DataError, match="put the file back"):
        changed.encode(["one"], store)
