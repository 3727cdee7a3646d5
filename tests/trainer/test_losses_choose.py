import numpy as np
import pytest

from manifests.errors import ConfigError
from trainer.losses.choose import BETA, needs_reference, objective
from trainer.losses.language_model import LanguageModel
from trainer.losses.preference import Preference
from trainer.losses.reference import Reference

NO_PAIRS = Reference(
    index=np.zeros(0, np.int64), values=np.zeros((0, 2), np.float32), limited=np.zeros(0, np.bool_)
)


def test_a_phase_without_a_loss_learns_all_text() -> None:
    assert objective({}) == LanguageModel(name="language_model")
    assert not needs_reference({"rope_base": 1e4})


def test_the_facts_reach_the_objective() -> None:
    assert objective({"loss": "assistant", "z_loss": 1e-4}) == LanguageModel(
        name="assistant", z_loss=1e-4
    )
    chosen = objective({"loss": "dpo", "dpo_beta": 0.3, "label_smoothing": 0.1}, NO_PAIRS)
    assert chosen == Preference(name="dpo", beta=0.3, label_smoothing=0.1, pairs=NO_PAIRS)
    assert objective({"loss": "pivotal"}, NO_PAIRS) == Preference(
        name="pivotal", beta=BETA, pairs=NO_PAIRS
    )


def test_an_unknown_loss_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"train\.loss = 'mse'.*language_model, assistant"):
        objective({"loss": "mse"})


def test_a_fact_of_another_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.dpo_beta is about the losses dpo and pivotal"):
        objective({"dpo_beta": 0.1})
    with pytest.raises(ConfigError, match=r"train\.z_loss is about the losses language_model and"):
        objective({"loss": "dpo", "z_loss": 0.1}, NO_PAIRS)


def test_smoothing_that_would_turn_the_pairs_round_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"below 0\.5"):
        objective({"loss": "dpo", "label_smoothing": 0.5}, NO_PAIRS)
