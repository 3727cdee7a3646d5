"""Screening, on records that a step has committed."""

from dataclasses import replace
from pathlib import Path

from filters.contract import Gate
from filters.text import Text
from manifests.commits import publish
from manifests.records import Reason, Record
from manifests.store import open_store
from manifests.tables import from_table
from pipelines.work.screen import Screen
from tests.manifests.committed import address, commit_of, record

SOURCE = address("written")
WORDS = Gate(filter=Text(measure="words"), low=3, reason=Reason.TOO_SHORT)


def test_scores_of_filters_join_those_of_generators_in_the_order_of_names(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    own: list[dict[str, float]] = [
        {},
        {"zeal": 0.5, "a": 0.25},
        {"text.words@1": 99.0},  # an earlier screening's
        {"b": 1.0},
    ]
    texts = ["One two three.", "One two three four.", "Five is a word here.", "Short."]
    rows = [replace(record(f"s{i}", text=texts[i]), scores=own[i]) for i in range(4)]
    publish(store, commit_of(store, SOURCE, 0, {row.seed_ids[0]: [row] for row in rows}))
    outcome = Screen(gates=(WORDS,), tokenizer="words@1").run(store, [SOURCE], 0)
    outcome.table.validate(full=True)
    kept = from_table(Record, outcome.table)
    assert [list(row.scores.items()) for row in kept] == [
        [("text.words@1", 3.0)],
        [("a", 0.25), ("text.words@1", 4.0), ("zeal", 0.5)],
        [("text.words@1", 5.0)],
    ]
    assert [row.id for row in kept] == [row.id for row in rows[:3]]
    assert [(one.item_id, one.reason) for one in outcome.rejects] == [(rows[3].id, "too_short")]


def test_an_empty_shard_is_screened_to_an_empty_shard(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    publish(store, commit_of(store, SOURCE, 0, {}))
    outcome = Screen(gates=(WORDS,), tokenizer="words@1").run(store, [SOURCE], 0)
    outcome.table.validate(full=True)
    assert (outcome.table.num_rows, outcome.ledger.planned) == (0, 0)
