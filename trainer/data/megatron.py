"""A phase as a dataset of megatron-core, for its stock builder and for what reads GPTDataset.

    blend = (["manifest://<ref>#<phase>"], None)

The root is in the environment (SCRIPTORIUM_ROOT), the cache is the configuration's `path_to_cache`.
Unlike GPTDataset it builds no index, whatever the number of samples.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from megatron.core.datasets.gpt_dataset import GPTDatasetConfig
from megatron.core.datasets.megatron_dataset import MegatronDataset
from megatron.core.datasets.utils import Split

from manifests.errors import ConfigError
from manifests.objects.manifest import Manifest
from manifests.objects.refs import Refs
from manifests.store import open_store
from trainer.data.batch import torch_batch
from trainer.data.samples import Located, PhaseData

if TYPE_CHECKING:
    from torch import Tensor

ROOT_VARIABLE = "SCRIPTORIUM_ROOT"
SCHEME = "manifest://"
_TOGETHER = 512
"""Positions that are located at once."""


class ManifestDataset(MegatronDataset):  # type: ignore[misc]  # megatron has no types
    """The samples of a phase, by position, under GPTDataset's field names.

    `cu_seqlens` is filled up to L + 1 entries with L, as GPTDataset has it since
    NVIDIA/Megatron-LM#5298, so that samples can be stacked.

    Raises:
        ConfigError: The configuration is not that of the phase, or asks for more than it has.
    """

    def __init__(
        self,
        dataset: PhaseData,
        dataset_path: str | None,
        indices: Any,
        num_samples: int | None,
        index_split: Split,
        config: GPTDatasetConfig,
    ) -> None:
        super().__init__(dataset, dataset_path, indices, num_samples, index_split, config)
        _refuse_other_samples(dataset, indices, num_samples, config)
        self._block: tuple[int, Located] | None = None

    @staticmethod
    def numel_low_level_dataset(low_level_dataset: PhaseData) -> int:
        """One: what a split would cut. A phase is a split of its own."""
        return 1

    @staticmethod
    def build_low_level_dataset(dataset_path: str, config: GPTDatasetConfig) -> PhaseData:
        """The samples that `manifest://<ref>#<phase>` names."""
        ref, mark, phase = dataset_path.removeprefix(SCHEME).partition("#")
        if not (dataset_path.startswith(SCHEME) and mark and phase):
            raise ConfigError(f"{dataset_path}: give {SCHEME}<ref>#<phase>")
        if not (root := os.environ.get(ROOT_VARIABLE)):
            raise ConfigError(f"{dataset_path}: set {ROOT_VARIABLE} to where the data lies")
        if not config.path_to_cache:
            raise ConfigError(f"{dataset_path}: set path_to_cache to a folder of this machine")
        store = open_store(root)
        manifest = Manifest(store, Refs(store).resolve(ref).digest)
        return PhaseData(manifest, phase, Path(config.path_to_cache))

    def __len__(self) -> int:
        return self.dataset.samples  # type: ignore[no-any-return]

    def __getitem__(self, idx: int | None) -> dict[str, "Tensor"]:
        """A sample; for None one that nothing is learned of, to fill up a batch with."""
        batch = self.dataset.assemble(self._located(idx or 0))
        tensors = torch_batch(batch)
        found = {
            name: tensors[name][0]
            for name in ("tokens", "labels", "loss_mask", "position_ids", "max_seqlen")
        }
        length = found["tokens"].shape[0]
        found["cu_seqlens"] = tensors["cu_seqlens"].new_full((length + 1,), length)
        found["cu_seqlens"][: batch.cu_seqlens.shape[1]] = tensors["cu_seqlens"][0]
        if idx is None:
            found["loss_mask"] = found["loss_mask"] * 0
        if self.config.create_attention_mask:
            found["attention_mask"] = _dense(found["cu_seqlens"], length)
        return found

    def _located(self, index: int) -> Located:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        first = index - index % _TOGETHER
        if self._block is None or self._block[0] != first:
            stop = min(first + _TOGETHER, len(self))
            self._block = first, self.dataset.locate(np.arange(first, stop, dtype=np.int64))
        block, at = self._block[1], slice(index - first, index - first + 1)
        return Located(
            positions=block.positions[at], shard=block.shard[at], offset=block.offset[at]
        )


def _dense(cu_seqlens: "Tensor", length: int) -> "Tensor":
    """Bool [1, L, L], True where it is forbidden: later places, and other segments."""
    import torch

    place = torch.arange(length)
    segment = torch.searchsorted(cu_seqlens.long(), place, right=True)
    return ((segment[:, None] != segment[None, :]) | (place[None, :] > place[:, None]))[None]


def _refuse_other_samples(
    data: PhaseData, indices: Any, num_samples: int | None, config: GPTDatasetConfig
) -> None:
    name, length = f"phase {data.phase.name}", data.phase.sequence_length
    if config.sequence_length != length:
        raise ConfigError(
            f"sequence_length = {config.sequence_length}: {name} has windows of {length}"
        )
    if not len(indices):
        raise ConfigError(
            f'{name} cannot be split: give split="1,0,0", or blend_per_split with a phase each'
        )
    if num_samples is not None and num_samples > data.samples:
        raise ConfigError(f"{num_samples:,} samples are asked for: {name} has {data.samples:,}")
