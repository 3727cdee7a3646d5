"""Every key of a mixture's TOML, with its form and its meaning.

The reader takes no other, the JSON Schema is built from these, and the page documents them. Tables
whose keys a person chooses (sources, phases, mix, scores) are read in `manifests.spec.read`.
"""

from manifests.records import Bucket
from manifests.spec.form import (
    FLAG,
    LIST,
    NAME,
    NUMBER,
    RATIO,
    SHARE,
    TABLE,
    TEXT,
    TOKENS,
    Form,
    Key,
    choice,
    one_of,
    pattern,
    texts,
    whole,
)
from manifests.spec.types import SCHEMA, Cursor, Layout, OnCap, Rounding, Unit, fits
from manifests.token_rows import Form as DocumentForm

_STEP = pattern(
    r"^(steps/)?[A-Za-z0-9_.*-]+(@[0-9*]+(/[0-9a-f*]+)?)?$",
    'a step; write "name", "name@1" or "name@1/<fingerprint or its start>", * for anything',
)
STEP = Form(lambda value: _STEP.read(value).removeprefix("steps/"), _STEP.schema)
_TOKENIZER = pattern(
    r"^([^@\x00-\x1f\x7f]+@[0-9a-f]{12}|utf8-bytes@1)$",
    'a tokenizer; write "name@<12 hex digits>", as `python -m pipelines status` shows it,'
    ' or "utf8-bytes@1"',
)
_TEXT_COLUMNS = ("bucket", "generator", "source", "licence", "lang", "form")
_NUMBER_COLUMNS = ("tokens", "rounds")
COLUMN = pattern(
    rf"^({'|'.join((*_TEXT_COLUMNS, *_NUMBER_COLUMNS))}|scores\.[^\x00-\x1f\x7f]+)$",
    f"a column; the columns are {', '.join((*_TEXT_COLUMNS, *_NUMBER_COLUMNS))}, scores.<name>",
)


def _bucket(value: object) -> str:
    text = TEXT.read(value)
    if not any(fits(text, bucket) for bucket in Bucket):
        return one_of(*Bucket).read(value)
    return text


BUCKET = Form(
    _bucket,
    {"anyOf": [{"enum": sorted(Bucket)}, {"type": "string", "pattern": r"\*"}]},
)


def takes_numbers(column: str) -> bool:
    """Whether a column holds numbers."""
    return column not in _TEXT_COLUMNS


MIXTURE_SCHEMA = Key(
    "schema", one_of(SCHEMA), "Which form this file has.", write=f'schema = "{SCHEMA}"'
)
NAME_OF_ALL = Key("name", NAME, "The name of the mixture.", write='name = "my-mixture"')
SEED = Key(
    "seed",
    whole(0),
    "Fixes the order of all samples; another seed is another order of the same data.",
    write="seed = 1234",
)
TOKENIZER = Key("tokenizer", TABLE, "What tokens are counted with.", write="[tokenizer]")
SOURCES = Key(
    "sources",
    TABLE,
    "Selections over committed shards, by name.",
    write="[sources.<name>] for each",
)
PHASES = Key("phases", TABLE, "Phases of training, by name.", write="[phases.<name>] for each")
REMOVE = Key("remove", LIST, "Documents that no phase may train on.", default="nothing")
CHANGES = Key("changes", LIST, "What goes on otherwise from some step on.", default="none")
MIXTURE = (MIXTURE_SCHEMA, NAME_OF_ALL, SEED, TOKENIZER, SOURCES, PHASES, REMOVE, CHANGES)

TOKENIZER_NAME = Key(
    "name",
    _TOKENIZER,
    "The tokenizer that every shard must have been counted with.",
    write='name = "<name>@<12 hex digits>"',
)
END_OF_DOCUMENT = Key(
    "end_of_document",
    whole(0),
    "Id of the token that closes a document.",
    write="end_of_document = <token id>",
)
TOKENIZERS = (TOKENIZER_NAME, END_OF_DOCUMENT)

FROM = Key(
    "from", texts(STEP), "One step or several; * stands for anything.", write='from = ["<step>@1"]'
)
WHERE = Key("where", TABLE, "Only records for which all of this holds.", default="all records")
EXCEPT = Key("except", TABLE, "No record for which any of this holds.", default="none")
STRATA = Key(
    "strata", TABLE, "Cuts the source, each stratum with a say of its own.", default="one piece"
)
MAX_EPOCHS = Key(
    "max_epochs", RATIO, "Most passes over the source, all phases together.", default="no limit"
)
PARTIAL = Key(
    "partial", FLAG, "Take what there is of a step that is not complete.", default="false"
)
SOURCE = (FROM, WHERE, EXCEPT, STRATA, MAX_EPOCHS, PARTIAL)

BUCKETS = Key("bucket", texts(BUCKET), "Where a record belongs in the mixture.")
GENERATOR = Key("generator", texts(TEXT), "What wrote the record, `name@version`.")
ORIGIN = Key("source", texts(TEXT), "The source of the seed, as the recipe names it.")
LICENCE = Key("licence", texts(TEXT), "SPDX identifier of the seed's licence.")
LANG = Key("lang", texts(TEXT), "ISO 639-1 code of the language.")
FORM = Key("form", texts(one_of(*DocumentForm)), "What the ids of a token document are.")
LENGTH = Key("tokens", TABLE, "Tokens of the record: min, max or both, included.")
ROUNDS = Key("rounds", TABLE, "Drafts that it took: min, max or both, included.")
SCORES = Key("scores", TABLE, 'Scores by name, `scores = { "text.words@1" = { min = 50 } }`.')
WORDS = (BUCKETS, GENERATOR, ORIGIN, LICENCE, LANG, FORM)
NUMBERS = (LENGTH, ROUNDS)
CONDITIONS = (*WORDS, *NUMBERS, SCORES)

