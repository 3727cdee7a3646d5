"""The main recipe: a team's own documents through the whole catalog."""

from generators.catalog import GENERATORS, curator
from generators.seeds.by_kind import ByKind
from generators.seeds.sources import Format
from manifests.errors import ConfigError
from pipelines.recipes.flow import Flow, Setting, flow
from pipelines.recipes.gates import STANDARD_GATES
from pipelines.recipes.sources import code_source, prose_source

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
    about = {"licence": licence, "lang": lang}
    sources = []
    if prose:
        sources.append(prose_source(prose, prose_format, text_field=text_field, **about))
    if code:
        sources.append(code_source(code, Format.PYTHON, text_field="text", **about))
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
