"""What comes out of reading a row: a document, or a reject that says what was wrong with it."""

from dataclasses import dataclass
from typing import TypeAlias

from generators.seeds.sources import Source
from manifests.fingerprint import content_id, sha256
from manifests.records import Kind, Reason, Reject, SeedDocument, document_id

Outcome: TypeAlias = SeedDocument | Reject

MAX_BYTES = 64 * 2**20
"""Of one document; what is longer is refused, so that memory stays bounded."""
EXCERPT = 4096
DETAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Where one row lies; knows how to become a document or a reject."""

    source: Source
    url: str

    def document(
        self,
        text: str,
        *,
        title: str = "",
        kind: Kind = Kind.PROSE,
        licence: str | None = None,
        lang: str | None = None,
    ) -> Outcome:
        """The document with newlines as LF, or a reject if `text` is empty or not text."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if not text.strip():
            return self.reject(Reason.EMPTY, "no text")
        if "\0" in text:
            return self.reject(Reason.UNREADABLE, "binary: it has NUL characters", text)
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            return self.reject(Reason.UNREADABLE, f"not Unicode text: {error.reason}", text)
        if len(data) > MAX_BYTES:
            return self.reject(Reason.TOO_LONG, f"over {MAX_BYTES} bytes", text[:EXCERPT])
        return SeedDocument(
            id=document_id(self.source.name, self.url, text),
            source=self.source.name,
            url=self.url,
            licence=licence or self.source.licence,
            lang=lang or self.source.lang,
            kind=kind,
            title=title,
            text=text,
            sha256=sha256(data),
        )

    def reject(self, reason: Reason, problem: object, text: str | bytes = "") -> Reject:
        """A reject with an excerpt of what was refused."""
        if isinstance(text, bytes):
            text = text[: 4 * EXCERPT].decode("utf-8", "replace")
        detail = " ".join(f"{self.url}: {problem}".split())
        return Reject(
            item_id=content_id(self.source.name, self.url),
            reason=reason.value,
            detail=_writable(detail[:DETAIL]),
            by=f"read_{self.source.format}@1",
            text=_writable(text[:EXCERPT]),
        )


def _writable(text: str) -> str:
    """Without lone surrogates, which no Parquet file takes."""
    return text.encode("utf-8", "replace").decode()
