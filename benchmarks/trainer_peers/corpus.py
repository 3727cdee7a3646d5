"""A corpus of random documents as plain NumPy files, for all systems the same.

Five sources with the shares of phi-4's pretraining mixture [R Table 5]; documents of 1,000 tokens
on average, log-normal, each closed by the end-of-document id of cl100k; ids uniform.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SHARES = {"web": 0.15, "web_rewrite": 0.15, "synthetic": 0.40, "code": 0.20, "acquired": 0.10}
VOCABULARY = 100_352
END_OF_DOCUMENT = 100_257
MEAN_TOKENS = 1000
SPREAD = 1.0
"""Standard deviation of the logarithm of a document's tokens."""


@dataclass(frozen=True)
class Source:
    """A source of a corpus."""

    name: str
    share: float
    tokens: npt.NDArray[np.uint32]
    """Of all documents end to end, each with its end-of-document id; memory-mapped."""
    lengths: npt.NDArray[np.int64]
    """Of the documents, that id counted."""


def sources(folder: Path) -> Iterator[Source]:
    """The sources of a written corpus."""
    for name, share in SHARES.items():
        yield Source(
            name=name,
            share=share,
            tokens=np.load(folder / f"{name}.tokens.npy", mmap_mode="r"),
            lengths=np.load(folder / f"{name}.lengths.npy"),
        )


def write_corpus(folder: Path, tokens: int, seed: int = 1) -> None:
    """Write a corpus of about so many tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, share) in enumerate(SHARES.items()):
        rng = np.random.default_rng([seed, number])
        lengths = document_lengths(rng, int(tokens * share))
        ids = rng.integers(0, END_OF_DOCUMENT, lengths.sum(), dtype=np.uint32)
        ids[np.cumsum(lengths) - 1] = END_OF_DOCUMENT
        np.save(folder / f"{name}.tokens.npy", ids)
        np.save(folder / f"{name}.lengths.npy", lengths)


def document_lengths(rng: np.random.Generator, tokens: int) -> npt.NDArray[np.int64]:
    """Lengths of documents, 2 tokens at least, that come to `tokens` in all."""
    count = -(-tokens // MEAN_TOKENS)
    centre = np.log(MEAN_TOKENS) - SPREAD**2 / 2
    drawn: npt.NDArray[Any] = rng.lognormal(centre, SPREAD, 2 * count + 100)
    lengths = np.maximum(drawn.astype(np.int64), 2)
    kept = lengths[: 1 + int(np.searchsorted(np.cumsum(lengths), tokens))]
    kept[-1] -= kept.sum() - tokens
    return kept if kept[-1] >= 2 else np.append(kept[:-2], kept[-2:].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=float, default=64e6)
    arguments = parser.parse_args()
    write_corpus(arguments.folder, int(arguments.tokens))


if __name__ == "__main__":
    main()
