"""From the facts of a phase to its objective."""

from collections.abc import Mapping

from manifests.errors import ConfigError
from trainer.losses.language_model import LanguageModel
from trainer.losses.objective import Objective

Facts = Mapping[str, str | int | float | bool]


def objective(train: Facts) -> Objective:
    """The objective that `train.loss` names; `language_model` where it names none.

    Raises:
        ConfigError: There is none of that name, or a fact is not one of it.
    """
    name = str(train.get("loss", "language_model"))
    if name in ("language_model", "assistant"):
        return LanguageModel(name=name, z_loss=float(train.get("z_loss", 0.0)))
    raise ConfigError(
        f"train.loss = {name!r}: there is no such objective; one of language_model, assistant,"
        " dpo, pivotal"
    )
