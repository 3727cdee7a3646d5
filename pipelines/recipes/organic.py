"""Organic text, as it was written: the web, code and acquired sources of a mixture."""

from manifests.errors import ConfigError
from manifests.records import Bucket
from pipelines.recipes.flow import Flow, Setting, organic_flow
from pipelines.recipes.gates import ACQUIRED_GATES, CODE_GATES, web_gates
from pipelines.recipes.sources import code_source, prose_source

_PROSE = (Bucket.WEB, Bucket.ACQUIRED)
_CODE = (Bucket.CODE, Bucket.ACQUIRED)


def organic(
    setting: Setting,
    *,
    prose: str = "",
    prose_format: str = "",
    code: str = "",
    code_format: str = "python",
    licence: str = "unknown",
    lang: str = "en",
    text_field: str = "text",
    bucket: str = "",
    slice_bytes: int = 4_000_000,
    documents: int = 0,
) -> Flow:
    """Your documents (prose=URL or code=URL) as records, screened; no teacher.

    bucket: web or acquired for prose, code or acquired for code, by default the first;
    prose_format: parquet, jsonl, text, warc or html where the suffix does not tell; code_format:
    python gives documented functions and classes, parquet and jsonl what their rows hold;
    slice_bytes: source bytes a task; documents: at most so many of each slice, 0 for all.
    """
    if bool(prose) == bool(code):
        raise ConfigError(
            "recipe organic: give prose=URL or code=URL, one of them; a run fills one bucket"
        )
    about = {"licence": licence, "lang": lang, "text_field": text_field}
    if prose:
        chosen = _bucket(bucket, "prose", _PROSE)
        source = prose_source(prose, prose_format, **about)
        gates = web_gates(lang) if chosen is Bucket.WEB else ACQUIRED_GATES
    else:
        chosen = _bucket(bucket, "code", _CODE)
        source, gates = code_source(code, code_format, **about), CODE_GATES
    return organic_flow(
        setting,
        sources=[source],
        bucket=chosen,
        gates=gates,
        slice_bytes=slice_bytes,
        max_documents=documents,
    )


def _bucket(given: str, what: str, known: tuple[Bucket, ...]) -> Bucket:
    if given and given not in known:
        raise ConfigError(f"bucket={given}: expected {' or '.join(known)} for {what}=URL")
    return Bucket(given) if given else known[0]
