import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from filters.texts import Spans, Texts, texts

MESSY = st.text(alphabet="ab. \n\r\t\x1c\x85\u2028é日🦊#-", max_size=30)
BATCHES = st.lists(MESSY, max_size=6)


def pieces(read: Texts, spans: Spans) -> list[list[str]]:
    rows: list[list[str]] = [[] for _ in range(read.rows)]
    for start, end, row in zip(spans.start, spans.end, spans.row, strict=True):
        rows[row].append("".join(map(chr, read.chars[start:end])))
    return rows


@given(BATCHES)
def test_words_are_those_of_split(batch: list[str]) -> None:
    read = Texts(pa.array(batch, pa.string()))
    assert pieces(read, read.words) == [text.split() for text in batch]


@given(BATCHES)
def test_lines_are_those_of_splitlines(batch: list[str]) -> None:
    read = Texts(pa.array(batch, pa.string()))
    lines = [[line.strip() for line in row] for row in pieces(read, read.lines)]
    assert lines == [[line.strip() for line in text.splitlines()] for text in batch]


@given(BATCHES)
def test_equal_words_and_only_they_have_equal_hashes(batch: list[str]) -> None:
    read = Texts(pa.array(batch, pa.string()))
    words = [word for text in batch for word in text.split()]
    assert len(words) == len(read.word_hashes)
    assert len(set(read.word_hashes.tolist())) == len(set(words))


@given(BATCHES, st.integers(0, 3))
def test_a_slice_reads_its_own_rows(batch: list[str], skip: int) -> None:
    read = Texts(pa.array([*batch, None], pa.string()).slice(min(skip, len(batch))))
    row_texts = [[*batch, ""][index] for index in range(min(skip, len(batch)), len(batch) + 1)]
    assert read.lengths.tolist() == [len(text) for text in row_texts]
    assert "".join(map(chr, read.chars)) == "".join(row_texts)


def test_one_batch_is_read_once_and_another_is_not_mistaken_for_it() -> None:
    first = pa.record_batch({"text": ["one", "two"]})
    assert texts(first) is texts(first)
    assert texts(first.slice(1)) is not texts(first)
    assert texts(pa.record_batch({"text": ["one", "two"]})).rows == 2
