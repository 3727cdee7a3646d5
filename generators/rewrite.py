"""Rewrites of a passage (G4): one class, and a value for each style.

A faithful style keeps the numbers and names of its source and goes to the web-rewrite bucket; a
creative one may add to them and is synthetic. Teachers lose content of long passages, so each style
has a longest source; they copy, loop and chat, so each answer is measured for that.
Source: phi-4 report, 2.2 [R]; WRAP, Nemotron-CC and Cosmopedia [RW]; bands are [I] where not said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from generators.asking import PromptText, ask_messages, prompt_text
from generators.contract import Declined, Tools
from generators.echoes import copied_share, repeated_lines, repeated_share
from generators.preserve import Kept, kept
from generators.seeds.segment import count_words
from generators.talk import check_clean, meta_talk_in
from manifests.completions import Decoding
from manifests.records import Bucket, Kind, Reason, Record, Seed, record_id

_LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "pt": "Portuguese",
}
"""The languages that the report names (2.3 [R]); any other is called the language of the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """What a faithful rewrite must keep of its source; it may bring no number of its own."""

    min_numbers: float = 0.9
    min_entities: float = 0.9
    """Recalls [I]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """Rewrites a passage in one style."""

    name: str
    text: PromptText
    decoding: Decoding
    max_source_words: int
    min_ratio: float
    max_ratio: float
    """Words of the rewrite for each word of the source."""
    fidelity: Fidelity | None
    """None for a creative style."""
    kinds: tuple[Kind, ...] = (Kind.PROSE,)
    shape: str = ""
    """Pattern that stands in every text of this style, line by line."""
    min_words: int = 50
    """[RW:Nemotron-CC], there in tokens."""
    max_copied: float = 0.5
    """Share of the 8-grams that stand in the source [I]."""
    max_repeated: float = 0.3
    """Share of the 4-grams, and of the lines, that stood before; of lines [RW:Gopher]."""

    @property
    def bucket(self) -> Bucket:
        """Where the rewrites belong."""
        return Bucket.SYNTHETIC if self.fidelity is None else Bucket.WEB_REWRITE

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        """The rewrite of a seed.

        Raises:
            Declined: The seed is unsuited, or the answer fails a check of its style.
        """
        words = self._source_words(row)
        messages = self.text.messages(
            text=row.text,
            topic=row.topic,
            language=_LANGUAGES.get(row.lang, "the language of the source"),
            low=max(self.min_words, round(words * self.min_ratio)),
            high=max(2 * self.min_words, round(words * self.max_ratio)),
        )
        answer = await ask_messages(tools, messages, self.decoding)
        text = check_clean(answer, allow_meta=meta_talk_in(row.text) is not None)
        self._check_repetition(text)
        ratio = self._ratio(text, words)
        if self.shape and not re.search(self.shape, text, re.MULTILINE):
            raise Declined(Reason.SCHEMA, f"not in the form of its style: no {self.shape!r}")
        copied = self._copied(text, row.text)
        keeps = self._kept(text, row)
        return [self._record(text, row, keeps, compression=ratio, copied=copied)]

    def _source_words(self, row: Seed) -> int:
        if row.kind not in self.kinds:
            raise Declined(Reason.UNSUITED, f"{self.name} takes no {row.kind}")
        words = count_words(row.text)
        if not words:
            raise Declined(Reason.EMPTY, "the seed has no words")
        if words > self.max_source_words:
            detail = f"source of {words} words > {self.max_source_words}"
            raise Declined(Reason.TOO_LONG, detail)
        return words

    def _check_repetition(self, text: str) -> None:
        for what, share in (("4-grams", repeated_share(text)), ("lines", repeated_lines(text))):
            if share > self.max_repeated:
                raise Declined(Reason.REPETITIVE, f"{share:.0%} of the {what} stood before")

    def _ratio(self, text: str, source_words: int) -> float:
        words = count_words(text)
        ratio = words / source_words
        if words < self.min_words:
            raise Declined(Reason.TOO_SHORT, f"{words} words < {self.min_words}")
        if ratio < self.min_ratio:
            detail = f"{ratio:.2f} of the source's words < {self.min_ratio}"
            raise Declined(Reason.TOO_SHORT, detail)
        if ratio > self.max_ratio and words > 2 * self.min_words:
            detail = f"{ratio:.2f} of the source's words > {self.max_ratio}"
            raise Declined(Reason.TOO_LONG, detail)
        return ratio

    def _copied(self, text: str, source: str) -> float:
        share = copied_share(text, source)
        if share > self.max_copied:
            raise Declined(Reason.LOW_QUALITY, f"copies the source: {share:.0%} of its 8-grams")
        return share

    def _kept(self, text: str, row: Seed) -> Kept:
        keeps = kept(row.text, text, row.lang)
        if self.fidelity is None:
            return keeps
        if keeps.new_numbers:
            detail = f"numbers not in the source: {', '.join(keeps.new_numbers)}"
            raise Declined(Reason.UNFAITHFUL, detail[:300])
        numbers, names = keeps.number_recall, keeps.entity_recall
        if numbers < self.fidelity.min_numbers or names < self.fidelity.min_entities:
            recall = f"numbers {numbers:.2f}, names {names:.2f}"
            raise Declined(Reason.UNFAITHFUL, f"{recall}; lost: {', '.join(keeps.lost)}"[:300])
        return keeps

    def _record(self, text: str, row: Seed, keeps: Kept, **measures: float) -> Record:
        recalls = {"number_recall": keeps.number_recall, "entity_recall": keeps.entity_recall}
        return Record(
            id=record_id(self.name, row.id, text),
            text=text,
            bucket=self.bucket,
            generator=self.name,
            seed_ids=(row.id,),
            source=row.source,
            licence=row.licence,
            lang=row.lang,
            scores={**recalls, **measures},
        )


_DECODING = Decoding(temperature=0.5, top_p=0.9, max_tokens=2048)
"""[RW:Nemotron-CC] but for the tokens, which leave room for scripts with more tokens a word."""


def _style(name: str, min_ratio: float, max_ratio: float, *, shape: str = "") -> Rewrite:
    """A faithful style: sources of up to about 1,000 tokens [RW:Nemotron-CC]."""
    return Rewrite(
        name=f"rewrite_{name}@1",
        text=prompt_text(f"rewrite_{name}"),
        decoding=_DECODING,
        max_source_words=700,
        min_ratio=min_ratio,
        max_ratio=max_ratio,
        fidelity=Fidelity(),
        shape=shape,
    )


ENCYCLOPEDIC = _style("encyclopedic", 0.6, 1.5)
ASSISTANT = _style("assistant", 0.6, 1.8, shape=r"\AQuestion:.*\?")
FAQ = _style("faq", 0.7, 2.0, shape=r"^### .*[?\uff1f]")
KNOWLEDGE_LIST = _style("knowledge_list", 0.4, 1.5, shape=r"(?:^- .+\n+){2}^- ")
DENSE = replace(_style("dense", 0.25, 0.85), max_source_words=1300)
TABLE = _style("table", 0.25, 1.5, shape=r"^\|.*\|[ \t]*\n\|[ :|-]+\|[ \t]*\n\|")
MEDIUM = replace(_style("medium", 0.6, 1.4), max_source_words=400)
EASY = replace(_style("easy", 0.7, 2.2), max_source_words=400)
"""Medium and easy lose content of sources beyond some 300 tokens [RW:WRAP]; we allow 400 words."""

TEXTBOOK = replace(_style("textbook", 0.9, 5.0, shape=r"\A#+ "), fidelity=None)
TUTORIAL = replace(_style("tutorial", 0.7, 4.0, shape=r"^\W{0,8}(?:Step )?2\b"), fidelity=None)
CODE_EXPLAINED = replace(
    _style("code_explained", 1.5, 15.0, shape=r"^```[\s\S]*^```"),
    kinds=(Kind.CODE,),
    fidelity=None,
    max_copied=0.7,
    max_repeated=0.5,
)
"""It shows the code again in pieces, so it may copy and repeat more."""

QUICK = Rewrite(
    name="rewrite_quick@1",
    text=prompt_text("rewrite_quick"),
    decoding=Decoding(temperature=0.5, top_p=0.9, max_tokens=256, stop=("\n\n\n",)),
    max_source_words=200,
    min_ratio=0.1,
    max_ratio=4.0,
    fidelity=None,
    min_words=20,
    max_copied=0.8,
)
"""To try the pipeline with a tiny teacher on a CPU.

A 135M model keeps no promise of fidelity, so this is a creative style; what it kept is recorded.
"""

REWRITES: tuple[Rewrite, ...] = (
    ENCYCLOPEDIC,
    ASSISTANT,
    TEXTBOOK,
    TUTORIAL,
    FAQ,
    KNOWLEDGE_LIST,
    DENSE,
    TABLE,
    MEDIUM,
    EASY,
    CODE_EXPLAINED,
    QUICK,
)
