"""A phase as data for Megatron: `.bin` and `.idx` of each leaf, the blend, and arguments.

Megatron then reads exactly our documents in our proportions. The order is its own: it shuffles all
epochs of a source together, and begins every source anew where our phase goes on from an earlier
one. It cannot change a mix on the way either, so a phase with changes is exported segment by
segment, and it cuts every source as a stream.
"""

import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from manifests.errors import ConfigError, DataError
from manifests.export.folder import new_folder
from manifests.export.indexed import Batch, token_type, write_indexed
from manifests.export.names import file_name
from manifests.export.picks import COLUMNS, Pick, picks, read_picked
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase, Segment, Supply
from manifests.spec.types import Layout
from manifests.tokenizers import Tokenizer, kept_tokenizer

logger = logging.getLogger(__name__)

ENCODED = 4096
"""Documents that are held as text and lists of ids at once."""


def export_megatron(
    manifest: Manifest,
    phase_name: str,
    out: Path,
    segment_number: int | None = None,
    seen_at: str | None = None,
) -> Path:
    """Write the new folder `out`, which trainers see at `seen_at` (by default where it is).

    Beside the data: `blend.txt`, for --data-args-path; `args.txt`, one option a line, for a shell's
    `$(cat args.txt)`, to which model, tokenizer and optimizer are to be added; `blend.json`, both
    and the digest, for programs.

    Raises:
        ConfigError: No such phase or segment, a folder that is not empty, an unknown tokenizer.
        DataError: A shard is missing or broken, or was counted with another tokenizer.
    """
    phase = _phase(manifest, phase_name)
    segment = _segment(phase, segment_number)
    supplies = [supply for supply in segment.supplies if supply.quota]
    writer = LeafWriter(manifest)
    place = str(out.absolute()) if seen_at is None else seen_at.rstrip("/")
    if re.search(r"\s", place):
        raise ConfigError(f"{place}: Megatron splits its list of paths at spaces; use none")
    with new_folder(out) as folder:
        for supply in supplies:
            _warn(phase, supply)
            writer.write(folder / file_name(supply.leaf), supply)
        blend = [f"{supply.quota} {place}/{file_name(supply.leaf)}" for supply in supplies]
        arguments = _arguments(manifest, phase, segment, blend)
        (folder / "blend.txt").write_text("\n".join(blend) + "\n")
        (folder / "args.txt").write_text("\n".join(arguments) + "\n")
        facts = {
            "manifest": manifest.digest,
            "phase": phase.name,
            "segment": phase.segments.index(segment),
            "tokenizer": manifest.root.tokenizer.name,
            "end_of_document": manifest.root.tokenizer.end_of_document,
            "vocabulary": writer.vocabulary,
            "token_type": writer.kind.name,
            "samples": segment.stop - segment.start,
            "blend": [
                {"leaf": s.leaf, "samples": s.quota, "prefix": f"{place}/{file_name(s.leaf)}"}
                for s in supplies
            ],
            "arguments": arguments,
            "train": phase.train,
        }
        (folder / "blend.json").write_text(json.dumps(facts, indent=2) + "\n")
    return out


