"""HTML pages to text: datatrove's Trafilatura extractor, with code and formulas kept whole.

Trafilatura drops the indentation of code and knows no TeX. So before it runs, a `<pre>` becomes one
line in which rare characters stand for its spaces and newlines, and MathML becomes its TeX source;
afterwards the characters are put back. Extraction runs in a child process, as pages exist that
make parsers loop or eat all memory; one child serves all pages of its thread.
"""

import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from generators.seeds.inventory import Unit
from generators.seeds.readers.outcomes import Outcome, Row
from generators.seeds.readers.streams import whole_file
from generators.seeds.readers.text import first_heading
from generators.seeds.sources import Source
from manifests.records import Reason, Reject

PAGE_SECONDS = 20.0
"""[I] Far over what any sane page takes: a busy machine must not turn pages into rejects."""
KEPT = " \n\t"
STAND_INS = range(0x1D360, 0x1D372)
"""Counting rod numerals: printable, so Trafilatura keeps them, and hardly in any page."""
META_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
PR_SET_PDEATHSIG = 1


class Unextractable(Exception):
    """No text can be got out of this page, and why."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says."""

    title: str
    lang: str
    text: str


def read_html(source: Source, unit: Unit) -> Iterator[Outcome]:
    """The file's one outcome."""
    row = Row(source=source, url=unit.url)
    data = whole_file(row, unit)
    yield data if isinstance(data, Reject) else page_outcome(row, data, None)


def page_outcome(row: Row, data: bytes, charset: str | None) -> Outcome:
    """The page as a document, or why not; `charset` is what the server said it is."""
    try:
        page = extract(decode(data, charset))
    except Unextractable as error:
        return row.reject(Reason.UNREADABLE, error, data)
    if not page.text.strip():
        return row.reject(Reason.EMPTY, "no main text on the page", data)
    lang = page.lang if row.source.lang == "und" else None
    return row.document(page.text, title=page.title or first_heading(page.text), lang=lang)


def decode(data: bytes, charset: str | None) -> str:
    """UTF-8 if it is, else what server or page declare, else what the bytes look like.

    Raises:
        Unextractable: None of them fits.
    """
    from trafilatura.utils import detect_encoding

    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unextractable("binary: it has NUL bytes")
    meta = META_CHARSET.search(data[:4096])
    declared = [charset, meta[1].decode("ascii") if meta else None]
    for encoding in ("utf-8-sig", *filter(None, declared)):
        if (text := _try(data, encoding)) is not None:
            return text
    for encoding in detect_encoding(data):
        if (text := _try(data, encoding)) is not None:
            return text
    raise Unextractable("in no character set that could be found")


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


_mine = threading.local()


def extract(html: str) -> Page:
    """The main text of a page.

    Raises:
        Unextractable: The extractor failed, twice where it hung or died.
    """
    import trafilatura  # noqa: F401  (here, so that the child is born with it)
    from datatrove.pipeline.extractors.base import ExtractorSandbox

    # a forked copy of this process must not talk into its parent's pipe
    if getattr(_mine, "owner", None) != os.getpid():
        _mine.owner = os.getpid()
        _mine.sandbox = ExtractorSandbox(timeout=PAGE_SECONDS, warmup_text="")
    problem = ""
    for _ in range(2):  # a child that another thing killed must not cost a page
        try:
            return cast(Page, _mine.sandbox.process_document(html, _extract_in_child))
        except TimeoutError:
            problem = f"extraction took over {PAGE_SECONDS:.0f} s"
        except (EOFError, BrokenPipeError):
            problem = "the extractor died on this page"
    raise Unextractable(problem)


def _extract_in_child(html: str) -> Page | Unextractable:
    """An exception is sent back as a value, and the sandbox raises it on the other side."""
    if not html:
        _die_with_parent()
    try:
        return extract_here(html)
    except Exception as error:
        return Unextractable(f"{type(error).__name__}: {error}")


def _die_with_parent() -> None:
    # the child holds both ends of its pipe, so it would wait for ever on a parent that was killed
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def extract_here(html: str) -> Page:
    """As `extract`, in this process."""
    from datatrove.pipeline.extractors import Trafilatura
    from lxml import etree
    from lxml.html import HTMLParser, document_fromstring

    html = html.replace("\0", "")
    if not html.strip():
        return Page("", "", "")
    tree = document_fromstring(html.encode(), parser=HTMLParser(encoding="utf-8"))
    _formulas_to_tex(tree)
    restore = _shield_code(tree, html)
    shielded = etree.tostring(tree, encoding="unicode", method="html")
    # deduplicate would drop what earlier pages said, and so depend on the order of pages
    extractor = Trafilatura(deduplicate=False, include_formatting=True)
    title = " ".join((tree.findtext(".//title") or "").split())
    lang = tree.get("lang", "").split("-")[0].lower()
    text = restore(extractor.extract(shielded) or "")
    return Page(title, lang if re.fullmatch("[a-z]{2}", lang) else "", text)


def _shield_code(tree: Any, html: str) -> Callable[[str], str]:
    """Make every `<pre>` one line of plain text; returns what undoes it on the extracted text."""
    free = [char for char in map(chr, STAND_INS) if char not in html]
    if len(free) < len(KEPT) + 2:
        return lambda text: text
    first, last, *stand_ins = free
    shield = str.maketrans(dict(zip(KEPT, stand_ins, strict=False)))
    for block in tree.iter("pre"):
        for line_break in block.iter("br"):
            line_break.tail = "\n" + (line_break.tail or "")
        code = "".join(block.itertext()).replace("\r\n", "\n").rstrip().removeprefix("\n")
        tail = block.tail
        block.clear()
        block.tail = tail
        child = block.makeelement("code")
        child.text = f"{first}{code.translate(shield)}{last}"
        block.append(child)
    restore = str.maketrans(dict(zip(stand_ins, KEPT, strict=False)))
    blocks = re.compile(rf"\s*`*{first}([^{last}]*){last}`*\s*")

    def undo(text: str) -> str:
        fenced = blocks.sub(lambda found: _fenced(found[1]), text)
        # a mark whose other half the extraction dropped
        return fenced.translate(restore).replace(first, "").replace(last, "").strip("\n")

    return undo


def _fenced(code: str) -> str:
    fence = "````" if "```" in code else "```"
    return f"\n\n{fence}\n{code}\n{fence}\n\n"


def _formulas_to_tex(tree: Any) -> None:
    """MathML with a TeX annotation, and MathJax scripts, become `$TeX$`."""
    for math in list(tree.iter("math")):
        notes = [n for n in math.iter("annotation") if "tex" in n.get("encoding", "")]
        tex = notes[0].text if notes else math.get("alttext")
        if tex:
            _replace(math, tex, display=math.get("display") == "block")
    for script in list(tree.iter("script")):
        kind = script.get("type", "")
        if kind.startswith("math/tex") and script.text:
            _replace(script, script.text, display="display" in kind)
    for drawn in tree.xpath("//*[contains(concat(' ', @class, ' '), ' katex-html ')]"):
        drawn.drop_tree()


def _replace(element: Any, tex: str, *, display: bool) -> None:
    mark = "$$" if display else "$"
    span = element.makeelement("span")
    span.text = f"{mark}{tex.strip()}{mark}"
    span.tail = element.tail
    element.getparent().replace(element, span)
