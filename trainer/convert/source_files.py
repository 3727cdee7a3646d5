"""A Hugging Face directory to read weights from: safetensors, one file or several with an index."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from manifests.errors import ConfigError, DataError
from trainer.convert.parts import Part
from trainer.convert.safetensors_files import INDEX


class SourceFiles:
    """The weights in a directory.

    Raises:
        ConfigError: There are none that can be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, Any] = {}
        self._files = self._listed()

    def _listed(self) -> dict[str, str]:
        """Files by name of tensor."""
        index = self.folder / INDEX
        if index.is_file():
            try:
                return dict(json.loads(index.read_bytes())["weight_map"])
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{index}: not an index of weights; copy it again") from error
        name = "model.safetensors"
        if not (self.folder / name).is_file():
            raise ConfigError(
                f"{self.folder}: no {name} and no {INDEX}; give a directory that transformers'"
                " save_pretrained has written"
            )
        return dict.fromkeys(self._opened(name).keys(), name)

    def check(self, expected: list[Part]) -> None:
        """Raise ConfigError unless these are the tensors, in their shapes."""
        names = {part.name for part in expected}
        for title, found in (
            ("has no", sorted(names - self._files.keys())),
            ("has, beyond the configuration,", sorted(self._files.keys() - names)),
        ):
            if found:
                more = f" and {len(found) - 1} more" if len(found) > 1 else ""
                raise ConfigError(f"{self.folder}: {title} {found[0]}{more}; another kind of model")
        for part in expected:
            shape = tuple(self._slice(part.name).get_shape())
            if shape != part.shape:
                raise ConfigError(
                    f"{self.folder}: {part.name} is {_by(shape)}, and {_by(part.shape)} by the"
                    " configuration; give the --config of this model"
                )

    @cached_property
    def dtype(self) -> torch.dtype:
        """Of the first tensor."""
        found: torch.dtype = self._slice(next(iter(self._files)))[:1].dtype
        return found

    def read(self, part: Part) -> torch.Tensor:
        """A tensor as it was saved."""
        return self._slice(part.name)[:]

    def _slice(self, name: str) -> Any:
        file = self._files[name]
        try:
            return self._opened(file).get_slice(name)
        except SafetensorError as error:
            raise DataError(f"{self.folder / file}: no tensor {name}; copy it again") from error

    def _opened(self, name: str) -> Any:
        if name not in self._open:
            try:
                self._open[name] = safe_open(self.folder / name, framework="pt")
            except (SafetensorError, OSError) as error:
                raise DataError(
                    f"{self.folder / name}: not a safetensors file ({error})"
                ) from error
        return self._open[name]


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
