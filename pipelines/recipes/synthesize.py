"""The main recipe: a team's own documents through the whole catalog."""

from generators.catalog import GENERATORS, curator
from generators.seeds.by_kind import ByKind
from generators.seeds.sources import Format, Source, guess_format
from manifests.errors import ConfigError
from manifests.records import Kind
from pipelines.recipes.flow import Flow, Setting, flow
from pipelines.recipes.gates import STANDARD_GATES

FULL = tuple(name for name in GENERATORS if "_quick@" not in name)


def synthesize(
    setting: Setting,
    *,
    prose: str = "",
    prose_format: str = "",
    code: str = "",
    licence: str = "unknown",
    lang: str = "en",
    text_field: str = "text",
    prose_curator: str = "seeds_web@1",
    code_curator: str = "seeds_code@1",
    generators: tuple[str, ...] = FULL,
    slice_bytes: int = 4_000_000,
    documents: int = 0,
) -> Flow:
    """Your documents (prose=URL, code=URL or both), curated and given to every generator.

    prose_format: parquet, jsonl, text, warc or html where the suffix does not tell; slice_bytes:
    source bytes a task; documents: at most so many of each slice, 0 for all.
    """
    sources = []
    if prose:
        sources.append(
            Source(
                name="prose",
                url=prose,
                format=_format(prose_format) if prose_format else _guessed(prose),
                licence=licence,
                lang=lang,
                text_field=text_field,
            )
        )
    if code:
        sources.append(
            Source(
                name="code",
                url=code,
                format=Format.PYTHON,
                licence=licence,
                lang=lang,
                kind=Kind.CODE,
            )
        )
    if not sources:
        raise ConfigError("recipe synthesize: give prose=URL, code=URL or both")
    return flow(
        setting,
        sources=sources,
        curator=ByKind(prose=curator(prose_curator), code=curator(code_curator)),
        generators=generators,
        gates=STANDARD_GATES,
        slice_bytes=slice_bytes,
        max_documents=documents,
    )


def _guessed(url: str) -> Format:
    try:
        return guess_format(url)
    except ConfigError as error:
        raise ConfigError(f"{error}, as in prose_format={Format.JSONL}") from error


def _format(name: str) -> Format:
    try:
        return Format(name)
    except ValueError as error:
        raise ConfigError(f"prose_format={name}: expected one of {', '.join(Format)}") from error
