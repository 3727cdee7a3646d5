import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.spec.read import parse_mixture, read_mixture
from manifests.spec.write import as_written, toml
from tests.manifests.specs import specs, spelt
from tests.manifests.toml_text import toml as plain_toml

SHIPPED = sorted((Path(__file__).parents[2] / "manifests" / "mixtures").glob("*.toml"))


@given(specs(), st.integers(0, 2**32))
def test_what_is_written_reads_back_as_the_same_mixture(spec: dict[str, Any], seed: int) -> None:
    mixture = parse_mixture(plain_toml(spelt(spec, random.Random(seed))), "a.toml")
    text = toml(as_written(mixture))
    assert parse_mixture(text, "b.toml") == mixture
    assert toml(as_written(parse_mixture(text, "b.toml"))) == text


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_mixture_survives_writing(file: Path) -> None:
    mixture, _ = read_mixture(file)
    assert parse_mixture(toml(as_written(mixture)), str(file)) == mixture


def test_a_mixture_is_written_as_a_person_would() -> None:
    text = """\
schema = "scriptorium.mixture/1"
name = "demo"
seed = 7
remove = [{ report = "bad.txt" }]

[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256

[sources."a.b"]
from = ["web@1"]
strata = { by = "tokens", bounds = [55], weights = [1, 2.5] }
max_epochs = 8

[sources."a.b".where]
bucket = ["web"]
scores = { "text.words@1" = { max = 0.5 } }
tokens = { min = 10 }

[phases.pretrain]
tokens = 15000
sequence_length = 64
global_batch = 8

[phases.pretrain.mix]
"a.b" = "100%"

[[changes]]
phase = "pretrain"
at_step = 3
mix = { "a.b" = { weight = "1/3", layout = "document" } }
"""
    assert toml(as_written(parse_mixture(text, "demo.toml"))) == text


ONE = """
schema = "scriptorium.mixture/1"
name = "demo"
seed = 7
[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256
[sources.code]
from = "code@1"
[sources.web]
from = "web@1"
[phases.one]
tokens = 15000
sequence_length = 64
global_batch = 8
mix = { code = "50%", web = "50%" }
"""


@given(
    st.fractions(Fraction(1, 10**9), 1 - Fraction(1, 10**9), max_denominator=10**17)
    | st.decimals("0.01", "0.99", places=24).map(Fraction)
)
def test_every_share_is_written_exactly(share: Fraction) -> None:
    mixture = parse_mixture(ONE, "a.toml")
    (phase,) = mixture.phases
    code, web = phase.mix
    mix = (replace(code, share=share), replace(web, share=1 - share))
    changed = replace(mixture, phases=(replace(phase, mix=mix),))
    assert parse_mixture(toml(as_written(changed)), "a.toml") == changed
