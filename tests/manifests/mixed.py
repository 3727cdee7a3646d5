"""Mixtures that have a past in common, for tests of merging them."""

from manifests.spec.read import parse_mixture
from manifests.spec.types import Mixture
from tests.manifests.command_line import SPEC

BASE = SPEC.replace("max_epochs = 8", "max_epochs = 40")
OTHER_MIX = BASE.replace('"40%"', '"50%"').replace('"60%"', '"50%"')
MORE_DATA = BASE.replace('from = "web@1"', 'from = ["web@1", "code@1"]')


def mixture(text: str) -> Mixture:
    return parse_mixture(text, "it")
