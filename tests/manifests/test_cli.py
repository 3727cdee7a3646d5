import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from manifests import layout
from manifests.cli import cli
from manifests.commits import Commit
from manifests.errors import ConfigError, DataError, NotInStore, StoreFull, StoreUnfit
from manifests.exits import run
from manifests.store import Store, open_store
from tests.manifests.committed import SOURCE, STEP, commit_two_steps

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def commits(store: Store) -> list[Commit]:
    return commit_two_steps(store)


def manifest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "manifests", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


@pytest.fixture
def run_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: exit status, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["manifest", *arguments])
        status = status_of(cli)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def status_of(command: Callable[[], object]) -> int:
    with pytest.raises(SystemExit) as ended:
        run(command)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_whole_step_is_told_in_one_line(store: Store, commits: list[Commit]) -> None:
    done = manifest("step", "verify", "rewrite@1/b", "--root", store.url, "--complete")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{STEP}: complete, 3 of 3 slices; 24 planned = 18 accepted + 3 rejected + 3 quarantined;"
        " 21 rows; 0 orphans"
    ]


def test_a_finding_is_a_line_and_exit_status_1(store, commits, run_here) -> None:
    store.delete(layout.commit_file(STEP, commits[0].task))
    assert run_here("step", "verify", STEP, "--root", store.url)[0] == 0
    status, out, _ = run_here("step", "verify", STEP, "--root", store.url, "--complete")
    assert status == 1
    assert out.splitlines()[0] == f"lost: {STEP}: slices: not committed, of 3: 0"


def test_inputs_are_verified_as_well_when_asked(store, commits, run_here) -> None:
    status, out, _ = run_here("step", "verify", STEP, "--root", store.url, "--inputs")
    assert status == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == [STEP, SOURCE]


def test_json_says_the_same(store, commits, run_here) -> None:
    store.put(layout.commit_file(STEP, commits[0].task), b"{}")
    status, out, _ = run_here("step", "verify", STEP, "--root", store.url, "--json")
    said = json.loads(out)
    assert (status, said["ok"]) == (1, False)
    assert said["steps"][0]["step"] == STEP
    assert said["steps"][0]["complete"] is False
    finding = {"kind": "corrupt", "where": f"task {commits[0].task}", "what": "not a commit"}
    assert said["steps"][0]["findings"] == [finding]


def test_an_unknown_step_is_wrong_input_and_the_known_ones_are_listed(store, commits, run_here):
    status, out, err = run_here("step", "verify", "nothing@1", "--root", store.url)
    assert (status, out) == (2, "")
    assert err.startswith("error: there is no step 'nothing@1'")
    assert STEP in err
    assert SOURCE in err


def test_the_index_is_written_where_readers_look_for_it(store, commits, run_here) -> None:
    status, out, _ = run_here("step", "index", "rewrite@1", "--root", store.url)
    assert (status, out) == (0, f"{layout.index_file(STEP)}: 3 commits\n")
    assert store.exists(layout.index_file(STEP))
    said = json.loads(run_here("step", "index", "rewrite@1", "--root", store.url, "--json")[1])
    assert said == {"step": STEP, "commits": 3, "index": layout.index_file(STEP)}


def all_commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [path, *(p for name, c in below for p in all_commands(c, (*path, name)))]


@pytest.mark.parametrize("path", all_commands(cli), ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...], run_here) -> None:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert all(option.help for option in options)
    status, out, _ = run_here(*path, "--help")
    assert status == 0
    assert out.startswith("Usage: ")


def test_help_of_no_command_needs_a_heavy_library() -> None:
    code = (
        "import sys; from manifests.cli import cli\n"
        "def walk(command, path):\n"
        "    print(*path)\n"
        "    cli.main([*path, '--help'], standalone_mode=False)\n"
        "    for name, below in getattr(command, 'commands', {}).items():\n"
        "        walk(below, [*path, name])\n"
        "walk(cli, [])\n"
        "heavy = ('pyarrow', 'numpy', 'pydantic', 'fsspec')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.count("Usage: ") == len(all_commands(cli))


def test_help_names_the_program_as_it_was_started() -> None:
    assert manifest("--help").stdout.startswith("Usage: python -m manifests [OPTIONS]")


def test_wrong_usage_exits_with_2(run_here) -> None:
    assert run_here("verfy")[0] == 2
    assert run_here("step", "verfy")[0] == 2
    assert run_here("step", "verify")[0] == 2
    assert "Missing argument 'STEP'" in run_here("step", "verify")[2]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("no"), 2),
        (StoreUnfit("no"), 2),
        (DataError("no"), 1),
        (NotInStore("no"), 1),
        (StoreFull("no"), 1),
    ],
)
def test_an_error_on_purpose_is_one_line(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert status_of(fail) == status
    assert capsys.readouterr().err == "error: no\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_success_is_0_and_a_commands_own_status_stands() -> None:
    assert status_of(lambda: None) == 0
    assert status_of(lambda: sys.exit(7)) == 7


def test_a_reader_that_leaves_early_ends_the_command_in_silence() -> None:
    code = (
        "import sys; from manifests.exits import run;"
        "run(lambda: [print('x' * 1000) for _ in range(10_000)])"
    )
    command = [sys.executable, "-c", code]
    reading, writing = os.pipe()
    with subprocess.Popen(
        command, stdout=writing, stderr=subprocess.PIPE, cwd=REPOSITORY
    ) as process:
        os.close(writing)
        os.read(reading, 100)
        os.close(reading)
        _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")


def test_ctrl_c_is_told_and_exits_with_130() -> None:
    code = (
        "import signal; from manifests.exits import run;"
        "run(lambda: (print('ready', flush=True), signal.pause()))"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, b"interrupted\n")
