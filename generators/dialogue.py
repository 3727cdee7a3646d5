"""Conversations from snippets (G7): two speakers alternate, and each turn is judged as it falls.

The first turn states the snippet's core information. After every turn the writer evaluates itself
and says what should come next, which steers the next turn; a turn below a floor, or one that
repeats, swells or drifts, is written once more and then ends the dialogue. All prompts of a
dialogue grow from one prefix. A critic reads the whole for contradictions at the end.
Source: phi-4 report, section 1 and D.1.3 [R]; floors, turns and bands are [I].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from generators.asking import PromptText, ask_json, ask_messages, prompt_text
from generators.contract import Declined, Tools
from generators.dialogue_casts import (
    DEBATERS,
    INTERVIEW,
    PERSONAS,
    PLAIN_TUTOR,
    TUTOR,
    Cast,
    Speaker,
)
from generators.dialogue_turns import (
    CHECKS,
    EVALUATIONS,
    Bounds,
    Check,
    Draft,
    Evaluation,
    Said,
    Size,
    Spoken,
    clean_turn,
    cut_praise,
    judged_problem,
    new_numbers,
    problem_of,
)
from generators.seeds.segment import count_words
from manifests.completions import Decoding, Message
from manifests.fingerprint import content_id
from manifests.records import Bucket, Kind, Reason, Record, Rejection, Seed, Turn, record_id


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueTexts:
    """The wording of a dialogue's prompts."""

    open: PromptText
    turn: PromptText
    close: PromptText
    retry: PromptText
    evaluate: PromptText
    check: PromptText


