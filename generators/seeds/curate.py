"""Seed curation (G1): a page is scored, cut into passages, and each passage scored and tagged.

Scores are 0 to 5, given after a critique. A page below its score gives nothing and costs one call.
A passage is kept if it is factual or reasons enough; its tags are checked against its own lines.
Passages fail one by one: a page is declined only when none is left.
Source: phi-4 report, sections 2.2 and 2.3 and appendix D.1.1 [R]; numbers are [I] where not said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from generators.asking import PromptText, ask_json, prompt_text
from generators.contract import Declined, Tools
from generators.pieces import all_declined, outcomes
from generators.seeds.noise import boilerplate_share, mangled_share
from generators.seeds.scores import PageScore, PassageScore, excerpt
from generators.seeds.segment import Passage, count_words, numbered, segment
from generators.seeds.tags import Chain, Tags, grounded_steps
from manifests.completions import Decoding
from manifests.records import Kind, Reason, Rejection, Seed, SeedDocument, SeedTags, seed_id


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationTexts:
    """The four questions of a curation."""

    page: PromptText
    passage: PromptText
    tags: PromptText
    chain: PromptText


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCurator:
    """Makes seeds of documents; all that decides which is a field."""

    name: str
    kinds: tuple[Kind, ...]
    texts: CurationTexts
    scoring: Decoding
    tagging: Decoding
    chaining: Decoding
    page_words: int
    """How much of a page the scorer reads, taken from its beginning, middle and end."""
    min_page_edu: int
    min_words: int
    max_words: int
    """Of a passage."""
    max_passages: int
    """Of a document, spread evenly over it."""
    min_factual: int
    min_reasoning: int
    """A passage is kept if it reaches either."""
    max_mangled: float = 0.002
    """Share of broken characters, of the page and of each passage [I]."""
    max_boilerplate: float = 0.3
    """Share of a passage's words [I]."""
    min_grounding: float = 0.6
    """Share of a conclusion's content words found in the lines it cites [I]."""

    async def __call__(self, row: SeedDocument, tools: Tools, /) -> Sequence[Seed]:
        """The seeds of a document, in its order.

        Raises:
            Declined: The page is unsuited, or no passage of it is good enough.
        """
        self._check(row)
        page_edu = await self._page_edu(row, tools)
        passages = self._passages(row)
        found = await outcomes([self._seed(row, page_edu, p, tools) for p in passages])
        seeds = [outcome for outcome in found if isinstance(outcome, Seed)]
        if not seeds:
            raise all_declined([o for o in found if isinstance(o, Rejection)], "passages")
        return seeds

    def _check(self, row: SeedDocument) -> None:
        if row.kind not in self.kinds:
            raise Declined(Reason.UNSUITED, f"{self.name} takes no {row.kind}")
        if not row.text.strip():
            raise Declined(Reason.EMPTY, "the document has no text")
        if (words := count_words(row.text)) < self.min_words:
            raise Declined(Reason.TOO_SHORT, f"{words} words < {self.min_words}")
        if (share := mangled_share(row.text)) > self.max_mangled:
            raise Declined(Reason.LOW_QUALITY, f"mangled characters: {share:.2%} of the page")

    async def _page_edu(self, row: SeedDocument, tools: Tools) -> int:
        document = excerpt(row.text, self.page_words)
        messages = self.texts.page.messages(title=row.title, document=document)
        answer = await ask_json(tools, PageScore, messages, self.scoring, role="curator")
        if answer.score < self.min_page_edu:
            detail = f"page_edu {answer.score} < {self.min_page_edu}: {answer.critique}"
            raise Declined(Reason.LOW_QUALITY, " ".join(detail.split()))
        return answer.score

    def _passages(self, row: SeedDocument) -> list[Passage]:
        found = segment(row.kind, row.text, min_words=self.min_words, max_words=self.max_words)
        if not found:
            size = f"{self.min_words} to {self.max_words} words"
            raise Declined(Reason.UNSUITED, f"no passage of {size} can be cut from the page")
        sound = [p for p in found if mangled_share(p.text) <= self.max_mangled]
        if row.kind is Kind.PROSE:
            sound = [p for p in sound if boilerplate_share(p.text) <= self.max_boilerplate]
        if not sound:
            detail = f"all {len(found)} passages are boilerplate or mangled"
            raise Declined(Reason.LOW_QUALITY, detail)
        return _spread(sound, self.max_passages)

    async def _seed(self, row: SeedDocument, page_edu: int, passage: Passage, tools: Tools) -> Seed:
        messages = self.texts.passage.messages(title=row.title, passage=passage.text)
        scores = await ask_json(tools, PassageScore, messages, self.scoring, role="curator")
        if scores.factual < self.min_factual and scores.reasoning < self.min_reasoning:
            detail = f"factual {scores.factual}, reasoning {scores.reasoning}"
            raise Declined(Reason.LOW_QUALITY, detail)
        messages = self.texts.tags.messages(title=row.title, passage=numbered(passage.text))
        tags = await ask_json(tools, Tags, messages, self.tagging, role="curator")
        return Seed(
            id=seed_id(row.id, passage.start_line, passage.end_line, passage.text),
            document_id=row.id,
            source=row.source,
            url=row.url,
            licence=row.licence,
            lang=row.lang,
            kind=row.kind,
            domain=tags.domain,
            topic=tags.topic.strip(),
            text=passage.text,
            start_line=passage.start_line,
            end_line=passage.end_line,
            page_edu=page_edu,
            passage_factual=scores.factual,
            passage_reasoning=scores.reasoning,
            tags=await self._tags(tags, passage, tools),
        )

    async def _tags(self, tags: Tags, passage: Passage, tools: Tools) -> SeedTags:
        """The tags with the steps that the passage really makes; without any, it has no chain."""
        chain = Chain(dependencies=[], steps=[])
        if tags.has_chain:
            messages = self.texts.chain.messages(passage=numbered(passage.text))
            chain = await ask_json(tools, Chain, messages, self.chaining, role="curator")
        steps = grounded_steps(chain.steps, passage.text, self.min_grounding)
        return SeedTags(
            info_type=tags.info_type,
            brief=tags.brief.strip(),
            complexity=tags.complexity,
            obscurity=tags.obscurity,
            has_chain=bool(steps),
            steps=steps,
            dependencies=tuple(chain.dependencies) if steps else (),
        )


