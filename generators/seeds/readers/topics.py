"""A module's dict of texts, read from its source file: the Python language reference.

`pydoc_data.topics` of the standard library carries it as a dict from topic to reST text. The file
is parsed, never run.
"""

import ast
from collections.abc import Iterator

from generators.seeds.inventory import Unit
from generators.seeds.readers.outcomes import Outcome, Row
from generators.seeds.readers.streams import whole_text
from generators.seeds.readers.text import first_heading
from generators.seeds.sources import Source
from manifests.records import Reason, Reject

PYDOC = "pydoc_data.topics"


def read_topics(source: Source, unit: Unit) -> Iterator[Outcome]:
    """One document a topic, in alphabetical order."""
    module = Row(source=source, url=unit.url)
    code = whole_text(module, unit)
    if isinstance(code, Reject):
        yield code
        return
    try:
        topics = _topics(code)
    except (SyntaxError, ValueError, RecursionError) as error:
        yield module.reject(Reason.UNREADABLE, f"no dict of texts named topics: {error}")
        return
    pydoc = source.url == PYDOC
    for name, text in sorted(topics.items()):
        yield Row(source=source, url=f"{unit.url}#{name}").document(
            text,
            title=first_heading(text) or name,
            licence="PSF-2.0" if pydoc and source.licence == "unknown" else None,
            lang="en" if pydoc and source.lang == "und" else None,
        )


def _topics(code: str) -> dict[str, str]:
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "topics":
            value = ast.literal_eval(node.value)
            if isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
                return {str(name): text for name, text in value.items()}
    raise ValueError("the module assigns none")
