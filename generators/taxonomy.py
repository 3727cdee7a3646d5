"""What an instruction can ask of a text: families of task types, each with what it means.

The instruction writer is shown one entry at a time, so that instructions spread over the types
however narrow the teacher's own habit is. AgentInstruct has 43 types of reading question and 18 of
text modification [RW]; the names and definitions here are ours [I].
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One type of instruction."""

    name: str
    definition: str


def _tasks(**definitions: str) -> tuple[Task, ...]:
    return tuple(
        Task(name=name.replace("_", " "), definition=definition)
        for name, definition in definitions.items()
    )


READING = _tasks(
    literal="asks for something that one place of the text states",
    scattered_facts="asks for an answer that must be gathered from several places of the text",
    numeric="asks for a quantity that must be worked out from numbers in the text",
    comparison="asks in what two things of the text agree and differ",
    sequence="asks in which order things happen or must be done",
    cause_and_effect="asks why something happens, or what it leads to",
    inference="asks for what must be true given the text, though the text does not say it",
    main_point="asks for the one claim that all the rest supports",
    purpose="asks why the author brings in a certain detail",
    structure="asks what part a certain sentence plays in the line of thought",
    vocabulary_in_context="asks what a word or phrase means as it is used here",
    reference="asks what a pronoun or a shortened expression stands for",
    tone="asks for the author's attitude and the words that show it",
    critical="asks how well the evidence supports a certain claim",
    strengthen="gives several findings and asks which one would most support a claim",
    weaken="gives several findings and asks which one would most damage a claim",
    flaw="asks for the gap or mistake in a line of reasoning",
    assumption="asks what is taken for granted and must hold for a conclusion to follow",
    counterfactual="changes one condition and asks what would then be different",
    application="describes a new case and asks what the text implies for it",
    analogy="asks which other situation has the same relation between its parts",
    fact_or_opinion="lists statements and asks which are facts and which are opinions",
    true_or_false="states claims to be marked as supported, contradicted or not stated",
    multiple_choice="asks a question with four options, exactly one of which is right",
    fill_in="leaves a gap in a statement that careful reading can close",
    error_spotting="restates part of the text with one mistake in it and asks for the mistake",
)
"""Questions that reading answers."""

MODIFICATION = _tasks(
    paraphrase="says the same in other words and other sentence forms",
    simplify="makes it easy for a younger or less expert reader, with nothing lost",
    shorten="cuts it to a stated length and keeps what matters most",
    expand="adds explanation and detail that the text itself supports",
    formalise="turns it into formal, impersonal prose",
    loosen="turns it into relaxed speech, with the facts unchanged",
    change_viewpoint="tells it from the point of view of a named participant",
    change_audience="fits it to a stated group of readers and what they want to know",
    reorder="puts it into another stated order, such as result first or by time",
    to_bullets="turns it into a list of points of one level, in parallel form",
    to_table="puts it into a table whose columns are stated",
    to_json="puts its facts into a JSON object with stated keys",
    to_steps="turns it into numbered steps that somebody can follow",
    to_letter="turns it into a letter or message to a stated reader",
    to_headline_and_lead="gives it a headline and an opening paragraph as in a newspaper",
    to_questions_and_answers="recasts it as questions with answers",
    constrained_style="rewrites it under a stated rule, such as no adjectives or short sentences",
    remove="takes out everything about a stated aspect and mends what is left",
)
"""Changes to the text as a whole or to a named part of it."""

EXTRACTION = _tasks(
    entities="asks for all people, places, bodies or things of a stated sort",
    quantities="asks for every quantity, with its unit and what it measures",
    relations="asks for pairs or triples that stand in a stated relation",
    terms="asks for the technical terms with the meaning that the text gives them",
    claims_with_evidence="asks for each claim beside the evidence given for it",
    timeline="asks for dated or ordered events, one a line",
    key_points="asks for a stated number of most important points, ranked",
    classification="gives labels with their meanings and asks which fit the text, and why",
    quotation="asks for the exact words that support a stated claim",
    conditions="asks for all conditions, exceptions and limits that are stated",
)
"""Finding and sorting what the text holds."""
