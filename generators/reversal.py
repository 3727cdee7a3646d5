"""Instruction reversal (phi-4 report, section 2.2 [R]): from existing code to the task it solves.

The teacher writes the instruction that the code could be the answer to; another model, which sees
nothing but that instruction, writes the code again; and only where it comes out faithful to the
original is the pair kept, instruction first. Faithful means: behaves alike on generated inputs, in
the sandbox; where behaviour can't tell, is alike in form.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from generators.asking import PromptText, ask_json, ask_messages, prompt_text
from generators.code import Snippet, Unit, definition, parse, read_snippet
from generators.code_behaviour import Behaviour, compare_behaviour
from generators.code_inputs import cases_for
from generators.code_likeness import ast_similarity, leakage, leaked_names
from generators.contract import Declined, Tools
from generators.talk import check_clean
from manifests.completions import Decoding
from manifests.records import Bucket, Kind, Reason, Record, Seed, record_id

_FENCED = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
_THE_CODE = re.compile(
    r"\bthe (?:code|function|class) (?:above|below|shown|provided|given)\b"
    r"|\b(?:this|provided|above|original) (?:code|implementation)\b"
    r"|\b(?:the|this|given) (?:code )?snippet\b",
    re.IGNORECASE,
)


class Instruction(BaseModel):
    """What the teacher writes about a snippet; the signature is read from the code itself."""

    edge_cases: list[str] = Field(min_length=1, max_length=8)
    example_calls: list[str] = Field(max_length=6)
    inputs: str
    outputs: str
    task: str


class ShortInstruction(BaseModel):
    """The same, for a very small teacher: texts of one bounded line."""

    inputs: Annotated[str, Field(min_length=4, max_length=160)]
    outputs: Annotated[str, Field(min_length=4, max_length=160)]
    task: Annotated[str, Field(min_length=20, max_length=400)]


class Detail(StrEnum):
    """How much is asked of the teacher."""

    FULL = "full"
    SHORT = "short"


class Evidence(StrEnum):
    """What fidelity is judged by."""

    BEHAVIOUR = "behaviour"
    """Running both, and their form only where running can't tell."""
    FORM = "form"
    """Their syntax trees; nothing is run."""


