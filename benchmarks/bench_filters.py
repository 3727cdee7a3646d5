"""Our Gopher quality and repetition gates against datatrove's filters, on the same real texts.

The texts are Python's own documentation: the topics of `pydoc` and the docstrings of the standard
library, put together to documents of web-page size. Both sides split words at white space (what
datatrove's own word tokenizers would cost on top is not counted), both on one core. Every verdict
is compared, with the first rule that failed.
"""

import importlib
import inspect
import os
import pkgutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from itertools import cycle, islice
from pydoc_data.topics import topics

import pyarrow as pa

from benchmarks.harness import CORES, Spread, introduce, options, table
from filters.contract import apply
from filters.repetition import GOPHER_REPETITION
from filters.text import GOPHER_QUALITY

WORDS_OF_A_PAGE = 500
SKIPPED = {"antigravity", "this", "idlelib", "turtledemo", "test", "lib2to3"}

Judge = Callable[[Sequence[str]], list[str]]
"""The first rule that each text fails, or ''."""

RULES = {
    "gopher_short_doc": "text.words@1",
    "gopher_long_doc": "text.words@1",
    "gopher_below_avg_threshold": "text.word_length@1",
    "gopher_above_avg_threshold": "text.word_length@1",
    "gopher_too_many_hashes": "text.hashes@1",
    "gopher_too_many_ellipsis": "text.ellipses@1",
    "gopher_too_many_bullets": "text.bullets@1",
    "gopher_too_many_end_ellipsis": "text.end_ellipses@1",
    "gopher_below_alpha_threshold": "text.alphabetic@1",
    "gopher_enough_stop_words": "text.stop_words@1",
    "dup_para_frac": "repetition.paragraphs@1",
    "dup_para_char_frac": "repetition.paragraphs_chars@1",
    "dup_line_frac": "repetition.lines@1",
    "dup_line_char_frac": "repetition.lines_chars@1",
    **{f"top_{n}_gram": f"repetition.top_{n}_gram@1" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"repetition.repeated_{n}_grams@1" for n in range(5, 11)},
    "": "",
}
"""datatrove's reasons and the names of our filters."""


def docstrings() -> Iterator[str]:
    """Of every public module, class and function of the standard library that can be imported."""
    for name in sorted(sys.stdlib_module_names - SKIPPED):
        if name.startswith("_"):
            continue
        try:
            module = importlib.import_module(name)
        except Exception:  # modules of other systems, and those that want a display
            continue
        inside = [f"{name}.{m.name}" for m in pkgutil.iter_modules(getattr(module, "__path__", []))]
        members = [*vars(module).values(), *(sys.modules[n] for n in inside if n in sys.modules)]
        yield from filter(None, (_doc(thing) for thing in (module, *members)))


def _doc(thing: object) -> str:
    parts = [thing, *(vars(thing).values() if inspect.isclass(thing) else ())]
    return "\n\n".join(filter(None, (inspect.cleandoc(_own(part)) for part in parts)))


def _own(thing: object) -> str:
    doc = getattr(thing, "__doc__", None)
    documented = callable(thing) or inspect.ismodule(thing)
    return doc if documented and isinstance(doc, str) else ""


def pages() -> list[str]:
    """The topics, each a page, and the docstrings, joined to pages."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        found = list(dict.fromkeys(docstrings()))
    made, page, words = [text for _, text in sorted(topics.items())], [], 0
    for text in found:
        page.append(text)
        words += len(text.split())
        if words >= WORDS_OF_A_PAGE:
            made.append("\n\n".join(page))
            page, words = [], 0
    return made


def corpus(megabytes: float) -> list[str]:
    """The pages, over and over, to this size."""
    some = pages()
    size = sum(len(text.encode()) for text in some) / 1e6
    print(f"{len(some)} pages of {size:.1f} MB, repeated to {megabytes:g} MB")
    return list(islice(cycle(some), max(1, round(len(some) * megabytes / size))))


def ours(texts: Sequence[str]) -> list[str]:
    """Both gate lists in one pass over a table."""
    gates = (*GOPHER_QUALITY, *GOPHER_REPETITION)
    dropped = apply((), gates, pa.table({"text": pa.array(texts, pa.string())})).dropped
    first = [""] * len(texts)
    for row, by in zip(dropped["row"].to_pylist(), dropped["by"].to_pylist(), strict=True):
        first[row] = by
    return first


def datatrove_judge() -> Judge:
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Whitespace(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            raise NotImplementedError

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            raise NotImplementedError

    filters = (
        GopherQualityFilter(language=Whitespace()),
        GopherRepetitionFilter(language=Whitespace()),
    )

    def first_failed(text: str) -> str:
        document = Document(text=text, id="")
        for judge in filters:  # as its pipeline does: what one drops the next does not see
            answer = judge.filter(document)
            if answer is not True:
                return RULES[str(answer[1])]
        return ""

    return lambda texts: [first_failed(text) for text in texts]


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--megabytes", type=float, default=20.0, help="of text, UTF-8")
    given = parser.parse_args()
    introduce("Gopher filters", ["numpy", "pyarrow", "datatrove"])
    os.sched_setaffinity(0, CORES[-1:])
    pa.set_cpu_count(1)
    texts = corpus(given.megabytes)
    size = sum(len(text.encode()) for text in texts) / 1e6
    judges: dict[str, Judge] = {"datatrove": datatrove_judge(), "ours": ours}
    rates: dict[str, list[float]] = {name: [] for name in judges}
    verdicts: dict[str, list[str]] = {}
    for judge in judges.values():
        judge(texts[:50])
    for _ in range(given.runs):
        for name, judge in judges.items():
            start = time.process_time()
            verdicts[name] = judge(texts)
            rates[name].append(size / (time.process_time() - start))
    base = Spread(tuple(rates["datatrove"])).middle
    print(f"one core, CPU time, median of {given.runs}")
    shown = {"datatrove": "datatrove GopherQuality + GopherRepetition", "ours": "ours, both gates"}
    rows = []
    for name in judges:
        rate = Spread(tuple(rates[name]))
        rows.append([shown[name], rate.shown(2), f"{rate.middle / base:.1f}"])
    table(["filters", "MB/s a core", "x datatrove"], rows)
    pairs = list(zip(verdicts["datatrove"], verdicts["ours"], strict=True))
    kept = sum(not theirs for theirs, _ in pairs)
    same = sum(bool(a) == bool(b) for a, b in pairs)
    rule = sum(a == b for a, b in pairs)
    print(
        f"verdicts: {same} of {len(pairs)} the same, {rule} by the same first rule;"
        f" kept {kept}, rules that dropped: {len({a for a, _ in pairs} - {''})}"
    )


if __name__ == "__main__":
    main()
