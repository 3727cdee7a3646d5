from hypothesis import given
from hypothesis import strategies as st

from generators.seeds.segment import Passage, count_words, numbered, segment
from manifests.records import Kind


def prose(text: str, low: int = 3, high: int = 20) -> list[Passage]:
    return segment(Kind.PROSE, text, min_words=low, max_words=high)


def words(n: int, word: str = "word") -> str:
    return " ".join([word] * n)


def test_a_passage_begins_at_a_heading_and_keeps_its_paragraphs() -> None:
    text = f"# One\n\n{words(5)}\n\n{words(6)}\n\n## Two\n\n{words(7)}\n"
    first, second = prose(text)
    assert (first.start_line, first.end_line) == (1, 5)
    assert (second.start_line, second.end_line) == (7, 9)
    assert second.text == f"## Two\n\n{words(7)}"


def test_paragraphs_are_packed_up_to_the_largest_size() -> None:
    text = "\n\n".join([words(8)] * 5)
    assert [count_words(p.text) for p in prose(text)] == [16, 16, 8]


def test_a_heading_is_never_left_at_the_end_of_a_passage() -> None:
    text = f"{words(15)}\n\n# Next\n\n{words(20)}"
    assert [p.text for p in prose(text, low=16, high=30)] == [f"# Next\n\n{words(20)}"]


def test_a_list_and_the_line_that_introduces_it_stay_together() -> None:
    items = "\n".join(f"- {words(2)}" for _ in range(4))
    text = f"{words(10)}\n\nThe steps are:\n\n{items}"
    assert [p.text for p in prose(text)] == [words(10), f"The steps are:\n\n{items}"]


def test_a_code_block_is_never_cut_even_at_its_blank_lines() -> None:
    code = "```python\na = 1\n\n\nb = 2\n# not a heading\n```"
    text = f"{words(12)}\n\n{code}\n\n{words(12)}"
    assert [p.text for p in prose(text)] == [words(12), code, words(12)]


def test_a_list_with_blank_lines_and_continuations_is_one_block() -> None:
    text = f"{words(12)}\n\n1. first\n   more of it\n\n2. second\n\n{words(12)}"
    assert [p.text for p in prose(text, high=12)] == [
        words(12),
        "1. first\n   more of it\n\n2. second",
        words(12),
    ]


def test_a_list_too_large_for_any_passage_is_left_out() -> None:
    items = "\n".join(f"- {words(5)}" for _ in range(8))
    text = f"{words(10)}\n\n{items}\n\n{words(11)}"
    assert [p.text for p in prose(text)] == [words(10), words(11)]


def test_a_long_paragraph_is_cut_where_a_line_ends_a_sentence() -> None:
    line = f"{words(4)}\n{words(4)}."
    passages = prose("\n".join([line] * 4), high=20)
    assert len(passages) == 2
    assert all(p.text.endswith(".") for p in passages)


def test_a_small_rest_joins_the_passage_before_it_or_is_left_out() -> None:
    assert [p.end_line for p in prose(f"# A\n{words(9)}\n\n# B\nx", low=5)] == [5]
    assert [p.text for p in prose(f"{words(20)}\n\nx y", low=5)] == [words(20)]


def test_scripts_without_spaces_are_counted_by_character() -> None:
    assert count_words("日本語の文章です") == 4
    assert count_words("two words") == 2


def test_lines_are_numbered_from_one() -> None:
    assert numbered("a\n\nb") == "1: a\n2: \n3: b"


def test_python_gives_one_passage_per_definition_with_decorator_and_comment() -> None:
    text = (
        "import os\n\n# Adds.\n@cache\ndef add(a, b):\n    return a + b\n\n\n"
        "class C:\n    x = 1\n\n    def f(self):\n        return 1\n"
    )
    passages = segment(Kind.CODE, text, min_words=1, max_words=100)
    assert [(p.start_line, p.end_line) for p in passages] == [(3, 6), (9, 13)]
    assert passages[0].text.startswith("# Adds.\n@cache")


def test_another_language_is_cut_by_layout() -> None:
    text = (
        'package main\n\nimport "fmt"\n\n// Hi greets.\nfunc Hi() {\n\n\tfmt.Println(1)\n}\n\n'
        "func Bye() {\n\tfmt.Println(2)\n}\n"
    )
    passages = segment(Kind.CODE, text, min_words=1, max_words=100)
    assert [p.text.split("(")[0] for p in passages] == ["// Hi greets.\nfunc Hi", "func Bye"]
    assert all(p.text.endswith("}") for p in passages)


LINES = st.sampled_from(
    ["", "# Title", "- item one", "  more", "    code here", "```", "Words and more words.",
     "one two three four five six seven", "$$", "A line:", "1. first", "Title\n====", "def f():"]
)  # fmt: skip


@given(
    st.lists(LINES, max_size=40),
    st.sampled_from(list(Kind)),
    st.integers(1, 10),
    st.integers(0, 30),
)
def test_spans_reproduce_the_passages_in_order_and_within_size(
    lines: list[str], kind: Kind, low: int, more: int
) -> None:
    text = "\n".join(lines)
    before = 0
    for passage in segment(kind, text, min_words=low, max_words=low + more):
        cut = text.split("\n")[passage.start_line - 1 : passage.end_line]
        assert "\n".join(cut) == passage.text
        assert before < passage.start_line <= passage.end_line
        assert low <= count_words(passage.text) <= low + more
        assert cut[0].strip()
        assert cut[-1].strip()
        before = passage.end_line
