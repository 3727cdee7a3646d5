"""Rows with named fields, as JSON lines and Parquet have them."""

from collections.abc import Mapping

from generators.seeds.readers.outcomes import Outcome, Row
from generators.seeds.sources import Source
from manifests.records import Reason


def from_fields(source: Source, place: str, fields: Mapping[str, object]) -> Outcome:
    """The document in the row at `place` (`<file>#row=12`), which stays part of its url.

    Values are text, or bytes that are to be UTF-8.
    """
    try:
        url = _url(source, place, fields)
        licence = _text(fields, source.licence_field)
        lang = _text(fields, source.lang_field)
        row = Row(source=source, url=url)
        text = _text(fields, source.text_field)
    except UnicodeDecodeError as error:
        return Row(source=source, url=place).reject(Reason.UNREADABLE, error, error.object)
    if text is not None:
        return row.document(text, kind=source.kind, licence=licence, lang=lang)
    value = fields.get(source.text_field)
    if value is None:
        return row.reject(Reason.UNREADABLE, f"no field {source.text_field!r}", repr(fields))
    kind = type(value).__name__
    problem = f"field {source.text_field!r} is {kind}, not text"
    return row.reject(Reason.UNREADABLE, problem, repr(value))


def _url(source: Source, place: str, fields: Mapping[str, object]) -> str:
    """`place`, with the row's own id behind it and its own url before it where it has them."""
    if source.id_field and (own := fields.get(source.id_field)) is not None:
        place += f",id={own.decode() if isinstance(own, bytes) else own}"
    front = _text(fields, source.url_field)
    return f"{front}#{place}" if front else place


def _text(fields: Mapping[str, object], name: str | None) -> str | None:
    value = fields.get(name) if name else None
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else None
