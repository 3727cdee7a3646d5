"""Windows against the plain way: write the whole stream down and cut it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.levels.packed import packed
from manifests.packing import Packing, pack
from manifests.resolve.types import Body
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
    elif layout is Layout.PACKED:
        sizes = [len(packed(tokens, length)) for tokens in corpus]
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


@settings(deadline=None)
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


@settings(deadline=None)
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


@settings(deadline=None)
@given(corpora, lengths)
def test_a_packed_sample_is_the_window_of_its_shard_with_a_label_for_every_part(
    corpus: list[list[int]], length: int
) -> None:
    windows = windows_of(Layout.PACKED, corpus, length)
    expected = [
        [(shard, document, start, inputs + 1) for document, start, inputs in parts]
        for shard, tokens in enumerate(corpus)
        for parts in packed(tokens, length)
    ]
    lengths_of = shards_of(corpus).__getitem__
    found = [windows.spans(sample, lengths_of) for sample in range(windows.samples)]
    assert expected == [
        [(one.shard, one.document, one.start, one.length) for one in spans] for spans in found
    ]


def test_who_keeps_packings_is_asked_for_them_and_nobody_for_lengths() -> None:
    tokens, asked = np.array([3, 4, 9], dtype=np.int64), []

    def packing_of(shard: int) -> Packing:
        asked.append(shard)
        return pack(tokens, 7)

    def lengths_of(shard: int) -> Shard:
        raise AssertionError("asked for lengths")

    sizes = np.array([pack(tokens, 7).windows] * 2, dtype=np.int64)
    windows = Windows(Layout.PACKED, sizes, 7, packing_of)
    assert [span.document for span in windows.spans(int(sizes[0]), lengths_of)] == [2]
    assert windows.samples_of(1, 0, lengths_of).tolist() == [int(sizes[0]) + 1]
    assert asked == [1, 1]


def test_shards_are_packed_once_while_they_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manifests.windows.CACHED", 2)
    corpus = [[3, 4], [5], [6, 1]]
    windows, asked = windows_of(Layout.PACKED, corpus, 8), []

    def lengths_of(shard: int) -> Shard:
        asked.append(shard)
        return shards_of(corpus)[shard]

    for shard in (0, 1, 0, 1, 2, 1, 0):
        windows.samples_of(shard, 0, lengths_of)
    assert asked == [0, 1, 2, 0]


def test_another_packing_than_ours_is_refused() -> None:
    body = Body(table="t" * 64, layout=Layout.PACKED, samples=1, tokens=1, packing="other@3")
    with pytest.raises(ConfigError, match=r"by 'other@3', and this version packs by 'best-fit@1'"):
        Windows.of(body, 4, lambda _: pa.table({}), lambda _: np.ones(1, dtype=np.int64))


@settings(deadline=None)
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


@settings(deadline=None)
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
