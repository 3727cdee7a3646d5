"""The quick start: real documents, every family of generators, small budgets; then their tokens."""

import sysconfig
from dataclasses import replace
from pathlib import Path

from generators.catalog import curator, generator
from generators.instruction import AgentInstruct
from generators.reversal import Reversal
from generators.revision import SelfRevision
from generators.seeds.by_kind import ByKind
from generators.seeds.sources import Format, Source, guess_format
from manifests.records import Kind
from pipelines.recipes.flow import Flow, Setting, flow
from pipelines.recipes.gates import QUICK_GATES
from pipelines.recipes.tokenize import tokenize
from pipelines.step import Step

QUICK = (
    "rewrite_quick@1",
    "revise_quick@1",
    "reverse_python_quick@1",
    "instruct_quick@1",
    "dialogue_quick@1",
)
MODULES = ("genericpath", "operator")
"""Modules of the standard library with short, documented functions that stand alone."""


def quickstart(
    setting: Setting,
    *,
    prose: str = "pydoc_data.topics",
    code: str = "",
    licence: str = "PSF-2.0",
    documents: int = 3,
    generators: tuple[str, ...] = QUICK,
) -> Flow:
    """Python's own language reference and standard library, a few documents of each.

    prose: documents, any fsspec URL; code: Python sources, any fsspec URL; documents: how many of
    each slice of the sources, 0 for all; generators: which, by catalog name.
    """
    return flow(
        setting,
        sources=[_prose(prose, licence), *_code(code, licence)],
        curator=ByKind(prose=curator("seeds_quick@1"), code=curator("seeds_quick@1")),
        generators=generators,
        gates=QUICK_GATES,
        slice_bytes=256 * 1024,
        max_documents=documents,
    )


ANSWERING = (AgentInstruct, Reversal, SelfRevision)
"""Generators whose records have a question and an answer, and so are chats as well as texts."""


def quickstart_tokens(setting: Setting, *, screened: tuple[Step, ...]) -> Flow:
    """The token steps of what the recipe made: of each one, and as chats what answers something."""
    everything = tokenize(setting, steps=tuple(step.address for step in screened))
    answering = tuple(
        step.address
        for step in screened
        for made in step.made
        if isinstance(generator(f"{made.name}@{made.version}"), ANSWERING)
    )
    chats = tokenize(setting, steps=answering, form="chat").ends if answering else ()
    return replace(everything, ends=(*everything.ends, *chats))


def _prose(url: str, licence: str) -> Source:
    return Source(name="prose", url=url, format=guess_format(url), licence=licence, lang="en")


def _code(url: str, licence: str) -> list[Source]:
    standard = Path(sysconfig.get_path("stdlib"))
    urls = {"code": url} if url else {name: str(standard / f"{name}.py") for name in MODULES}
    return [
        Source(name=name, url=u, format=Format.PYTHON, licence=licence, lang="en", kind=Kind.CODE)
        for name, u in urls.items()
    ]
