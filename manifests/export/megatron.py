"""A phase as data for Megatron: `.bin` and `.idx` of each leaf, the blend, and arguments.

Megatron then reads exactly our documents in our proportions. The order is its own: it shuffles all
epochs of a source together, and begins every source anew where our phase goes on from an earlier
one. It cannot change a mix on the way either, so a phase with changes is exported segment by
segment, and it cuts every source as a stream.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from manifests.errors import ConfigError
from manifests.export.folder import new_folder
from manifests.export.ids import DocumentIds
from manifests.export.indexed import Batch, write_indexed
from manifests.export.names import file_name
from manifests.export.picks import COLUMNS, picks
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase, Segment, Supply
from manifests.spec.types import Layout

logger = logging.getLogger(__name__)


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
        ConfigError: No such phase or segment, a folder that is not empty, an unknown tokenizer,
            pairs to prefer one of.
        DataError: A shard is missing or broken, or was counted with another tokenizer.
    """
    phase = _phase(manifest, phase_name)
    segment = _segment(phase, segment_number)
    supplies = [supply for supply in segment.supplies if supply.quota]
    writer = LeafWriter(manifest, supplies)
    place = str(out.absolute()) if seen_at is None else seen_at.rstrip("/")
    if re.search(r"\s", place):
        raise ConfigError(f"{place}: Megatron splits its list of paths at spaces; use none")
    with new_folder(out) as folder:
        for supply in supplies:
            _warn(phase, supply)
            writer.write(folder / file_name(supply.leaf), supply)
        if writer.ids.masked:
            logger.warning(
                "%s: Megatron learns all ids; which of them are learned here is not in its files",
                phase.name,
            )
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
            "vocabulary": writer.ids.vocabulary,
            "token_type": writer.ids.kind.name,
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

    def __init__(self, manifest: Manifest, supplies: Sequence[Supply]) -> None:
        self._tables = {
            supply.leaf: manifest.rows(supply.body.table, list(COLUMNS)) for supply in supplies
        }
        firsts = (next(picks(table), None) for table in self._tables.values())
        self.ids = DocumentIds(manifest, [pick for pick in firsts if pick])

    def write(self, prefix: Path, supply: Supply) -> None:
        """Write the documents of the supply's body, in its order."""
        table = self._tables[supply.leaf]
        documents = int(np.asarray(table["documents"].to_numpy(), np.int64).sum())
        tokens = write_indexed(prefix, self._batches(table), documents, self.ids.kind)
        logger.info("%s: %d documents, %d tokens", supply.leaf, documents, tokens)

    def _batches(self, table: pa.Table) -> Iterator[Batch]:
        """The next shard is read and tokenized while one is written."""
        with ThreadPoolExecutor(1, thread_name_prefix="tokenize") as ahead:
            waiting = None
            for pick in picks(table):
                coming = ahead.submit(self.ids.of, pick)
                if waiting is not None:
                    yield from waiting.result()
                waiting = coming
            if waiting is not None:
                yield from waiting.result()


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


_OWN_WINDOWS = {
    Layout.DOCUMENT: "documents begin windows of their own here",
    Layout.PACKED: "documents are packed whole into windows here",
}


def _warn(phase: Phase, supply: Supply) -> None:
    if own := _OWN_WINDOWS.get(supply.body.layout):
        logger.warning("%s in %s: %s, in Megatron they run on", supply.leaf, phase.name, own)
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
