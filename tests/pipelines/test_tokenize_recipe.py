"""`run tokenize`: committed steps become token steps, exactly once; a mistake is one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.setup.models import encoding_file
from manifests.commits import read_commits
from manifests.layout import commit_file, step_file
from manifests.store import Store, open_store
from tests.manifests.committed import address
from tests.manifests.exported import words
from tests.manifests.tokened import text, token_step
from tests.pipelines.committed_run import Command, make_tokens
from tests.pipelines.tokenizable import cl100k, commit_slices, made

CL100K = str(encoding_file())
THREE, TWO = address("rewrite_screened", "a"), address("talk_taken", "b")


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Two whole steps of records, of three slices and of two."""
    root = str(tmp_path / "root")
    store = open_store(root)
    rows = [[made(f"{n}/{i}", f"text {n} {i}") for i in range(5)] for n in range(3)]
    talks = [[made(f"t{n}/{i}", "x", "Hi", f"Yes {i}") for i in range(4)] for n in range(2)]
    commit_slices(store, *rows, step=THREE)
    commit_slices(store, *talks, step=TWO)
    return root


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def asked(root: str, *given: str) -> list[str]:
    return ["tokenize", *given, "--tokenizer", CL100K, "--root", root]


@pytest.mark.ray
def test_steps_of_different_lengths_are_tokenized_once_though_two_drivers_do_it(
    cluster: Any, root: str, tmp_path: Path
) -> None:
    given = ["run", *asked(root, "steps=rewrite_screened@1,talk_taken"), "--json"]
    drivers = [cluster.pipelines(*given) for _ in range(2)]
    first, second = (json.loads(cluster.finished(driver)) for driver in drivers)
    assert first == second
    assert first["complete"]
    steps = {step["address"].split("/")[1]: step for step in first["steps"]}
    assert {name: (step["slices"], step["committed"]) for name, step in steps.items()} == {
        "rewrite_tokens@1": (3, 3),
        "talk_tokens@1": (2, 2),
    }
    store = open_store(root)
    for step in steps.values():
        cluster.verified(step["address"], root)
        commits = list(read_commits(store, step["address"]))
        assert all(len(commit.tokens) == 1 for commit in commits)
        assert step["tokens"] == sum(commit.stats.tokens for commit in commits)
        assert step["tokenizer"] == cl100k().name
    assert (first["records"], first["tokens"]) == (23, sum(s["tokens"] for s in steps.values()))
    again = cluster.pipelines(*given)
    assert json.loads(cluster.finished(again)) == first


def test_a_plan_reads_the_committed_steps_and_writes_nothing(command: Command, root: str) -> None:
    before = sorted(path for path in Path(root).rglob("*") if path.is_file())
    plan = json.loads(
        command.succeeds("plan", *asked(root, "steps=*_screened,talk_taken"), "--json")
    )
    assert [(step["inputs"], step["tasks"]) for step in plan["steps"]] == [([THREE], 3), ([TWO], 2)]
    assert plan["tasks"] == 5
    assert sorted(path for path in Path(root).rglob("*") if path.is_file()) == before


def test_forms_and_tokenizers_have_addresses_of_their_own(root: str, tmp_path: Path) -> None:
    other = words(tmp_path / "words", "text", specials=["<|endoftext|>"])
    made = [
        make_tokens(root, Path(CL100K), "steps=rewrite_screened"),
        make_tokens(root, Path(CL100K), "steps=rewrite_screened", "form=text"),
        make_tokens(root, Path(CL100K), "steps=talk_taken", "form=chat"),
        make_tokens(root, Path(CL100K), "steps=rewrite_screened", "max_tokens=9"),
        make_tokens(root, other, "steps=rewrite_screened", "form=text"),
    ]
    steps = [step.address for one in made for step in one.plan.steps]
    assert len(set(steps)) == len(steps) == 5
    assert [step.split("/")[1].partition("@")[0] for step in steps] == [
        "rewrite_tokens",
        "rewrite_text_tokens",
        "talk_chat_tokens",
        "rewrite_tokens",
        "rewrite_text_tokens",
    ]


def test_rows_are_shown_with_the_record_that_they_are_the_ids_of(
    command: Command, root: str
) -> None:
    make_tokens(root, Path(CL100K), "steps=talk_taken")
    shown = command.succeeds("show", "talk_tokens", "--root", root, "-n", "1")
    assert "chat, 12 tokens" in shown
    assert ", 4 of them learned" in shown
    assert "user 3-5, assistant 8-12" in shown
    (line,) = command.succeeds(
        "show", "talk_tokens", "--root", root, "-n", "1", "--json"
    ).splitlines()
    found = json.loads(line)
    assert found["tokens"]["id"] == found["record"]["id"]
    told = command.succeeds("status", "--root", root)
    assert "talk_tokens@1" in told
    assert cl100k().name in told


def incomplete(store: Store) -> None:
    *_, last = read_commits(store, THREE)
    store.delete(commit_file(THREE, last.task))


def unbounded(store: Store) -> None:
    store.put(step_file(THREE), b'{"address":"x"}')


def tokens(store: Store) -> None:
    token_step(store, "made_tokens", [text("a", "text")])


def twice(store: Store) -> None:
    commit_slices(store, [made("a")], step=address("rewrite_screened", "c"))


def nothing(store: Store) -> None:
    pass


@pytest.mark.parametrize(
    ("before", "given", "says"),
    [
        (nothing, [], "give steps=NAME,NAME"),
        (
            nothing,
            ["steps=rewrit_screened"],
            "no step fits 'rewrit_screened'; near it: rewrite_scr",
        ),
        (nothing, ["steps=rewrite_screened@2"], "near it: rewrite_screened@1/aaaaaaaaaaaa"),
        (nothing, ["steps=rewrite_screened", "form=chats"], "expected one of auto, text, chat"),
        (
            nothing,
            ["steps=rewrite_screened", "max_tokens=-1"],
            "max_tokens=-1: expected at least 0",
        ),
        (nothing, ["steps=rewrite_screened", "end_of_document=</s>"], "no special token </s>"),
        (nothing, ["steps=rewrite_screened", "--want", "5records"], "--want: this run screens"),
        (nothing, ["steps=rewrite_screened", "forms=text"], "did you mean form?"),
        (incomplete, ["steps=rewrite_screened"], "not complete, 2 of 3 slices have committed"),
        (unbounded, ["steps=rewrite_screened"], "is not complete, 3 slices have committed"),
        (tokens, ["steps=made_tokens"], "rows of the type tokendocument: name steps of records"),
        (twice, ["steps=rewrite_screened"], "fits 2 steps"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    before: Any,
    given: list[str],
    says: str,
    command: Command,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pipelines.cluster", None)
    before(open_store(root))
    files = sorted(path for path in Path(root).rglob("*") if path.is_file())
    line = command.refuses("run", *asked(root, *given))
    assert says in line
    assert sorted(path for path in Path(root).rglob("*") if path.is_file()) == files


def test_a_tokenizer_is_named_and_can_write_what_is_asked(
    command: Command, root: str, tmp_path: Path
) -> None:
    given = ["run", "tokenize", "steps=rewrite_screened", "--root", root]
    assert "no tokenizer: give --tokenizer FILE" in command.refuses(*given)
    plain = words(tmp_path / "words", "text", specials=["<|endoftext|>", "<|im_end|>"])
    line = command.refuses(*given, "--tokenizer", str(plain))
    assert "its vocabulary lacks <|im_start|>, which conversations are written with" in line
    bare = words(tmp_path / "bare", "text")
    line = command.refuses(*given, "form=text", "--tokenizer", str(bare))
    assert "no special token <|endoftext|> or " in line
    assert "one of its special tokens: none" in line
    assert not (Path(root) / "tokenizers").exists()


def test_a_plan_without_a_root_has_nothing_to_read(command: Command) -> None:
    line = command.refuses("plan", "tokenize", "steps=rewrite_screened", "--tokenizer", CL100K)
    assert "give --root URL" in line
