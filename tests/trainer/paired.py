"""A small manifest of pairs: responses and single tokens, planted so that they can be learned."""

from pathlib import Path

from manifests.cli.building import make_plan, publish_plan
from manifests.objects.manifest import Manifest
from manifests.store import Store
from tests.manifests.tokened import Made, chat, response_pair, token_pair, token_step

LENGTH = 128
RESPONSES, TOKENS = 24, 16

SPEC = """\
schema = "scriptorium.mixture/1"
name = "pairs"
seed = 7

[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256

[sources.judged]
from = "judged_tokens@1"

[sources.unknown]
from = "unknown_tokens@1"

[sources.pivotal]
from = "pivotal_tokens@1"

[sources.chat]
from = "chat_tokens@1"

[phases.sft]
sequence_length = 128
global_batch = 4
layout = "document"

[phases.sft.mix]
chat = { epochs = 1 }

[phases.sft.train]
loss = "assistant"
learning_rate = 1e-3

[phases.dpo1]
after = "sft"
sequence_length = 128
global_batch = 4
layout = "document"
unit = "samples"

[phases.dpo1.mix]
pivotal = { epochs = 2 }
unknown = { epochs = 1 }

[phases.dpo1.train]
loss = "pivotal"
first_tokens = 5
first_tokens_of = "unknown"
learning_rate = 1e-3

[phases.dpo2]
after = "dpo1"
sequence_length = 128
global_batch = 4
layout = "document"
unit = "samples"

[phases.dpo2.mix]
judged = { epochs = 3 }

[phases.dpo2.train]
loss = "dpo"
learning_rate = 1e-3
"""


def judged() -> list[Made]:
    return [
        response_pair(f"judged/{n}", f"What is {n} and {n}?", f"It is {2 * n}.", "Who knows?")
        for n in range(RESPONSES)
    ]


def unknown() -> list[Made]:
    return [
        response_pair(f"unknown/{n}", f"Who wrote book {n}?", "I do not know.", f"Mr {n} did it.")
        for n in range(8)
    ]


def pivotal() -> list[Made]:
    return [
        token_pair(f"pivotal/{n}", f"Is {n} even?", "That is ", "y", "n") for n in range(TOKENS)
    ]


def chats() -> list[Made]:
    return [
        chat(f"chat/{n}", ("user", f"Say {n}."), ("assistant", f"I say {n}.")) for n in range(8)
    ]


def pair_manifest(store: Store, folder: Path, spec: str = SPEC) -> Manifest:
    """The manifest of these pairs, in several shards, built and published."""
    responses = judged()
    token_step(store, "judged_tokens", responses[:10], responses[10:], index=True)
    token_step(store, "unknown_tokens", unknown(), index=True)
    tokens = pivotal()
    token_step(store, "pivotal_tokens", tokens[:5], tokens[5:], index=True)
    token_step(store, "chat_tokens", chats(), index=True)
    file = folder / "pairs.toml"
    file.write_text(spec)
    planned = make_plan(store, file)
    publish_plan(store, planned, "", None)
    return Manifest(store, planned.digest)
