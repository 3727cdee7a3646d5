"""The text of a first spec: from what is below a root, or from a mixture that is shipped."""

import json
import re
from collections.abc import Iterable
from importlib import resources

from manifests.cli.text import short
from manifests.commits import read_commits
from manifests.errors import ConfigError, DataError
from manifests.layout import tokens_file
from manifests.stats import Volume
from manifests.store import Store
from manifests.token_files import read_token_file
from manifests.tokenizers import ENDS, UTF8_BYTES, kept_tokenizer
from manifests.views.usable import Usable

LONGEST = 4096
"""Sequence length of phi-4's pretraining [R]."""
_SHORTEST = 8
_LARGEST_BATCH = 1024
_FEWEST = 16
"""Samples of the smallest source, and steps, that a first plan should have."""
_SCHEMA_LINE = re.compile(r"\A#:schema .*\n(#\n)?")
_TOKENIZER = re.compile(r'^name = "cl100k@[0-9a-f]{12}"', re.MULTILINE)


def templates() -> list[str]:
    """Names of the mixtures that are shipped."""
    folder = resources.files("manifests") / "mixtures"
    names = (file.name for file in folder.iterdir() if file.name.endswith(".toml"))
    return sorted(name.removesuffix(".toml") for name in names)


def from_template(name: str, tokenizer: str) -> str:
    """A shipped mixture, with this tokenizer in the place of phi-4's."""
    text = (resources.files("manifests") / "mixtures" / f"{name}.toml").read_text("utf-8")
    if tokenizer:
        text = _TOKENIZER.sub(f'name = "{tokenizer}"', text)
    return _SCHEMA_LINE.sub("", text)


def end_of_document(store: Store, tokenizer: str) -> tuple[int, str]:
    """The token that closes documents, and its text; 0 and nothing where none can be told."""
    if tokenizer == UTF8_BYTES:
        return 256, "the id after the 256 bytes"
    try:
        ids = kept_tokenizer(store, tokenizer).encoder(store).specials
    except (ConfigError, DataError):
        return 0, ""
    return next(((ids[end], end) for end in ENDS if end in ids), (0, ""))


def end_in_token_files(store: Store, steps: Iterable[str]) -> tuple[int, str] | None:
    """What closes documents in the first token file of these steps; None where there is none."""
    for step in steps:
        for commit in read_commits(store, step):
            if commit.tokens:
                key = tokens_file(step, commit.tokens[0].sha256)
                facts, _ = read_token_file(store.get(key), key)
                return facts.end_of_document, "as in the token files"
            if commit.row_type != "tokendocument":
                break
    return None


def from_steps(name: str, found: Usable, end: tuple[int, str]) -> str:
    """A source for each bucket, and one phase that takes each once."""
    buckets = found.buckets
    stream = {bucket: volume.tokens + volume.rows for bucket, volume in buckets.items()}
    length = _power_of_two(min(stream.values()) // _FEWEST, _SHORTEST, LONGEST)
    samples = sum(tokens // length for tokens in stream.values())
    batch = _power_of_two(samples // _FEWEST, 1, _LARGEST_BATCH)
    parts = [_head(name, found, end), *(_source(b, v, found) for b, v in buckets.items())]
    return "\n".join([*parts, _phase(stream, length, batch), *_left(found)])


def _power_of_two(number: int, low: int, high: int) -> int:
    """The largest that is at most `number`, within these ends."""
    return max(low, min(high, 1 << max(0, number.bit_length() - 1)))


def _head(name: str, found: Usable, end: tuple[int, str]) -> str:
    number, text = end
    closing = text or "EDIT: not found in the tokenizer; which token closes a document?"
    return f"""\
# A mixture of training data. All keys: docs/mixtures.md, or `manifest schema` for your editor.
schema = "scriptorium.mixture/1"
name = "{name}"
seed = 1 # another seed is another order of the same data

[tokenizer] # what the shards were counted with
name = {json.dumps(found.tokenizer, ensure_ascii=False)}
end_of_document = {number} # {closing}

# A source is a selection over committed steps. `where` may also ask for generator, source, licence,
# lang, tokens = {{ min = 64 }}, or scores; `except` leaves out what it names.
"""


def _source(bucket: str, volume: Volume, found: Usable) -> str:
    steps = [text for text, line in found.steps.items() if bucket in line.buckets]
    listed = json.dumps(steps[0] if len(steps) == 1 else sorted(steps))
    return f"""\
[sources.{bucket}] # {short(volume.tokens)} tokens in {volume.rows:,} documents
from = {listed}
where = {{ bucket = "{bucket}" }}
max_epochs = 4 # over all phases; more repeats teach little [RW: Muennighoff et al. 2023]
"""


def _phase(stream: dict[str, int], length: int, batch: int) -> str:
    total = sum(stream.values())
    width = max(map(len, stream))
    once = "\n".join(f"{bucket:{width}} = {{ epochs = 1 }}" for bucket in stream)
    shares = "\n".join(f'# {b:{width}} = "{share}"' for b, share in _shares(stream).items())
    return f"""\
[phases.pretrain] # {short(total)} tokens: everything once, in whole steps
sequence_length = {length}
global_batch = {batch} # samples of {length} tokens: {short(length * batch)} tokens a step

[phases.pretrain.mix]
{once}

# For a budget instead, write tokens = "{short(total)}" above, and shares here; by size they are
{shares}
"""


def _shares(stream: dict[str, int]) -> dict[str, str]:
    """Percentages with one decimal that sum to 100, each at least 0.1."""
    total = sum(stream.values())
    found = {bucket: max(1, tokens * 1000 // total) for bucket, tokens in stream.items()}
    found[max(stream, key=lambda bucket: stream[bucket])] += 1000 - sum(found.values())
    return {bucket: f"{tenths // 10}.{tenths % 10}%" for bucket, tenths in found.items()}


def _left(found: Usable) -> list[str]:
    if not found.left:
        return []
    lines = [f"#   {name}: {why}" for name, why in found.left]
    return ["\n".join(["# Steps that are not in here:", *lines, ""])]
