"""Instructions by a flow of agents: transform, instruct, refine, answer, judge.

A seed's text takes a new form; for some entries of a taxonomy an instruction is written, made
harder, trickier or unanswerable by a suggester and an editor, answered, and judged by one who finds
the answer anew. Which entries and edits a seed gets follows from its id. Instructions fail one by
one: a seed is declined only when none is left.
Source: the flow of AgentInstruct [RW], by which the report's multi-agent prompting [R, section 1],
which it names and does not specify, is filled in; floors and counts are [I].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from generators.agents import (
    HARDER,
    TRICKIER,
    UNANSWERABLE,
    Agents,
    Answered,
    Context,
    Edit,
    Size,
    Verdict,
)
from generators.asking import prompt_text
from generators.contract import Declined, Tools
from generators.echoes import copied_share, repeated_lines, repeated_share
from generators.pieces import all_declined, outcomes
from generators.seeds.segment import count_words
from generators.taxonomy import EXTRACTION, MODIFICATION, READING, Task
from generators.transformation import (
    ARGUMENT,
    CONVERSATION,
    DEBATE,
    IDENTITY,
    INSTRUCTIONAL,
    LONG,
    MEETING,
    POEM,
    SATIRE,
    Transformation,
)
from manifests.completions import Decoding
from manifests.fingerprint import content_id
from manifests.records import Bucket, Kind, Reason, Record, Rejection, Seed, record_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """The least marks of the judge, of 5, and whether judge and answerer must agree."""

    follows: int = 4
    grounded: int = 4
    self_contained: int = 4
    agreement: bool = True
    """Whether the text settles what is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInstruct:
    """One flavour: a form of the text, a family of instructions, and how they are sharpened."""

    name: str
    transformation: Transformation
    taxonomy: tuple[Task, ...]
    agents: Agents
    floors: Floors
    edits: tuple[Edit, ...]
    """One is drawn for each round; an edit named twice is drawn twice as often."""
    instructions_per_seed: int = 3
    """Each from another entry of the taxonomy."""
    refinements: int = 2
    max_source_words: int = 700
    max_alike: float = 0.6
    """Share of an instruction's 3-grams in another one of the seed, from which it is dropped."""
    max_copied: float = 1.0
    """Share of the answer's 8-grams that stand in the text."""
    max_repeated: float = 0.4
    """Share of the answer's 4-grams, and of its lines, that stood before."""

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        """The instructions made of a seed, with their answers.

        Raises:
            Declined: The seed is unsuited, its new form is, or no instruction is good enough.
        """
        if row.kind is not Kind.PROSE:
            raise Declined(Reason.UNSUITED, f"{self.name} takes no {row.kind}")
        if (words := count_words(row.text)) > self.max_source_words:
            raise Declined(Reason.TOO_LONG, f"source of {words} words > {self.max_source_words}")
        text = await self.transformation(row, tools)
        contexts = [Context(text=text, task=t) for t in self.tasks_for(row)]
        work = [self._one(row, at, index, tools) for index, at in enumerate(contexts)]
        unlike = self._unlike(await outcomes(work))
        records = [outcome for outcome in unlike if isinstance(outcome, Record)]
        if not records:
            raise all_declined([o for o in unlike if isinstance(o, Rejection)], "instructions")
        return records

    def tasks_for(self, row: Seed) -> list[Task]:
        """The entries of the taxonomy that this seed gets, in order, all different."""
        left, drawn = list(self.taxonomy), []
        for index in range(min(self.instructions_per_seed, len(left))):
            drawn.append(left.pop(self._draw(row, str(index)) % len(left)))
        return drawn

    def edits_for(self, row: Seed, index: int) -> list[Edit]:
        """The edits of an instruction, one a round; what must not be answerable is so at last."""
        drawn = []
        for at in range(self.refinements):
            last = at == self.refinements - 1
            pool = [e for e in self.edits if last or e != UNANSWERABLE] or self.edits
            drawn.append(pool[self._draw(row, f"{index}.{at}") % len(pool)])
        return drawn

    def _draw(self, row: Seed, which: str) -> int:
        return int(content_id(row.id, self.name, which), 16)

    async def _one(self, row: Seed, at: Context, index: int, tools: Tools) -> Record:
        draft = instruction = await self.agents.written(at, tools)
        edits = self.edits_for(row, index)
        for edit in edits:
            instruction = await self.agents.refined(at, instruction, edit, tools)
        answer = await self.agents.answered(at, instruction, tools)
        self._check_answer(answer.response, at.text)
        verdict = await self.agents.judged(at, instruction, answer, tools)
        self._accept(answer, verdict)
        parts = {
            "context": at.text,
            "instruction": instruction,
            "answer": answer.response,
            "taxonomy": at.task.name,
            "draft": draft,
            "edits": ", ".join(edit.name for edit in edits),
        }
        return self._record(row, index, parts, verdict)

    def _check_answer(self, answer: str, text: str) -> None:
        if (share := max(repeated_share(answer), repeated_lines(answer))) > self.max_repeated:
            raise Declined(Reason.REPETITIVE, f"{share:.0%} of the answer stood before in it")
        if (share := copied_share(answer, text)) > self.max_copied:
            raise Declined(Reason.LOW_QUALITY, f"the answer copies the text: {share:.0%}")

    def _accept(self, answer: Answered, verdict: Verdict) -> None:
        for what, mark, floor in (
            ("follows", verdict.follows, self.floors.follows),
            ("grounded", verdict.grounded, self.floors.grounded),
            ("self_contained", verdict.self_contained, self.floors.self_contained),
        ):
            if mark < floor:
                raise Declined(Reason.JUDGE, f"{what} {mark} < {floor}: {verdict.analysis}"[:300])
        if self.floors.agreement and answer.can_be_answered != verdict.can_be_answered:
            detail = f"can it be answered? answerer {answer.can_be_answered}, judge "
            raise Declined(Reason.JUDGE, detail + verdict.can_be_answered)

    def _unlike(self, outcomes: Sequence[Record | Rejection]) -> list[Record | Rejection]:
        """The outcomes; a record too much like an earlier one becomes a rejection."""
        found: list[Record | Rejection] = []
        kept: list[str] = []
        for outcome in outcomes:
            if isinstance(outcome, Rejection):
                found.append(outcome)
                continue
            new = outcome.parts["instruction"]
            if any(_alike(new, old) > self.max_alike for old in kept):
                found.append(Rejection(reason=Reason.DUP_NEAR, detail=new[:200]))
                continue
            kept.append(new)
            found.append(outcome)
        return found

    def _record(self, row: Seed, index: int, parts: dict[str, str], verdict: Verdict) -> Record:
        text = render(parts["context"], parts["instruction"], parts["answer"])
        return Record(
            id=record_id(self.name, row.id, text, index),
            text=text,
            parts=parts,
            bucket=Bucket.SYNTHETIC,
            generator=self.name,
            seed_ids=(row.id,),
            source=row.source,
            licence=row.licence,
            lang=row.lang,
            scores={
                "follows": float(verdict.follows),
                "grounded": float(verdict.grounded),
                "self_contained": float(verdict.self_contained),
                "answerable": float(verdict.can_be_answered == "yes"),
            },
            rounds=1 + self.refinements,
        )


