"""The fault script: what goes wrong, when, and always the same way for the same seed.

A script is a list; for each request the first fault that is due happens. Requests are counted from
1 since the script was set. Whether a fault with a rate is due follows from a hash of the seed, the
fault's place in the script and the request's number.
"""

from enum import StrEnum
from pathlib import Path
from random import Random

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from manifests.errors import ConfigError


class FaultKind(StrEnum):
    """What can go wrong."""

    HTTP_400 = "http_400"
    HTTP_401 = "http_401"
    HTTP_404 = "http_404"
    HTTP_413 = "http_413"
    HTTP_422 = "http_422"
    HTTP_429 = "http_429"
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"
    HTTP_503 = "http_503"
    RESET = "reset"
    """The TCP connection is reset instead of an answer."""
    HANG = "hang"
    """The slot is taken and no token comes, until the client gives up."""
    SLOW = "slow"
    """Takes `times` as long."""
    HALF = "half"
    """Half the bytes of the answer, then the connection closes."""
    MALFORMED = "malformed"
    """A complete HTTP answer whose body is half a JSON object."""
    INVALID_UTF8 = "invalid_utf8"
    EMPTY_CHOICES = "empty_choices"
    WRONG_MODEL = "wrong_model"
    EMPTY_TEXT = "empty_text"
    TRUNCATED = "truncated"
    """Half the text, finish_reason length."""
    REFUSAL = "refusal"
    HUGE = "huge"
    """`megabytes` of text, whatever max_tokens says."""

    @property
    def status(self) -> int | None:
        """The HTTP status of an error that is answered at once."""
        return int(self.value[5:]) if self.value.startswith("http_") else None


class Fault(BaseModel):
    """One line of the script; without a trigger it strikes every request in its time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    rate: float | None = Field(default=None, ge=0, le=1)
    every: int | None = Field(default=None, ge=1)
    at_request: int | None = Field(default=None, ge=1)
    containing: str | None = None
    """Only prompts with this text: a poison prompt."""
    after_seconds: float = Field(default=0, ge=0)
    """Modelled seconds since the script was set."""
    for_seconds: float | None = Field(default=None, ge=0)
    retry_after: float | None = Field(default=None, ge=0)
    """The Retry-After header of an HTTP error."""
    times: float = Field(default=10, gt=0)
    megabytes: float = Field(default=50, gt=0)

    @model_validator(mode="after")
    def _one_trigger(self) -> "Fault":
        if sum(t is not None for t in (self.rate, self.every, self.at_request)) > 1:
            raise ValueError("give one of rate, every and at_request")
        return self

    def due(self, ordinal: int, seconds: float, prompt: str, seed: str) -> bool:
        """Whether it strikes request `ordinal`, `seconds` after the script was set."""
        if not 0 <= seconds - self.after_seconds < (self.for_seconds or float("inf")):
            return False
        if self.containing is not None and self.containing not in prompt:
            return False
        if self.at_request is not None:
            return ordinal == self.at_request
        if self.every is not None:
            return ordinal % self.every == 0
        return self.rate is None or Random(f"{seed}/{ordinal}").random() < self.rate


class FaultScript:
    """A list of faults and the count of requests that it has seen."""

    def __init__(self, faults: list[Fault], seed: int) -> None:
        self._faults = faults
        self._seed = seed
        self._ordinal = 0

    def next(self, seconds: float, prompt: str) -> Fault | None:
        """The fault that strikes the next request, if any."""
        self._ordinal += 1
        for place, fault in enumerate(self._faults):
            if fault.due(self._ordinal, seconds, prompt, f"{self._seed}/{place}"):
                return fault
        return None


def parse_faults(text: str | bytes) -> list[Fault]:
    """A script from its JSON text.

    Raises:
        ConfigError: Not a list of faults.
    """
    try:
        return _SCRIPT.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"fault script, at {where or 'the top'}: {first['msg']}") from error


def read_faults(path: Path | None) -> list[Fault]:
    """The script in a file; without a file, an empty one."""
    if path is None:
        return []
    try:
        return parse_faults(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"fault script {path}: {error.strerror}") from error


_SCRIPT = TypeAdapter(list[Fault])
