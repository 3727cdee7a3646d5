import subprocess
import sys
from pathlib import Path

from manifests.store import open_store
from tests.manifests.command_line import REPOSITORY, SPEC, commit_corpus

RUN = """
import sys
from manifests.__main__ import main
try:
    main()
finally:
    print(sorted({"pandas", "fsspec", "pydantic"} & set(sys.modules)), file=sys.stderr)
"""


def test_builds_of_local_data_do_without_slow_imports(tmp_path: Path) -> None:
    root = tmp_path / "root"
    commit_corpus(open_store(str(root)))
    (tmp_path / "demo.toml").write_text(SPEC)
    for said in ("demo@1 sha256:", "unchanged"):
        command = ["build", str(tmp_path / "demo.toml"), "--root", str(root)]
        ended = subprocess.run(
            [sys.executable, "-c", RUN, *command],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "[]\n")
        assert said in ended.stdout
