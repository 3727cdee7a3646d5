"""The rows of a token step: one tokenized document each, and where its ids lie."""

from dataclasses import dataclass, field
from enum import StrEnum

from manifests.records import Bucket, Call


class Form(StrEnum):
    """What the ids of a document are, one behind the other."""

    TEXT = "text"
    CHAT = "chat"
    """A conversation in the chat format, its special ids included."""
    RESPONSE_PAIR = "response_pair"
    """Prompt and chosen response, then prompt and rejected response."""
    TOKEN_PAIR = "token_pair"
    """Prompt with the response's beginning, then the chosen and the rejected next id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdSpan:
    """Ids start to stop (not included) of a document."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpan:
    """What somebody says in a conversation, or a piece of a pair."""

    role: str
    """`system`, `user`, `assistant`, ...; of pairs `prompt`, `chosen`, `rejected`."""
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDocument:
    """A record without its text: what is trained on are the ids in the token file."""

    id: str
    """The record's."""
    form: Form
    tokens: int
    """Ids, without the end-of-document id that follows them in the file."""
    file: str
    """sha256 of the token file."""
    start: int
    """Place of the first id in the file."""
    loss: tuple[IdSpan, ...] = ()
    """The ids that a model learns to predict, where it is not all of them."""
    spans: tuple[RoleSpan, ...] = ()
    bucket: Bucket
    generator: str
    seed_ids: tuple[str, ...]
    source: str
    licence: str
    lang: str
    scores: dict[str, float] = field(default_factory=dict)
    rounds: int = 1
    lineage: tuple[Call, ...] = ()
