"""The ids of picked documents, each closed: encoded from records, or copied from token files.

Both give the same ids for the same texts; a token step needs no tokenizer.
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import ConfigError, DataError, ShardCorrupt
from manifests.export.indexed import Batch, token_type
from manifests.export.picks import Pick, read_picked
from manifests.fingerprint import sha256
from manifests.layout import tokens_file
from manifests.objects.manifest import Manifest
from manifests.token_files import Ids, TokenFacts, read_token_file
from manifests.token_rows import Form
from manifests.tokenizers import Tokenizer, kept_tokenizer

ENCODED = 4096
"""Documents that are held as text and lists of ids at once."""
_PAIRS = {Form.RESPONSE_PAIR.value, Form.TOKEN_PAIR.value}
_COLUMNS = ("text", "form", "tokens", "file", "start", "loss")


class DocumentIds:
    """Reads the documents of shards of one manifest as ids of one type.

    Raises:
        ConfigError: The tokenizer of records is unknown, or the end of document is no id.
        DataError: A shard is missing or broken.
    """

    def __init__(self, manifest: Manifest, firsts: Iterable[Pick]) -> None:
        self._manifest = manifest
        self._end = manifest.root.tokenizer.end_of_document
        found = [self._vocabulary_of(pick) for pick in firsts]
        self.vocabulary = max([*found, self._end + 1])
        """Ids that a model has to know, the end-of-document token among them: by what the first
        shard of each leaf says."""
        self.kind = token_type(self.vocabulary)
        if not 0 <= self._end <= np.iinfo(self.kind).max:
            raise ConfigError(
                f"end of document {self._end}: not a token id (0 to {np.iinfo(self.kind).max});"
                " correct [tokenizer] of the mixture and build it again"
            )
        self.masked = False
        """Whether a document was read of which not all ids are learned."""

    def of(self, pick: Pick) -> list[Batch]:
        """The documents of a shard, in its order.

        Raises:
            ConfigError: They are pairs.
            DataError: They are not as the manifest says.
        """
        rows = self._rows(pick)
        if "text" in rows.column_names:
            batches = self._encoded(rows["text"])
        else:
            batches = self._copied(pick, rows)
        found = sum(len(batch.tokens) for batch in batches)
        if found != pick.tokens:
            raise DataError(
                f"{self._manifest.store.url}: {pick.key} has {found} tokens under"
                f" {self._manifest.root.tokenizer.name}, {pick.tokens} counted; it was counted"
                " with another tokenizer"
            )
        return batches

    def _rows(self, pick: Pick) -> pa.Table:
        rows = read_picked(self._manifest.store, pick, _COLUMNS, some=True)
        if "text" not in rows.column_names and not {"file", "start"} <= set(rows.column_names):
            raise DataError(
                f"{self._manifest.store.url}: {pick.key} has no column text, and no ids: it is a"
                " file neither of records nor of token documents"
            )
        return rows

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return kept_tokenizer(self._manifest.store, self._manifest.root.tokenizer.name)

    def _vocabulary_of(self, pick: Pick) -> int:
        rows = self._rows(pick)
        if "text" in rows.column_names:
            return self._tokenizer.vocabulary(self._manifest.store)
        return self._token_file(pick, rows["file"][0].as_py())[0].vocabulary

    def _encoded(self, texts: pa.ChunkedArray) -> list[Batch]:
        starts = range(0, len(texts), ENCODED)
        return [self._batch(texts.slice(start, ENCODED).to_pylist()) for start in starts]

    def _batch(self, texts: list[str]) -> Batch:
        documents = self._tokenizer.encode(texts, self._manifest.store)
        lengths = np.fromiter((len(ids) + 1 for ids in documents), np.int64, len(documents))
        tokens = np.full(int(lengths.sum()), self._end, dtype=self.kind)
        inside = np.ones(len(tokens), dtype=np.bool_)
        inside[np.cumsum(lengths) - 1] = False
        tokens[inside] = np.concatenate(documents)
        return Batch(tokens, lengths)

    def _copied(self, pick: Pick, rows: pa.Table) -> list[Batch]:
        if pairs := _PAIRS.intersection(rows["form"].unique().to_pylist()):
            raise ConfigError(
                f"{pick.key} holds documents of the form {min(pairs)}, which Megatron's data sets"
                " do not know; export a manifest over the step of records that it was tokenized"
                " from, or train on it with `python -m trainer`"
            )
        self.masked |= bool(pc.any(pc.greater(pc.list_value_length(rows["loss"]), 0)).as_py())
        names = np.asarray(rows["file"], dtype=object)
        starts, lengths = (np.asarray(rows[name], np.int64) for name in ("start", "tokens"))
        files = {name: self._ids_of(pick, name) for name in dict.fromkeys(names.tolist())}
        ends = starts + lengths + 1
        breaks = np.flatnonzero((names[1:] != names[:-1]) | (starts[1:] != ends[:-1])) + 1
        batches = []
        for run in np.split(np.arange(len(starts)), breaks):
            ids = files[names[run[0]]]
            start, stop = int(starts[run[0]]), int(ends[run[-1]])
            if not 0 <= start < stop <= len(ids) or (ids[ends[run] - 1] != self._end).any():
                raise DataError(
                    f"{self._manifest.store.url}: {pick.key}: a document does not lie in its token"
                    " file; look with `manifest step verify`"
                )
            batches.append(Batch(_as(ids[start:stop], self.kind), lengths[run] + 1))
        return batches

    def _ids_of(self, pick: Pick, name: str) -> Ids:
        facts, ids = self._token_file(pick, name)
        if facts.vocabulary > self.vocabulary:
            raise DataError(
                f"{self._manifest.store.url}: {pick.key} lies in a token file of a vocabulary of"
                f" {facts.vocabulary}, others of {self.vocabulary}; tokenize all with one tokenizer"
            )
        return ids

    def _token_file(self, pick: Pick, name: str) -> tuple[TokenFacts, Ids]:
        store, key = self._manifest.store, tokens_file(pick.row.step, name)
        data = store.get(key)
        if sha256(data) != name:
            raise ShardCorrupt(f"{store.url}: {key} is not what its name says; restore the file")
        facts, ids = read_token_file(data, f"{store.url}: {key}")
        named = self._manifest.root.tokenizer
        if (facts.tokenizer, facts.end_of_document) != (named.name, named.end_of_document):
            raise DataError(
                f"{store.url}: {key} has ids of {facts.tokenizer} with the end of document"
                f" {facts.end_of_document}, the manifest {named.name} with {named.end_of_document}"
            )
        return facts, ids


def _as(ids: Ids, kind: np.dtype[np.integer]) -> npt.NDArray[np.integer]:
    return np.asarray(ids, dtype=kind)
