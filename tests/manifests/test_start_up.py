import subprocess
import sys
from pathlib import Path

from manifests.store import open_store
from tests.manifests.command_line import REPOSITORY, SPEC, commit_corpus

OPEN = """
import sys
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.store import open_store
store = open_store(sys.argv[1])
manifest = Manifest(store, Refs(store).resolve("demo").digest)
assert manifest.rows(manifest.root.leaves[0].table.digest).num_rows
assert len(manifest.order("pretrain").segments) == 1
print(sorted({"pandas", "fsspec", "pydantic"} & set(sys.modules)))
"""

RUN = """
import sys
from manifests.__main__ import main
try:
    main()
finally:
    print(sorted({"pandas", "fsspec", "pydantic"} & set(sys.modules)), file=sys.stderr)
"""


def test_local_data_is_built_and_opened_without_slow_imports(tmp_path: Path) -> None:
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
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, str(root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr
