"""Who speaks in a dialogue: a cast is two profiles and the manner of their talk."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """One side of a dialogue."""

    name: str
    """As it stands before the turns in the record's text."""
    profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The two speakers; the first one opens, and is the `user` of the record's turns."""

    first: Speaker
    second: Speaker
    manner: str


def _persona(name: str, profile: str) -> Cast:
    """Somebody with a reason to ask, and one who answers to that reason."""
    return Cast(
        first=Speaker(name=name, profile=profile),
        second=Speaker(
            name="Assistant",
            profile=f"an assistant who knows the subject and fits every answer to what a "
            f"{name.lower()} has to do and already knows",
        ),
        manner=f"The {name.lower()} brings real cases of the trade and is not content with "
        "general answers.",
    )


TUTOR: tuple[Cast, ...] = (
    Cast(
        first=Speaker(
            name="Student",
            profile="has just learnt the facts, takes nothing on trust, and has typical "
            "misunderstandings that come to light by and by",
        ),
        second=Speaker(
            name="Tutor",
            profile="knows the subject well, gives reasons step by step, uses small worked "
            "cases, and corrects a mistake by showing where it leads",
        ),
        manner="The student says what follows in their own words; the tutor makes the next "
        "question harder than the last.",
    ),
)
PLAIN_TUTOR: tuple[Cast, ...] = (
    Cast(
        first=Speaker(name="Student", profile="Ask one short question about that, why or how"),
        second=Speaker(name="Tutor", profile="Answer this question in two sentences"),
        manner="Questions and answers.",
    ),
)
"""Bare requests, for a very small teacher, which repeats itself unless the two differ."""
INTERVIEW: tuple[Cast, ...] = (
    Cast(
        first=Speaker(
            name="Interviewer",
            profile="has prepared well, introduces the subject to the audience, and presses "
            "for causes, exceptions and consequences",
        ),
        second=Speaker(
            name="Expert",
            profile="has worked on the subject for long, answers exactly what was asked, and "
            "says where knowledge ends",
        ),
        manner="Each question follows from the answer before it.",
    ),
)
DEBATERS: tuple[Cast, ...] = (
    Cast(
        first=Speaker(
            name="Proponent",
            profile="takes the strongest position that the facts allow and defends it with "
            "reasons drawn from them",
        ),
        second=Speaker(
            name="Opponent",
            profile="grants the facts, and shows by reasons, limits and counter-examples what "
            "does not follow from them",
        ),
        manner="Each side answers the other's strongest reason before it gives one of its own; "
        "positions sharpen, and neither gives in out of politeness.",
    ),
)
PERSONAS: tuple[Cast, ...] = (
    _persona("Nurse", "works on a ward at night and wants to know what to do and why"),
    _persona("Farmer", "runs a small mixed farm and reckons in seasons, weather and cost"),
    _persona("Engineer", "builds things that must not fail and asks for margins and edge cases"),
    _persona("Teacher", "has to explain this to thirty fourteen-year-olds tomorrow"),
    _persona("Journalist", "writes for readers who doubt, and checks every claim before print"),
    _persona("Shopkeeper", "owns a corner shop and wants to know what it means in practice"),
    _persona("Lawyer", "looks for what exactly is claimed, on what evidence, with what exception"),
    _persona("Grandparent", "is curious, compares with the past, and dislikes jargon"),
)
"""Ours [I]; the report conditions on a participant's profile and lists none."""
