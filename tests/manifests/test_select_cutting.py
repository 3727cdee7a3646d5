import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.errors import ConfigError, ShardCorrupt
from manifests.layout import data_file
from manifests.records import Bucket, Record
from manifests.select.cutting import WHOLE, cut
from manifests.select.rows import step_rows
from manifests.spec.types import Condition, SourceSpec, Strata
from manifests.store import Store, open_store
from tests.manifests.committed import address
from tests.manifests.selectable import (
    WORDS,
    assert_true_of_its_records,
    commit_records,
    expected_ids,
    ids_of,
    record,
)

Wanted = Callable[[Record], bool]


def varied(shards: int, seed: int) -> list[list[Record]]:
    """Shards of which some hold one kind of record only and some hold all kinds."""
    chance = random.Random(seed)
    made = []
    for s in range(shards):
        kinds = [chance.choice(list(Bucket)) for _ in range(chance.choice([1, 1, 3]))]
        langs = chance.choice([["en"], ["de"], ["en", "de", "fr"]])
        scale = chance.choice([5, 100, 3000])
        made.append(
            [
                record(
                    f"{s}/{i}",
                    bucket=chance.choice(kinds),
                    lang=chance.choice(langs),
                    tokens=chance.randrange(scale),
                    generator=chance.choice(["rewrite@1", "rewrite@2", "code@1"]),
                    licence=chance.choice(["CC0-1.0", "MIT"]),
                    rounds=chance.choice([1, 1, 2, 3]),
                    scores={
                        name: chance.random() * 5
                        for name in ("edu", "toxic")
                        if chance.random() < 0.8
                    },
                    teachers=chance.choice([["m@1"], ["n@1", "m@1", "m@1"], []]),
                )
                for i in range(chance.randrange(1, 20))
            ]
        )
    return made


SHARDS = varied(12, 7)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(str(tmp_path_factory.mktemp("root")))
    commit_records(store, SHARDS)
    return store


@pytest.fixture(scope="module")
def rows(store: Store) -> pa.Table:
    return step_rows(store, address("make", "a"), WORDS.name).table


def source(
    where: Sequence[Condition] = (),
    without: Sequence[Condition] = (),
    strata: Strata | None = None,
) -> SourceSpec:
    return SourceSpec(
        name="web", steps=("make",), where=tuple(where), without=tuple(without), strata=strata
    )


def texts(column: str, *any_of: str) -> Condition:
    return Condition(column=column, any_of=any_of)


def between(column: str, low: float | None = None, high: float | None = None) -> Condition:
    return Condition(column=column, low=low, high=high)


def score(made: Record, name: str, low: float) -> bool:
    return name in made.scores and made.scores[name] >= low


CASES: list[tuple[list[Condition], list[Condition], Wanted]] = [
    ([], [], lambda r: True),
    ([texts("bucket", "web", "code")], [], lambda r: r.bucket in ("web", "code")),
    ([texts("bucket", "web*")], [], lambda r: r.bucket.startswith("web")),
    ([texts("generator", "rewrite@*")], [], lambda r: r.generator.startswith("rewrite")),
    ([], [texts("lang", "en")], lambda r: r.lang != "en"),
    (
        [texts("licence", "MIT")],
        [texts("lang", "f*")],
        lambda r: r.licence == "MIT" and r.lang != "fr",
    ),
    ([between("tokens", 5)], [], lambda r: r.tokens >= 5),
    ([between("tokens", None, 99.5)], [], lambda r: r.tokens < 100),
    ([between("tokens", 100, 2000)], [], lambda r: 100 <= r.tokens <= 2000),
    ([], [between("tokens", None, 0)], lambda r: r.tokens > 0),
    ([between("rounds", 2)], [], lambda r: r.rounds >= 2),
    ([between("scores.edu", 2.5)], [], lambda r: score(r, "edu", 2.5)),
    ([], [between("scores.toxic", 2)], lambda r: not score(r, "toxic", 2)),
    (
        [texts("lang", "en", "de"), between("scores.edu", 1), between("tokens", 10)],
        [between("scores.toxic", 3), texts("source", "news")],
        lambda r: (
            r.lang in ("en", "de")
            and score(r, "edu", 1)
            and r.tokens >= 10
            and not score(r, "toxic", 3)
        ),
    ),
]


@pytest.mark.parametrize(("where", "without", "wanted"), CASES)
def test_a_selection_is_what_a_plain_loop_finds(
    store: Store,
    rows: pa.Table,
    where: list[Condition],
    without: list[Condition],
    wanted: Wanted,
) -> None:
    leaf = cut(store, source(where, without), rows)[WHOLE]
    assert ids_of(store, leaf) == expected_ids(SHARDS, wanted) != []
    assert leaf.schema.equals(rows.schema)
    assert leaf["key"].to_pylist() == sorted(leaf["key"].to_pylist())
    assert_true_of_its_records(leaf, SHARDS)


STRATA: list[tuple[Strata, Callable[[Record], str]]] = [
    (Strata(by="lang"), lambda r: r.lang),
    (Strata(by="generator"), lambda r: r.generator),
    (
        Strata(by="tokens", bounds=(10.0, 100.0)),
        lambda r: "below-10" if r.tokens < 10 else "10-100" if r.tokens < 100 else "from-100",
    ),
    (Strata(by="rounds", bounds=(1.5,)), lambda r: "below-1.5" if r.rounds < 2 else "from-1.5"),
    (
        Strata(by="scores.edu", bounds=(2.5,)),
        lambda r: (
            "unscored"
            if "edu" not in r.scores
            else "from-2.5"
            if r.scores["edu"] >= 2.5
            else "below-2.5"
        ),
    ),
]


