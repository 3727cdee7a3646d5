"""What the scenarios ask: one call, a draft with critiques and votes, a fan-out of one passage.

How many rounds a draft takes follows from what the teacher says, which for the same question is
always the same: so every system has the same chains to ask.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from generators.asking import PromptText, ask_messages
from generators.contract import Tools
from manifests.completions import Decoding
from manifests.fingerprint import fingerprint
from manifests.records import Bucket, Grade, Kind, Record, Seed, SeedTags, record_id, seed_id

SYSTEM = "You write clear teaching texts."
DECODING = Decoding(temperature=0.7, max_tokens=4096)
HEADER = " ".join(f"Rule {n}: say plainly what the passage says of it." for n in range(30))
"""About 400 tokens that every question of the fan-out begins with."""
WORDS = ("a bridge over the river and what crosses it in the morning " * 200).split()


DRAFT = PromptText(system=SYSTEM, user="Write a short lesson from this passage.\n\n{text}")
CRITIQUE = PromptText(
    system=SYSTEM, user="Passage:\n\n{text}\n\nDraft:\n\n{draft}\n\nWhat is wrong with it?"
)
REVISE = PromptText(
    system=SYSTEM, user="Draft:\n\n{draft}\n\nCritique:\n\n{critique}\n\nRewrite the draft."
)
VOTE = PromptText(
    system=SYSTEM, user="Passage:\n\n{text}\n\nLesson:\n\n{draft}\n\nIs it good? Why?"
)
ASPECT = PromptText(system=SYSTEM, user=HEADER + "\n\nPassage:\n\n{text}\n\nAsk of it: {aspect}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCall:
    """One question a passage."""

    name: str = "one_call@1"
    question: PromptText = DRAFT
    decoding: Decoding = DECODING

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        messages = self.question.messages(text=row.text)
        return [_record(self.name, row, await ask_messages(tools, messages, self.decoding))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """A draft, at most three rounds of critique and revision, then five votes at once."""

    name: str = "rounds@1"
    draft: PromptText = DRAFT
    critique: PromptText = CRITIQUE
    revise: PromptText = REVISE
    vote: PromptText = VOTE
    decoding: Decoding = DECODING
    rounds: int = 3
    votes: int = 5

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        async def ask(question: PromptText, sample: int = 0, **fields: str) -> str:
            messages = question.messages(text=row.text, **fields)
            return await ask_messages(tools, messages, self.decoding, sample=sample)

        draft = await ask(self.draft)
        for _ in range(self.rounds):
            critique = await ask(self.critique, draft=draft)
            draft = await ask(self.revise, draft=draft, critique=critique)
            if len(critique) % 3 == 0:
                break
        votes = range(self.votes)
        said = await asyncio.gather(*(ask(self.vote, sample=n, draft=draft) for n in votes))
        best = max(said, key=len)
        return [_record(self.name, row, f"{draft}\n\n{best}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """Eight questions at once about one long passage."""

    name: str = "fan_out@1"
    question: PromptText = ASPECT
    decoding: Decoding = DECODING
    aspects: int = 8

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        def asked(number: int) -> str:
            return f"aspect {number}, in the light of what was said"

        async def ask(number: int) -> str:
            messages = self.question.messages(text=row.text, aspect=asked(number))
            return await ask_messages(tools, messages, self.decoding)

        said = await asyncio.gather(*(ask(number) for number in range(self.aspects)))
        return [_record(self.name, row, "\n\n".join(said))]


Method = OneCall | Rounds | FanOut


def _record(name: str, row: Seed, text: str) -> Record:
    return Record(
        id=record_id(name, row.id, text),
        text=text,
        bucket=Bucket.SYNTHETIC,
        generator=name,
        seed_ids=(row.id,),
        source=row.source,
        licence=row.licence,
        lang=row.lang,
    )


def seeds(count: int, words: int) -> list[Seed]:
    """Passages of so many words, no two alike from their beginning."""
    return [_seed(f"Passage {n}. {' '.join(WORDS[:words])}") for n in range(count)]


def _seed(text: str) -> Seed:
    document = fingerprint(text)[:32]
    return Seed(
        id=seed_id(document, 1, 1, text),
        document_id=document,
        source="bench",
        url=f"bench:{document}",
        licence="CC0-1.0",
        lang="en",
        kind=Kind.PROSE,
        domain="engineering",
        topic="bridges",
        text=text,
        start_line=1,
        end_line=1,
        page_edu=3,
        passage_factual=3,
        passage_reasoning=3,
        tags=SeedTags(
            info_type="fact", brief="b", complexity=Grade.B, obscurity=Grade.B, has_chain=False
        ),
    )
