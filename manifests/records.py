"""The rows of the walk: seed document, seed, record, rejection.

Every row has an `id`, unique in its step, and shards add the column `item_id`: the `id` of the
input row it came from. That is what lets verify.py prove that no record is lost or twice.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from manifests.fingerprint import content_id


class Kind(StrEnum):
    """What sort of text a document is; it decides how it is segmented and who may use it."""

    PROSE = "prose"
    CODE = "code"


class Bucket(StrEnum):
    """Where a record belongs in the mixture (phi-4 report, Table 5 and section 4 [R])."""

    WEB = "web"
    WEB_REWRITE = "web_rewrite"
    SYNTHETIC = "synthetic"
    CODE = "code"
    ACQUIRED = "acquired"
    """Academic data, books and licensed sources."""
    LONG = "long"
    SFT = "sft"
    DPO = "dpo"


class Reason(StrEnum):
    """Why something did not become a record: the closed vocabulary of the ledger."""

    PARSE = "parse"
    """The answer is not the JSON that was asked for."""
    SCHEMA = "schema"
    """It is JSON, but what it says breaks the contract (a line span outside the source, ...)."""
    EMPTY = "empty"
    TRUNCATED = "truncated"
    """The answer hit its token limit."""
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    REFUSAL = "refusal"
    """The teacher declined, or talked about itself."""
    META_TALK = "meta_talk"
    """The text speaks of its own making ("the passage", "here is a paraphrase")."""
    LOW_QUALITY = "low_quality"
    """Below a score that the recipe asks for."""
    JUDGE = "judge"
    """A critic or judge did not accept it."""
    UNFAITHFUL = "unfaithful"
    """It lost or changed what it had to keep: numbers, entities, behaviour."""
    LEAKED = "leaked"
    """The question gives the answer away (an instruction that pastes the snippet)."""
    REPETITIVE = "repetitive"
    DUP_EXACT = "dup_exact"
    DUP_NEAR = "dup_near"
    CONTAMINATED = "contaminated"
    PII = "pii"
    TOXIC = "toxic"
    LANG = "lang"
    LICENCE = "licence"
    EXEC_FAIL = "exec_fail"
    UNSAFE_CODE = "unsafe_code"
    UNSUITED = "unsuited"
    """The seed is not of the kind that this generator works on."""
    UNREADABLE = "unreadable"
    """A source file or row that could not be read."""
    TEACHER_ERROR = "teacher_error"
    """The teacher refused the prompt itself (too long, malformed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One teacher call that had a part in a row: the row's lineage is a list of these."""

    prompt: str
    """`Prompt.key`."""
    completion: str
    """`Completion.digest`."""
    teacher: str
    """`model@revision`."""
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDocument:
    """One organic document as read, before any judgement."""

    id: str
    source: str
    """Name of the source in the recipe."""
    url: str
    """Where exactly it lies, down to the row or the definition: unique in its source."""
    licence: str
    """SPDX identifier, or `unknown`."""
    lang: str
    """ISO 639-1 code of the natural language, or `und`; for code, of its comments."""
    kind: Kind
    title: str
    text: str
    sha256: str
    """Of `text` in UTF-8."""


def document_id(source: str, url: str, text: str) -> str:
    """The `id` of a seed document."""
    return content_id("document", source, url, text)


class Grade(StrEnum):
    """Complexity or obscurity, A (least) to E (most) [I]; the report shows B and C [R D.1.1]."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningStep:
    """One link of a chain of reasoning that the source itself makes (D.1.1 [R])."""

    assumption: str
    conclusion: str
    description: str
    start_line: int
    end_line: int
    """Lines of the seed's text, 1-based and inclusive; checked against the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedTags:
    """What a tagger said about a passage (D.1.1 [R])."""

    info_type: str
    brief: str
    complexity: Grade
    obscurity: Grade
    has_chain: bool
    steps: tuple[ReasoningStep, ...] = ()
    dependencies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One curated passage: what generators start from."""

    id: str
    document_id: str
    source: str
    url: str
    licence: str
    lang: str
    kind: Kind
    domain: str
    topic: str
    text: str
    start_line: int
    end_line: int
    """Lines of the document, 1-based and inclusive."""
    page_edu: int
    passage_factual: int
    passage_reasoning: int
    """Scores 0 to 5."""
    tags: SeedTags
    lineage: tuple[Call, ...] = ()


def seed_id(document: str, start_line: int, end_line: int, text: str) -> str:
    """The `id` of a seed cut from the document with this id."""
    return content_id("seed", document, str(start_line), str(end_line), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One training document and where it came from; to change one, `dataclasses.replace` it."""

    id: str
    text: str
    """What is trained on, whole; for a conversation its turns rendered in order."""
    turns: tuple[Turn, ...] = ()
    """Only conversations have turns."""
    parts: dict[str, str] = field(default_factory=dict)
    """Named pieces of `text`: question, answer, options, instruction, code, ..."""
    bucket: Bucket
    generator: str
    """`name@version`."""
    seed_ids: tuple[str, ...]
    source: str
    licence: str
    lang: str
    scores: dict[str, float] = field(default_factory=dict)
    """Measures by name: the generator's own, then the filters'."""
    rounds: int = 1
    """Drafts it took."""
    tokens: int = 0
    """Tokens of `text` under the step's named tokenizer; 0 until counted."""
    lineage: tuple[Call, ...] = ()


def record_id(generator: str, seed: str, text: str, index: int = 0) -> str:
    """The `id` of the `index`-th record that `generator` made of `seed`."""
    return content_id("record", generator, seed, str(index), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A counted refusal: this item gave no record, and why."""

    reason: Reason
    detail: str = ""
    """One line of evidence a person can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One row of a rejects file: the rejection and what it was about."""

    item_id: str
    reason: str
    """A `Reason`; `poison` of a quarantined item; `surplus` of a record beyond what is wanted."""
    detail: str
    by: str
    """`name@version` of the generator, filter or reader that refused."""
    text: str
    """What was refused, cut at 4,096 characters."""
    lineage: tuple[Call, ...] = ()