MIN = Key("min", NUMBER, "The least that passes.", default="no bound")
MAX = Key("max", NUMBER, "The most that passes.", default="no bound")
RANGE = (MIN, MAX)

BY = Key("by", COLUMN, "The column that cuts.", write='by = "tokens"')
BOUNDS = Key("bounds", LIST, "For a column of numbers: where to cut, ascending.")
WEIGHTS = Key(
    "weights",
    Form(lambda value: value, {}),
    "`proportional` to size, `sqrt` of size, `equal`; or factors on the proportional share: a "
    "list, one a stratum, for numbers, a table by value for texts, where * stands for anything.",
    default="proportional",
)
RULE = one_of("proportional", "sqrt", "equal")
STRATUM = (BY, BOUNDS, WEIGHTS)

AFTER = Key("after", NAME, "The phase that it goes on from.", default="a start of its own")
BUDGET = Key(
    "tokens", TOKENS, "Tokens of the phase, all epochs counted.", default="what its entries ask for"
)
SEQUENCE_LENGTH = Key(
    "sequence_length", whole(1), "Tokens of a sample.", write="sequence_length = 4096"
)
GLOBAL_BATCH = Key("global_batch", whole(1), "Samples of a step.", write="global_batch = 512")
LAYOUT = Key(
    "layout",
    choice(Layout),
    "`stream`: documents end to end, cut into windows; `document`: each begins a window.",
    default="stream",
)
UNIT = Key("unit", choice(Unit), "What a share is a share of.", default="tokens")
ROUND = Key("round", choice(Rounding), "How the tokens become whole global batches.", default="up")
ON_CAP = Key(
    "on_cap",
    choice(OnCap),
    "When a source would pass its max_epochs: `error`, `redistribute` to the others, or `shrink` "
    "the phase.",
    default="error",
)
ALLOW_ZERO = Key("allow_zero", FLAG, "A source may end up without a sample.", default="false")
ALLOW_OVERLAP = Key("allow_overlap", FLAG, "Two entries may hold the same record.", default="false")
MIX = Key(
    "mix",
    TABLE,
    "How much of what: sources, and recalls of earlier phases.",
    write='mix = { <source> = "100%" }',
)
TRAIN = Key("train", TABLE, "Facts for the trainer, carried through.", default="none")
PHASE = (
    AFTER,
    BUDGET,
    SEQUENCE_LENGTH,
    GLOBAL_BATCH,
    LAYOUT,
    UNIT,
    ROUND,
    ON_CAP,
    ALLOW_ZERO,
    ALLOW_OVERLAP,
    MIX,
    TRAIN,
)

ENTRY_SHARE = Key("share", SHARE, "A share of the whole phase; all of them sum to 100 %.")
ENTRY_WEIGHT = Key("weight", RATIO, "A part of what the tokens and epochs of others leave.")
ENTRY_TOKENS = Key("tokens", TOKENS, "So many tokens.")
ENTRY_EPOCHS = Key("epochs", RATIO, "So many passes over the source.")
AMOUNT = (ENTRY_SHARE, ENTRY_WEIGHT, ENTRY_TOKENS, ENTRY_EPOCHS)
RECALL = Key(
    "recall", NAME, "An earlier phase, whose sources come back in the proportions they had there."
)
ENTRY_LAYOUT = Key(
    "layout",
    choice(Layout),
    "As of the phase, for this entry.",
    default="the phase's; of a recall, what each source had there",
)
CURSOR = Key(
    "cursor",
    choice(Cursor),
    "`continue` where the phases before stopped, or `restart` at the first sample.",
    default="continue",
)
ENTRY = (*AMOUNT, RECALL, ENTRY_LAYOUT, CURSOR)

RECORDS = Key("records", texts(TEXT), "Ids of records.")
REMOVED_SOURCE = Key("source", NAME, "A source of the mixture, whole.")
REPORT = Key("report", TEXT, "A file of record ids: .parquet or .jsonl with `id`, or .txt.")
REMOVAL = (RECORDS, REMOVED_SOURCE, REPORT)

CHANGED_PHASE = Key("phase", NAME, "The phase that goes on otherwise.", write='phase = "<phase>"')
AT = Key("at", TOKENS, "After so many tokens of the phase, rounded up to a step.")
AT_STEP = Key("at_step", whole(1), "After so many steps of the phase.")
NEW_MIX = Key("mix", TABLE, "The whole mix from there on.", default="as before")
NEW_BUDGET = Key("tokens", TOKENS, "A new budget of the whole phase.", default="as before")
NEW_BATCH = Key("global_batch", whole(1), "Samples of a step from there on.", default="as before")
REMOVE_LATER = Key("remove", LIST, "Documents not trained on from there on.", default="nothing")
WHEN = (AT, AT_STEP)
WHAT = (NEW_MIX, NEW_BUDGET, NEW_BATCH, REMOVE_LATER)
CHANGE = (CHANGED_PHASE, *WHEN, *WHAT)
