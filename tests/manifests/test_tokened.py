from pathlib import Path

import numpy as np
import pytest

from manifests.commits import read_commits
from manifests.layout import data_file, tokens_file
from manifests.raw_files import RawFiles
from manifests.shards import read_shard
from manifests.store import Store, open_store
from manifests.tables import from_table
from manifests.token_files import TokenFacts, open_token_file
from manifests.token_rows import Form, TokenDocument
from manifests.verify import Verifier
from tests.manifests.tokened import END, IM_END, VOCABULARY, Made, mixed, texts, token_step


@pytest.fixture
def root(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def test_the_rows_of_a_token_step_lead_to_the_ids_of_their_documents(root: Store) -> None:
    slices = [mixed("a", 8), texts("b", 5), []]
    step = token_step(root, "chats_tokens", *slices, files=2)
    found = 0
    for commit in read_commits(root, step):
        made = slices[commit.slice_index]
        assert commit.row_type == "tokendocument"
        assert len(commit.tokens) == (2 if made else 0)
        table = read_shard(root, data_file(step, commit.data.sha256), commit.data)
        for row, one in zip(from_table(TokenDocument, table), made, strict=True):
            facts, ids = open_token_file(Path(root.url) / tokens_file(step, row.file))
            assert facts == TokenFacts(
                ids=len(ids), tokenizer="utf8-bytes@1", vocabulary=VOCABULARY, end_of_document=END
            )
            np.testing.assert_array_equal(ids[row.start :][: row.tokens + 1], [*one.ids, END])
            assert (row.form, row.loss, row.spans) == (one.form, one.loss, one.spans)
            found += 1
    assert found == 13


def test_the_forms_have_the_ids_that_are_said_of_them() -> None:
    chat, response, token = (made for made in mixed("a", 4) if made.form is not Form.TEXT)

    def ids(made: Made, role: str) -> list[list[int]]:
        return [list(made.ids[s.start : s.stop]) for s in made.spans if s.role == role]

    assert [list(chat.ids[s.start : s.stop]) for s in chat.loss] == ids(chat, "assistant")
    assert all(said[-1] == IM_END for said in ids(chat, "assistant"))
    first, again = ids(response, "prompt")
    assert first == again
    assert ids(response, "chosen") != ids(response, "rejected")
    ((prompt, *_), (better,), (worse,)) = (
        ids(token, role) for role in ("prompt", "chosen", "rejected")
    )
    assert [*prompt, *better, *worse] == list(token.ids)


def test_a_token_step_has_no_finding(root: Store) -> None:
    step = token_step(root, "chats_tokens", mixed("a", 8), texts("b", 5))
    reports = list(Verifier(RawFiles(root.url)).verify_all(step, complete=True))
    assert [report.lines()[:-1] for report in reports] == [[], []]
    assert [report.rows for report in reports] == [13, 13]
