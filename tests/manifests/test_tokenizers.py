import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.setup.models import encoding_file
from manifests.encodings import read_encoding
from manifests.errors import ConfigError, DataError
from manifests.fingerprint import sha256
from manifests.layout import bpe_file, tokenizer_file
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


def test_a_special_token_that_a_text_spells_out_is_text(store: Store, tmp_path: Path) -> None:
    file = words(tmp_path / "small", "<", "|", "end", ">", "<|end|>", specials=["<|end|>"])
    tokenizer = tokenizer_of(file)
    (ids,) = tokenizer.encode(["end <|end|>"], store)
    special = tokenizer.encoder(store).specials["<|end|>"]
    assert special not in ids.tolist()
    assert tokenizer.encoder(store).id_of("<|end|>") == special
    (counted,) = tokenizer.count([record("a", text="end <|end|>")], store)
    assert isinstance(counted, Record)
    assert counted.tokens == len(ids)


def description(folder: Path, **changes: Any) -> Path:
    """A tiny encoding: two letters, their pair, one special token."""
    folder.mkdir()
    bpe = b"YQ== 0\nYg== 1\nYWI= 2\n"
    (folder / "tiny.tiktoken").write_bytes(bpe)
    about = {
        "schema": "scriptorium.tiktoken/1",
        "name": "tiny",
        "file": "tiny.tiktoken",
        "sha256": sha256(bpe),
        "pattern": ".",
        "specials": {"<|endoftext|>": 5},
        "vocabulary": 8,
    }
    (folder / "tiny.json").write_text(json.dumps(about | changes))
    return folder / "tiny.json"


def test_an_encoding_is_kept_with_its_bpe_file_and_found_by_its_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = description(tmp_path / "tiny", pattern="ab|.")
    named = tokenizer_of(file)
    assert named.name == f"tiny@{sha256(file.read_bytes())[:12]}"
    keep_tokenizer(store, file)
    shutil.rmtree(file.parent)
    monkeypatch.setattr("manifests.tokenizers._loaded", {})  # as in another process
    found = kept_tokenizer(store, named.name)
    assert [ids.tolist() for ids in found.encode(["abba", "", "a"], store)] == [[2, 1, 0], [], [0]]
    assert found.vocabulary(store) == 8
    assert found.encoder(store).specials == {"<|endoftext|>": 5}
    assert found.encoder(store).id_of("ab") is None


def test_a_bpe_file_that_was_changed_in_the_store_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = description(tmp_path / "tiny")
    tokenizer = tokenizer_of(file)
    keep_tokenizer(store, file)
    store.put(bpe_file(json.loads(file.read_text())["sha256"]), b"YQ== 0\n")
    monkeypatch.setattr("manifests.tokenizers._loaded", {})
    with pytest.raises(DataError, match="put the file back"):
        tokenizer.encode(["a"], store)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": "scriptorium.tiktoken/2"}, 'expected "schema": "scriptorium.tiktoken/1"'),
        ({"colour": "red"}, "and nothing else"),
        ({"pattern": ""}, "file, sha256 and pattern are texts"),
        ({"file": "../tiny.tiktoken"}, "file has no folder"),
        ({"file": "other.tiktoken"}, "no file other.tiktoken beside it"),
        ({"sha256": "0" * 64}, "expected 0000"),
        ({"sha256": "short"}, "expected 64 hex digits"),
        ({"vocabulary": "8"}, "are whole numbers"),
        ({"vocabulary": 5}, "id 5 is beyond the vocabulary of 5"),
        ({"specials": {"<|endoftext|>": 2}}, "two tokens have one id"),
        ({"specials": {"<|endoftext|>": -1}}, "are whole numbers"),
        ({"specials": ["<|endoftext|>"]}, "are whole numbers"),
    ],
)
def test_a_description_with_a_mistake_is_refused_in_one_line(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    file = description(tmp_path / "tiny", **changes)
    with pytest.raises(ConfigError) as error:
        tokenizer_of(file)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_a_bpe_file_that_is_none_is_refused(tmp_path: Path) -> None:
    file = description(tmp_path / "tiny", sha256=sha256(b"no lines of it"))
    (file.parent / "tiny.tiktoken").write_bytes(b"no lines of it")
    with pytest.raises(ConfigError, match=r"tiny.tiktoken: "):
        tokenizer_of(file)


def test_cl100k_is_tiktokens_own_with_the_special_tokens_of_phi_4(store: Store) -> None:
    import tiktoken
    from tiktoken_ext import openai_public

    encoding = read_encoding(encoding_file().read_bytes(), "cl100k")
    assert encoding is not None
    encoder = tokenizer_of(encoding_file()).encoder(store)
    ranks = tiktoken.load.load_tiktoken_bpe(str(encoding_file().parent / encoding.file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
        theirs = openai_public.cl100k_base()
    assert encoding.pattern == theirs["pat_str"]
    assert theirs["special_tokens"].items() <= encoding.specials.items()
    assert {
        name: encoding.specials[name] for name in ("<|im_start|>", "<|im_sep|>", "<|im_end|>")
    } == {
        "<|im_start|>": 100264,  # [HF], as the two below
        "<|im_sep|>": 100266,
        "<|im_end|>": 100265,
    }
    assert encoder.vocabulary == 100_352  # [R]
    reference = tiktoken.Encoding(**theirs)
    texts = ["", "naïve 1234567", " \n\n\tif x:  \r\n", "<|endoftext|> 你好", "a" * 500] * 50
    for text, ids in zip(texts, encoder.encode(texts), strict=True):
        assert ids.tolist() == reference.encode_ordinary(text)
