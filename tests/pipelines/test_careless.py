"""A careless user meets one line that says what to do, before anything starts or is written."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from infra.simulated.start import SimulatedTeacher
from manifests.layout import step_file
from manifests.store import open_store
from manifests.stores.local import LocalStore
from pipelines import commands
from pipelines.cli import cli
from tests.pipelines.committed_run import Command, make_run

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("ray", "pyarrow", "torch", "openai", "pydantic", "numpy", "aiohttp", "fsspec")


@pytest.fixture(scope="module")
def teacher() -> Iterator[SimulatedTeacher]:
    with SimulatedTeacher() as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    # Whoever gets as far as Ray fails with a traceback here, and so fails the test.
    monkeypatch.setitem(sys.modules, "pipelines.cluster", None)
    return Command(monkeypatch, capsys)


def process(*arguments: str, before: Callable[[], None] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quikstart"], "did you mean quickstart? there are quickstart, synthesize"),
        (["quickstart", "document=3"], "did you mean documents?"),
        (["quickstart", "documents=three"], "expected a whole number"),
        (["quickstart", "documents=-3"], "at least 0 documents"),
        (["quickstart", "documents"], "expected name=value"),
        (["quickstart", "generators=rewrite_quik@1"], "did you mean rewrite_quick@1"),
        (["quickstart", "generators=rewrite_quick"], "did you mean rewrite_quick@1"),
        (["quickstart", "generators=xyzzy"], "there are dialogue_debate@1, "),
        (["quickstart", "generators="], "generators: name at least one"),
        (["synthesize"], "give prose=URL, code=URL or both"),
        (["synthesize", "prose=pages.jsonl", "slice_bytes=0"], "at least 1 byte a slice"),
        (["synthesize", "prose=pages.jsonl", "prose_curator=best"], "there are seeds_book@1"),
        (["synthesize", "prose=pages.docx"], "as in prose_format=jsonl"),
        (["synthesize", "prose=pages", "prose_format=word"], "expected one of parquet, jsonl"),
        (["synthesize", "prose=gopher://pages.txt"], "Protocol not known: gopher"),
        (["quickstart", "--model", "another"], "does not serve another: it serves simulated"),
        (["quickstart", "--model", "simulated@r2"], "it serves simulated, simulated@r1"),
        (["quickstart", "--role", "critic"], "expected ROLE=MODEL=URL"),
        (["quickstart", "--role", "critic=judge"], "expected ROLE=MODEL=URL"),
        (["quickstart", "--role", "critic=judge=judge:80"], "is not the URL of a teacher"),
        (["quickstart", "--role", "writer=judge=http://judge"], "given twice"),
        (["quickstart", "--tokenizer", "tokenizer.json"], "no such file"),
        (["quickstart", "--tokenizer", str(Path(__file__))], "not a tokenizer.json"),
        (["quickstart", "--reuse", "abc"], "no run on"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    command: Command, root: Path, teacher: SimulatedTeacher, arguments: list[str], says: str
) -> None:
    given = ["run", *arguments, "--root", str(root), "--teacher", teacher.url]
    assert says in command.refuses(*given)
    assert not root.exists()


@pytest.mark.parametrize("url", ["teacher", "127.0.0.1:8000", "ftp://h/x", "http://", "http://a b"])
def test_a_teacher_that_is_no_url_is_told_from_one_that_does_not_answer(
    command: Command, root: Path, url: str
) -> None:
    line = command.refuses("run", "quickstart", "--root", str(root), "--teacher", url)
    assert "expected http://HOST:PORT" in line
    assert not root.exists()


def test_no_teacher_and_a_teacher_that_does_not_answer(command: Command, root: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        line = command.refuses("run", "quickstart", "--root", str(root), "--teacher", url, code=1)
    assert f"no teacher answers at {url}" in line
    assert "give --teacher URL" in command.refuses("run", "quickstart", "--root", str(root))
    assert not root.exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("empty", "looked for a file ending in .jsonl"),
        ("missing", "No such file or directory"),
        ("missing/*.jsonl", "looked for a file that matches"),
        ("other", "looked for a file ending in .jsonl"),
    ],
)
def test_documents_that_are_not_there(
    command: Command, root: Path, teacher: SimulatedTeacher, name: str, says: str
) -> None:
    for folder in ("empty", "other"):
        (root.parent / folder).mkdir()
    (root.parent / "other" / "pages.csv").write_text("a,b\n")
    prose = f"prose={root.parent / name}"
    given = ["run", "synthesize", prose, "prose_format=jsonl"]
    assert says in command.refuses(*given, "--root", str(root), "--teacher", teacher.url)
    assert not root.exists()


def test_a_bucket_that_cannot_be_read(
    command: Command, root: Path, teacher: SimulatedTeacher, s3_environment: str
) -> None:
    given = ["run", "synthesize", "prose=s3://no-such-bucket-here/pages/", "prose_format=jsonl"]
    line = command.refuses(*given, "--root", str(root), "--teacher", teacher.url)
    assert "s3://no-such-bucket-here/pages/" in line
    assert not root.exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "the root is empty"),
        ("{file}", "the root has to be a directory"),
        ("{file}/below", "the root has to be a directory"),
        ("/proc/scriptorium", "cannot be written to"),
        ("ftp://host/root", "cannot keep data under ftp://"),
        ("s3:/bucket/root", "two slashes"),
    ],
)
def test_a_root_that_cannot_be_one(
    command: Command, tmp_path: Path, teacher: SimulatedTeacher, given: str, says: str
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    root = given.format(file=file)
    line = command.refuses("run", "quickstart", "--root", root, "--teacher", teacher.url)
    assert says in line
    assert file.read_text() == "mine"


class LastWins(LocalStore):
    """A root without create-only: whoever comes last overwrites."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


