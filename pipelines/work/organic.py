"""Organic text: a shard of seed documents in, each document as a record of its own out.

The web, code and acquired sources of a mixture (phi-4 report, Table 5 [R]) are trained on as they
were written: nobody is asked, the text is the document's, and the gates behind say what stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manifests.records import Bucket, Record, SeedDocument, record_id
from manifests.store import Store
from manifests.tables import from_table, to_table
from manifests.tokenizers import Tokenizer
from pipelines.work.outcome import Outcome, read_input

GENERATOR = "organic@1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organic:
    """Makes a record of every document, unchanged."""

    bucket: Bucket
    tokenizer: Tokenizer

    def run(self, store: Store, inputs: Sequence[str], slice_index: int) -> Outcome:
        """The documents of this slice as records."""
        (source,) = inputs
        table, shard = read_input(store, source, slice_index)
        documents = from_table(SeedDocument, table)
        records: list[Any] = self.tokenizer.count(list(map(self._record, documents)), store)
        return Outcome(
            row_type="record",
            table=to_table(records, [document.id for document in documents], Record),
            rejects=(),
            inputs=(shard,),
            tokenizer=self.tokenizer.name,
        )

    def _record(self, document: SeedDocument) -> Record:
        return Record(
            id=record_id(GENERATOR, document.id, document.text),
            text=document.text,
            bucket=self.bucket,
            generator=GENERATOR,
            seed_ids=(document.id,),
            source=document.source,
            licence=document.licence,
            lang=document.lang,
        )
