"""Specs merge value by value."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.build.three_way import merge_specs
from manifests.spec.types import Mixture
from tests.manifests.command_line import SPEC
from tests.manifests.mixed import BASE, mixture


def test_specs_merge_by_what_their_values_are() -> None:
    ours = mixture(BASE.replace("seed = 7", "seed = 8").replace("epochs = 1 }", "tokens = 999 }"))
    theirs = mixture(
        BASE.replace("global_batch = 8\n", 'global_batch = 8\nround = "down"\n').replace(
            "weights = [1, 2]", "weights = [1, 3]"
        )
    )
    found = merge_specs(mixture(BASE), ours, theirs, "other")
    assert found.conflicts == ()
    expected = (
        BASE.replace("seed = 7", "seed = 8")
        .replace("epochs = 1 }", "tokens = 999 }")
        .replace("global_batch = 8\n", 'global_batch = 8\nround = "down"\n')
        .replace("weights = [1, 2]", "weights = [1, 3]")
        .replace('"demo"', '"other"')
    )
    assert found.mixture == mixture(expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        (("seed = 7", "seed = 8"), ("seed = 7", "seed = 9"), ["seed"]),
        (("[1, 2]", "[1, 3]"), ("[55]", "[60]"), ["sources.synthetic.strata"]),
        (
            (
                'after = "pretrain"\nsequence_length = 32',
                'after = "pretrain"\nsequence_length = 16',
            ),
            (
                'after = "pretrain"\nsequence_length = 32',
                'after = "pretrain"\nsequence_length = 64',
            ),
            ["phases.sft.sequence_length"],
        ),
        (
            (SPEC[SPEC.index("[phases.sft]") :], ""),
            ("{ epochs = 1 }", "{ epochs = 2 }"),
            ["phases.sft"],
        ),
    ],
)
def test_one_value_changed_in_two_ways_is_a_conflict(
    ours: tuple[str, str], theirs: tuple[str, str], what: list[str]
) -> None:
    sides = [mixture(BASE.replace(*side)) for side in (ours, theirs)]
    found = merge_specs(mixture(BASE), sides[0], sides[1], "demo")
    assert [one.what for one in found.conflicts] == what
    assert found.mixture is None


EDITS = (
    ("seed = 7", "seed = 8"),
    ("seed = 7", 'remove = [{ records = ["0123"] }]\nseed = 7'),
    ('"15K"', '"16K"'),
    ('from = "web@1"', 'from = ["code@1", "web@1"]'),
    ('from = "syn@1"', 'from = "syn@1"\nwhere = { tokens = { max = 9 } }'),
    ("max_epochs = 40\n", ""),
    ("weights = [1, 2]", "weights = [2, 1]"),
    ("{ epochs = 1 }", "{ tokens = 99 }"),
    ("global_batch = 2\n", 'global_batch = 2\nround = "down"\n'),
    (
        'web = "40%"\nsynthetic = "60%"',
        'web = { weight = 1, layout = "document" }\nsynthetic = { weight = 2 }',
    ),
)
"""Each is fine with every other one."""


def edited(chosen: set[int]) -> Mixture:
    text = BASE
    for number in sorted(chosen, reverse=True):
        old, new = EDITS[number]
        assert old in text
        text = text.replace(old, new)
    return mixture(text)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(range(len(EDITS)))), st.sets(st.sampled_from(range(len(EDITS)))))
def test_what_each_side_edited_is_in_the_merge(ours: set[int], theirs: set[int]) -> None:
    base, both = edited(set()), edited(ours | theirs)
    one = merge_specs(base, edited(ours), edited(theirs), "demo")
    other = merge_specs(base, edited(theirs), edited(ours), "demo")
    assert one.conflicts == other.conflicts == ()
    assert one.mixture == other.mixture == both
    assert merge_specs(base, edited(ours), base, "demo").mixture == edited(ours)
    assert one.mixture == mixture(one.text)


def test_lists_that_mean_sets_are_united() -> None:
    def taking(*steps: str) -> Mixture:
        return mixture(BASE.replace('"web@1"', json.dumps(steps)))

    found = merge_specs(
        taking("a@1", "b@1"), taking("a@1", "c@1"), taking("a@1", "b@1", "d@1"), "x"
    )
    assert found.mixture is not None
    assert found.mixture.source("web").steps == ("a@1", "c@1", "d@1")


def test_changes_are_told_apart_by_where_they_happen() -> None:
    def changed(*changes: tuple[int, int]) -> Mixture:
        made = [
            f'[[changes]]\nphase = "pretrain"\nat_step = {step}\nglobal_batch = {batch}\n'
            for step, batch in changes
        ]
        return mixture("\n".join([BASE, *made]))

    found = merge_specs(changed((5, 4)), changed((5, 4), (9, 2)), changed((5, 6), (7, 2)), "demo")
    assert found.mixture == changed((5, 6), (7, 2), (9, 2))
