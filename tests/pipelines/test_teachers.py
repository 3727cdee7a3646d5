import ast
from pathlib import Path

import pytest

from manifests.errors import ConfigError
from pipelines.teachers import ROLES, parse_roles

GENERATORS = Path(__file__).parents[2] / "generators"
SPEAKERS = {"system", "user", "assistant"}


def asked_roles() -> set[str]:
    """Every role that a generator names when it asks."""
    calls = (
        node
        for file in GENERATORS.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
    )
    values = (k.value for call in calls for k in call.keywords if k.arg == "role")
    return {v.value for v in values if isinstance(v, ast.Constant)} - SPEAKERS


def test_the_roles_are_those_that_generators_ask() -> None:
    assert asked_roles() | {"writer"} == ROLES


def test_a_misspelt_role_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no generator asks a critc; roles are critic, curator"):
        parse_roles(["critc=judge=http://host:1"])


def test_a_role_has_a_model_and_a_url() -> None:
    assert parse_roles(["critic=judge=http://host:1"]) == {"critic": ("judge", "http://host:1")}
