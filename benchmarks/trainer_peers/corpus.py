"""The tokens of our own benchmark as plain NumPy files, which every peer reads in its own way.

The documents of the token file of `benchmarks.trainer_phase` (log-normal, 1,000 tokens on average,
each closed by the end-of-document id of cl100k) are dealt to five sources with the shares of
phi-4's pretraining mixture [R Table 5].

    python -m benchmarks.trainer_peers.corpus ROOT FOLDER
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

SHARES = {"web": 0.15, "web_rewrite": 0.15, "synthetic": 0.40, "code": 0.20, "acquired": 0.10}
VOCABULARY = 100_352
END_OF_DOCUMENT = 100_257


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


def write_corpus(root: Path, folder: Path) -> None:
    """Write the tokens of the root's one token file."""
    from manifests.token_files import open_token_file

    (file,) = root.glob("steps/*/*/tokens/*.parquet")
    _, ids = open_token_file(file)
    places = np.concatenate([[0], np.flatnonzero(ids == END_OF_DOCUMENT) + 1])
    cuts = np.cumsum([0, *SHARES.values()]) * (len(places) - 1)
    folder.mkdir(parents=True)
    for name, (low, high) in zip(SHARES, pairwise(cuts.round().astype(int)), strict=True):
        starts = places[low : high + 1]
        np.save(folder / f"{name}.tokens.npy", ids[starts[0] : starts[-1]])
        np.save(folder / f"{name}.lengths.npy", np.diff(starts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    write_corpus(arguments.root, arguments.folder)


if __name__ == "__main__":
    main()
