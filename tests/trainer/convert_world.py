"""A manifest of two phases, and a model whose every size is another, for tests of conversion."""

from pathlib import Path

from manifests.cli.building import make_plan, publish_plan
from manifests.resolve.types import ORDER
from manifests.store import open_store
from tests.manifests.tokened import END, chat, texts, token_step
from trainer.loop.state import State, write_state
from trainer.model.config import ModelConfig, read_config

VOCABULARY, LENGTH, ROPE_BASE = 257, 64, 20_000

SPEC = f"""\
schema = "scriptorium.mixture/1"
name = "small"
seed = 7

[tokenizer]
name = "utf8-bytes@1"
end_of_document = {END}

[sources.web]
from = "web_tokens@1"

[sources.talk]
from = "talk_tokens@1"

[phases.pretrain]
tokens = "1K"
sequence_length = {LENGTH}
global_batch = 8
mix = {{ web = "100%" }}

[phases.pretrain.train]
rope_base = {ROPE_BASE}

[phases.sft]
after = "pretrain"
sequence_length = 32
global_batch = 2
layout = "document"
mix = {{ talk = {{ epochs = 1 }} }}

[phases.sft.train]
loss = "assistant"
"""
MODEL = """\
[model]
layers = 4
hidden = 48
ffn = 96
heads = 6
kv_heads = 2
head_dim = 16
init_std = 0.1
tied = {tied}
precision = "{precision}"
"""


def publish(root: Path) -> str:
    """A store with the manifest; its digest."""
    store = open_store(str(root))
    token_step(store, "web_tokens", texts("web", 60), index=True)
    said = [chat(f"talk/{n}", ("user", "a" * n), ("assistant", "b" * n)) for n in range(1, 5)]
    token_step(store, "talk_tokens", said, index=True)
    spec = root / "small.toml"
    spec.write_text(SPEC)
    planned = make_plan(store, spec)
    publish_plan(store, planned, "", None)
    return planned.digest


def model_file(folder: Path, *, tied: bool = False, precision: str = "fp32") -> Path:
    """A configuration of one's own."""
    path = folder / f"{'tied' if tied else 'untied'}-{precision}.toml"
    path.write_text(MODEL.format(tied=str(tied).lower(), precision=precision))
    return path


def model_of(file: Path) -> ModelConfig:
    """Its model, with the vocabulary of the manifest's tokenizer."""
    return read_config(str(file)).model.with_vocabulary(VOCABULARY)


def describe(path: Path, file: Path, manifest: str, phase: str = "pretrain") -> None:
    """Make tensors in a directory a checkpoint."""
    model = model_of(file)
    state = State(
        manifest=manifest,
        phase=phase,
        segment=0,
        step=5,
        position=40,
        tokens=40 * LENGTH,
        order=ORDER,
        model=model.digest(),
        model_name=file.stem,
        vocabulary=VOCABULARY,
        loss="language_model",
        precision=model.precision,
        seed=1,
        distributed_optimizer=False,
    )
    write_state(path, state)
