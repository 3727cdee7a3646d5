"""Which model answers, and where: a teacher is a model at a revision, an endpoint serves one.

A served name may carry the revision (`name@revision`); one that does not is `unpinned`, which is
honest: nobody can tell whether the next restart serves the same weights.
"""

from dataclasses import dataclass

UNPINNED = "unpinned"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model at a revision: its `name` is part of every prompt's key."""

    model: str
    revision: str = UNPINNED

    @property
    def name(self) -> str:
        """`model@revision`, as completions and lineage carry it."""
        return f"{self.model}@{self.revision}"

    @classmethod
    def parse(cls, text: str) -> "Teacher":
        """From `NAME` or `NAME@REV`."""
        model, at, revision = text.rpartition("@")
        return cls(model, revision) if at and model and revision else cls(text)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One OpenAI-compatible server and the model that is used of it."""

    url: str
    """Without `/v1` and without a slash at the end."""
    served_name: str
    """What to send as `model`: the alias with the revision when there is one, so that a server
    that comes back with other weights answers 404 instead of answering."""
    teacher: Teacher
    max_model_len: int | None = None
    """Tokens of prompt and answer together, when the server says so (vLLM and SGLang do)."""
    hosted: bool = False
    """A hosted service: asked through the openai client; our own engines are asked directly."""


def base_url(url: str) -> str:
    """`url` without its `/v1` and trailing slashes."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
