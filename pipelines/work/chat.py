"""The chat format: how a conversation lies in ids. Source: phi-4 report, section 4 [R].

    <|im_start|>role<|im_sep|>content<|im_end|>

with nothing between the turns. Where a vocabulary has no <|im_sep|>, as in most models that use
ChatML, role and content are parted by a newline instead and so are turns, as in those models' own
templates. Special ids are put in here and nowhere else; roles and contents are encoded as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manifests.encoders import Encoder
from manifests.errors import ConfigError
from manifests.records import Reason, Rejection, Turn

START, SEPARATOR, END = "<|im_start|>", "<|im_sep|>", "<|im_end|>"
ASSISTANT = "assistant"
ROLES = ("system", "user", ASSISTANT, "tool")
"""A role that is none of these is more likely a misspelling than a role."""

Ids = tuple[int, ...]
Piece = str | Ids
"""A text to encode, or ids as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """The ids around what is said."""

    heads: Mapping[str, Ids]
    """By role: what stands before the content."""
    end: Ids
    """What closes a content, and is learned with it."""
    between: Ids
    """What parts two turns; nothing in the report's format."""
    controls: frozenset[int]
    """The special ids among these, which no content may have."""

    def said(self, turn: Turn, *, first: bool) -> tuple[Ids, str, Ids]:
        """The pieces of a turn: head, content, end."""
        head = self.heads[turn.role]
        return (head if first else self.between + head), turn.content, self.end

    def prompt(self, turns: Sequence[Turn]) -> list[Piece]:
        """The pieces of these turns, and the head of the assistant's next one."""
        pieces: list[Piece] = []
        for number, turn in enumerate(turns):
            pieces += self.said(turn, first=not number)
        return [*pieces, (self.between if turns else ()) + self.heads[ASSISTANT]]


def chat_format(encoder: Encoder, name: str) -> ChatFormat:
    """The format in the ids of this tokenizer; `name` names it in errors.

    Raises:
        ConfigError: The vocabulary has not the special tokens.
    """
    start, separator, end = (encoder.id_of(token) for token in (START, SEPARATOR, END))
    if start is None or end is None:
        missing = [token for token, found in ((START, start), (END, end)) if found is None]
        raise ConfigError(
            f"tokenizer {name}: its vocabulary lacks {', '.join(missing)}, which conversations are"
            " written with: give a tokenizer that has them, or form=text to take all as plain text"
        )
    encoded = encoder.encode([*ROLES, "\n"])
    *roles, newline = (tuple(int(number) for number in ids) for ids in encoded)
    part = newline if separator is None else (separator,)
    return ChatFormat(
        heads={role: (start, *ids, *part) for role, ids in zip(ROLES, roles, strict=True)},
        end=(end,),
        between=newline if separator is None else (),
        controls=frozenset(found for found in (start, separator, end) if found is not None),
    )


def wrong_turns(turns: Sequence[Turn]) -> Rejection | None:
    """Why these turns are no conversation, if they are none."""
    for number, turn in enumerate(turns, 1):
        if turn.role not in ROLES:
            detail = f"turn {number} has the role {turn.role!r}: expected {', '.join(ROLES)}"
            return Rejection(reason=Reason.SCHEMA, detail=detail[:300])
        if not turn.content:
            return Rejection(reason=Reason.EMPTY, detail=f"turn {number} ({turn.role}) is empty")
    return None
