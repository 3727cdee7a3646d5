"""The recipes by name."""

from collections.abc import Callable
from difflib import get_close_matches

from manifests.errors import ConfigError
from pipelines.recipes.flow import Flow
from pipelines.recipes.organic import organic
from pipelines.recipes.quickstart import quickstart
from pipelines.recipes.synthesize import synthesize
from pipelines.recipes.tokenize import tokenize

Recipe = Callable[..., Flow]
"""Takes a `Setting` and keyword parameters, which the command line can override."""

RECIPES: dict[str, Recipe] = {
    "quickstart": quickstart,
    "synthesize": synthesize,
    "organic": organic,
    "tokenize": tokenize,
}


def recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        ConfigError: There is none; the message lists those that there are.
    """
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"no recipe {name!r}: {meant}there are {', '.join(RECIPES)}")
    return RECIPES[name]