def render(context: str, instruction: str, answer: str) -> str:
    """Text, instruction and answer, an empty line between; long answers on their own lines."""
    gap = "\n" if "\n" in answer else " "
    return f"{context}\n\nInstruction: {instruction}\n\nAnswer:{gap}{answer}"


def _alike(one: str, other: str) -> float:
    return max(copied_share(one, other, 3), copied_share(other, one, 3))


_AGENTS = Agents(
    instruct=prompt_text("instruct_task"),
    suggest=prompt_text("suggest_edit"),
    edit=prompt_text("edit_apply"),
    answer=prompt_text("answer_instruction"),
    judge=prompt_text("answer_judge"),
    writing=Decoding(temperature=0.7, top_p=0.9, max_tokens=800),  # [RW: Humpback]
    answering=Decoding(temperature=0.5, top_p=0.9, max_tokens=2500),
    judging=Decoding(temperature=0.0, max_tokens=1000),
)
_SHARPER = (HARDER, HARDER, TRICKIER, TRICKIER)


def _flavour(
    name: str, transformation: Transformation, taxonomy: tuple[Task, ...], *edits: Edit
) -> AgentInstruct:
    return AgentInstruct(
        name=f"instruct_{name}@1",
        transformation=transformation,
        taxonomy=taxonomy,
        agents=_AGENTS,
        floors=Floors(),
        edits=(*_SHARPER, *edits),
    )


def _reading(form: str, transformation: Transformation) -> AgentInstruct:
    """Reading questions, of which every fifth last edit aims at an unanswerable one."""
    return _flavour(f"reading{form}", transformation, READING, UNANSWERABLE)


MODIFY = replace(_flavour("modify", IDENTITY, MODIFICATION), max_copied=0.9)
EXTRACT = _flavour("extract", IDENTITY, EXTRACTION, UNANSWERABLE)

QUICK = AgentInstruct(
    name="instruct_quick@1",
    transformation=IDENTITY,
    taxonomy=READING,
    agents=replace(
        _AGENTS,
        instruct=prompt_text("instruct_quick"),
        suggest=prompt_text("suggest_quick"),
        edit=prompt_text("edit_quick"),
        answer=prompt_text("answer_quick"),
        judge=prompt_text("answer_quick_judge"),
        writing=Decoding(temperature=0.7, top_p=0.9, max_tokens=128, stop=("\n",)),
        answering=Decoding(temperature=0.7, top_p=0.9, max_tokens=256, stop=("\n\n",)),
        judging=Decoding(temperature=0.5, top_p=0.9, max_tokens=256),
        size=Size.PLAIN,
    ),
    floors=Floors(follows=1, grounded=1, self_contained=1, agreement=False),
    edits=(HARDER,),
    instructions_per_seed=1,
    refinements=1,
    max_source_words=200,
    max_repeated=0.8,
)
"""To try the flow with a tiny teacher on a CPU, in five calls.

A 135M model follows hardly any of the types, and its verdicts are recorded but drop nothing: what
comes through shows that the flow works, and is no training data worth the name.
"""

INSTRUCTIONS: tuple[AgentInstruct, ...] = (
    _reading("", IDENTITY),
    _reading("_argument", ARGUMENT),
    _reading("_debate", DEBATE),
    _reading("_conversation", CONVERSATION),
    _reading("_meeting", MEETING),
    _reading("_poem", POEM),
    _reading("_satire", SATIRE),
    _reading("_instructional", INSTRUCTIONAL),
    _reading("_long", LONG),
    MODIFY,
    EXTRACT,
    QUICK,
)
