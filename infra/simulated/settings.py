"""What a simulated teacher is: its size, its speed, its name."""

from dataclasses import dataclass, fields
from pathlib import Path

from manifests.errors import ConfigError

BLOCK_TOKENS = 16
"""Tokens of one block of the prefix cache, vLLM's default."""
TOKEN_CHARACTERS = 4
"""A simulated token is four characters: close to English, and it costs nothing to count."""


def tokens_of(text: str) -> int:
    """Simulated tokens of a text."""
    return -(-len(text) // TOKEN_CHARACTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The defaults answer at once; times are in modelled seconds, see `time_scale`."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    slots: int = 64
    """Sequences that run at the same time (vLLM's max_num_seqs)."""
    mean_tokens: float = 200.0
    """Mean length of an answer, in tokens; lengths are lognormal."""
    sigma: float = 0.5
    """Standard deviation of the logarithm of the length."""
    seconds_per_token: float = 0.0
    prefill_seconds_per_token: float = 0.0
    """Per prompt token that the prefix cache does not hold."""
    time_scale: float = 1.0
    """Wall seconds per modelled second: 0.01 plays an hour in 36 seconds."""
    model: str = "simulated"
    revision: str = "r1"
    max_model_len: int = 8192
    cache_blocks: int = 0
    """Blocks of KV cache, which also hold the prefixes; 0: room for every slot at full length."""
    seed: int = 0
    """Seeds the answers' lengths and the draws of the fault script."""
    faults: Path | None = None
    """A JSON file with the fault script to start with."""

    def __post_init__(self) -> None:
        positive = {"slots": self.slots, "mean_tokens": self.mean_tokens}
        positive |= {"time_scale": self.time_scale, "max_model_len": self.max_model_len}
        for name, value in positive.items():
            if not value > 0:
                raise ConfigError(f"{name} is {value}, expected more than 0")
        for name in ("sigma", "seconds_per_token", "prefill_seconds_per_token", "cache_blocks"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 or more")

    @property
    def blocks(self) -> int:
        """Blocks of KV cache."""
        return self.cache_blocks or self.slots * -(-self.max_model_len // BLOCK_TOKENS)

    def arguments(self) -> list[str]:
        """The command line that gives these settings."""
        flags: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                flags += ["--" + field.name.replace("_", "-"), str(value)]
        return flags
