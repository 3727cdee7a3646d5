import asyncio
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from generators.contract import attempt
from generators.reversal import REVERSALS, Evidence, Reversal, code_in
from generators.scripted import Answer, ScriptedTeacher, in_order, no_sandbox, tools
from manifests.completions import Completion, FinishReason, Usage
from manifests.errors import SandboxUnavailable
from manifests.fingerprint import fingerprint
from manifests.programs import Execution, ExecutionStatus, Program
from manifests.records import Bucket, Grade, Kind, Reason, Record, Rejection, Seed, SeedTags

FUNCTION, CLASS, QUICK = REVERSALS
CODE = '''
def run_lengths(text: str) -> list[tuple[str, int]]:
    """Lengths of runs."""
    found_runs = []
    for letter in text:
        if found_runs and found_runs[-1][0] == letter:
            found_runs[-1] = (letter, found_runs[-1][1] + 1)
        else:
            found_runs.append((letter, 1))
    return found_runs
'''
SEED = Seed(
    id="seed-1",
    document_id="document-1",
    source="stdlib",
    url="file:runs.py#run_lengths",
    licence="PSF-2.0",
    lang="en",
    kind=Kind.CODE,
    domain="code",
    topic="text",
    text=CODE,
    start_line=1,
    end_line=9,
    page_edu=4,
    passage_factual=1,
    passage_reasoning=4,
    tags=SeedTags(
        info_type="code", brief="runs", complexity=Grade.B, obscurity=Grade.A, has_chain=False
    ),
)
INSTRUCTION: dict[str, object] = {
    "task": (
        "Write a function that splits a string into maximal stretches of equal characters and "
        "gives each character together with the length of its stretch, in order."
    ),
    "inputs": "`text`: the string to split, it may be empty.",
    "outputs": "A list of pairs of a character and a positive integer.",
    "edge_cases": ["The empty string gives an empty list.", "Case matters."],
    "example_calls": ["run_lengths('aab')", "run_lengths('')", "run_lengths(text)"],
}
FAITHFUL = """Here it is:

```python
from itertools import groupby


def run_lengths(text: str) -> list[tuple[str, int]]:
    return [(letter, len(list(same))) for letter, same in groupby(text)]
```
"""
WRONG = "```python\ndef run_lengths(text):\n    return [(c, text.count(c)) for c in set(text)]\n```"
CUT = Completion(
    text="```python\ndef run", finish_reason=FinishReason.LENGTH, teacher="t@1", usage=Usage()
)


