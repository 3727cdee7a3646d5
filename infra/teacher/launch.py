"""What it takes to start vLLM: the interpreter, the arguments, the environment, the names.

A model directory is pinned by its content: its revision is a digest of its files, so two machines
that serve the same bytes serve the same teacher.
"""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.teacher.models import UNPINNED, Teacher
from manifests.errors import ConfigError

_log = logging.getLogger(__name__)
PYTHON_VARIABLE = "SCRIPTORIUM_TEACHER_PYTHON"
_MODEL_FILES = {
    *(".json", ".safetensors", ".bin", ".pt", ".pth", ".gguf"),
    *(".model", ".txt", ".jinja", ".tiktoken", ".py"),
}
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One vLLM server to start."""

    model: str
    """A model directory, or a name that vLLM loads by itself."""
    name: str | None = None
    """What to serve it as; by default the directory's name, or `model`."""
    revision: str | None = None
    host: str = "127.0.0.1"
    max_model_len: int | None = None
    python: str | None = None
    """The interpreter that has vLLM; by default $SCRIPTORIUM_TEACHER_PYTHON, then this one."""
    extra: tuple[str, ...] = ()
    """More arguments for vLLM."""

    @property
    def is_directory(self) -> bool:
        """Whether `model` is a directory here."""
        return Path(self.model).is_dir()

    def teacher(self) -> Teacher:
        """The model and its revision; for a directory this reads all its files.

        Raises:
            ConfigError: The directory holds no model.
        """
        name = self.name or (Path(self.model).resolve().name if self.is_directory else self.model)
        if self.revision:
            return Teacher(name, self.revision)
        if self.is_directory:
            return Teacher(name, directory_revision(Path(self.model)))
        _log.warning("%s has no pinned revision: give --revision, or a directory", self.model)
        return Teacher(name, UNPINNED)

    def command(self, teacher: Teacher, port: int) -> list[str]:
        """The argument vector."""
        names = [teacher.model]
        if teacher.revision != UNPINNED:
            names.append(teacher.name)
        command = [self.interpreter(), "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", self.model, "--host", self.host, "--port", str(port)]
        command += ["--served-model-name", *names]
        if self.revision and not self.is_directory:
            command += ["--revision", self.revision]
        if self.max_model_len:
            command += ["--max-model-len", str(self.max_model_len)]
        if not has_gpu():
            command += ["--dtype", "float32", "--enforce-eager"]
            # vLLM 0.32 dies on a CPU when a prompt with a sampling seed is prefilled in chunks:
            # it rewinds a generator that, on a CPU, has no offset.
            command += ["--no-enable-chunked-prefill"]
            # A small model fills its JSON with blanks up to the token limit if it may.
            compact = {"backend": "xgrammar", "disable_any_whitespace": True}
            command += ["--structured-outputs-config", json.dumps(compact)]
        return [*command, *self.extra]

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with what vLLM needs; what a person has set stays."""
        defaults = {"VLLM_NO_USAGE_STATS": "1"}
        if self.is_directory:
            defaults["HF_HUB_OFFLINE"] = "1"
        if not has_gpu():
            cores = str(len(os.sched_getaffinity(0)))
            defaults |= {"OMP_NUM_THREADS": cores, "KMP_BLOCKTIME": "1"}
            defaults |= {"VLLM_CPU_KVCACHE_SPACE": "2"}
        return {**defaults, **base}

    def interpreter(self) -> str:
        """The Python that has vLLM."""
        return self.python or os.environ.get(PYTHON_VARIABLE) or sys.executable

    def check(self) -> None:
        """Refuse early what cannot start.

        Raises:
            ConfigError: No such directory, no such interpreter, or no vLLM in it.
        """
        looks_local = self.model.startswith((".", "/", "~")) or self.model.count("/") > 1
        if looks_local and not self.is_directory:
            raise ConfigError(f"no model directory at {self.model}")
        python = self.interpreter()
        if shutil.which(python) is None:
            raise ConfigError(f"no Python at {python}: fix --python or ${PYTHON_VARIABLE}")
        probe = "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"
        if subprocess.run([python, "-c", probe], check=False, capture_output=True).returncode:
            raise ConfigError(
                f"{python} has no vllm: name one that has by --python or ${PYTHON_VARIABLE}"
            )


def has_gpu() -> bool:
    """Whether this machine has a GPU that vLLM could use."""
    return any(Path(device).exists() for device in _GPU_DEVICES)


def directory_revision(directory: Path) -> str:
    """The first 12 hex digits of a digest over the names and contents of a model's files.

    Raises:
        ConfigError: The directory holds no model.
    """
    files = sorted(p for p in directory.iterdir() if p.is_file() and p.suffix in _MODEL_FILES)
    if not any(p.name == "config.json" for p in files):
        raise ConfigError(f"{directory} is no model directory: it has no config.json")
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.name} {digest}\n".encode())
    return whole.hexdigest()[:12]


def split_extra(arguments: Sequence[str]) -> tuple[str, ...]:
    """Arguments for vLLM itself, which may not fight with ours.

    Raises:
        ConfigError: One of them is set by this command.
    """
    ours = {"--model", "--port", "--host", "--served-model-name", "--max-model-len", "--revision"}
    for argument in arguments:
        if argument.partition("=")[0] in ours:
            raise ConfigError(f"give {argument.partition('=')[0]} before the `--`, not after")
    return tuple(arguments)
