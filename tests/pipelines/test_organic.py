"""Organic text becomes records without a teacher: as it stands, each document once."""

import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

from manifests import layout
from manifests.commits import Commit, read_commits
from manifests.records import Bucket, Record, SeedDocument
from manifests.shards import read_shard
from manifests.stats import Volume
from manifests.store import Store, open_store
from manifests.tables import ITEM_ID, from_table
from pipelines.teachers import NOBODY
from pipelines.work.screen import Screen
from tests.pipelines.committed_run import Command, planned

FILES = 6


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """The language reference, in JSONL files."""
    folder = tmp_path / "reference"
    folder.mkdir()
    texts = list(topics.values())
    for number in range(FILES):
        lines = [json.dumps({"text": text}) for text in texts[number::FILES]]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def rows(store: Store, commits: list[Commit], row_type: type[Any]) -> dict[str, Any]:
    """By the id of their input row."""
    found: dict[str, Any] = {}
    for commit in commits:
        table = read_shard(store, layout.data_file(commit.step, commit.data.sha256), commit.data)
        items = table[ITEM_ID].to_pylist()
        found |= dict(zip(items, from_table(row_type, table), strict=True))
    return found


@pytest.mark.ray
def test_documents_are_records_exactly_once_though_two_drivers_make_them_at_once(
    cluster: Any, reference: Path, tmp_path: Path
) -> None:
    root = str(tmp_path / "root")
    given = ["run", "organic", f"prose={reference}", "prose_format=jsonl", "licence=PSF-2.0"]
    given += ["slice_bytes=60000", "--workers", "2", "--root", root, "--json"]
    drivers = [cluster.pipelines(*given) for _ in range(2)]
    first, second = (json.loads(cluster.finished(driver)) for driver in drivers)
    assert first == second
    assert first["complete"]
    addresses = {step["address"].split("/")[1]: step["address"] for step in first["steps"]}
    assert list(addresses) == ["documents@1", "organic@1", "organic_web_screened@1"]
    cluster.verified(addresses["organic_web_screened@1"], root)

    store = open_store(root)
    commits = {name: list(read_commits(store, a)) for name, a in addresses.items()}
    assert len(commits["organic@1"]) == FILES
    documents = rows(store, commits["documents@1"], SeedDocument)
    records = rows(store, commits["organic@1"], Record)
    assert sorted(one.text for one in documents.values()) == sorted(topics.values())
    assert records.keys() == documents.keys()
    for key, record in records.items():
        document = documents[key]
        about = (document.text, document.source, document.licence, document.lang)
        assert (record.text, record.source, record.licence, record.lang) == about
        assert (record.generator, record.seed_ids) == ("organic@1", (key,))
        assert (record.bucket, record.lineage) == (Bucket.WEB, ())
        assert record.tokens == len(document.text.encode())

    kept = sum((commit.stats for commit in commits["organic_web_screened@1"][1:]),
               commits["organic_web_screened@1"][0].stats)  # fmt: skip
    assert 0 < kept.rows < len(documents)
    whole = Volume(kept.rows, kept.tokens)
    assert (kept.buckets, kept.generators) == ({"web": whole}, {"organic@1": whole})
    assert (kept.teachers, kept.licences) == ({"": whole}, {"PSF-2.0": whole})
    assert kept.teacher.calls == 0
    (told,) = first["generators"]
    assert told["name"] == "organic@1"
    assert (told["items"], told["written"], told["records"]) == (
        len(documents),
        len(documents),
        kept.rows,
    )
    assert (first["records"], first["tokens"]) == (kept.rows, kept.tokens)
    assert told["teacher_tokens_per_token"] is None


@pytest.mark.ray
def test_code_fills_its_own_bucket_and_is_shown_with_its_document(
    cluster: Any, tmp_path: Path, command: Command
) -> None:
    source, root = tmp_path / "code", str(tmp_path / "root")
    source.mkdir()
    (source / "sums.py").write_text(SUMS)
    given = ["run", "organic", f"code={source}", "bucket=acquired", "--root", root, "--json"]
    status = json.loads(cluster.finished(cluster.pipelines(*given)))
    assert status["records"] == 1
    shown = json.loads(command.succeeds("show", "organic_acquired", "--root", root, "--json"))
    assert shown["record"]["bucket"] == "acquired"
    assert shown["record"]["text"] == shown["document"]["text"]
    assert "seed" not in shown
    refused = command.refuses("show", "organic_acquired", "--root", root, "--transcript")
    assert "asks no teacher" in refused


SUMS = '''
def running_sums(numbers):
    """The sum of the first numbers up to each place, as a list."""
    total = 0
    sums = []
    for number in numbers:
        total += number
        sums.append(total)
    return sums
'''


def test_organic_text_is_planned_without_a_teacher(command: Command, reference: Path) -> None:
    given = [f"prose={reference}", "prose_format=jsonl"]
    plan = json.loads(command.succeeds("plan", "organic", *given, "--json"))
    assert [step["address"].split("/")[1] for step in plan["steps"]] == [
        "documents@1",
        "organic@1",
        "organic_web_screened@1",
    ]
    assert plan["estimates"] == []
    assert "no teacher" in command.refuses("plan", "synthesize", *given)
    other = json.loads(command.succeeds("plan", "organic", *given, "bucket=acquired", "--json"))
    assert [a == b for a, b in zip(plan["steps"], other["steps"], strict=True)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "give prose=URL or code=URL, one of them"),
        (["prose=a.txt", "code=b"], "give prose=URL or code=URL, one of them"),
        (["prose=a.txt", "bucket=code"], "bucket=code: expected web or acquired for prose=URL"),
        (["code=b", "bucket=web"], "bucket=web: expected code or acquired for code=URL"),
        (["code=b", "code_format=perl"], "code_format=perl: expected one of"),
        (["prose=folder"], "as in prose_format=jsonl"),
    ],
)
def test_what_a_run_of_organic_text_is_not_asked_with(
    command: Command, given: list[str], says: str
) -> None:
    assert says in command.refuses("plan", "organic", *given)


def test_stop_words_decide_about_english_pages_alone(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("Guten Tag.")
    gates = {}
    for lang in ("en", "de"):
        given = [f"prose={tmp_path}/page.txt", f"lang={lang}"]
        plan = planned("organic", given, NOBODY)
        (end,) = plan.ends
        assert isinstance(end.work, Screen)
        gates[lang] = [gate.filter.name for gate in end.work.gates]
    assert [name for name in gates["en"] if name not in gates["de"]] == ["text.stop_words@1"]
