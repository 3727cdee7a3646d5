"""What is asked of a teacher and what it answers.

A prompt's key is its identity: messages, decoding, response schema, sample index and the teacher's
model and revision. It holds no clock, rank or order, so a completion found under a key is the
answer to exactly that question, in this run or another.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter

from manifests.fingerprint import canonical_json, content_id, sha256


class FinishReason(StrEnum):
    """Why the teacher stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat message."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """Sampling parameters; the sampling seed follows from the prompt's key."""

    temperature: float
    top_p: float = 1.0
    max_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question to a teacher."""

    messages: tuple[Message, ...]
    decoding: Decoding
    schema: str | None = None
    """JSON schema, as JSON text, that the answer must satisfy; the server enforces it."""
    sample: int = 0
    """Index among equal prompts: votes ask the same text with samples 0..k-1."""
    role: str = "writer"
    """Which of the run's models answers: `writer`, `critic`, ... A run maps roles to models."""

    def key(self, teacher: str) -> str:
        """Identity of this question put to `teacher` (`model@revision`): 64 hex digits."""
        # Canonical JSON of the plain values: it is taken twice a call, and `fingerprint` is slower.
        messages = [_of_message(message) for message in self.messages]
        asked = [teacher, messages, _of_decoding(self.decoding), self.schema, self.sample]
        return sha256(canonical_json(asked))


_of_message = attrgetter(*(field.name for field in fields(Message)))
_of_decoding = attrgetter(*(field.name for field in fields(Decoding)))
"""The values of all fields, in order: a field that is added is part of the key by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, as the server counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Part of `prompt_tokens` served from the prefix cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer of a teacher."""

    text: str
    finish_reason: FinishReason
    teacher: str
    """`model@revision` that answered."""
    usage: Usage

    @property
    def digest(self) -> str:
        """Identity of the answer itself: 32 hex digits."""
        return content_id(self.text, self.finish_reason.value, self.teacher)


def sampling_seed(key: str) -> int:
    """The sampling seed of a prompt, in [0, 2**31): equal questions sample equally."""
    return int(key[:8], 16) & 0x7FFFFFFF
