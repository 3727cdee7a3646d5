"""The tokenizer beside an exported model: ids as in training data, the chat format of training."""

import json
import random
from pathlib import Path

import pytest

from infra.setup.models import encoding_place
from manifests.encoders import JsonEncoder
from manifests.records import Turn
from manifests.store import open_store
from manifests.stores.memory import MemoryStore
from manifests.tokenizers import Tokenizer, keep_tokenizer, tokenizer_of
from pipelines.work.chat import chat_format
from trainer.convert.description import Described
from trainer.convert.tokenizer_files import write_tokenizer
from trainer.convert.tokenizer_json import tokenizer_json

TURNS = [("system", "be brief"), ("user", "one\n two?"), ("assistant", "three")]


def found(end: int) -> Described:
    return Described(sequence_length=128, rope_base=1e4, begin=256, ends=(end, 256), pad=256)


def byte_level(*specials: str) -> bytes:
    """One id a byte, and these behind."""
    file = json.loads(tokenizer_json(Tokenizer(), MemoryStore("bytes")))
    for number, token in enumerate(specials, 257):
        file["model"]["vocab"][token] = number
        file["added_tokens"].append({**file["added_tokens"][0], "id": number, "content": token})
    return json.dumps(file).encode()


def texts(count: int) -> list[str]:
    rng = random.Random(4)
    odd = [32, 10, 13, 9, 0xA0, 0x2028, 0x85, 39, 0x1F642]
    return [
        "".join(
            chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xA0, 0x3000), rng.choice(odd)]))
            for _ in range(rng.randrange(60))
        )
        for _ in range(count)
    ]


def test_one_id_a_byte_is_a_tokenizer_json() -> None:
    made = JsonEncoder(tokenizer_json(Tokenizer(), MemoryStore("bytes")))
    for text, ids in zip(texts(300), made.encode(texts(300)), strict=True):
        assert ids.tolist() == list(text.encode())
    assert made.id_of("<|endoftext|>") == 256
    assert made.vocabulary == 257


@pytest.mark.skipif(not encoding_place().is_file(), reason="no cl100k here: make setup fetches it")
def test_cl100k_as_a_tokenizer_json_gives_the_ids_of_tiktoken() -> None:
    store = MemoryStore("cl100k")
    keep_tokenizer(store, encoding_place())
    tokenizer = tokenizer_of(encoding_place())
    theirs, ours = tokenizer.encoder(store), JsonEncoder(tokenizer_json(tokenizer, store))
    many = [*texts(300), Path(__file__).read_text(), "<|im_end|> is text here"]
    for text, mine, its in zip(many, ours.encode(many), theirs.encode(many), strict=True):
        assert mine.tolist() == its.tolist(), text
    assert {token: ours.id_of(token) for token in theirs.specials} == theirs.specials


@pytest.mark.parametrize("separator", [True, False])
def test_the_chat_template_writes_what_conversations_were_tokenized_as(
    tmp_path: Path, separator: bool
) -> None:
    from transformers import AutoTokenizer

    specials = ["<|im_start|>", "<|im_end|>", *(["<|im_sep|>"] if separator else [])]
    file = byte_level(*specials)
    write_tokenizer(tmp_path, file, found(258))
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": role, "content": content} for role, content in TURNS]
    asked = loaded.apply_chat_template(
        messages[:2], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    whole = loaded.apply_chat_template(messages, tokenize=True, return_dict=False)
    encoder = JsonEncoder(file)
    form = chat_format(encoder, "test")

    def ids(pieces: list[str | tuple[int, ...]]) -> list[int]:
        encoded = [encoder.encode([p])[0].tolist() if isinstance(p, str) else p for p in pieces]
        return [number for some in encoded for number in some]

    turns = [Turn(role=role, content=content) for role, content in TURNS]
    assert asked == ids(form.prompt(turns[:2]))
    said = [piece for n, turn in enumerate(turns) for piece in form.said(turn, first=not n)]
    assert whole == ids(said)
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id) == (256, 258, 256)
    assert loaded.model_max_length == 128


def test_a_template_that_begins_every_text_is_left_out(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Reader
    from tokenizers.processors import TemplateProcessing

    reader = Reader.from_str(byte_level().decode())
    reader.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 256)]
    )
    path = tmp_path / "begins" / "tokenizer.json"
    path.parent.mkdir()
    path.write_text(reader.to_str())
    store = open_store(str(tmp_path / "root"))
    keep_tokenizer(store, path)
    made = Reader.from_str(tokenizer_json(tokenizer_of(path), store).decode())
    assert reader.encode("a").ids == [256, 97]
    assert made.encode("a").ids == [97]
