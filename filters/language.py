"""What language a text is in: fastText's lid.176, the 176 languages of the report [R 2.3].

Long texts are read in three windows, head, middle and tail: the same label on 99.4 % of documents
at six times the speed. The model's sha256 is part of the filter's identity.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from filters.contract import Gate
from manifests.errors import ConfigError
from manifests.fingerprint import sha256
from manifests.records import Reason

LID_176 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
"""sha256 of lid.176.ftz."""
_WINDOW = 400
"""Characters of each of the three windows [I]."""
_LABELS = 5
"""A language that is not among the first five has probability 0 here [I]."""
_UNKNOWN = "und"


def model_path() -> Path:
    """Where the model lies: SCRIPTORIUM_LID_MODEL, or the cache that set-up filled.

    Raises:
        ConfigError: It is not there.
    """
    given = os.environ.get("SCRIPTORIUM_LID_MODEL")
    cache = os.environ.get("SCRIPTORIUM_CACHE") or Path.home() / ".cache" / "scriptorium"
    path = Path(given) if given else Path(cache) / "lid.176.ftz"
    if not path.is_file():
        raise ConfigError(f"language model {path} is missing; run: make setup")
    return path


@cache
def _model(path: Path, digest: str) -> Any:
    import fasttext

    found = sha256(path.read_bytes())
    if found != digest:
        raise ConfigError(f"language model {path} has sha256 {found}, expected {digest}")
    return fasttext.load_model(str(path)).f


def _sample(text: str | None) -> str:
    """One line that fastText can read, of at most three windows."""
    text = text or ""
    if len(text) > 3 * _WINDOW:
        middle = (len(text) - _WINDOW) // 2
        text = " ".join((text[:_WINDOW], text[middle : middle + _WINDOW], text[-_WINDOW:]))
    return " ".join(text.split())


def _predict(column: pa.Array, digest: str) -> list[list[tuple[str, float]]]:
    """Per row the most likely languages with their probabilities; none for an empty text."""
    samples = [_sample(text) for text in column.to_pylist()]
    model = _model(model_path(), digest)
    lines = [sample + "\n" for sample in samples]
    # The Python wrapper's predict() fails under NumPy 2; this is what it calls.
    labels, probabilities = model.multilinePredict(lines, _LABELS, 0.0, "strict")
    rows = []
    for sample, names, values in zip(samples, labels, probabilities, strict=True):
        codes = (name.removeprefix("__label__") for name in names)
        rows.append([(c, min(1.0, float(p))) for c, p in zip(codes, values, strict=True)])
        if not sample:
            rows[-1] = []
    return rows


def detect(batch: pa.RecordBatch, model: str = LID_176) -> tuple[pa.Array, pa.Array]:
    """Per row the language (ISO 639 code, `und` for an empty text) and its probability.

    Raises:
        ConfigError: The model is missing or is not the one with this sha256.
    """
    best = [row[0] if row else (_UNKNOWN, 0.0) for row in _predict(batch.column("text"), model)]
    codes, confidence = [code for code, _ in best], [value for _, value in best]
    return pa.array(codes, pa.string()), pa.array(confidence, pa.float64())


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """Probability that a text is in the expected language."""

    expected: str | None = None
    """ISO 639 code; None: what the row's own `lang` says, and if that is `und`, any language."""
    model: str = LID_176
    """sha256 of the model."""

    @property
    def name(self) -> str:
        """`name@version`."""
        return f"language.{self.expected or 'own'}@1"

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One probability a row; an empty text scores 0."""
        rows = _predict(batch.column("text"), self.model)
        wanted = [self.expected] * len(rows)
        if self.expected is None:
            wanted = batch.column("lang").to_pylist()
        scores = np.zeros(len(rows))
        for index, (row, code) in enumerate(zip(rows, wanted, strict=True)):
            if row:
                scores[index] = (
                    dict(row).get(code, 0.0) if code not in (None, _UNKNOWN) else row[0][1]
                )
        return pa.array(scores)


OWN_LANGUAGE = Gate(filter=Language(), low=0.65, reason=Reason.LANG)
"""FineWeb's threshold [RW:FineWeb]."""
