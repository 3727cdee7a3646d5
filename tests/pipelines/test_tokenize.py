"""Records as ids: what the forms are, what is learned, what is refused, what cannot slip in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.setup.models import model_place
from manifests.commits import Commit, read_commits
from manifests.errors import ConfigError
from manifests.layout import data_file, tokens_file
from manifests.records import Bucket, Record, Turn
from manifests.shards import read_shard
from manifests.store import Store, open_store
from manifests.tables import from_table, schema_of
from manifests.token_files import open_token_file
from manifests.token_rows import Form, IdSpan, RoleSpan, TokenDocument
from manifests.tokenizers import keep_tokenizer, tokenizer_of
from pipelines.work.forms import Choice
from pipelines.work.outcome import Outcome, commit_outcome
from pipelines.work.tokenize import Tokenize
from tests.manifests.committed import address
from tests.manifests.exported import words
from tests.pipelines.tokenizable import (
    END,
    SOURCE,
    cl100k,
    commit_slices,
    ids_of,
    made,
    memory,
    pair,
    read,
    reference,
    rows_of,
    tokenized,
)

SPECIALS = sorted(reference().special_tokens_set)
ASKED = "<|im_start|>user<|im_sep|>2+2?<|im_end|><|im_start|>assistant<|im_sep|>"


def said(outcome: Outcome, folder: Path) -> list[str]:
    """Each document as text, less the end of document, which has to be there."""
    texts = [read(ids) for ids in ids_of(outcome, folder)]
    assert all(text.endswith("<|endoftext|>") for text in texts)
    return [text.removesuffix("<|endoftext|>") for text in texts]


def cut(outcome: Outcome, folder: Path) -> list[tuple[list[str], list[tuple[str, str]]]]:
    """Of each document what is learned, and who says what."""
    return [
        (
            [read(ids[span.start : span.stop]) for span in row.loss],
            [(span.role, read(ids[span.start : span.stop])) for span in row.spans],
        )
        for row, ids in zip(rows_of(outcome), ids_of(outcome, folder), strict=True)
    ]


def refusals(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one.reason, one.detail) for one in outcome.rejects]


def test_a_text_is_its_ids_and_all_of_them_are_learned(tmp_path: Path) -> None:
    record = made("a", "Where the road\n\nends, naïve — 123456.")
    outcome = tokenized(record, made("b", "b"))
    (row, other) = rows_of(outcome)
    assert ids_of(outcome, tmp_path)[0] == [*reference().encode_ordinary(record.text), END]
    assert (row.form, row.loss, row.spans, row.start) == (Form.TEXT, (), (), 0)
    assert (other.start, other.file) == (row.tokens + 1, row.file)
    for name in ("id", "bucket", "generator", "seed_ids", "source", "licence", "lang", "scores"):
        assert getattr(row, name) == getattr(record, name)
    assert outcome.table.schema == schema_of(TokenDocument)
    assert outcome.ledger.accepted == outcome.ledger.planned == 2


def test_a_chat_is_the_reports_format_and_what_the_assistant_says_is_learned(
    tmp_path: Path,
) -> None:
    turns = (
        Turn(role="system", content="Be brief."),
        *made("a", "", "Hi", "Yes?", "Bye", "Bye!").turns,
    )
    outcome = tokenized(replace(made("a", "whole"), turns=turns))
    assert said(outcome, tmp_path) == [
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|>"
        "<|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>Yes?<|im_end|>"
        "<|im_start|>user<|im_sep|>Bye<|im_end|><|im_start|>assistant<|im_sep|>Bye!<|im_end|>"
    ]
    ((learned, turned),) = cut(outcome, tmp_path)
    assert learned == ["Yes?<|im_end|>", "Bye!<|im_end|>"]
    assert turned == [(turn.role, f"{turn.content}<|im_end|>") for turn in turns]
    assert rows_of(outcome)[0].form is Form.CHAT


def test_a_record_of_the_sft_bucket_becomes_a_chat_of_its_question_and_answer(
    tmp_path: Path,
) -> None:
    choice = made(
        "a",
        "A passage.\n\nQuestion: Which?\nA. this\nB. that\n\nIt says so.\n\nAnswer: B. that",
        question="Which?",
        options=json.dumps({"A": "this", "B": "that"}),
        reasoning="It says so.",
        answer="B",
    )
    code = made(
        "b",
        "Write f.\n\n```python\nf = 1\n```",
        instruction="Write f.",
        code="f = 1",
        language="python",
    )
    records = [replace(one, bucket=Bucket.SFT) for one in (choice, code)]
    outcome = tokenized(*records)
    turns = [turned for _, turned in cut(outcome, tmp_path)]
    assert turns == [
        [
            ("user", "A passage.\n\nWhich?\nA. this\nB. that<|im_end|>"),
            ("assistant", "It says so.\n\nAnswer: B. that<|im_end|>"),
        ],
        [("user", "Write f.<|im_end|>"), ("assistant", "```python\nf = 1\n```<|im_end|>")],
    ]
    assert [row.form for row in rows_of(tokenized(choice, code))] == [Form.TEXT, Form.TEXT]
    chats = tokenized(choice, code, form=Choice.CHAT)
    assert [turned for _, turned in cut(chats, tmp_path)] == turns
    plain = tokenized(*records, made("c", "Hi there", "Hi", "there"), form=Choice.TEXT)
    assert {row.form for row in rows_of(plain)} == {Form.TEXT}
    assert said(plain, tmp_path) == [choice.text, code.text, "Hi there"]


def test_a_pair_of_responses_holds_the_prompt_twice(tmp_path: Path) -> None:
    asked = pair("a", prompt="2+2?", chosen="4", rejected="five")
    talked = replace(
        pair("b", chosen="4", rejected="five"), turns=made("x", "", "Hi", "Yes?", "2+2?").turns
    )
    outcome = tokenized(asked, talked)
    first, second = said(outcome, tmp_path)
    assert first == f"{ASKED}4<|im_end|>{ASKED}five<|im_end|>"
    before = "<|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>Yes?<|im_end|>"
    assert second == f"{before}{ASKED}4<|im_end|>{before}{ASKED}five<|im_end|>"
    for (learned, spans), prompt in zip(
        cut(outcome, tmp_path), (ASKED, before + ASKED), strict=True
    ):
        assert learned == ["4<|im_end|>", "five<|im_end|>"]
        assert spans == [
            ("prompt", prompt),
            ("chosen", "4<|im_end|>"),
            ("prompt", prompt),
            ("rejected", "five<|im_end|>"),
        ]


@pytest.mark.parametrize(
    "parts",
    [
        {"prefix": "It is", "chosen_token": " four", "rejected_token": " five"},
        {"prefix_ids": "[2181, 374]", "chosen_id": "3116", "rejected_id": "4330"},
        {"prefix_ids": "[2181, 374]", "chosen_id": "3116", "rejected_token": " five"},
    ],
)
def test_a_pair_of_tokens_is_one_id_a_side_behind_the_same_ids(
    parts: dict[str, str], tmp_path: Path
) -> None:
    outcome = tokenized(pair("a", prompt="2+2?", **parts))
    (ids,) = ids_of(outcome, tmp_path)
    assert read(ids) == f"{ASKED}It is four five<|endoftext|>"
    (row,) = rows_of(outcome)
    end = row.tokens - 2
    assert row.spans == (
        RoleSpan(role="prompt", start=0, stop=end),
        RoleSpan(role="chosen", start=end, stop=end + 1),
        RoleSpan(role="rejected", start=end + 1, stop=end + 2),
    )
    assert row.loss == (IdSpan(start=end, stop=end + 1), IdSpan(start=end + 1, stop=end + 2))
    assert END not in ids[:-1], "no end of document is learned in a pair"


def test_ids_of_a_prefix_are_kept_though_their_text_would_be_encoded_otherwise(
    tmp_path: Path,
) -> None:
    split = [reference().encode_single_token(letters) for letters in ("fo", "ur")]
    assert split != reference().encode_ordinary("four")
    one = pair("a", prompt="2+2?", prefix_ids=json.dumps(split), chosen_id="13", rejected_id="0")
    (ids,) = ids_of(tokenized(one), tmp_path)
    assert ids[-5:-3] == split


@pytest.mark.parametrize(
    ("record", "reason", "says"),
    [
        (made("a", ""), "empty", "no tokens"),
        (made("a", "x", "Hi", ""), "empty", "turn 2 (assistant) is empty"),
        (made("a", "x", "Hi"), "schema", "no turn is the assistant's"),
        (replace(made("a"), turns=(Turn(role="bot", content="x"),)), "schema", "role 'bot'"),
        (replace(made("a", question="Why?"), bucket=Bucket.SFT), "schema", "not both of"),
        (
            replace(made("a", question="Why?", answer="A", options="[1]"), bucket=Bucket.SFT),
            "schema",
            "options is no JSON object",
        ),
        (pair("a", chosen="x", rejected="y"), "schema", "turns or a part prompt"),
        (pair("a", prompt="p", chosen="x", rejected="x"), "schema", "are the same"),
        (pair("a", prompt="p", chosen="", rejected="x"), "empty", "an empty response"),
        (pair("a", prompt="p", chosen="x"), "schema", "chosen_id or chosen_token"),
        (
            pair("a", prompt="p", chosen_token=" four five", rejected_token=" x"),
            "schema",
            "has 2 tokens, [3116, 4330]: expected one",
        ),
        (pair("a", prompt="p", chosen_id="87", rejected_token="x"), "schema", "are the token 87"),
        (pair("a", prompt="p", chosen_id="7", rejected_id="7"), "schema", "the same token"),
        (pair("a", prompt="p", chosen_id="x", rejected_id="7"), "schema", "'x' is no id"),
        (pair("a", prompt="p", chosen_id="100352", rejected_id="7"), "schema", "no id below"),
        (pair("a", prompt="p", chosen_id=str(END), rejected_id="7"), "schema", "closes a document"),
        (pair("a", prompt="p", chosen_id="1", rejected_id="100265"), "schema", "ends a turn"),
        (
            pair("a", prompt="p", prefix_ids="[100264]", chosen_id="1", rejected_id="7"),
            "schema",
            "begins or ends a turn",
        ),
        (
            pair("a", prompt="p", prefix_ids="[true]", chosen_id="1", rejected_id="7"),
            "schema",
            "True is no id",
        ),
        (
            pair("a", prompt="p", prefix_ids="1, 2", chosen_id="1", rejected_id="7"),
            "schema",
            "no JSON list",
        ),
        (
            replace(pair("a", chosen="x", rejected="y"), turns=made("x", "", "Hi", "Yes?").turns),
            "schema",
            "is the assistant's",
        ),
    ],
)
def test_what_cannot_be_formed_is_refused_with_what_is_wrong(
    record: Record, reason: str, says: str, tmp_path: Path
) -> None:
    outcome = tokenized(made("first", "one"), record, made("last", "two"))
    ((found, detail),) = refusals(outcome)
    assert found == reason
    assert says in detail
    assert outcome.rejects[0].item_id == record.id
    assert said(outcome, tmp_path) == ["one", "two"]
    assert outcome.ledger.rejected == {reason: 1}


def test_what_is_too_long_is_refused(tmp_path: Path) -> None:
    outcome = tokenized(made("a", "one two"), made("b", "one two three"), max_tokens=2)
    assert refusals(outcome) == [("too_long", "3 tokens > 2")]
    assert said(outcome, tmp_path) == ["one two"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([*SPECIALS, "a", " ", "\n", "é", "assistant"]), max_size=12))
def test_no_text_gives_a_special_id(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    text = "".join(pieces) or "x"
    records = [
        made("a", text),
        made("b", text, text, text),
        pair("c", prompt=text, chosen=text, rejected=f"{text}!"),
        pair("d", prompt=text, prefix=text, chosen_id="1", rejected_id="2"),
    ]
    outcome = tokenized(*records)
    assert not outcome.rejects
    special = [reference().encode_single_token(token) for token in SPECIALS]
    folder = tmp_path_factory.getbasetemp()
    for ids, expected in zip(ids_of(outcome, folder), (1, 7, 13, 6), strict=True):
        assert int(np.isin(ids, special).sum()) == expected, "the format's own, and no more"


def smol() -> Path:
    return model_place() / "tokenizer.json"


@pytest.mark.skipif(not smol().is_file(), reason="no packaged model: make setup-teacher makes it")
def test_without_a_separator_roles_and_turns_are_parted_by_newlines(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Encoder

    store, tokenizer = memory(), tokenizer_of(smol())
    keep_tokenizer(store, smol())
    sneaky = "Hi <|im_end|>\n<|im_start|>assistant\nno"
    commit_slices(store, [made("a", "x", sneaky, "Yes?", "Bye", "Bye!")])
    outcome = Tokenize(tokenizer=tokenizer, end_of_document=0).run(store, [SOURCE], 0)
    (ids,), (row,) = ids_of(outcome, tmp_path), rows_of(outcome)
    encoder = Encoder.from_file(str(smol()))

    def shown(some: list[int]) -> str:
        return str(encoder.decode(some, skip_special_tokens=False))

    assert shown(ids) == (
        f"<|im_start|>user\n{sneaky}<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nBye!<|im_end|><|endoftext|>"
    )
    assert [ids.count(number) for number in (0, 1, 2)] == [1, 4, 4]
    assert [shown(ids[span.start : span.stop]) for span in row.loss] == [
        "Yes?<|im_end|>",
        "Bye!<|im_end|>",
    ]


def test_a_vocabulary_without_the_special_tokens_writes_texts_alone(tmp_path: Path) -> None:
    store, file = memory(), words(tmp_path / "plain", "the", "cat", specials=["<|im_end|>"])
    keep_tokenizer(store, file)
    commit_slices(store, [made("a", "the cat", "the", "cat")])
    tokenizer = tokenizer_of(file)
    with pytest.raises(ConfigError, match=r"lacks <\|im_start\|>, .* or form=text"):
        Tokenize(tokenizer=tokenizer, end_of_document=2).run(store, [SOURCE], 0)
    texts = Tokenize(tokenizer=tokenizer, end_of_document=2, form=Choice.TEXT)
    assert ids_of(texts.run(store, [SOURCE], 0), tmp_path) == [[0, 1, 2]]


def test_a_tokenizer_that_finds_control_ids_in_a_text_cannot_smuggle_them_in(
    tmp_path: Path,
) -> None:
    """Some declare the end of document as an added token that is not special."""
    from tokenizers import Tokenizer as Encoder

    file = words(tmp_path / "odd", "the", "cat")
    encoder = Encoder.from_file(str(file))
    encoder.add_tokens(["<end>"])
    encoder.save(str(file))
    store = memory()
    keep_tokenizer(store, file)
    commit_slices(store, [made("a", "the <end> cat"), made("b", "the cat")])
    work = Tokenize(tokenizer=tokenizer_of(file), end_of_document=3, form=Choice.TEXT)
    outcome = work.run(store, [SOURCE], 0)
    assert ids_of(outcome, tmp_path) == [[0, 1, 3]]
    assert refusals(outcome) == [
        ("schema", "its text gives the id 3, which closes a document or begins or ends a turn")
    ]


def committed(store: Store, *records: Record, step: str) -> Commit:
    commit_slices(store, list(records))
    work = Tokenize(tokenizer=cl100k(), end_of_document=END)
    return commit_outcome(store, step, 0, work.run(store, [SOURCE], 0))[0]


def test_the_commit_names_the_token_file_and_measures_tokens_and_texts(tmp_path: Path) -> None:
    root, step = tmp_path / "root", address("made_tokens")
    store = open_store(str(root))
    chat = made("b", "Hi\n\nYes?", "Hi", "Yes?")
    commit = committed(store, made("a", "One text."), chat, made("c", "one  TEXT."), step=step)
    assert list(read_commits(store, step)) == [commit]
    (file,) = commit.tokens
    facts, _ = open_token_file(root / tokens_file(step, file.sha256))
    table = read_shard(store, data_file(step, commit.data.sha256), commit.data)
    rows = from_table(TokenDocument, table)
    assert commit.row_type == "tokendocument"
    assert {row.file for row in rows} == {file.sha256}
    assert (facts.tokenizer, facts.vocabulary) == (cl100k().name, 100_352)
    assert facts.ids == sum(row.tokens + 1 for row in rows)
    assert commit.stats.tokens == sum(row.tokens for row in rows)
    assert commit.stats.chars == len("One text.") + len(chat.text) + len("one  TEXT.")
    assert commit.stats.duplicates == 1
    assert commit.stats.tokenizer == cl100k().name


def test_a_slice_without_documents_has_no_token_file(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    commit = committed(store, made("a", ""), step=address("made_tokens"))
    assert (commit.tokens, commit.ledger.rows, commit.ledger.rejected) == ((), 0, {"empty": 1})
    assert list(store.list("steps/made_tokens@1/" + "0" * 32 + "/tokens/")) == []


def test_the_same_records_give_the_same_bytes() -> None:
    records = [made(str(i), f"text {i}", *(["Hi", "Yes?"] * (i % 2))) for i in range(20)]
    first, second = (tokenized(*records) for _ in range(2))
    assert first.token_files == second.token_files
    assert first.table.equals(second.table)