@pytest.mark.parametrize(("strata", "of"), STRATA)
@pytest.mark.parametrize("where", [[], [between("scores.toxic", None, 3)], [texts("lang", "en")]])
def test_strata_share_out_all_records(
    store: Store,
    rows: pa.Table,
    strata: Strata,
    of: Callable[[Record], str],
    where: list[Condition],
) -> None:
    leaves = cut(store, source(where, strata=strata), rows)
    together = set(ids_of(store, cut(store, source(where), rows)[WHOLE]))
    chosen = [made for shard in SHARDS for made in shard if made.id in together]
    assert {name: ids_of(store, leaf) for name, leaf in leaves.items()} == {
        name: sorted(made.id for made in chosen if of(made) == name) for name in map(of, chosen)
    }
    for leaf in leaves.values():
        assert_true_of_its_records(leaf, SHARDS)


def test_only_undecided_shards_are_read(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    pure = [
        [record(f"{s}/{i}", lang=lang, tokens=7) for i in range(3)]
        for s, lang in [(0, "en"), (1, "de")]
    ]
    mixed = [record("x", lang="en"), record("y", lang="de")]
    commits = commit_records(store, [*pure, mixed])
    rows = step_rows(store, address("make", "a"), WORDS.name).table
    for commit in commits[:2]:
        store.delete(data_file(commit.step, commit.data.sha256))
    told: list[tuple[int, int]] = []
    wanted = source([texts("lang", "en"), between("tokens", 5, 50)])
    leaf = cut(store, wanted, rows, lambda done, total: told.append((done, total)))[WHOLE]
    assert told == [(1, 1)]
    picked = {row["slice_index"]: row["picked"] for row in leaf.to_pylist()}
    assert picked == {0: b"", 2: b"\x01"}


def test_a_shard_that_passes_whole_is_the_same_row_read_or_not(
    store: Store, rows: pa.Table
) -> None:
    assert cut(store, source([between("scores.edu", -1), texts("lang", "*")]), rows)
    everything = source([], [between("rounds", None, 0)])
    assert cut(store, everything, rows)[WHOLE].equals(rows)


def test_broken_data_decides_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    commit = commit_records(store, [[record("x", scores={"edu": 1.0})]])[0]
    rows = step_rows(store, commit.step, WORDS.name).table
    key = data_file(commit.step, commit.data.sha256)
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 4
    store.put(key, bytes(data))
    with pytest.raises(ShardCorrupt):
        cut(store, source([between("scores.edu", 0)]), rows)


def test_an_empty_selection_tells_what_each_condition_left(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    shards = [
        [record(f"a{i}", lang="en", scores={"edu": i}) for i in range(4)],
        [record(f"b{i}", lang="de", scores={"edu": i}) for i in range(3)],
    ]
    commit_records(store, shards)
    rows = step_rows(store, address("make", "a"), WORDS.name).table
    with pytest.raises(ConfigError) as error:
        cut(store, source([texts("lang", "en"), between("scores.edu", 9)]), rows)
    assert str(error.value) == (
        "source web: no record is left: 7 in its steps, 4 after where lang in en, 0 after where"
        " 9 <= scores.edu; loosen the conditions"
    )
    with pytest.raises(ConfigError, match="3 after without lang in en, 0 after without lang in d"):
        cut(store, source([], [texts("lang", "en"), texts("lang", "d*")]), rows)
    with pytest.raises(ConfigError, match="source web: its steps have no records"):
        cut(store, source(), rows.slice(0, 0))


def test_a_score_that_no_record_has_is_misspelt(store: Store, rows: pa.Table) -> None:
    for wanted in (
        source([between("scores.edo", 1)]),
        source([], [between("scores.edo", 1)]),
        source(strata=Strata(by="scores.edo", bounds=(1.0,))),
    ):
        with pytest.raises(ConfigError, match=r"no record has the score 'edo'; there are: edu$"):
            cut(store, wanted, rows)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (source([texts("langs", "en")]), "where: unknown column 'langs'; there are bucket, gen"),
        (source([], [between("scores.", 1)]), "without: unknown column 'scores.'"),
        (source([between("lang", 1)]), "lang is a text; say which"),
        (source([texts("tokens", "1")]), "tokens is a number; give it"),
        (source([between("tokens", float("nan"))]), "tokens has a bound that is no number"),
        (source(strata=Strata(by="tokens")), "strata: tokens is a number; give it bounds"),
        (source(strata=Strata(by="tokens", bounds=(2.0, 1.0))), "bounds that rise"),
        (source(strata=Strata(by="lang", bounds=(2.0,))), "lang is a text and has no bounds"),
        (source(strata=Strata(by="topic")), "strata: unknown column 'topic'"),
    ],
)
def test_conditions_that_cannot_be_tested_are_refused(
    store: Store, rows: pa.Table, wanted: SourceSpec, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^source web: .*{message}"):
        cut(store, wanted, rows)