_ANSWERS: dict[Detail, type[Instruction] | type[ShortInstruction]] = {
    Detail.FULL: Instruction,
    Detail.SHORT: ShortInstruction,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fidelity:
    """One regeneration against the original."""

    code: str
    form: float
    behaviour: Behaviour | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """One flavour: which snippets, and how faithful a regeneration must be."""

    name: str
    unit: Unit
    instruct: PromptText
    regenerate: PromptText
    writing: Decoding
    coding: Decoding
    detail: Detail = Detail.FULL
    evidence: Evidence = Evidence.BEHAVIOUR
    regenerations: int = 3
    """Tries at most, one of which must be faithful [I]; no more are asked for after that."""
    min_lines: int = 4
    max_lines: int = 60
    """Lines of code, without comments and docstrings [I]."""
    min_task_words: int = 12
    """Words of the task below which it is vague [I]."""
    behaviour_floor: float = 0.8
    """Least share of inputs with an equal outcome [I]."""
    form_floor: float = 0.6
    """Least similarity of the syntax trees [I, spec section 6, gap 7]."""
    leak_ceiling: float = 0.1
    """Largest share of the code's 5-grams that the instruction may hold [I]."""
    leaked_names_max: int = 0
    """Private names of the code that the instruction may use [I]."""
    licences: tuple[str, ...] = ()
    """SPDX identifiers that are let in; empty lets in all."""

    async def __call__(self, seed: Seed, tools: Tools, /) -> Sequence[Record]:
        """The instruction and the code of `seed`.

        Raises:
            Declined: The snippet is unsuited, the instruction vague (LOW_QUALITY) or gives the
                code away (LEAKED), or no regeneration is faithful (UNFAITHFUL).
            SandboxUnavailable: Behaviour is to be compared, and there is no sandbox.
        """
        if seed.kind is not Kind.CODE:
            raise Declined(Reason.UNSUITED, "reversal works on code")
        if self.licences and seed.licence not in self.licences:
            raise Declined(Reason.LICENCE, f"{seed.licence} is not among {self.licences}")
        snippet = read_snippet(
            seed.text, self.unit, min_lines=self.min_lines, max_lines=self.max_lines
        )
        asked = self.instruct.messages(
            code=snippet.code.rstrip(), unit=self.unit.value, name=snippet.name
        )
        written = await ask_json(tools, _ANSWERS[self.detail], asked, self.writing)
        self._check_clear(written)
        instruction = _render(written, snippet.signature)
        leak = self._check_leak(snippet, written)
        examples = written.example_calls if isinstance(written, Instruction) else []
        found, tries = await self._regenerate(snippet, instruction, examples, tools)
        scores = {"leakage": leak, "fidelity_ast": found.form, "regenerations": float(tries)}
        if found.behaviour is not None:
            scores["fidelity_tests"] = found.behaviour.equal
            scores["test_inputs"] = float(found.behaviour.inputs)
        return [self._record(seed, snippet, instruction, found.code, scores)]

    def _check_clear(self, written: Instruction | ShortInstruction) -> None:
        task = check_clean(written.task)
        if talk := _THE_CODE.search(_teacher_text(written)):
            raise Declined(Reason.META_TALK, f"the instruction says {talk[0]!r}")
        if len(task.split()) < self.min_task_words:
            raise Declined(Reason.LOW_QUALITY, f"the task is vague: {task!r}"[:200])
        for what, text in (("inputs", written.inputs), ("outputs", written.outputs)):
            if len(text.split()) < 2:
                raise Declined(Reason.LOW_QUALITY, f"{what} are not described: {text!r}")

    def _check_leak(self, snippet: Snippet, written: Instruction | ShortInstruction) -> float:
        said = _teacher_text(written)
        share = leakage(snippet, said)
        if share > self.leak_ceiling:
            raise Declined(Reason.LEAKED, f"{share:.0%} of the code stands in the instruction")
        names = leaked_names(snippet, said)
        if len(names) > self.leaked_names_max:
            raise Declined(Reason.LEAKED, f"names private to the code: {', '.join(names)}"[:300])
        return share

    async def _regenerate(
        self, snippet: Snippet, instruction: str, examples: Sequence[str], tools: Tools
    ) -> tuple[_Fidelity, int]:
        """The first faithful regeneration, and the number of tries."""
        asked = self.regenerate.messages(instruction=instruction)
        cases = cases_for(snippet, examples) if self.evidence is Evidence.BEHAVIOUR else ()
        failures = []
        for sample in range(self.regenerations):
            try:
                answer = await ask_messages(tools, asked, self.coding, sample=sample, role="solver")
            except Declined as declined:
                failures.append(declined.rejection.reason.value)
                continue
            code = code_in(answer, snippet.name)
            if code is None:
                failures.append("no code")
                continue
            found = _Fidelity(code=code, form=ast_similarity(snippet.code, code), behaviour=None)
            if self.evidence is Evidence.BEHAVIOUR:
                behaviour = await compare_behaviour(snippet, code, cases, tools.execute)
                found = replace(found, behaviour=behaviour)
            if self._is_faithful(found):
                return found, sample + 1
            failures.append(_describe(found))
        raise Declined(Reason.UNFAITHFUL, f"no regeneration is faithful: {'; '.join(failures)}")

    def _is_faithful(self, found: _Fidelity) -> bool:
        if found.behaviour is not None:
            return found.behaviour.equal >= self.behaviour_floor
        return found.form >= self.form_floor

    def _record(
        self, seed: Seed, snippet: Snippet, instruction: str, again: str, scores: dict[str, float]
    ) -> Record:
        code = snippet.code.strip("\n")
        text = f"{instruction}\n\n```python\n{code}\n```"
        return Record(
            id=record_id(self.name, seed.id, text),
            text=text,
            parts={
                "instruction": instruction,
                "code": code,
                "regenerated": again,
                "language": "python",
            },
            bucket=Bucket.CODE,
            generator=self.name,
            seed_ids=(seed.id,),
            source=seed.source,
            licence=seed.licence,
            lang=seed.lang,
            scores=scores,
            rounds=int(scores["regenerations"]),
        )


def _teacher_text(written: Instruction | ShortInstruction) -> str:
    """All that the teacher wrote and a reader of the instruction sees."""
    edges = written.edge_cases if isinstance(written, Instruction) else []
    return "\n".join([written.task, written.inputs, written.outputs, *edges])


def _render(written: Instruction | ShortInstruction, signature: str) -> str:
    edges = written.edge_cases if isinstance(written, Instruction) else []
    parts = [
        check_clean(written.task),
        f"Signature:\n\n```python\n{signature}\n```",
        f"Input: {written.inputs.strip()}",
        f"Output: {written.outputs.strip()}",
    ]
    if edges:
        parts.append("Edge cases:\n" + "\n".join(f"- {edge.strip()}" for edge in edges))
    return "\n\n".join(parts)


def code_in(answer: str, name: str) -> str | None:
    """The code in an answer, fenced or bare, that parses and defines `name`."""
    fenced = _FENCED.findall(answer)
    for candidate in [*fenced, "\n\n".join(fenced), answer]:
        tree = parse(candidate)
        if tree is not None and definition(tree, name) is not None:
            return str(candidate).strip("\n")
    return None


def _describe(found: _Fidelity) -> str:
    if found.behaviour is not None:
        return f"{found.behaviour.equal:.0%} of {found.behaviour.inputs} outcomes equal"
    return f"form {found.form:.2f}"


_WRITE = Decoding(temperature=0.7, top_p=0.9, max_tokens=1200)  # [RW: Humpback, spec section 6]
_CODE = Decoding(temperature=0.5, top_p=0.9, max_tokens=2000)

REVERSALS: tuple[Reversal, ...] = (
    Reversal(
        name="reverse_python_function@1",
        unit=Unit.FUNCTION,
        instruct=prompt_text("reversal_instruct"),
        regenerate=prompt_text("reversal_regenerate"),
        writing=_WRITE,
        coding=_CODE,
    ),
    Reversal(
        name="reverse_python_class@1",
        unit=Unit.CLASS,
        instruct=prompt_text("reversal_instruct"),
        regenerate=prompt_text("reversal_regenerate"),
        writing=_WRITE,
        coding=_CODE,
        min_lines=8,
        max_lines=120,
    ),
    # For trying the loop with a teacher of some hundred million parameters, and without a sandbox:
    # form alone says little about behaviour, and so low a floor says less.
    Reversal(
        name="reverse_python_quick@1",
        unit=Unit.FUNCTION,
        instruct=prompt_text("reversal_quick"),
        regenerate=prompt_text("reversal_regenerate"),
        writing=Decoding(temperature=0.7, top_p=0.9, max_tokens=400),
        # It rambles on after the code: the closing fence ends the answer.
        coding=Decoding(temperature=0.5, top_p=0.9, max_tokens=400, stop=("\n```\n",)),
        detail=Detail.SHORT,
        evidence=Evidence.FORM,
        regenerations=1,
        min_lines=2,
        max_lines=15,
        min_task_words=5,
        form_floor=0.3,
        leak_ceiling=0.3,
        leaked_names_max=2,
    ),
)
