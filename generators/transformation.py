"""Content transformation: a seed gets another form, so that other instructions become possible.

Nine forms, after AgentInstruct's nine agents for reading [RW]. The new form must keep enough of the
seed's content words, since instructions and answers are grounded in it alone. Shares are [I].
"""

from dataclasses import dataclass

from generators.asking import PromptText, ask_messages, prompt_text
from generators.contract import Declined, Tools
from generators.echoes import repeated_lines, repeated_share
from generators.seeds.tags import grounding
from generators.talk import check_clean
from manifests.completions import Decoding
from manifests.records import Reason, Seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """One form that a seed's text can take."""

    text: PromptText | None
    """None leaves the text as it is."""
    decoding: Decoding
    min_kept: float = 0.0
    """Least share of the seed's content words that stand in the new form."""
    max_repeated: float = 0.3
    """Share of the 4-grams, and of the lines, that stood before."""

    async def __call__(self, row: Seed, tools: Tools) -> str:
        """The seed's text in this form.

        Raises:
            Declined: The new form refuses, talks of its task, loops, or loses the content.
        """
        if self.text is None:
            return row.text.strip()
        asked = self.text.messages(text=row.text.strip(), topic=row.topic)
        text = check_clean(await ask_messages(tools, asked, self.decoding, role="transformer"))
        if (share := max(repeated_share(text), repeated_lines(text))) > self.max_repeated:
            raise Declined(Reason.REPETITIVE, f"{share:.0%} of the new form stood before in it")
        if (share := grounding(row.text, text)) < self.min_kept:
            detail = f"the new form keeps {share:.0%} of the content words"
            raise Declined(Reason.UNFAITHFUL, detail)
        return text


_DECODING = Decoding(temperature=0.7, top_p=0.9, max_tokens=2500)


def _form(name: str, min_kept: float, max_repeated: float = 0.3) -> Transformation:
    return Transformation(
        text=prompt_text(f"transform_{name}"),
        decoding=_DECODING,
        min_kept=min_kept,
        max_repeated=max_repeated,
    )


IDENTITY = Transformation(text=None, decoding=_DECODING)
ARGUMENT = _form("argument", 0.4)
DEBATE = _form("debate", 0.4)
CONVERSATION = _form("conversation", 0.4)
MEETING = _form("meeting", 0.4)
POEM = _form("poem", 0.2, max_repeated=0.5)
SATIRE = _form("satire", 0.2)
INSTRUCTIONAL = _form("instructional", 0.4)
LONG = _form("long", 0.6)