@dataclass(slots=True)
class _Talk:
    """A dialogue under way."""

    seed: Seed
    speakers: tuple[Speaker, Speaker]
    history: list[Message]
    """Every prompt of the dialogue starts with these; only accepted turns are added."""
    spoken: list[Spoken]
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """One flavour: who talks, how long, and how good each turn must be."""

    name: str
    casts: tuple[Cast, ...]
    """One of them for each seed, by its id."""
    texts: DialogueTexts
    speaking: Decoding
    judging: Decoding
    turns: int = 6
    """At least four, and even, so that the last word is an answer [I]."""
    bounds: Bounds
    size: Size = Size.FULL
    allow_meta: bool = False
    """Whether a turn may speak of the text it was made from."""
    max_source_words: int = 700
    min_consistent: int = 4
    min_grounded: int = 4
    min_stands_alone: int = 3
    """Of the critic, of 5 [I]."""

    def __post_init__(self) -> None:
        if self.turns < 4 or self.turns % 2:
            raise ValueError(f"{self.name}: turns must be even and at least 4, not {self.turns}")

    async def __call__(self, row: Seed, tools: Tools, /) -> Sequence[Record]:
        """The one dialogue made of a seed.

        Raises:
            Declined: The seed is unsuited, a turn fails twice, or the critic refuses the whole.
        """
        if row.kind is not Kind.PROSE:
            raise Declined(Reason.UNSUITED, "dialogues are made of prose")
        if (words := count_words(row.text)) > self.max_source_words:
            raise Declined(Reason.TOO_LONG, f"source of {words} words > {self.max_source_words}")
        cast = self.casts[int(content_id(self.name, row.id), 16) % len(self.casts)]
        opening = self.texts.open.messages(
            text=row.text,
            domain=row.domain,
            topic=row.topic,
            first=cast.first.name,
            second=cast.second.name,
            first_profile=cast.first.profile,
            second_profile=cast.second.profile,
            manner=cast.manner,
            words=self.bounds.max_words,
        )
        talk = _Talk(row, (cast.first, cast.second), list(opening), [])
        while len(talk.spoken) < self.turns:
            await self._turn(talk, tools)
        check = await self._check(talk, tools)
        return [self._record(talk, check)]

    async def _turn(self, talk: _Talk, tools: Tools) -> None:
        """Add the next turn, written at most twice."""
        asked = self._request(talk)
        outcome, written = await self._try(talk, asked, tools)
        if isinstance(outcome, Rejection):
            talk.retries += 1
            again = self.texts.retry.messages(
                problem=outcome.detail,
                name=self._speaker(talk).name,
                profile=self._speaker(talk).profile,
                words=self.bounds.max_words,
            )
            asked_again = (*asked, written.own, *again)
            outcome, _ = await self._try(talk, asked_again, tools)
        if isinstance(outcome, Rejection):
            detail = f"turn {len(talk.spoken) + 1}, twice: {outcome.detail}"
            raise Declined(outcome.reason, detail)
        talk.history = [*asked, outcome.draft.own]
        talk.spoken.append(outcome)

    def _speaker(self, talk: _Talk, ahead: int = 0) -> Speaker:
        return talk.speakers[(len(talk.spoken) + ahead) % 2]

    def _request(self, talk: _Talk) -> tuple[Message, ...]:
        """The dialogue so far and what is wanted next."""
        if not talk.spoken:
            return tuple(talk.history)
        speaker = self._speaker(talk)
        last = len(talk.spoken) == self.turns - 1
        wanted = (self.texts.close if last else self.texts.turn).messages(
            name=speaker.name,
            profile=speaker.profile,
            direction=talk.spoken[-1].evaluation.next_move.strip(),
            words=self.bounds.max_words,
        )
        return (*talk.history, *wanted)

    async def _try(
        self, talk: _Talk, asked: tuple[Message, ...], tools: Tools
    ) -> tuple[Spoken | Rejection, Draft]:
        """A turn, or what is wrong with it; and what was written."""
        written = await self._draft(asked, tools)
        try:
            text, praise = cut_praise(clean_turn(written.text, talk.speakers, self.allow_meta))
        except Declined as refused:
            return refused.rejection, written
        if problem := problem_of(text, talk.seed, talk.spoken, self.bounds):
            return problem, written
        draft = replace(written, text=text)
        wanted = self.texts.evaluate.messages(
            name=self._speaker(talk).name, next_name=self._speaker(talk, 1).name
        )
        answer = EVALUATIONS[self.size]
        evaluation = await ask_json(tools, answer, (*asked, draft.own, *wanted), self.judging)
        supposed = draft.move == "scenario"
        spoken = Spoken(
            speaker=self._speaker(talk),
            draft=draft,
            evaluation=evaluation,
            praise=praise,
            new_numbers=0 if supposed else new_numbers(text, talk.seed, talk.spoken),
        )
        problem = judged_problem(text, evaluation, talk.seed, talk.spoken, self.bounds)
        return problem or spoken, written

    async def _draft(self, asked: tuple[Message, ...], tools: Tools) -> Draft:
        if self.size is Size.PLAIN:
            return Draft(move=None, text=await ask_messages(tools, asked, self.speaking))
        said = await ask_json(tools, Said, asked, self.speaking)
        return Draft(move=said.move, text=said.text)

    async def _check(self, talk: _Talk, tools: Tools) -> Check:
        asked = self.texts.check.messages(
            text=talk.seed.text, dialogue=render(talk.spoken), second=talk.speakers[1].name
        )
        check = await ask_json(tools, CHECKS[self.size], asked, self.judging, role="critic")
        for what, score, floor in (
            ("consistent", check.consistent, self.min_consistent),
            ("grounded", check.grounded, self.min_grounded),
            ("stands_alone", check.stands_alone, self.min_stands_alone),
        ):
            if score < floor:
                raise Declined(Reason.JUDGE, f"{what} {score} < {floor}: {check.analysis}"[:300])
        return check

    def _record(self, talk: _Talk, check: Check) -> Record:
        text = render(talk.spoken)
        row = talk.seed
        first, second = talk.speakers
        return Record(
            id=record_id(self.name, row.id, text),
            text=text,
            turns=tuple(
                Turn(role=("user", "assistant")[at % 2], content=turn.text)
                for at, turn in enumerate(talk.spoken)
            ),
            parts={"profile": f"{first.name}: {first.profile}\n{second.name}: {second.profile}"},
            bucket=Bucket.SYNTHETIC,
            generator=self.name,
            seed_ids=(row.id,),
            source=row.source,
            licence=row.licence,
            lang=row.lang,
            scores={**_scores(talk.spoken), **_marks(check), "retries": float(talk.retries)},
            rounds=len(talk.spoken),
        )


