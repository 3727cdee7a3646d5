"""How rows look, with what they were made from: for a terminal, and as JSON."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from manifests.records import Call, Record, Reject, Seed, SeedDocument
from manifests.token_rows import TokenDocument
from pipelines.replay import Exchange
from pipelines.show import Row, Shown

_NAMES: dict[type, str] = {
    Record: "record",
    Seed: "seed",
    SeedDocument: "document",
    Reject: "reject",
    TokenDocument: "tokens",
}
RULE = "─" * 80
PART_CHARS = 300
DOCUMENT_CHARS = 2000


def shown_json(shown: Shown, exchanges: Sequence[Exchange] | None) -> str:
    """A row, its seed, its document and what was asked, as one JSON object in one line."""
    commit = shown.placed.commit
    found: dict[str, Any] = {"step": commit.step, "slice": commit.slice_index}
    for placed in (shown.placed, *shown.ancestors):  # of two of a type the nearest stays
        found.setdefault(_NAMES[type(placed.row)], asdict(placed.row))
    if exchanges is not None:
        found["transcript"] = [_exchange_json(exchange) for exchange in exchanges]
    return json.dumps(found, ensure_ascii=False)


def _exchange_json(exchange: Exchange) -> dict[str, Any]:
    answer = exchange.completion
    return {
        "key": exchange.key,
        "teacher": exchange.teacher,
        "prompt": asdict(exchange.prompt),
        "completion": asdict(answer) | {"digest": answer.digest} if answer else None,
    }


def shown_text(shown: Shown, exchanges: Sequence[Exchange] | None) -> str:
    """A row, what it was made from and what was asked, for a person."""
    row = shown.placed.row
    lines = [RULE, _text(row), RULE, *_about(row)]
    for ancestor in (shown.ancestor(Record), shown.ancestor(Seed), shown.ancestor(SeedDocument)):
        # A screened record stands as its own ancestor.
        if ancestor is not None and type(ancestor) is not type(row):
            lines += [*_about(ancestor), *_quoted(ancestor)]
    for number, exchange in enumerate(exchanges or (), 1):
        lines += ["", *_exchange(exchange, number, len(exchanges or ()))]
    return "\n".join(lines)


def _text(row: Row) -> str:
    if isinstance(row, SeedDocument) and len(row.text) > DOCUMENT_CHARS:
        return f"{row.text[:DOCUMENT_CHARS]}\n[{len(row.text):,} characters; --json has them all]"
    if isinstance(row, TokenDocument):  # its record says what it is
        return f"{row.form}, {row.tokens:,} tokens"
    return row.text


def _about(row: Row) -> list[str]:
    match row:
        case Record():
            return _about_record(row)
        case Seed():
            return _about_seed(row)
        case TokenDocument():
            return _about_tokens(row)
        case SeedDocument():
            titled = f" {row.title!r}" if row.title else ""
            return [
                f"document  {row.id}{titled}",
                f"          {row.url} ({row.source}, {row.kind}, {row.lang}, {_licence(row)})",
            ]
    return [
        f"refused   {row.item_id} by {row.by}: {row.reason}",
        *([f"why       {row.detail}"] if row.detail else []),
        *_calls(row.lineage),
    ]


def _about_record(row: Record) -> list[str]:
    scores = ", ".join(f"{name} {value:.2f}" for name, value in sorted(row.scores.items()))
    drafts = f", {row.rounds} rounds" if row.rounds > 1 else ""
    lines = [
        f"record    {row.id} by {row.generator}",
        f"          {row.bucket}, {row.tokens:,} tokens{drafts}, {row.lang}, {_licence(row)}",
    ]
    for name, part in row.parts.items():
        lines.append(f"part      {name}: {_one_line(part)}")
    if scores:
        lines.append(_wrapped("scores", scores))
    return [*lines, *_calls(row.lineage)]


def _about_tokens(row: TokenDocument) -> list[str]:
    learned = sum(span.stop - span.start for span in row.loss) or row.tokens
    said = ", ".join(f"{span.role} {span.start}-{span.stop}" for span in row.spans)
    lines = [
        f"tokens    of {row.id}",
        f"          from {row.start:,} in {row.file[:12]}, {learned:,} of them learned",
    ]
    return [*lines, _wrapped("said", said)] if said else lines


def _about_seed(row: Seed) -> list[str]:
    tags = row.tags
    lines = [
        f"seed      {row.id}",
        f"          lines {row.start_line}-{row.end_line} of {row.url} ({_licence(row)})",
        f"scores    page {row.page_edu}, factual {row.passage_factual}, reasoning "
        f"{row.passage_reasoning} of 5",
        _wrapped(
            "tags",
            f"{row.domain}, {row.topic}; {tags.info_type}, complexity {tags.complexity}, obscurity "
            f"{tags.obscurity}; {tags.brief}",
        ),
    ]
    for step in tags.steps:
        said = f"lines {step.start_line}-{step.end_line}: {step.assumption} => {step.conclusion}"
        lines.append(_wrapped("reasoning", said))
    return [*lines, *_calls(row.lineage)]


def _quoted(row: Record | Seed | SeedDocument) -> list[str]:
    if isinstance(row, SeedDocument):  # its seed shows the part of it that matters
        return []
    return [textwrap.indent(row.text.strip(), "        | ", lambda _: True)]


def _calls(lineage: Sequence[Call]) -> list[str]:
    return [
        f"{'calls' if number == 0 else '':10}{call.role}: prompt {call.prompt[:12]}, answer "
        f"{call.completion[:12]} by {call.teacher}"
        for number, call in enumerate(lineage)
    ]


def _exchange(exchange: Exchange, number: int, count: int) -> list[str]:
    prompt, answer = exchange.prompt, exchange.completion
    asked = prompt.decoding
    head = (
        f"call {number} of {count}: {prompt.role}, {exchange.teacher}, prompt {exchange.key[:12]}, "
        f"temperature {asked.temperature:g}, at most {asked.max_tokens} tokens"
        f"{', as JSON' if prompt.schema else ''}"
    )
    lines = [RULE, head]
    for message in prompt.messages:
        lines += [f"[{message.role}]", message.content]
    if answer is None:
        return [*lines, "[no answer: the teacher refused this prompt]"]
    used = f"{answer.usage.completion_tokens} tokens, {answer.finish_reason}"
    return [*lines, f"[answer {answer.digest[:12]}: {used}]", answer.text]


def _licence(row: Record | Seed | SeedDocument) -> str:
    return f"licence {row.licence}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= PART_CHARS else f"{line[:PART_CHARS]}… ({len(text):,} characters)"


def _wrapped(label: str, text: str) -> str:
    filled = textwrap.fill(text, 100, initial_indent=f"{label:10}", subsequent_indent=" " * 10)
    return filled
