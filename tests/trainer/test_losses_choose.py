import pytest

from manifests.errors import ConfigError
from trainer.losses.choose import objective


def test_a_phase_without_a_loss_learns_all_text() -> None:
    assert objective({}).name == "language_model"


def test_an_unknown_loss_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"train\.loss = 'mse'.*language_model, assistant"):
        objective({"loss": "mse"})
