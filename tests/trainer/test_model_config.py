from pathlib import Path

import pytest

from manifests.errors import ConfigError
from trainer.loop.settings import Settings
from trainer.model.config import IN_TRAINING, ModelConfig, read_config, shipped
from trainer.model.parallel import Parallel
from trainer.model.parameters import embeddings, parameters

SMALL = """\
[model]
layers = 2
hidden = 64
ffn = 224
heads = 4
kv_heads = 2
head_dim = 16
"""


def read(folder: Path, text: str) -> ModelConfig:
    file = folder / "mine.toml"
    file.write_text(text)
    return read_config(str(file)).model


def test_phi4_has_the_published_number_of_parameters() -> None:
    config = read_config("phi4_14b").model
    # By hand, from the shapes of the published weights.
    layer = 5120 * (40 + 2 * 10) * 128 + 5120 * 5120 + 3 * 5120 * 17_920 + 2 * 5120
    assert parameters(config) == 2 * 100_352 * 5120 + 40 * layer + 5120 == 14_659_507_200


@pytest.mark.parametrize(("name", "count"), [("125m", 125e6), ("1b", 1e9)])
def test_the_names_of_configurations_are_true(name: str, count: float) -> None:
    config = read_config(name).model
    assert config.rows == 100_352
    assert parameters(config) == pytest.approx(count, rel=0.005)
    assert f"{parameters(config):,}" in Path(f"trainer/configs/{name}.toml").read_text()


def test_every_shipped_configuration_trains_without_facts_of_a_phase() -> None:
    assert shipped() == ["125m", "1b", "phi4_14b", "tiny"]
    for name in shipped():
        facts = read_config(name).training.facts
        assert facts["learning_rate"]
        assert set(facts) <= set(IN_TRAINING)
    assert set(IN_TRAINING) <= set(Settings.__slots__) | {"z_loss"}


def test_a_tied_embedding_counts_once(tmp_path: Path) -> None:
    one = read(tmp_path, SMALL + "vocabulary = 100\ntied = true\n")
    two = read(tmp_path, SMALL + "vocabulary = 100\n")
    assert one.rows == 128
    assert embeddings(two) == 2 * embeddings(one) == 2 * 128 * 64
    assert one.digest() != two.digest()


def test_a_vocabulary_comes_from_the_tokenizer_and_may_be_too_small(tmp_path: Path) -> None:
    open_one = read(tmp_path, SMALL)
    with pytest.raises(ConfigError, match="no vocabulary yet"):
        _ = open_one.rows
    assert open_one.with_vocabulary(257).rows == 384
    fixed = read(tmp_path, SMALL + "vocabulary = 300\n")
    assert fixed.with_vocabulary(257) == fixed
    with pytest.raises(ConfigError, match="301 ids and the model a vocabulary of 300"):
        fixed.with_vocabulary(301)


def test_facts_of_a_phase_go_before_the_file_and_leave_the_digest_alone(tmp_path: Path) -> None:
    config = read(tmp_path, SMALL + "vocabulary = 100\n")
    facts = {"rope_base": 250_000.0, "precision": "fp32", "dropout": 0.1, "learning_rate": 1.0}
    changed = config.with_facts(facts)
    assert (changed.rope_base, changed.precision, changed.dropout) == (250_000, "fp32", 0.1)
    assert changed.digest() == config.digest()
    with pytest.raises(ConfigError, match="precision 'fp8' is not built here; one of bf16, fp32"):
        config.with_facts({"precision": "fp8"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL + "hiden = 3\n", 'model: unknown key "hiden"; did you mean hidden?'),
        (SMALL.replace("64", '"64"'), 'model.hidden: "64" is not'),
        (SMALL.replace("kv_heads = 2", "kv_heads = 3"), "heads 4 is not a multiple of kv_heads 3"),
        (SMALL.replace("layers = 2\n", ""), "model: layers is missing; write a whole number"),
        (SMALL.replace("16", "15"), "head_dim 15 is odd"),
        (SMALL + "dropout = 1\n", "dropout 1 is not a number from 0 to below 1"),
        (SMALL + "init_std = 0\n", "init_std 0 is not above 0"),
        (SMALL + 'precision = "fp8"\n', "model.precision"),
        (SMALL + "[trainig]\n", '"trainig" is not known here; did you mean training?'),
        (SMALL + "[training]\nlearning_rate = -1\n", "training.learning_rate: -1 is not"),
        (SMALL + "[training]\nrope_base = 1\n", 'training: unknown key "rope_base"'),
        ("[training]\n", "model: the table is missing"),
        ("[model\n", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/mine.toml: ")
    assert "\n" not in str(error.value)


def test_a_name_that_is_not_shipped_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no configuration 'phi4_14'; did you mean phi4_14b\?"):
        read_config("phi4_14")
    with pytest.raises(ConfigError, match=r"gone/x\.toml: cannot read it: No such file"):
        read_config("gone/x.toml")


@pytest.mark.parametrize(
    ("world", "tensor", "pipeline", "message"),
    [
        (6, 4, 1, "6 ranks are not a multiple of tensor 4 x pipeline 1; start 4 ranks"),
        (4, 0, 1, "not a multiple of tensor 0"),
        (4, 4, 1, "heads 10 do not divide over tensor 4"),
        (8, 1, 8, "layers 12 do not divide over pipeline 8"),
    ],
)
def test_a_layout_that_does_not_fit_is_one_line(
    world: int, tensor: int, pipeline: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Parallel.of(world, tensor, pipeline, read_config("125m").model)


def test_what_is_left_over_are_copies() -> None:
    found = Parallel.of(16, 2, 4, read_config("125m").model)
    assert (found.tensor, found.pipeline, found.data, found.world) == (2, 4, 2, 16)
