"""The teacher that comes with the project: a small model and a vLLM that runs on any CPU."""

from pathlib import Path

from infra.setup.environments import place
from infra.setup.models import model_place
from manifests.errors import ConfigError

MAX_MODEL_LEN = 4096


def packaged() -> tuple[Path, Path]:
    """The packaged model's directory and the Python that has vLLM.

    Raises:
        ConfigError: They have not been set up here.
    """
    model, python = model_place(), place("teacher") / "bin" / "python"
    if not model.is_dir() or not (place("teacher") / "complete").exists():
        raise ConfigError("no packaged teacher here: run `make setup-teacher`, or give --model")
    return model, python
