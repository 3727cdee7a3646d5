"""Tokenizing: a shard of records in; their ids in a token file, and a row a document, out.

A row says where its ids lie, which of them are learned and who said what; the text stays behind in
the records, to which the row's id leads. Documents lie in the order of the records, each followed
by the end-of-document id.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.encoders import Encoder, Ids
from manifests.fingerprint import sha256
from manifests.records import Bucket, Reason, Record, Reject, Rejection
from manifests.store import Store
from manifests.tables import ITEM_ID, from_table, schema_of
from manifests.token_files import TokenFacts, token_file_bytes
from manifests.token_rows import Form, TokenDocument
from manifests.tokenizers import Tokenizer
from pipelines.work.chat import chat_format
from pipelines.work.forms import Choice, Draft, Former
from pipelines.work.laid import Ints, Laid, lay
from pipelines.work.outcome import Outcome, read_input, reject

BY = "tokenize@1"
"""Who refuses, in rejects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenize:
    """Turns records into token documents."""

    tokenizer: Tokenizer
    end_of_document: int
    """Id that closes every document."""
    form: Choice = Choice.AUTO
    max_tokens: int = 0
    """Documents of more are refused; 0 for no limit."""

    def run(self, store: Store, inputs: Sequence[str], slice_index: int) -> Outcome:
        """The token documents of this slice.

        Raises:
            ConfigError: The tokenizer cannot write conversations, and texts are not all that is
                wanted; or the slice has more ids than a token file holds.
        """
        (source,) = inputs
        table, shard = read_input(store, source, slice_index)
        encoder = self.tokenizer.encoder(store)
        former = self._former(encoder)
        laid = lay(_drafts(table, former), encoder, self.end_of_document, former.controls)
        refused = self._refused(laid)
        keep = np.ones(table.num_rows, dtype=np.bool_)
        keep[list(refused)] = False
        file = self._file(laid.ids[np.repeat(keep, laid.lengths)], encoder.vocabulary)
        kept = table.filter(pa.array(keep))
        return Outcome(
            row_type="tokendocument",
            table=_documents(kept, laid, np.flatnonzero(keep), sha256(file)),
            rejects=[_reject(table, row, refused[row]) for row in sorted(refused)],
            inputs=(shard,),
            tokenizer=self.tokenizer.name,
            texts=kept["text"],
            token_files=(file,) if keep.any() else (),
        )

    def _former(self, encoder: Encoder) -> Former:
        chat = None
        if self.form is not Choice.TEXT:
            chat = chat_format(encoder, self.tokenizer.name)
        controls = chat.controls if chat else frozenset()
        return Former(
            choice=self.form,
            chat=chat,
            vocabulary=encoder.vocabulary,
            controls=controls | {self.end_of_document},
        )

    def _refused(self, laid: Laid) -> dict[int, Rejection]:
        """By row: why it is no document; of several reasons the first."""
        found = {row: one for row, one in enumerate(laid.drafts) if isinstance(one, Rejection)}
        tokens = laid.lengths - 1
        for row in np.flatnonzero(tokens == 0).tolist():
            found[row] = Rejection(reason=Reason.EMPTY, detail="no tokens")
        for row, detail in laid.wrong.items():
            found.setdefault(row, Rejection(reason=Reason.SCHEMA, detail=detail))
        for row in np.flatnonzero(tokens > (self.max_tokens or np.inf)).tolist():
            detail = f"{tokens[row]} tokens > {self.max_tokens}"
            found.setdefault(row, Rejection(reason=Reason.TOO_LONG, detail=detail))
        return found

    def _file(self, ids: Ids, vocabulary: int) -> bytes:
        facts = TokenFacts(
            ids=len(ids),
            tokenizer=self.tokenizer.name,
            vocabulary=vocabulary,
            end_of_document=self.end_of_document,
        )
        return token_file_bytes(ids, facts)


def _drafts(table: pa.Table, former: Former) -> list[Draft | Rejection]:
    """A draft a row; only rows that may be more than a text are read whole."""
    texts = table["text"].to_pylist()
    drafts: list[Draft | Rejection] = [Draft(form=Form.TEXT, pieces=(text,)) for text in texts]
    more = np.flatnonzero(_may_be_more(table, former.choice))
    records = from_table(Record, table.take(pa.array(more)))
    for row, record in zip(more.tolist(), records, strict=True):
        drafts[row] = former.draft(record)
    return drafts


def _may_be_more(table: pa.Table, choice: Choice) -> npt.NDArray[np.bool_]:
    if choice is not Choice.AUTO:
        return np.full(table.num_rows, choice is Choice.CHAT)
    speaks = pc.greater(pc.list_value_length(table["turns"]), 0)
    formed = pc.is_in(table["bucket"], pa.array([Bucket.SFT.value, Bucket.DPO.value]))
    found: npt.NDArray[np.bool_] = pc.or_(speaks, formed).to_numpy()
    return found


def _documents(kept: pa.Table, laid: Laid, rows: Ints, file: str) -> pa.Table:
    """The rows of the shard: what records have, too, and where the ids of each lie."""
    schema = schema_of(TokenDocument)
    lengths = laid.lengths[rows]
    drafts = [(row, one) for row in rows.tolist() if isinstance(one := laid.drafts[row], Draft)]
    made = {
        "form": pa.array([one.form.value for _, one in drafts], pa.string()),
        "tokens": pa.array(lengths - 1),
        "file": pa.repeat(pa.scalar(file), len(rows)),
        "start": pa.array(np.cumsum(lengths) - lengths),
        "loss": _listed([_loss(laid, row, one) for row, one in drafts], schema.field("loss").type),
        "spans": _listed(
            [_spans(laid, row, one) for row, one in drafts], schema.field("spans").type
        ),
        ITEM_ID: kept["id"],
    }
    columns = [made[name] if name in made else kept[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def _loss(laid: Laid, row: int, draft: Draft) -> list[tuple[int, int]]:
    at = laid.offsets(row, [place for span in draft.loss for place in span])
    return list(zip(at[::2], at[1::2], strict=True))


def _spans(laid: Laid, row: int, draft: Draft) -> list[tuple[str, int, int]]:
    at = laid.offsets(row, [place for _, *span in draft.spans for place in span])
    roles = (role for role, _, _ in draft.spans)
    return list(zip(roles, at[::2], at[1::2], strict=True))


def _listed(rows: Sequence[Sequence[tuple[object, ...]]], kind: pa.DataType) -> pa.Array:
    """A column of lists of structs, each struct a tuple of its fields."""
    item = kind.value_type
    flat = [struct for row in rows for struct in row]
    columns = list(zip(*flat, strict=True)) or [()] * item.num_fields
    children = [pa.array(column, field.type) for field, column in zip(item, columns, strict=True)]
    offsets = pa.array(np.cumsum([0, *map(len, rows)]), pa.int32())
    structs = pa.StructArray.from_arrays(children, fields=list(item))
    return pa.ListArray.from_arrays(offsets, structs, type=kind)


def _reject(table: pa.Table, row: int, rejection: Rejection) -> Reject:
    return reject(table["id"][row].as_py(), table["text"][row].as_py(), BY, rejection)
