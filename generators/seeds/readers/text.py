"""Plain text, Markdown and reST: one file, one document, its title the first heading."""

import re
from collections.abc import Iterator
from itertools import pairwise

from generators.seeds.inventory import Unit
from generators.seeds.readers.outcomes import Outcome, Row
from generators.seeds.readers.streams import whole_text
from generators.seeds.sources import Source
from manifests.records import Reject

HEADING = re.compile(r"#{1,6}\s+(?P<title>\S.*?)\s*#*\s*$")
UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*$")
SEARCHED_LINES = 100


def read_text(source: Source, unit: Unit) -> Iterator[Outcome]:
    """The file's one outcome."""
    row = Row(source=source, url=unit.url)
    text = whole_text(row, unit)
    yield text if isinstance(text, Reject) else row.document(text, title=first_heading(text))


def first_heading(text: str) -> str:
    """The first Markdown or reST heading near the top, or nothing."""
    lines = text[:20_000].splitlines()[:SEARCHED_LINES]
    for line, below in pairwise([*lines, ""]):
        if found := HEADING.match(line):
            return found["title"]
        title = line.strip()
        # an underline is at least as long as what it underlines, or it is a rule or a table
        underlined = UNDERLINE.match(below) and len(below.rstrip()) >= len(title)
        if title and underlined and not UNDERLINE.match(line):
            return title
    return ""
