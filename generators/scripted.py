"""A teacher that answers from a script, for trying a generator without any server."""

import json
from collections.abc import Callable

from generators.contract import Tools
from manifests.completions import Completion, FinishReason, Prompt, Usage
from manifests.errors import SandboxUnavailable
from manifests.programs import Execute, Execution, Program

Answer = str | dict[str, object] | Completion
"""What a script may give: text, an object to be sent as JSON, or a whole completion."""


class ScriptedTeacher:
    """Answers each prompt with what `script(prompt)` gives, and remembers what it was asked."""

    def __init__(self, script: Callable[[Prompt], Answer]) -> None:
        self._script = script
        self.asked: list[Prompt] = []

    async def __call__(self, prompt: Prompt) -> Completion:
        self.asked.append(prompt)
        answer = self._script(prompt)
        if isinstance(answer, Completion):
            return answer
        text = answer if isinstance(answer, str) else json.dumps(answer)
        usage = Usage(completion_tokens=len(text.split()))
        return Completion(
            text=text, finish_reason=FinishReason.STOP, teacher="scripted@1", usage=usage
        )


def in_order(*answers: Answer) -> ScriptedTeacher:
    """A teacher that gives these answers, one a call; one call more is an error."""
    remaining = iter(answers)
    return ScriptedTeacher(lambda prompt: next(remaining))


async def no_sandbox(program: Program) -> Execution:
    """The `execute` of generators that must not need one."""
    raise SandboxUnavailable("this teacher script has no sandbox")


def tools(teacher: ScriptedTeacher, execute: Execute = no_sandbox) -> Tools:
    """The tools of a generator under test."""
    return Tools(complete=teacher, execute=execute)
