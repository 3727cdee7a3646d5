import pytest

from manifests.errors import ConfigError
from pipelines.overrides import parse, shown


def recipe(
    setting: object,
    *,
    documents: str = "here",
    rounds: int = 3,
    share: float = 0.5,
    strict: bool = False,
    generators: tuple[str, ...] = ("a@1",),
) -> None: ...


def test_values_take_the_types_of_the_signature() -> None:
    given = ["documents=s3://b/x=1", "rounds=4", "share=0.25", "strict=true", "generators=a@1,b@2"]
    assert parse("r", recipe, given) == {
        "documents": "s3://b/x=1",
        "rounds": 4,
        "share": 0.25,
        "strict": True,
        "generators": ("a@1", "b@2"),
    }


def test_values_are_shown_as_they_are_typed() -> None:
    assert shown(parse("r", recipe, ["generators=a@1,b@2", "rounds=4"])) == {
        "generators": "a@1,b@2",
        "rounds": "4",
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["document=x"], "did you mean documents"),
        (["zzz=1"], "it takes documents, rounds"),
        (["rounds=many"], "expected a whole number"),
        (["strict=yes"], "expected true or false"),
        (["rounds"], "expected name=value"),
        (["rounds=1", "rounds=2"], "given twice"),
        (["setting=1"], "has no parameter 'setting'"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(given: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        parse("r", recipe, given)
    assert "\n" not in str(raised.value)