class LeafWriter:
    """Writes leaves of one manifest as token files of one type."""

    def __init__(self, manifest: Manifest) -> None:
        named = manifest.root.tokenizer
        self._manifest = manifest
        self._end = named.end_of_document
        self._tokenizer: Tokenizer = kept_tokenizer(manifest.store, named.name)
        self.vocabulary = max(self._tokenizer.vocabulary(manifest.store), self._end + 1)
        """Ids that a model has to know, the end-of-document token among them."""
        self.kind = token_type(self.vocabulary)
        if not 0 <= self._end <= np.iinfo(self.kind).max:
            raise ConfigError(
                f"end of document {self._end}: not a token id (0 to {np.iinfo(self.kind).max});"
                " correct [tokenizer] of the mixture and build it again"
            )

    def write(self, prefix: Path, supply: Supply) -> None:
        """Write the documents of the supply's body, in its order."""
        table = self._manifest.rows(supply.body.table, list(COLUMNS))
        documents = int(np.asarray(table["documents"].to_numpy(), np.int64).sum())
        tokens = write_indexed(prefix, self._batches(table), documents, self.kind)
        logger.info("%s: %d documents, %d tokens", supply.leaf, documents, tokens)

    def _batches(self, table: pa.Table) -> Iterator[Batch]:
        """The next shard is read and tokenized while one is written."""
        with ThreadPoolExecutor(1, thread_name_prefix="tokenize") as ahead:
            waiting = None
            for pick in picks(table):
                coming = ahead.submit(self._shard, pick)
                if waiting is not None:
                    yield from waiting.result()
                waiting = coming
            if waiting is not None:
                yield from waiting.result()

    def _shard(self, pick: Pick) -> list[Batch]:
        store = self._manifest.store
        texts = read_picked(store, pick, ["text"])["text"]
        starts = range(0, len(texts), ENCODED)
        batches = [self._encoded(texts.slice(start, ENCODED).to_pylist()) for start in starts]
        found = sum(len(batch.tokens) for batch in batches)
        if found != pick.tokens:
            raise DataError(
                f"{store.url}: {pick.key} has {found} tokens under {self._tokenizer.name},"
                f" {pick.tokens} counted; it was counted with another tokenizer"
            )
        return batches

    def _encoded(self, texts: list[str]) -> Batch:
        documents = self._tokenizer.encode(texts, self._manifest.store)
        lengths = np.fromiter((len(ids) + 1 for ids in documents), np.int64, len(documents))
        tokens = np.full(int(lengths.sum()), self._end, dtype=self.kind)
        inside = np.ones(len(tokens), dtype=np.bool_)
        inside[np.cumsum(lengths) - 1] = False
        tokens[inside] = np.concatenate(documents)
        return Batch(tokens, lengths)


def _phase(manifest: Manifest, name: str) -> Phase:
    try:
        return manifest.phase(name)
    except KeyError:
        names = ", ".join(phase.name for phase in manifest.root.phases)
        raise ConfigError(f"phase {name}: not in this manifest, which has {names}") from None


def _segment(phase: Phase, number: int | None) -> Segment:
    if number is None and len(phase.segments) == 1:
        return phase.segments[0]
    if number is None or not 0 <= number < len(phase.segments):
        steps = ", ".join(f"{i}: from step {s.first_step}" for i, s in enumerate(phase.segments))
        raise ConfigError(
            f"phase {phase.name}: Megatron cannot change a mix on the way; name one segment of"
            f" {steps}"
        )
    return phase.segments[number]


def _warn(phase: Phase, supply: Supply) -> None:
    if supply.body.layout is not Layout.STREAM:
        logger.warning(
            "%s in %s: documents begin windows of their own here, in Megatron they run on",
            supply.leaf,
            phase.name,
        )
    if supply.cursor or supply.head:
        logger.warning(
            "%s in %s goes on where an earlier phase or segment stopped; Megatron begins anew",
            supply.leaf,
            phase.name,
        )


def _arguments(manifest: Manifest, phase: Phase, segment: Segment, blend: list[str]) -> list[str]:
    length = phase.sequence_length
    # Megatron's seeds are those of NumPy, and it adds to them for each rank.
    seed = manifest.root.seed
    arguments = [
        f"--seq-length {length}",
        f"--max-position-embeddings {length}",
        f"--global-batch-size {segment.global_batch}",
        f"--train-samples {segment.stop - segment.start}",
        f"--seed {seed if 0 < seed < 2**31 else 1 + seed % (2**31 - 1)}",
        "--split 1,0,0",
    ]
    if phase.train.get("mask") == "document":
        arguments += ["--reset-attention-mask", "--reset-position-ids"]
    if "rope_base" in phase.train:
        arguments.append(f"--rotary-base {phase.train['rope_base']}")
    return [*arguments, "--data-path " + " ".join(blend)]