def _spread(passages: Sequence[Passage], most: int) -> list[Passage]:
    """At most `most` of the passages, evenly spaced."""
    count = min(most, len(passages))
    return [passages[i * len(passages) // count] for i in range(count)]


_PROSE = CurationTexts(
    page=prompt_text("seed_page"),
    passage=prompt_text("seed_passage"),
    tags=prompt_text("seed_tags"),
    chain=prompt_text("seed_chain"),
)
_CODE = CurationTexts(
    page=prompt_text("seed_page_code"),
    passage=prompt_text("seed_passage_code"),
    tags=prompt_text("seed_tags"),
    chain=prompt_text("seed_chain"),
)
# A small teacher that loops writes a token a character: 400 still hold the longest critique.
_SCORING = Decoding(temperature=0.2, top_p=0.9, max_tokens=400)
_TAGGING = Decoding(temperature=0.2, top_p=0.9, max_tokens=400)
_CHAINING = Decoding(temperature=0.2, top_p=0.9, max_tokens=1400)

WEB = SeedCurator(
    name="seeds_web@1",
    kinds=(Kind.PROSE,),
    texts=_PROSE,
    scoring=_SCORING,
    tagging=_TAGGING,
    chaining=_CHAINING,
    page_words=1200,
    min_page_edu=3,
    min_words=60,
    max_words=380,
    max_passages=12,
    min_factual=3,
    min_reasoning=3,
)
"""Web pages. Passages of up to about 512 tokens [RW:WRAP], page score 3 of 5 [RW:FineWeb-Edu]."""

BOOK = replace(
    WEB,
    name="seeds_book@1",
    page_words=2000,
    min_words=150,
    max_words=1000,
    max_passages=24,
)
"""Books and papers: longer passages, for questions and exercises (1,000 to 2,000 tokens [RW])."""

CODE = replace(
    WEB,
    name="seeds_code@1",
    kinds=(Kind.CODE,),
    texts=_CODE,
    min_words=20,
    max_words=600,
    max_passages=16,
)
"""Source files: one passage per definition."""

QUICK = SeedCurator(
    name="seeds_quick@1",
    kinds=(Kind.PROSE, Kind.CODE),
    texts=_PROSE,
    scoring=_SCORING,
    tagging=_TAGGING,
    chaining=_CHAINING,
    page_words=250,
    min_page_edu=0,
    min_words=25,
    max_words=160,
    max_passages=2,
    min_factual=0,
    min_reasoning=0,
)
"""To try the pipeline with a tiny teacher on a CPU, in minutes.

It makes every call of a real curation, but its thresholds are 0: a 135M model cannot judge, so its
scores are recorded and drop nothing. The seeds are as good as the documents, no better.
"""

SEED_CURATORS: tuple[SeedCurator, ...] = (WEB, BOOK, CODE, QUICK)
