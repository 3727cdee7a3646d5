from hypothesis import given
from hypothesis import strategies as st

from manifests.select.strata import stratum_name


@given(st.text(), st.text())
def test_strata_of_different_texts_have_different_names_that_fit_in_keys(a: str, b: str) -> None:
    one, other = stratum_name(a), stratum_name(b)
    assert (one == other) == (a == b)
    assert one.isprintable()
    assert one
    assert "/" not in one


def test_the_stratum_of_an_ordinary_text_is_named_after_it() -> None:
    for text in ("en", "CC-BY-SA-4.0", "rewrite@1", "français", "MIT AND (X OR Y)"):
        assert stratum_name(text) == text
    assert stratum_name("a/b\n") == "a%2Fb%0A"
