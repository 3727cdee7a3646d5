"""Sources over token steps: cut by their rows, taken down by id, and never mixed with records."""

from dataclasses import replace
from pathlib import Path

import pytest

from manifests.errors import ConfigError
from manifests.select.rows import step_rows
from manifests.select.selection import select, window_samples
from manifests.select.takedowns import take_down
from manifests.spec.read import parse_mixture
from manifests.spec.types import Condition, Mixture, SourceSpec, Strata, TokenizerName
from manifests.store import Store, open_store
from manifests.token_rows import Form
from tests.manifests.committed import address, item
from tests.manifests.selectable import ids_of, mixture
from tests.manifests.tokened import END, SPEC, Made, mixed, text, texts, token_step

MADE = [mixed("a", 12), [text("de", "Guten Tag", lang="de"), *texts("b", 9)], texts("c", 6)]
EVERY = [made for made_of in MADE for made in made_of]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def step(store: Store) -> str:
    return token_step(store, "made_tokens", *MADE, index=True)


def over(*sources: SourceSpec) -> Mixture:
    named = TokenizerName(name="utf8-bytes@1", end_of_document=END)
    return replace(mixture(*sources), tokenizer=named)


def ids(made: list[Made]) -> list[str]:
    return sorted(item(one.name) for one in made)


def selected(store: Store, source: SourceSpec) -> dict[str, list[str]]:
    return {leaf.name: ids_of(store, leaf.rows) for leaf in select(store, over(source))}


def test_a_token_step_gives_the_rows_that_its_commits_count(store: Store, step: str) -> None:
    found = step_rows(store, step, "utf8-bytes@1")
    assert found.row_type == "tokendocument"
    tokens = {row["slice_index"]: row["tokens"] for row in found.table.to_pylist()}
    assert tokens == {i: sum(len(one.ids) + 1 for one in made) for i, made in enumerate(MADE)}
    windows = window_samples(store, found.table, 16)
    assert int(windows.sum()) == sum(max(1, -(-len(one.ids) // 16)) for one in EVERY)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(column="form", any_of=("chat", "token_pair")),
        Condition(column="lang", any_of=("de",)),
        Condition(column="bucket", any_of=("sft",)),
        Condition(column="tokens", low=20, high=40),
        Condition(column="scores.quality", low=0.4),
    ],
    ids=str,
)
def test_conditions_read_the_columns_of_documents(
    store: Store, step: str, condition: Condition
) -> None:
    def holds(made: Made) -> bool:
        if condition.column == "tokens":
            return 20 <= len(made.ids) <= 40
        if condition.column == "scores.quality":
            return True
        value = getattr(made, condition.column)
        return value in condition.any_of

    expected = ids([made for made in EVERY if holds(made)])
    source = SourceSpec(name="a", steps=("made_tokens@1",), where=(condition,))
    assert selected(store, source) == {"a": expected}
    assert expected
    without = SourceSpec(name="a", steps=("made_tokens@1",), without=(condition,))
    rest = ids([made for made in EVERY if not holds(made)])
    if rest:
        assert selected(store, without) == {"a": rest}
    else:
        with pytest.raises(ConfigError, match="no record is left"):
            selected(store, without)


def test_forms_cut_a_source_into_strata(store: Store, step: str) -> None:
    source = SourceSpec(name="a", steps=("made_tokens@1",), strata=Strata(by="form"))
    expected = {f"a/{form}": ids([m for m in EVERY if m.form is form]) for form in Form}
    assert selected(store, source) == expected


def test_documents_are_taken_down_by_the_record_s_id(store: Store, step: str) -> None:
    table = step_rows(store, step, "utf8-bytes@1").table
    gone = [item("de"), item("a/1")]
    done = take_down(store, [table], gone)
    assert (done.records, done.missing) == ((2,), ())
    left = [made for made in EVERY if item(made.name) not in gone]
    assert ids_of(store, done.tables[0]) == ids(left)


def test_records_and_token_documents_are_not_one_source(store: Store, step: str) -> None:
    both = SourceSpec(name="a", steps=("made_tokens@1", "made_tokens_records@1"))
    with pytest.raises(ConfigError, match=r"counted by words@1|either the step of records or"):
        select(store, over(both))
    from tests.manifests.selectable import commit_records, record

    commit_records(store, [[record("x")]], "plain", tokenizer="utf8-bytes@1")
    both = SourceSpec(name="a", steps=("made_tokens@1", "plain@1"))
    with pytest.raises(ConfigError, match="either the step of records or the one") as refused:
        select(store, over(both))
    assert str(refused.value).count("\n") == 0
    apart = [SourceSpec(name="a", steps=("made_tokens@1",)), SourceSpec(name="b", steps=("plain",))]
    assert [leaf.name for leaf in select(store, over(*apart))] == ["a", "b"]
    form = Condition(column="form", any_of=("chat",))
    with pytest.raises(ConfigError, match=rf"{address('plain', 'a')} holds records, .* no form"):
        select(store, over(SourceSpec(name="b", steps=("plain",), where=(form,))))


def test_a_spec_may_ask_for_forms_and_for_no_others() -> None:
    spec = SPEC.format(step="made_tokens@1")
    asked = spec.replace(
        'from = "made_tokens@1"', 'from = "made_tokens@1"\nwhere = {form = "chat"}'
    )
    (source,) = parse_mixture(asked, "spec.toml").sources
    assert source.where == (Condition(column="form", any_of=("chat",)),)
    with pytest.raises(ConfigError, match="form"):
        parse_mixture(asked.replace('"chat"', '"talk"'), "spec.toml")
    cut = spec.replace('@1"\n\n[phases.pre', '@1"\nstrata = { by = "form" }\n\n[phases.pre')
    (source,) = parse_mixture(cut, "spec.toml").sources
    assert source.strata is not None
    assert source.strata.by == "form"
