"""Text in which the teacher speaks of itself or of its task, instead of only doing the task.

Three sorts, told apart because they are treated apart: a lead-in or a farewell around a good text
("Here is a paraphrase:") is cut off; a refusal, and talk of "the passage" that a reader of the
text alone cannot see, reject it. The patterns are English and want to be precise rather than
complete: an honest sentence about "the passage of time" must survive.
"""

import re

from generators.contract import Declined
from manifests.records import Reason

_MADE = (
    r"(?:re-?writ|re-?phras|re-?word|paraphras|version|summar|distill|condens|simplif|article|"
    r"tutorial|section|faq|list|table|explanation|text|passage|excerpt|snippet|content|"
    r"conversation|dialogue|question|answer|response|exercise|document|entry|guide|essay|output|"
    r"json|code|instruction|problem|solution)"
)
_YES = r"(?:sure(?: thing)?|of course|certainly|absolutely|okay|ok|great|no problem|understood)"
_HERE = (
    r"(?:here(?: is|'s| are)|below (?:is|are)|the following (?:is|are)|this is (?:a|an|the|my)\b"
    r"|i(?: have|'ve) (?:re-?written|re-?phrased|paraphrased|summari[sz]ed|written|created))"
)
_LEAD_INS = (
    re.compile(rf"{_YES}\s*[!.,:]+\s*(?=\n|{_HERE})", re.IGNORECASE),
    re.compile(rf"{_HERE}\b[^\n]{{0,160}}?{_MADE}[^\n]{{0,160}}:[*_ ]*(?:\n+|$)", re.IGNORECASE),
    re.compile(
        r"[#*_ ]*(?:re-?written|re-?phrased|paraphrased?|simplified|distilled|new)"
        r"(?: (?:text|passage|version|article|content))?[*_ ]*:[*_ ]*(?:\n+|(?=\S)|$)",
        re.IGNORECASE,
    ),
    re.compile(r"(?:-{3,}|\*{3,})\s*\n"),
)
_FAREWELL = re.compile(
    r"\n+[*_(\[ ]*(?:let me know (?:if|how|what)|i hope (?:this|that|it) helps"
    r"|feel free to (?:ask|let)|is there anything else|would you like me to|please let me know"
    r"|note: (?:i|this (?:rewrit|version|text|passage)))[^\n]*\s*$",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```(?:markdown|md|text|plaintext)?[ \t]*\n(?P<inside>.*?)\n```", re.DOTALL)

_CANNOT = r"(?:can(?:no|')?t|cannot|can not|am (?:not able|unable) to|won't|will not|must decline)"
_HELP = (
    r"(?:help|assist|fulfil|comply|provide|create|generate|write|rewrite|produce|answer|complete|"
    r"do that|continue|discuss|engage|process|support|satisfy)"
)
_REFUSAL_OPENINGS = re.compile(
    rf"(?:i(?:'m| am) (?:very |so |really )?(?:sorry|afraid)\b[^\n]{{0,80}}?\b{_CANNOT}\b"
    rf"|(?:i )?apologi[sz]e\b[^\n]{{0,80}}?\b{_CANNOT}\b|sorry,? [^\n]{{0,40}}?\bi {_CANNOT}\b"
    rf"|(?:unfortunately,? )?i {_CANNOT} {_HELP}"
    rf"|(?:unfortunately,? )?i(?:'m| am) (?:not able|unable) to {_HELP}"
    r"|i (?:don't|do not) have (?:access|enough (?:information|context)|the ability)"
    r"|(?:please|could you) provide (?:me with )?(?:the|a|more) (?:text|passage|content|context)"
    r"|i(?:'m| am) (?:here|ready|happy) to (?:help|assist)\b"
    r"|as an ai\b)",
    re.IGNORECASE,
)
_SELF = re.compile(
    r"\bas an? (?:ai|artificial intelligence|large language|language)[ -](?:language )?"
    r"(?:model|assistant)\b|\b(?:i am|i'm) (?:just )?an? (?:ai|artificial intelligence|large "
    r"language|language) (?:language )?(?:model|assistant)\b"
    r"|\bmy (?:training data|knowledge cutoff)\b",
    re.IGNORECASE,
)
_META = re.compile(
    r"\b(?:the|this|that|given|provided|above|original|source) (?:passage|excerpt|snippet)\b"
    r"(?! (?:of|from|through|to|into|between|across|over|in) )"
    r"|\b(?:the|this) (?:above|given|provided|original|source|input|reference) (?:text|article|"
    r"document|content|material|code|page)\b"
    r"|\b(?:the|this) (?:text|article|document|material) (?:above|below|provided|given|says|states|"
    r"mentions|describes|discusses|explains)\b"
    r"|\b(?:as|according to what is|what is) (?:mentioned|stated|described|discussed) "
    r"(?:in the text|in the document|in the article|above in the text)\b"
    r"|\baccording to the (?:text|article|document|material)\b"
    r"|\b(?:re-?written|rephrased|paraphrased) (?:version|text|passage|content)\b"
    r"|\b(?:here is|here's|below is) (?:a|the|my|your) (?:rewrit\w+|rephras\w+|paraphras\w+)"
    r"|\bi (?:have|'ve) (?:re-?written|rephrased|paraphrased)\b",
    re.IGNORECASE,
)


def _straight(text: str) -> str:
    """`text` with straight apostrophes, at the same offsets."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def strip_preamble(text: str) -> str:
    """`text` without what the teacher says before it, and without a fence around the whole."""
    text = text.strip()
    found = True
    while found:
        found = False
        for lead_in in _LEAD_INS:
            if match := lead_in.match(_straight(text)):
                text = text[match.end() :].strip()
                found = True
    whole = _FENCE.fullmatch(text)
    if whole is None or "\n```" in whole["inside"]:
        return text
    return whole["inside"].strip()


def strip_farewell(text: str) -> str:
    """`text` without a closing line addressed to whoever gave the task."""
    return _FAREWELL.sub("", text).rstrip()


def refusal_in(text: str) -> str | None:
    """The words with which the teacher declines or names itself an AI, or None."""
    match = _REFUSAL_OPENINGS.match(_straight(text).strip()) or _SELF.search(_straight(text))
    return match[0] if match else None


def meta_talk_in(text: str) -> str | None:
    """The words that point at a source or a task which the reader cannot see, or None."""
    match = _META.search(_straight(text))
    return match[0] if match else None


def check_clean(text: str, *, allow_meta: bool = False) -> str:
    """`text` without lead-in and farewell.

    Raises:
        Declined: REFUSAL, META_TALK (unless allowed) or, if nothing is left, EMPTY.
    """
    clean = strip_farewell(strip_preamble(text))
    if not clean:
        raise Declined(Reason.EMPTY, "nothing but a lead-in or a farewell")
    if refused := refusal_in(clean):
        raise Declined(Reason.REFUSAL, f"the teacher says {refused!r}")
    if not allow_meta and (talk := meta_talk_in(clean)):
        raise Declined(Reason.META_TALK, f"the text says {talk!r}")
    return clean
