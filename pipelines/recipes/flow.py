"""What a recipe returns, and the two walks that the recipes share.

documents -> seeds -> one step a generator -> its screened records
documents -> the same as records -> those screened
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filters.contract import Gate
from generators.catalog import generator
from generators.contract import Curator
from generators.seeds.inventory import take_inventory
from generators.seeds.sources import Format, Source
from manifests.errors import ConfigError
from manifests.fingerprint import sha256
from manifests.records import Bucket
from manifests.store import Store
from manifests.tokenizers import Tokenizer
from pipelines.step import Step
from pipelines.work.documents import ReadDocuments
from pipelines.work.generate import Generate
from pipelines.work.organic import Organic
from pipelines.work.screen import Screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every run gives its recipe: who teaches, and how tokens are counted."""

    teachers: tuple[tuple[str, str], ...]
    """Role and `model@revision`; none where no teacher is named."""
    tokenizer: Tokenizer
    store: Store | None = None
    """Of the root, for recipes that read steps which lie there; None in a plan without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The steps of a run, and the source files that it reads."""

    ends: tuple[Step, ...]
    slices: int
    """Of the steps that read the source files."""
    inventory: bytes


def flow(
    setting: Setting,
    *,
    sources: Sequence[Source],
    curator: Curator,
    generators: Sequence[str],
    gates: Sequence[Gate],
    slice_bytes: int,
    max_documents: int,
) -> Flow:
    """The walk from sources to screened records.

    Raises:
        ConfigError: No teacher, a source is empty or unreadable, a generator is not in the catalog
            or none is named, or a number is too small.
    """
    if not setting.teachers:
        raise ConfigError(
            "no teacher: give --teacher URL (`python -m infra.teacher serve` makes one); to plan,"
            " --model NAME@REVISION is enough"
        )
    if not generators:
        raise ConfigError("generators: name at least one; `python -m pipelines recipes` lists them")
    chosen = [generator(name) for name in dict.fromkeys(generators)]
    documents, slices, inventory = _documents(sources, slice_bytes, max_documents)
    curate = Generate(
        method=curator, makes="seed", teachers=setting.teachers, tokenizer=setting.tokenizer
    )
    seeds = Step(name="seeds", version=1, work=curate, inputs=(documents,))
    ends = []
    for method in chosen:
        name, _, version = method.name.partition("@")
        write = Generate(
            method=method, makes="record", teachers=setting.teachers, tokenizer=setting.tokenizer
        )
        records = Step(name=name, version=int(version), work=write, inputs=(seeds,))
        ends.append(_screened(name, records, setting, gates))
    return Flow(ends=tuple(ends), slices=slices, inventory=inventory)


def organic_flow(
    setting: Setting,
    *,
    sources: Sequence[Source],
    bucket: Bucket,
    gates: Sequence[Gate],
    slice_bytes: int,
    max_documents: int,
) -> Flow:
    """The walk from sources to the same text as screened records; it takes no teacher.

    Raises:
        ConfigError: A source is empty or unreadable, or a number is too small.
    """
    documents, slices, inventory = _documents(sources, slice_bytes, max_documents)
    work = Organic(bucket=bucket, tokenizer=setting.tokenizer)
    records = Step(name="organic", version=1, work=work, inputs=(documents,))
    end = _screened(f"organic_{bucket}", records, setting, gates)
    return Flow(ends=(end,), slices=slices, inventory=inventory)


def _documents(
    sources: Sequence[Source], slice_bytes: int, max_documents: int
) -> tuple[Step, int, bytes]:
    """The step that reads the sources, how many slices it has, and the inventory of files."""
    if slice_bytes < 1 or max_documents < 0:
        raise ConfigError(
            f"slice_bytes={slice_bytes}, documents={max_documents}: expected at least 1 byte a "
            "slice, and at least 0 documents (0 takes all)"
        )
    sources = [_anywhere(source) for source in sources]
    inventory = take_inventory(sources)
    data = inventory.to_json()
    read = ReadDocuments(
        sources=tuple(sources),
        inventory=sha256(data),
        slice_bytes=slice_bytes,
        max_documents=max_documents,
    )
    return Step(name="documents", version=1, work=read), len(inventory.slices(slice_bytes)), data


def _screened(name: str, records: Step, setting: Setting, gates: Sequence[Gate]) -> Step:
    screen = Screen(gates=tuple(gates), tokenizer=setting.tokenizer.name)
    return Step(name=f"{name}_screened", version=1, work=screen, inputs=(records,))


def _anywhere(source: Source) -> Source:
    """With a local path made absolute: workers do not run where the command was given."""
    if "://" in source.url or source.format is Format.TOPICS:
        return source
    return replace(source, url=str(Path(source.url).absolute()))
