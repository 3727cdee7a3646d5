import pytest

from generators.taxonomy import EXTRACTION, MODIFICATION, READING, Task

FAMILIES = {"reading": READING, "modification": MODIFICATION, "extraction": EXTRACTION}
ALL = [task for family in FAMILIES.values() for task in family]


def test_names_and_definitions_are_unique_over_all_families() -> None:
    assert len({task.name for task in ALL}) == len(ALL) >= 30
    assert len({task.definition for task in ALL}) == len(ALL)


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_a_definition_is_one_line_that_continues_the_sentence_of_the_prompt(task: Task) -> None:
    # "It is of the type "...": it <definition>."
    assert "_" not in task.name
    assert task.definition[0].islower()
    assert not task.definition.endswith(".")
    assert "\n" not in task.definition
    assert task.definition.split()[0].endswith("s")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_more_types_than_a_seed_gets(family: str) -> None:
    assert len(FAMILIES[family]) >= 10
