"""Reading a unit: documents, and rejects for what could not be read.

Every reader is a generator function of a source and a unit; it holds about one document (or one
Parquet batch) at a time, gives the same rows in the same order every time, and never lets a broken
row end a file. Only the store's own failures (OSError) come out as exceptions.
"""

from collections.abc import Callable, Iterator

from generators.seeds.inventory import Unit
from generators.seeds.readers.jsonl import read_jsonl
from generators.seeds.readers.outcomes import Outcome
from generators.seeds.readers.pages import read_html
from generators.seeds.readers.parquet import read_parquet
from generators.seeds.readers.python import read_python
from generators.seeds.readers.text import read_text
from generators.seeds.readers.topics import read_topics
from generators.seeds.readers.warc import read_warc
from generators.seeds.sources import Format, Source

READERS: dict[Format, Callable[[Source, Unit], Iterator[Outcome]]] = {
    Format.PARQUET: read_parquet,
    Format.JSONL: read_jsonl,
    Format.TEXT: read_text,
    Format.PYTHON: read_python,
    Format.WARC: read_warc,
    Format.HTML: read_html,
    Format.TOPICS: read_topics,
}


def read_unit(source: Source, unit: Unit) -> Iterator[Outcome]:
    """The unit's documents and rejects, in the order of its file.

    Raises:
        ConfigError: The file is not the one that was planned.
    """
    return READERS[source.format](source, unit)
