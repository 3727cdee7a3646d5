"""What a model is, read from TOML: one of `trainer/configs/`, or a file of the user's own.

`[model]` is the shape, `[training]` what a phase trains with where its manifest does not say; its
names are those of a manifest's facts. Every key is known and checked, so that a misspelt one is an
error here and not a default later.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self

from manifests.errors import ConfigError
from manifests.fingerprint import fingerprint
from manifests.spec.facts import TRAIN, Fact
from manifests.spec.form import FLAG, NUMBER, Key, Place, Table, nearest, one_of, parsed, whole

SHIPPED = Path(__file__).parents[1] / "configs"
IN_TRAINING = (
    *("learning_rate", "min_learning_rate", "schedule", "warmup_steps", "decay_steps"),
    *("optimizer", "weight_decay", "beta1", "beta2", "epsilon", "clip_grad"),
    *("z_loss", "recompute"),
)
"""The facts that `[training]` may set."""


PRECISIONS = ("bf16", "fp32")


class Recompute(StrEnum):
    """Which activations are computed again in the backward pass instead of kept."""

    NONE = "none"
    SELECTIVE = "selective"
    """Those inside attention, whose size grows with the square of the window."""
    FULL = "full"
    """All but the input of each layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder as phi-4's: RMSNorm, SwiGLU, grouped queries, rotary positions, no biases.

    Raises:
        ConfigError: The numbers do not go together.
    """

    layers: int
    hidden: int
    ffn: int
    """Width of each of the two halves of the gated layer."""
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int | None = None
    """Ids; None: as many as the tokenizer has."""
    vocabulary_multiple: int = 128
    """Rows of the embedding are filled up to a multiple of it, so that they divide over ranks."""
    norm_epsilon: float = 1e-5
    init_std: float = 0.02
    dropout: float = 0.0
    tied: bool = False
    """One matrix for embedding and output."""
    precision: str = "bf16"
    rope_base: float = 10_000.0
    """Where a phase does not give one."""

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ConfigError(
                f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}:"
                " every key and value head serves the same number of queries"
            )
        if self.head_dim % 2:
            raise ConfigError(f"head_dim {self.head_dim} is odd; rotary positions turn pairs")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout {self.dropout:g} is not a number from 0 to below 1")
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision {self.precision!r} is not built here; one of {', '.join(PRECISIONS)}"
            )
        for name in ("norm_epsilon", "init_std", "rope_base"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} {getattr(self, name):g} is not above 0")

    @property
    def rows(self) -> int:
        """Of the embedding: the vocabulary, filled up."""
        if self.vocabulary is None:
            raise ConfigError("the model has no vocabulary yet; it comes from the tokenizer")
        return -(-self.vocabulary // self.vocabulary_multiple) * self.vocabulary_multiple

    def with_vocabulary(self, ids: int) -> Self:
        """For a tokenizer with so many ids, the special ones counted.

        Raises:
            ConfigError: The configuration has fewer.
        """
        if self.vocabulary is None:
            return replace(self, vocabulary=ids)
        if ids > self.vocabulary:
            raise ConfigError(
                f"the tokenizer has {ids:,} ids and the model a vocabulary of"
                f" {self.vocabulary:,}; raise [model] vocabulary or leave it out"
            )
        return self

    def with_facts(self, facts: Mapping[str, Fact]) -> Self:
        """As a phase's facts have it: `precision`, `dropout` and `rope_base`."""
        mine = ("precision", "dropout", "rope_base")
        return replace(self, **{name: facts[name] for name in mine if name in facts})  # type: ignore[arg-type]  # read and checked by the spec

    def digest(self) -> str:
        """Of the weights' shapes and what is computed with them: what two checkpoints that can go
        on from each other share. Precision, dropout and rotary base may change between phases.
        """
        shape = asdict(self)
        for name in ("precision", "dropout", "rope_base", "init_std", "vocabulary_multiple"):
            del shape[name]
        return fingerprint({**shape, "vocabulary": self.vocabulary, "rows": self.rows})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What holds where a phase of a manifest does not say."""

    micro_batch: int = 1
    """Samples of a rank that go through the model at once."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """Under the names of a phase's facts, which go before these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A file of `trainer/configs`."""

    name: str
    model: ModelConfig
    training: TrainingConfig


_MODEL: tuple[Key[object], ...] = (
    Key("layers", whole(1), "Decoder layers."),
    Key("hidden", whole(1), "Width of the residual stream."),
    Key("ffn", whole(1), "Width of the gated layer."),
    Key("heads", whole(1), "Query heads."),
    Key("kv_heads", whole(1), "Key and value heads."),
    Key("head_dim", whole(2), "Width of a head."),
    Key("vocabulary", whole(1), "Ids; without it those of the tokenizer."),
    Key("vocabulary_multiple", whole(1), "What rows of the embedding are filled up to."),
    Key("norm_epsilon", NUMBER, "Of RMSNorm."),
    Key("init_std", NUMBER, "Standard deviation of new weights."),
    Key("dropout", NUMBER, "After attention and after each block."),
    Key("tied", FLAG, "One matrix for embedding and output."),
    Key("precision", one_of(*PRECISIONS), "Of weights and computation."),
    Key("rope_base", NUMBER, "Base of the rotary positions, where a phase gives none."),
)
_NEEDED = frozenset(f.name for f in fields(ModelConfig) if f.default is MISSING)
_MICRO_BATCH = Key("micro_batch", whole(1), "Samples of a rank at once.")
_TRAINING: tuple[Key[object], ...] = (
    _MICRO_BATCH,
    *(key for key in TRAIN if key.name in IN_TRAINING),
)
_PART = one_of("model", "training")


def shipped() -> list[str]:
    """Names of the configurations that come along."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def read_config(name: str) -> Config:
    """A shipped configuration by its name, or a file by its path, which ends in `.toml`.

    Raises:
        ConfigError: There is none, or it is not right; one line.
    """
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    if path.parent == SHIPPED and path.stem not in shipped():
        hint = nearest(path.stem, shipped(), "shipped are")
        raise ConfigError(f"no configuration {name!r}; {hint}, or give the path of a .toml file")
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read it: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {' '.join(str(error).split())}") from error
    place = Place(str(path))
    for part in value:
        parsed(_PART, part, place)
    return Config(
        name=path.stem,
        model=_model(value.get("model"), place.at("model")),
        training=_training(value.get("training", {}), place.at("training")),
    )


def _model(value: object, place: Place) -> ModelConfig:
    if value is None:
        raise place.error("the table is missing")
    found = _read(value, _MODEL, place)
    for name in sorted(_NEEDED - found.keys()):
        raise place.error(f"{name} is missing; write a whole number")
    try:
        return ModelConfig(**found)  # type: ignore[arg-type]  # each was read by its key's form
    except ConfigError as error:
        raise place.error(str(error)) from None


def _training(value: object, place: Place) -> TrainingConfig:
    found = _read(value, _TRAINING, place)
    micro_batch = int(str(found.pop(_MICRO_BATCH.name, 1)))
    return TrainingConfig(micro_batch=micro_batch, facts=found)  # type: ignore[arg-type]  # each was read by its key's form


def _read(value: object, keys: tuple[Key[object], ...], place: Place) -> dict[str, object]:
    table = Table(value, keys, place)
    return {key.name: table.need(key) for key in keys if table.given([key])}
