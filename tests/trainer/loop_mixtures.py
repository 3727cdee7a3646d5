"""A small root with four phases to train, and manifests of it; one of them is held out."""

from pathlib import Path

from manifests.build.build import build
from manifests.build.rebase import Point, rebase
from manifests.objects.manifest import Manifest, write_root
from manifests.objects.refs import Refs
from manifests.objects.tree import Objects
from manifests.spec.read import parse_mixture
from manifests.store import Store, open_store
from tests.manifests.tokened import chat, response_pair, texts, token_step

SPEC = """
schema = "scriptorium.mixture/1"
name = "{name}"
seed = 3
tokenizer = {{ name = "utf8-bytes@1", end_of_document = 256 }}
[sources]
web = {{ from = "web_tokens@1", max_epochs = 90 }}
book = {{ from = "book_tokens@1", max_epochs = 90 }}
chat = {{ from = "chat_tokens@1", max_epochs = 90 }}
pair = {{ from = "pair_tokens@1" }}
[phases.pretrain]
tokens = "{tokens}"
sequence_length = 16
global_batch = 8
mix = {{ web = "75%", book = "25%" }}
train = {{ learning_rate = {rate}, warmup_steps = 2, schedule = "linear" }}
[phases.midtrain]
after = "pretrain"
tokens = "256"
sequence_length = 32
global_batch = 4
mix = {{ web = "100%" }}
train = {{ learning_rate = 3e-4, rope_base = 250_000, optimizer_state = "keep" }}
[phases.sft]
after = "midtrain"
tokens = "512"
sequence_length = 64
global_batch = 4
layout = "document"
mix = {{ chat = "100%" }}
train = {{ learning_rate = 1e-4, loss = "assistant" }}
[phases.dpo]
after = "sft"
sequence_length = 64
global_batch = 4
layout = "document"
unit = "samples"
mix = {{ pair = {{ epochs = 1 }} }}
train = {{ learning_rate = 1e-4, loss = "dpo" }}
"""
HELD = """
schema = "scriptorium.mixture/1"
name = "{name}"
seed = 4
tokenizer = {{ name = "utf8-bytes@1", end_of_document = 256 }}
[sources]
web = {{ from = "{step}_tokens@1", max_epochs = 90, where = {{ lang = "{lang}" }} }}
[phases.held]
tokens = "512"
sequence_length = 32
global_batch = 4
mix = {{ web = "100%" }}
"""
RATE = 3e-3
STEPS = 12
"""Of the phase `pretrain`."""


def make_root(path: Path) -> Store:
    """Token steps of texts, chats and pairs, and the manifest `tiny` of them."""
    store = open_store(str(path))
    token_step(store, "web_tokens", texts("web", 80), texts("more", 40, seed=5), index=True)
    token_step(store, "book_tokens", texts("book", 40, seed=7), index=True)
    token_step(store, "held_tokens", texts("held", 20, seed=8), index=True)
    chats = [chat(f"c{i}", ("user", "ab" * 3), ("assistant", f"hello {i}")) for i in range(24)]
    token_step(store, "chat_tokens", chats, index=True)
    pairs = [response_pair(f"p{i}", "ab" * 2, f"yes {i}", "no") for i in range(8)]
    token_step(store, "pair_tokens", pairs, index=True)
    publish(store, "tiny")
    publish_held(store, "held")
    return store


def publish(store: Store, name: str, tokens: int = 16 * 8 * STEPS, rate: float = RATE) -> Manifest:
    """A manifest under a name."""
    objects = Objects(store)
    spec = parse_mixture(SPEC.format(name=name, tokens=tokens, rate=rate), "it")
    return _named(store, name, write_root(objects, build(store, spec, objects)))


def publish_held(store: Store, name: str, step: str = "held", lang: str = "en") -> Manifest:
    """A held-out manifest under a name, of what one step has in a language."""
    objects = Objects(store)
    spec = parse_mixture(HELD.format(name=name, step=step, lang=lang), "it")
    return _named(store, name, write_root(objects, build(store, spec, objects)))


def publish_rebased(store: Store, name: str, manifest: Manifest, step: int) -> Manifest:
    """The manifest with a longer `pretrain` from this step on."""
    spec = parse_mixture(SPEC.format(name=name, tokens=2 * 16 * 8 * STEPS, rate=RATE), "it")
    at = Point(phase="pretrain", step=step)
    return _named(store, name, rebase(store, manifest, spec, at, Objects(store)).digest)


def _named(store: Store, name: str, digest: str) -> Manifest:
    at = "2026-01-01T00:00:00+00:00"
    Refs(store).publish(name, digest, message="", author="", at=at, spec=None, expected="")
    return Manifest(store, digest)