def test_a_root_without_create_only_is_refused(
    command: Command, root: Path, teacher: SimulatedTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "open_store", LastWins)
    line = command.refuses("run", "quickstart", "--root", str(root), "--teacher", teacher.url)
    assert "does not create objects only if absent" in line
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_root_without_room_is_said_to_be_full(root: Path, teacher: SimulatedTeacher) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    given = ["run", "quickstart", "--root", str(root), "--teacher", teacher.url]
    full = process(*given, before=no_room)
    out, err = full.communicate(timeout=60)
    assert (full.returncode, out) == (1, "")
    (line,) = err.strip().splitlines()
    assert "free space there and run again" in line


def test_steps_begun_by_other_code_are_not_gone_on_with(
    command: Command, root: Path, teacher: SimulatedTeacher
) -> None:
    made = make_run(root, teacher.url, "documents=1", until=lambda step, slice_index: False)
    store = open_store(str(root))
    key = step_file(made.step("seeds").address)
    store.put(key, json.dumps(json.loads(store.get(key)) | {"code": "0" * 64}).encode())
    given = ["run", "quickstart", "documents=1", "--root", str(root), "--teacher", teacher.url]
    line = command.refuses(*given)
    assert "was begun by other code (000000000000" in line
    assert "--accept-code-change" in line


def test_ctrl_c_before_the_run_has_begun_is_one_word(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        waiting = process("run", "quickstart", "--root", str(root), "--teacher", url)
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            waiting.send_signal(signal.SIGINT)
            out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out, err) == (130, "", "interrupted\n")
    assert not root.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quickstart"], "no teacher: give --teacher URL"),
        (["quickstart", "--model", "m@1", "--target-tokens", "4e11"], "needs --tokens-per-second"),
        (["quickstart", "--model", "m@1", "--root", __file__], "has to be a directory"),
        (["quickstart", "--model", "m@1", "prose=missing.txt"], "No such file"),
    ],
)
def test_a_plan_that_cannot_be_made(command: Command, arguments: list[str], says: str) -> None:
    assert says in command.refuses("plan", *arguments)


def test_a_plan_writes_nothing(command: Command, root: Path) -> None:
    given = ["plan", "quickstart", "--model", "m@1", "--root", str(root)]
    assert "nothing was written" in command.succeeds(*given)
    assert not root.exists()


@pytest.mark.parametrize("arguments", [["status"], ["status", "abc"], ["show", "seeds"]])
def test_a_root_with_no_runs(command: Command, root: Path, arguments: list[str]) -> None:
    assert f"no run on {root}" in command.refuses(*arguments, "--root", str(root))
    assert not root.exists()


def commands_below(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from commands_below(one)
        else:
            yield name, one


@pytest.mark.parametrize(("name", "one"), list(commands_below(cli)))
def test_every_command_and_option_is_explained(name: str, one: click.Command) -> None:
    assert one.help
    assert one.help.split("\n")[0].endswith("."), name
    for parameter in one.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
            assert parameter.help.endswith("."), f"{name} {parameter.opts}"
        else:
            metavar = parameter.metavar or parameter.human_readable_name.upper()
            assert metavar.strip("[].") in one.help


@pytest.mark.parametrize("given", [[], *([name] for name, _ in commands_below(cli))])
def test_help_loads_nothing_heavy(given: list[str]) -> None:
    program = (
        "import sys; from manifests.exits import run; from pipelines.cli import cli\n"
        "try: run(cli)\n"
        "finally: print('LOADED', *sorted({n.split('.')[0] for n in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *given, "--help"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    loaded = done.stdout.rpartition("LOADED ")[2].split()
    assert "click" in loaded
    assert not set(loaded) & set(HEAVY)


@pytest.mark.parametrize("given", [["run"], ["nothing"], ["run", "quickstart", "--workers", "0"]])
def test_words_that_make_no_command_show_the_usage(command: Command, given: list[str]) -> None:
    code, out, err = command(*given)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ")
    assert "Error: " in err
