"""Windows against the plain way: write the whole stream down and cut it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.spec.types import Layout
from manifests.windows import Windows, samples_of_documents


@dataclass(frozen=True)
class Shard:
    tokens: npt.NDArray[np.int64]


Token = tuple[int, int, int]
"""Shard, document, token of the document; the last token of each closes it."""

corpora = st.lists(st.lists(st.integers(0, 40), max_size=6), min_size=1, max_size=5)
lengths = st.integers(1, 17)


def shards_of(corpus: list[list[int]]) -> list[Shard]:
    return [Shard(np.array(tokens, dtype=np.int64)) for tokens in corpus]


def written_down(corpus: list[list[int]]) -> list[Token]:
    return [
        (shard, document, token)
        for shard, documents in enumerate(corpus)
        for document, tokens in enumerate(documents)
        for token in range(tokens + 1)
    ]


def windows_of(layout: Layout, corpus: list[list[int]], length: int) -> Windows:
    shards = shards_of(corpus)
    if layout is Layout.STREAM:
        sizes = [int((shard.tokens + 1).sum()) for shard in shards]
    else:
        sizes = [int(samples_of_documents(shard.tokens, length).sum()) for shard in shards]
    return Windows(layout, np.array(sizes, dtype=np.int64), length)


def tokens_of(windows: Windows, corpus: list[list[int]], sample: int) -> list[Token]:
    spans = windows.spans(sample, shards_of(corpus).__getitem__)
    return [
        (span.shard, span.document, span.start + token)
        for span in spans
        for token in range(span.length)
    ]


@given(corpora, lengths)
def test_a_sample_of_a_stream_is_its_window_and_one_label_more(
    corpus: list[list[int]], length: int
) -> None:
    stream = written_down(corpus)
    windows = windows_of(Layout.STREAM, corpus, length)
    assert windows.samples == max(0, (len(stream) - 1) // length)
    for sample in range(windows.samples):
        expected = stream[sample * length : (sample + 1) * length + 1]
        assert tokens_of(windows, corpus, sample) == expected


@given(corpora, lengths)
def test_every_document_begins_a_window_and_all_its_tokens_are_inputs_once(
    corpus: list[list[int]], length: int
) -> None:
    windows = windows_of(Layout.DOCUMENT, corpus, length)
    inputs = []
    for sample in range(windows.samples):
        tokens = tokens_of(windows, corpus, sample)
        assert len({token[:2] for token in tokens}) == 1
        assert tokens[0][2] % length == 0
        assert len(tokens) <= length + 1
        inputs += tokens[:length] if len(tokens) > 1 else []
    closing = {(s, d, t) for s, documents in enumerate(corpus) for d, t in enumerate(documents)}
    assert [token for token in inputs if token not in closing] == [
        token for token in written_down(corpus) if token not in closing
    ]
    assert len(set(inputs)) == len(inputs)


@given(corpora, lengths, st.sampled_from(Layout))
def test_the_samples_of_a_document_are_those_that_hold_a_token_of_it(
    corpus: list[list[int]], length: int, layout: Layout
) -> None:
    windows = windows_of(layout, corpus, length)
    lengths_of = shards_of(corpus).__getitem__
    held = {
        sample: {token[:2] for token in tokens_of(windows, corpus, sample)}
        for sample in range(windows.samples)
    }
    for shard, documents in enumerate(corpus):
        in_shard: set[int] = set()
        for document in range(len(documents)):
            holding = {
                s for s, tokens in held.items() if (shard, document) in {t[:2] for t in tokens}
            }
            assert set(windows.samples_of(shard, document, lengths_of).tolist()) == holding
            in_shard |= holding
        assert set(windows.samples_of_shard(shard).tolist()) == in_shard


@given(corpora, lengths, st.sampled_from(Layout))
def test_the_shard_and_offset_of_a_sample_are_those_of_its_first_token(
    corpus: list[list[int]], length: int, layout: Layout
) -> None:
    windows = windows_of(layout, corpus, length)
    shards, offsets = windows.shards(np.arange(windows.samples))
    for sample in range(windows.samples):
        assert tokens_of(windows, corpus, sample)[0][0] == shards[sample]
        assert offsets[sample] >= 0


def test_a_sample_beyond_the_epoch_is_a_bug() -> None:
    windows = windows_of(Layout.STREAM, [[9]], 3)
    with pytest.raises(IndexError, match="sample 3 of 3"):
        windows.spans(3, shards_of([[9]]).__getitem__)
