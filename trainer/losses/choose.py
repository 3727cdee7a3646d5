"""From the facts of a phase to its objective."""

from collections.abc import Mapping

from manifests.errors import ConfigError
from trainer.losses.language_model import LanguageModel
from trainer.losses.objective import Objective
from trainer.losses.preference import Pairs, Preference

Facts = Mapping[str, str | int | float | bool]

BETA = 0.1
"""Where a phase does not say `dpo_beta`: the report gives none; Rafailov et al. 2023 and TRL."""

_LANGUAGE_MODEL = frozenset({"z_loss"})
_PREFERENCE = frozenset(
    {"dpo_beta", "label_smoothing", "reference", "first_tokens", "first_tokens_of"}
)
FACTS: Mapping[str, frozenset[str]] = {
    "language_model": _LANGUAGE_MODEL,
    "assistant": _LANGUAGE_MODEL,
    "dpo": _PREFERENCE,
    "pivotal": _PREFERENCE,
}
"""Of each objective the facts that are about it."""


def needs_reference(train: Facts) -> bool:
    """Whether the phase learns from pairs, and so needs the reference's log probabilities."""
    return loss_of(train) in ("dpo", "pivotal")


def loss_of(train: Facts) -> str:
    """The name of the objective; `language_model` where the facts name none.

    Raises:
        ConfigError: There is none of that name, or a fact is about another one.
    """
    name = str(train.get("loss", "language_model"))
    if name not in FACTS:
        raise ConfigError(
            f"train.loss = {name!r}: there is no such objective; one of {', '.join(FACTS)}"
        )
    foreign = frozenset().union(*FACTS.values()) & train.keys() - FACTS[name]
    if foreign:
        fact = min(foreign)
        owners = " and ".join(owner for owner, facts in FACTS.items() if fact in facts)
        raise ConfigError(
            f"train.{fact} is about the losses {owners}, and train.loss = {name!r}: leave one out"
        )
    return name


def objective(train: Facts, pairs: Pairs | None = None) -> Objective:
    """The objective that the facts of a phase ask for.

    `pairs` is what `trainer.losses.reference.open_reference` gives, where `needs_reference`.

    Raises:
        ConfigError: As `loss_of`, or a fact has no value that makes sense.
    """
    name = loss_of(train)
    if name in ("language_model", "assistant"):
        return LanguageModel(name=name, z_loss=float(train.get("z_loss", 0.0)))
    if pairs is None:
        raise ValueError(f"the objective {name} needs the reference's log probabilities")
    smoothing = float(train.get("label_smoothing", 0.0))
    if not 0 <= smoothing < 0.5:
        raise ConfigError(
            f"train.label_smoothing = {smoothing:g} of {name}: the part of the pairs that are the"
            " wrong way round has to be below 0.5"
        )
    beta = float(train.get("dpo_beta", BETA))
    return Preference(name=name, beta=beta, label_smoothing=smoothing, pairs=pairs)
