from hypothesis import given
from hypothesis import strategies as st

from generators.code import Unit, read_snippet
from generators.code_likeness import ast_similarity, leakage, leaked_names

COUNT = '''
def count_vowels(text: str) -> int:
    """Count vowels."""
    vowel_total = 0
    for letter in text.lower():
        if letter in "aeiou":
            vowel_total += 1
    return vowel_total
'''
RENAMED = """
def tally(s):
    n = 0
    for c in s.lower():
        if c in "aiueo":
            n += 1
    return n
"""
CLOSE = """
def count_vowels(text):
    return sum(1 for c in text.lower() if c in "aeiou")
"""
OTHER = """
def transpose(rows):
    result = []
    while rows:
        head = rows.pop()
        result.append({k: v for k, v in head.items()})
    return dict(zip(result, rows))
"""
SNIPPET = read_snippet(COUNT, Unit.FUNCTION, min_lines=2, max_lines=20)


def test_names_docstrings_and_annotations_do_not_count() -> None:
    assert ast_similarity(COUNT, RENAMED) == 1.0


def test_similarity_falls_with_the_form() -> None:
    close, other = ast_similarity(COUNT, CLOSE), ast_similarity(COUNT, OTHER)
    assert 1.0 > close > other
    assert other < 0.3


def test_what_does_not_parse_is_like_nothing() -> None:
    assert ast_similarity(COUNT, "def f(:") == 0.0


@given(st.sampled_from([COUNT, RENAMED, CLOSE, OTHER]), st.sampled_from([COUNT, CLOSE, OTHER]))
def test_similarity_is_symmetric_and_bounded(left: str, right: str) -> None:
    value = ast_similarity(left, right)
    assert 0.0 <= value <= 1.0
    assert value == ast_similarity(right, left)


def test_an_instruction_in_plain_words_leaks_nothing() -> None:
    said = "Write a function that counts the vowels of a text, ignoring case."
    assert leakage(SNIPPET, said) == 0.0
    assert leaked_names(SNIPPET, said) == []


def test_pasted_code_leaks_wholly_and_in_part() -> None:
    assert leakage(SNIPPET, SNIPPET.code) > 0.8
    assert leakage(SNIPPET, SNIPPET.code.replace('    """Count vowels."""\n', "")) == 1.0
    part = "for letter in text.lower(): check it"
    assert 0.1 < leakage(SNIPPET, part) < 0.5


def test_the_signature_is_no_leak() -> None:
    assert leakage(SNIPPET, SNIPPET.signature) == 0.0


def test_private_names_leak_and_public_ones_do_not() -> None:
    assert leaked_names(SNIPPET, "Add to vowel_total for each one.") == ["vowel_total"]
    assert leaked_names(SNIPPET, "count_vowels goes through `text`.") == []


def test_a_word_that_is_also_a_name_leaks_only_as_code() -> None:
    assert leaked_names(SNIPPET, "Look at each letter.") == []
    assert leaked_names(SNIPPET, "Bind it to `letter`.") == ["letter"]