async def run_plainly(program: Program) -> Execution:
    """Runs the test's own code, in a plain subprocess."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program.source],
        input=program.stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    status = ExecutionStatus.OK if done.returncode == 0 else ExecutionStatus.ERROR
    return Execution(
        status=status, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr
    )


def run(
    method: Reversal, teacher: ScriptedTeacher, seed: Seed = SEED
) -> Sequence[Record] | Rejection:
    return asyncio.run(attempt(method, seed, tools(teacher, run_plainly)))


def one(outcome: Sequence[Record] | Rejection) -> Record:
    assert not isinstance(outcome, Rejection), outcome
    (record,) = outcome
    return record


def refused(outcome: Sequence[Record] | Rejection) -> Rejection:
    assert isinstance(outcome, Rejection), outcome
    return outcome


def instruction(**changes: object) -> dict[str, object]:
    return {**INSTRUCTION, **changes}


def test_a_faithful_pair_is_kept_with_the_instruction_first() -> None:
    teacher = in_order(INSTRUCTION, FAITHFUL)
    record = one(run(FUNCTION, teacher))
    assert record.bucket is Bucket.CODE
    assert record.licence == "PSF-2.0"
    assert record.parts["code"] == CODE.strip("\n")
    assert "groupby" in record.parts["regenerated"]
    assert record.text.index(str(INSTRUCTION["task"])) < record.text.index("found_runs = []")
    assert "def run_lengths(text: str) -> list[tuple[str, int]]: ..." in record.parts["instruction"]
    assert "- Case matters." in record.parts["instruction"]
    assert record.scores["fidelity_tests"] == 1.0
    assert record.scores["test_inputs"] >= 3
    assert record.scores["regenerations"] == 1.0
    assert record.scores["leakage"] == 0.0
    assert 0.0 < record.scores["fidelity_ast"] < 1.0


def test_the_solver_sees_the_instruction_and_nothing_of_the_code() -> None:
    teacher = in_order(INSTRUCTION, WRONG, CUT, FAITHFUL)
    record = one(run(FUNCTION, teacher))
    assert (record.rounds, record.scores["regenerations"]) == (3, 3.0)
    writer, *solvers = teacher.asked
    assert "found_runs" in writer.messages[-1].content
    assert [prompt.role for prompt in solvers] == ["solver"] * 3
    assert [prompt.sample for prompt in solvers] == [0, 1, 2]
    for prompt in solvers:
        text = "".join(message.content for message in prompt.messages)
        assert "found_runs" not in text
        assert record.parts["instruction"] in text


def test_no_faithful_regeneration_is_unfaithful_and_says_why() -> None:
    refusal = refused(run(FUNCTION, in_order(INSTRUCTION, WRONG, "I do not know.", CUT)))
    assert refusal.reason is Reason.UNFAITHFUL
    assert "outcomes equal" in refusal.detail
    assert "no code" in refusal.detail
    assert "truncated" in refusal.detail


def test_code_that_can_not_be_compared_by_running_is_compared_by_form() -> None:
    text = CODE.replace("def run_lengths", "import random\ndef run_lengths").replace(
        "    found_runs = []", "    found_runs = []\n    print(random.random())"
    )
    seed = replace(SEED, text=text)
    same = f"```python\n{text}```"
    record = one(run(FUNCTION, in_order(INSTRUCTION, same), seed))
    assert record.scores["fidelity_ast"] == 1.0
    assert "fidelity_tests" not in record.scores
    refusal = refused(run(FUNCTION, in_order(INSTRUCTION, *[WRONG] * 3), seed))
    assert refusal.reason is Reason.UNFAITHFUL
    assert "form 0." in refusal.detail


def test_without_a_sandbox_the_run_stops_instead_of_trusting_the_form() -> None:
    with pytest.raises(SandboxUnavailable):
        asyncio.run(attempt(FUNCTION, SEED, tools(in_order(INSTRUCTION, FAITHFUL), no_sandbox)))


def test_an_instruction_that_pastes_the_code_leaks() -> None:
    pasted = instruction(task=f"Write a function that does exactly this, step by step: {CODE}")
    refusal = refused(run(FUNCTION, in_order(pasted)))
    assert refusal.reason is Reason.LEAKED
    assert "%" in refusal.detail


def test_an_instruction_that_names_private_variables_leaks() -> None:
    named = instruction(outputs="The list found_runs, with pairs in it.")
    refusal = refused(run(FUNCTION, in_order(named)))
    assert refusal.reason is Reason.LEAKED
    assert "found_runs" in refusal.detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": "Write a function."}, Reason.LOW_QUALITY),
        ({"inputs": "-"}, Reason.LOW_QUALITY),
        ({"outputs": ""}, Reason.LOW_QUALITY),
        ({"task": "I'm sorry, but I can't help with writing this task for you today, really."},
         Reason.REFUSAL),
        ({"task": str(INSTRUCTION["task"]) + " It does what the snippet does."}, Reason.META_TALK),
        ({"edge_cases": ["The code above returns an empty list."]}, Reason.META_TALK),
        ({"edge_cases": []}, Reason.SCHEMA),
    ],
)  # fmt: skip
def test_a_vague_or_unclean_instruction_is_refused(
    changes: dict[str, object], reason: Reason
) -> None:
    assert refused(run(FUNCTION, in_order(instruction(**changes)))).reason is reason


def test_an_answer_that_is_no_json_is_a_rejection() -> None:
    assert refused(run(FUNCTION, in_order("Write a function."))).reason is Reason.PARSE


def test_prose_unknown_licences_and_foreign_code_are_refused_before_the_teacher_is_asked() -> None:
    def asked(method: Reversal, seed: Seed) -> Reason:
        teacher: ScriptedTeacher = in_order()
        reason = refused(run(method, teacher, seed)).reason
        assert teacher.asked == []
        return reason

    assert asked(FUNCTION, replace(SEED, kind=Kind.PROSE)) is Reason.UNSUITED
    assert asked(replace(FUNCTION, licences=("MIT",)), SEED) is Reason.LICENCE
    assert asked(FUNCTION, replace(SEED, text="fn main() {}")) is Reason.UNSUITED
    assert asked(FUNCTION, replace(SEED, text=CODE + "\nSTART = helper()")) is Reason.UNSUITED
    assert asked(CLASS, SEED) is Reason.UNSUITED
    assert asked(replace(FUNCTION, max_lines=5), SEED) is Reason.TOO_LONG


def test_a_licence_on_the_list_is_let_in() -> None:
    method = replace(FUNCTION, licences=("MIT", "PSF-2.0"))
    one(run(method, in_order(INSTRUCTION, FAITHFUL)))


def test_a_class_is_reversed_by_the_behaviour_of_its_methods() -> None:
    code = '''
class Tally:
    """Counts words."""
    def __init__(self, words: list[str]):
        self._by_word = {}
        for word in words:
            self.add(word)
    def add(self, word: str) -> int:
        self._by_word[word] = self._by_word.get(word, 0) + 1
        return self._by_word[word]
    def most(self) -> int:
        return max(self._by_word.values(), default=0)
'''
    said: dict[str, object] = {
        "task": "Write a class that counts how often it was given each word, from the first on.",
        "inputs": "A list of words at the start, then one word a call of `add`.",
        "outputs": "`add` gives the new count of its word, `most` the highest count.",
        "edge_cases": ["Without any word `most` gives zero."],
        "example_calls": [],
    }
    again = code.replace("_by_word", "_counts")
    wrong = code.replace("default=0", "default=1").replace(", 0) + 1", ", 0) + 2")
    record = one(
        run(
            CLASS,
            in_order(said, f"```\n{wrong}```", f"```py\n{again}```"),
            replace(SEED, text=code),
        )
    )
    assert record.scores["regenerations"] == 2.0
    assert record.scores["fidelity_tests"] == 1.0
    assert "def most(self) -> int: ..." in record.parts["instruction"]


def test_the_quick_flavour_needs_no_sandbox() -> None:
    said: dict[str, object] = {
        "task": "Write a function that gives the runs of equal letters.",
        "inputs": "a string of letters",
        "outputs": "a list of pairs",
    }
    teacher = in_order(said, f"```python\n{CODE}```")
    outcome = asyncio.run(attempt(QUICK, SEED, tools(teacher, no_sandbox)))
    assert one(outcome).scores["fidelity_ast"] == 1.0
    assert QUICK.evidence is Evidence.FORM


@pytest.mark.parametrize(
    "answer",
    [
        "```python\ndef f(x):\n    return x\n```",
        "```\ndef f(x):\n    return x\n```\nHope this helps!",
        "```py\nimport os\n```\nand\n```python\ndef f(x):\n    return x\n```",
        "```python\ndef f(x):\n    return x",
        "def f(x):\n    return x",
    ],
)
def test_code_is_found_in_a_fence_or_bare(answer: str) -> None:
    code = code_in(answer, "f")
    assert code is not None
    assert "def f(x):\n    return x" in code
    assert "`" not in code
    assert code_in(answer, "g") is None


@pytest.mark.parametrize("method", REVERSALS, ids=lambda method: method.name)
def test_every_flavour_survives_a_pickle_with_its_identity(method: Reversal) -> None:
    copy = pickle.loads(pickle.dumps(method))  # noqa: S301
    assert copy == method
    assert fingerprint(copy) == fingerprint(method)


def test_names_are_unique() -> None:
    assert len({method.name for method in REVERSALS}) == len(REVERSALS)


@pytest.mark.parametrize("method", [FUNCTION, QUICK], ids=lambda method: method.name)
def test_braces_in_code_reach_the_teacher_as_they_are(method: Reversal) -> None:
    code = CODE.replace("return found_runs", "return found_runs or {'{x}': {0}} and []")
    answers: list[Answer] = [INSTRUCTION, *["no code"] * 3]
    teacher = in_order(*answers)
    run(method, teacher, replace(SEED, text=code))
    assert "{'{x}': {0}}" in teacher.asked[0].messages[-1].content
