"""Every generator by name: fifty data-set types are fifty values of about ten classes."""

from difflib import get_close_matches

from generators.contract import Curator, Generator
from generators.dialogue import DIALOGUES
from generators.instruction import INSTRUCTIONS
from generators.reversal import REVERSALS
from generators.revision import REVISIONS
from generators.rewrite import REWRITES
from generators.seeds.curate import SEED_CURATORS
from manifests.errors import ConfigError

_GENERATORS: tuple[Generator, ...] = (
    *REWRITES,
    *REVISIONS,
    *REVERSALS,
    *INSTRUCTIONS,
    *DIALOGUES,
)
GENERATORS: dict[str, Generator] = {g.name: g for g in _GENERATORS}
CURATORS: dict[str, Curator] = {c.name: c for c in SEED_CURATORS}


def generator(name: str) -> Generator:
    """The generator of this name.

    Raises:
        ConfigError: There is none; the message lists those that there are.
    """
    if name not in GENERATORS:
        near = get_close_matches(name, GENERATORS, n=3)
        known = f"did you mean {' or '.join(near)}?" if near else f"there are {_names()}"
        raise ConfigError(f"no generator {name!r}: {known}")
    return GENERATORS[name]


def _names() -> str:
    return ", ".join(sorted(GENERATORS))


def curator(name: str) -> Curator:
    """The seed curator of this name.

    Raises:
        ConfigError: There is none; the message lists those that there are.
    """
    if name not in CURATORS:
        raise ConfigError(f"no seed curator {name!r}: there are {', '.join(sorted(CURATORS))}")
    return CURATORS[name]