def render(spoken: Sequence[Spoken]) -> str:
    """The dialogue as text: each turn is `Name: words`, with an empty line between turns."""
    return "\n\n".join(f"{turn.speaker.name}: {turn.text}" for turn in spoken)


def _scores(spoken: Sequence[Spoken]) -> dict[str, float]:
    """Self-evaluation over the turns, and what was counted."""
    scores: dict[str, float] = {}
    judged: Sequence[Evaluation] = [turn.evaluation for turn in spoken]
    for what in ("grounded", "new", "nuance"):
        given = [float(getattr(evaluation, what)) for evaluation in judged]
        scores[f"{what}_mean"] = mean(given)
        scores[f"{what}_min"] = min(given)
    moves = [turn.draft.move for turn in spoken]
    if None not in moves:
        scores["scenarios"] = float(moves.count("scenario"))
    scores["praise"] = float(sum(turn.praise for turn in spoken))
    scores["new_numbers"] = float(sum(turn.new_numbers for turn in spoken))
    return scores


def _marks(check: Check) -> dict[str, float]:
    return {
        "check_consistent": float(check.consistent),
        "check_grounded": float(check.grounded),
        "check_stands_alone": float(check.stands_alone),
    }


_TEXTS = DialogueTexts(
    open=prompt_text("dialogue_open"),
    turn=prompt_text("dialogue_turn"),
    close=prompt_text("dialogue_close"),
    retry=prompt_text("dialogue_retry"),
    evaluate=prompt_text("dialogue_evaluate"),
    check=prompt_text("dialogue_check"),
)


def _dialogue(name: str, casts: tuple[Cast, ...], turns: int) -> Dialogue:
    return Dialogue(
        name=f"dialogue_{name}@1",
        casts=casts,
        texts=_TEXTS,
        speaking=Decoding(temperature=0.7, top_p=0.9, max_tokens=700),  # [RW: Humpback]
        judging=Decoding(temperature=0.0, max_tokens=600),
        turns=turns,
        bounds=Bounds(),
    )


QUICK = Dialogue(
    name="dialogue_quick@1",
    casts=PLAIN_TUTOR,
    texts=DialogueTexts(
        open=prompt_text("dialogue_quick_open"),
        turn=prompt_text("dialogue_quick_turn"),
        close=prompt_text("dialogue_quick_turn"),
        retry=prompt_text("dialogue_quick_retry"),
        evaluate=prompt_text("dialogue_quick_evaluate"),
        check=prompt_text("dialogue_quick_check"),
    ),
    speaking=Decoding(temperature=0.9, top_p=0.9, max_tokens=256, stop=("\n\n",)),
    judging=Decoding(temperature=0.5, top_p=0.9, max_tokens=256),
    turns=4,
    bounds=Bounds(
        min_words=4,
        max_words=160,
        max_growth=6.0,
        max_repeated=0.8,
        min_opening=0.1,
        min_overlap=0.0,
        min_grounded=1,
        min_new=1,
        min_nuance=1,
    ),
    size=Size.PLAIN,
    allow_meta=True,
    max_source_words=200,
    min_consistent=1,
    min_grounded=1,
    min_stands_alone=1,
)
"""To try the loop with a tiny teacher on a CPU, in nine calls.

A 135M model cannot judge, so its marks are recorded and drop nothing; only loops and empty turns
end a dialogue, and what comes through is no training data worth the name.
"""

DIALOGUES: tuple[Dialogue, ...] = (
    _dialogue("tutor", TUTOR, 6),
    _dialogue("interview", INTERVIEW, 8),
    _dialogue("debate", DEBATERS, 6),
    _dialogue("persona", PERSONAS, 6),
    QUICK,
)
