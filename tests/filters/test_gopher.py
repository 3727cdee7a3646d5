"""The vectorised measures against plain Python, and their verdicts against datatrove's."""

import re
from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import apply
from filters.repetition import GOPHER_REPETITION, Repeated, RepeatedGrams, TopGram
from filters.text import GOPHER_QUALITY, Text

TEXTS = st.lists(
    st.lists(
        st.sampled_from(["a", "bb", "c", " ", "\n", "\n\n", "...", "-", "• x", "é"]), max_size=40
    )
    .map("".join)
    .flatmap(lambda text: st.sampled_from([text, text + "\n" + text, text.replace("c", " a bb ")])),
    min_size=1,
    max_size=4,
)


def scores(measure: Text | Repeated | TopGram | RepeatedGrams, batch: list[str]) -> list[float]:
    result: list[float] = measure(pa.record_batch({"text": batch})).to_pylist()
    return result


def repeats(pieces: list[str]) -> list[str]:
    return [piece for index, piece in enumerate(pieces) if piece in pieces[:index]]


@given(TEXTS)
def test_repeated_lines_and_paragraphs_are_counted_as_plain_python_does(batch: list[str]) -> None:
    splits = {
        "lines": [re.split(r"\n+", text) for text in batch],
        "paragraphs": [re.split(r"\n{2,}", text.strip()) for text in batch],
    }
    for kind, rows in splits.items():
        expected = [len(repeats(row)) / len(row) for row in rows]
        assert scores(Repeated(pieces=kind), batch) == expected
        chars = [sum(map(len, repeats(row))) for row in rows]
        expected = [n / len(text) if text else 0 for n, text in zip(chars, batch, strict=True)]
        assert scores(Repeated(pieces=kind, characters=True), batch) == expected


@given(TEXTS, st.integers(2, 5))
def test_the_top_n_gram_is_that_of_a_counter(batch: list[str], n: int) -> None:
    for text, score in zip(batch, scores(TopGram(n=n), batch), strict=True):
        words = text.split()
        grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        [(gram, times)] = grams.most_common(1) or [("", 0)]
        assert score == (len(gram) * times / len(text) if text else 0)


@given(TEXTS, st.integers(2, 6))
def test_repeated_n_grams_are_skipped_as_a_reader_would(batch: list[str], n: int) -> None:
    for text, score in zip(batch, scores(RepeatedGrams(n=n), batch), strict=True):
        words, seen, chars, at = text.split(), set(), 0, 0
        while at + n <= len(words):
            gram = tuple(words[at : at + n])
            chars += len("".join(gram)) * (gram in seen)
            at += n if gram in seen else 1
            seen.add(gram)
        assert score == (chars / len(text) if text else 0)


@given(TEXTS)
def test_line_and_symbol_shares_are_those_of_plain_python(batch: list[str]) -> None:
    bullets, ends = (
        scores(Text(measure="bullets"), batch),
        scores(Text(measure="end_ellipses"), batch),
    )
    dots = scores(Text(measure="ellipses"), batch)
    for index, text in enumerate(batch):
        lines, words = text.splitlines(), text.split()
        listed = sum(line.lstrip().startswith(("•", "-")) for line in lines)
        ended = sum(line.rstrip().endswith(("...", "…")) for line in lines)
        assert bullets[index] == (listed / len(lines) if lines else 0)
        assert ends[index] == (ended / len(lines) if lines else 0)
        counted = text.count("...") + text.count("…")
        assert dots[index] == (counted / len(words) if words else 0)


def test_words_of_symbols_alone_do_not_count_as_words() -> None:
    batch = ["The cat, and -- the dog! 42 #", "with That of of the"]
    assert scores(Text(measure="words"), batch) == [6, 5]
    assert scores(Text(measure="word_length"), batch) == [pytest.approx(19 / 6), 15 / 5]
    assert scores(Text(measure="hashes"), batch) == [1 / 8, 0]
    assert scores(Text(measure="alphabetic"), batch) == [5 / 8, 1]
    assert scores(Text(measure="stop_words"), batch) == [2, 3]


DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "12345678901234567890123456")


def real_texts() -> list[str]:
    """Python's documentation whole, in parts, and spoiled in the ways that rules look for."""
    whole = [text for _, text in sorted(topics.items())]
    parts = [text[:1500] for text in whole] + [text[-700:] for text in whole]
    spoiled = [
        *(text[:900] * 2 for text in whole[:20]),
        *("\n".join("- " + line for line in text.splitlines()) for text in whole[:20]),
        *(text.replace("\n", "...\n") for text in whole[20:40]),
        *(text.replace(" ", " # ") for text in whole[:10]),
        *(text.lower().translate(DIGITS) for text in whole[:10]),
        *(text.replace("\n\n", f"\n\n{text[:120]}\n\n") for text in whole[40:60]),
        *(re.sub(r"\s+", "", text[:4000]) + " x" * 60 for text in whole[:5]),
    ]
    return [*whole, *parts, *spoiled]


def verdicts_of_datatrove(texts: list[str]) -> tuple[list[str], list[str]]:
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

    quality = GopherQualityFilter(language=Whitespace())
    repetition = GopherRepetitionFilter(language=Whitespace())

    def verdict(judge: GopherQualityFilter | GopherRepetitionFilter, text: str) -> str:
        answer = judge.filter(Document(text=text, id=""))
        return "" if answer is True else str(answer[1])

    return [verdict(quality, t) for t in texts], [verdict(repetition, t) for t in texts]


QUALITY_RULES = {
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
    "": "",
}
REPETITION_RULES = {
    "dup_para_frac": "repetition.paragraphs@1",
    "dup_para_char_frac": "repetition.paragraphs_chars@1",
    "dup_line_frac": "repetition.lines@1",
    "dup_line_char_frac": "repetition.lines_chars@1",
    **{f"top_{n}_gram": f"repetition.top_{n}_gram@1" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"repetition.repeated_{n}_grams@1" for n in range(5, 11)},
    "": "",
}


def test_verdicts_and_first_reasons_are_those_of_datatrove() -> None:
    batch = real_texts()
    theirs = verdicts_of_datatrove(batch)
    rules = (QUALITY_RULES, REPETITION_RULES)
    for gates, verdicts, names in zip(
        (GOPHER_QUALITY, GOPHER_REPETITION), theirs, rules, strict=True
    ):
        screened = apply([], gates, pa.table({"text": batch}))
        ours = np.full(len(batch), "", dtype=object)
        ours[screened.dropped["row"].to_numpy()] = screened.dropped["by"].to_pylist()
        assert ours.tolist() == [names[verdict] for verdict in verdicts]
        assert len(set(verdicts)) >= 6  # the texts do exercise the rules
