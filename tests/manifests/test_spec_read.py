"""What the reader makes of a mixture, and the one line that it says when it makes nothing."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from manifests.errors import ConfigError
from manifests.spec.read import parse_mixture, read_mixture
from manifests.spec.types import Condition, Cursor, Entry, Layout, Removal, Strata

GOOD = """
schema = "scriptorium.mixture/1"
name = "small"
seed = 1

[tokenizer]
name = "utf8-bytes@1"
end_of_document = 256

[sources.web]
from = ["web_screened@1", "more_*@2/ab12"]
except = { lang = ["de", "fr"] }
max_epochs = 13.8

[sources.web.where]
bucket = "web"
tokens = { min = 100, max = 8192 }
scores = { "text.words@1" = { min = 50 } }

[sources.code]
from = "steps/code_screened@1/0123abcd"
strata = { by = "tokens", bounds = [8192, 16384], weights = [1, 2, "1/3"] }
partial = true

[sources.chat]
from = "chat_screened"
strata = { by = "generator", weights = { "dialogue_*" = 2 } }

[phases.tune]
after = "first"
sequence_length = 256
global_batch = 2
layout = "document"
mix = { chat = { epochs = 2, cursor = "restart" }, code = { tokens = "2K", layout = "stream" } }

[phases.first]
tokens = "1M"
sequence_length = 128
global_batch = 8
mix = { web = "1/3", code = "200/300" }
train = { rope_base = 10_000, learning_rate = 3e-4, mask = "document" }

[phases.last]
after = "tune"
tokens = "10K"
sequence_length = 128
global_batch = 8
mix = { chat = { weight = 3 }, again = { recall = "first", weight = "1/2" } }

[[changes]]
phase = "first"
at = "500K tokens"
mix = { web = "10%", code = "90%" }
remove = [{ records = ["b", "a", "b"] }, { report = "recalled.txt" }]

[[changes]]
phase = "first"
at_step = 900
tokens = "2M"
global_batch = 16
"""


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new, 1)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse_mixture(text, "mix.toml")
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    assert message.startswith("mix.toml: ")
    return message.removeprefix("mix.toml: ")


def test_every_part_is_read() -> None:
    mixture = parse_mixture(GOOD, "mix.toml")
    assert [source.name for source in mixture.sources] == ["chat", "code", "web"]
    web, code, chat = (mixture.source(name) for name in ("web", "code", "chat"))
    assert web.steps == ("more_*@2/ab12", "web_screened@1")
    assert web.where == (
        Condition(column="bucket", any_of=("web",)),
        Condition(column="scores.text.words@1", low=50.0),
        Condition(column="tokens", low=100.0, high=8192.0),
    )
    assert web.without == (Condition(column="lang", any_of=("de", "fr")),)
    assert web.max_epochs == Fraction(69, 5)
    assert code.partial
    assert code.steps == ("code_screened@1/0123abcd",)
    assert code.strata is not None
    assert code.strata.rule == "weights"
    assert code.strata.factor("from-16384") == Fraction(1, 3)
    assert code.strata.factor("8192-16384") == 2
    assert chat.strata == Strata(
        by="generator", rule="weights", weights=(("dialogue_*", Fraction(2)),)
    )
    first = mixture.phase("first")
    assert first.tokens == 1_000_000
    assert first.mix == (
        Entry(name="code", share=Fraction(2, 3)),
        Entry(name="web", share=Fraction(1, 3)),
    )
    assert first.train == {"rope_base": 10_000.0, "learning_rate": 3e-4, "mask": "document"}
    tune = mixture.phase("tune")
    assert tune.layout is Layout.DOCUMENT
    assert tune.mix == (
        Entry(name="chat", epochs=Fraction(2), cursor=Cursor.RESTART),
        Entry(name="code", tokens=2000, layout=Layout.STREAM),
    )
    assert mixture.phase("last").mix[0] == Entry(
        name="again", recall="first", weight=Fraction(1, 2)
    )
    early, late = mixture.changes
    assert (early.tokens, early.step, late.tokens, late.step) == (500_000, None, None, 900)
    assert (late.budget, late.global_batch) == (2_000_000, 16)
    assert early.remove == (Removal(report="recalled.txt"), Removal(records=("a", "b")))


def test_a_phase_comes_after_the_one_that_it_follows_wherever_it_stands() -> None:
    mixture = parse_mixture(GOOD, "mix.toml")
    assert [phase.name for phase in mixture.phases] == ["first", "tune", "last"]


def test_a_factor_is_of_the_name_itself_before_the_longest_pattern() -> None:
    weights = (
        ("*", Fraction(1, 2)),
        ("a*", Fraction(3)),
        ("ab", Fraction(4)),
        ("x*z", Fraction(5)),
    )
    strata = Strata(by="generator", rule="weights", weights=weights)
    assert [strata.factor(name) for name in ("ab", "abc", "xyz", "q")] == [4, 3, 5, Fraction(1, 2)]
    assert Strata(by="generator").factor("q") == 1
    assert Strata(by="tokens", bounds=(0.5, 16384.0)).numbered == (
        "below-0.5",
        "0.5-16384",
        "from-16384",
    )


WRONG = {
    "an unknown key, with the nearest": (
        ("seed = 1", "sed = 1"),
        'unknown key "sed"; did you mean seed?',
    ),
    "an unknown key without one": (
        ("[tokenizer]", "zzz = 1\n[tokenizer]"),
        'unknown key "zzz"; it takes changes, name, phases, remove, schema, seed, sources, tok',
    ),
    "an unknown key below": (
        ("global_batch = 2", "global_batches = 2"),
        'phases.tune: unknown key "global_batches"; did you mean global_batch?',
    ),
    "an unknown fact": (("rope_base", "rope_bse"), "first.train: unknown key"),
    "a fact of another kind": (('mask = "document"', "mask = 1"), "first.train.mask: 1 is not"),
    "a learning rate below 0": (("3e-4", "-3e-4"), "learning_rate: -0.0003 is not a number above"),
    "a missing key": (("seed = 1", ""), "seed is missing; write seed = 1234"),
    "another schema": (
        ("mixture/1", "mixture/2"),
        'schema: "scriptorium.mixture/2" is not known here; did you mean scriptorium.mixture/1?',
    ),
    "a number for a text": (('name = "small"', "name = 3"), "name: 3 is not a name"),
    "a path for a name": (('"small"', '"../small"'), 'name: "../small" is not a name'),
    "capital letters in a name": (("[sources.chat]", "[sources.Chat]"), 'Chat: "Chat" is not'),
    "a text for a number": (("seed = 1", 'seed = "1"'), 'seed: "1" is not a whole number from 0'),
    "a seed below 0": (("seed = 1", "seed = -1"), "seed: -1 is not a whole number from 0"),
    "a date": (("seed = 1", "seed = 2024-12-12"), "seed: 2024-12-12 is not a whole number"),
    "a flag in quotes": (("partial = true", 'partial = "yes"'), '"yes" is neither true nor false'),
    "a tokenizer without digits": (('"utf8-bytes@1"', '"cl100k"'), "tokenizer.name: "),
    "a step with a path": (
        ('"steps/code_screened@1/0123abcd"', '"data/code"'),
        '"data/code" is not a step',
    ),
    "an empty list": (('["de", "fr"]', "[]"), "except.lang: the list is empty"),
    "an unknown bucket": (('bucket = "web"', 'bucket = "wbe"'), "did you mean web?"),
    "a score without its table": (
        ("except = {", 'except = { "scores.text.words@1" = { min = 1 }, '),
        'except: scores stand in a table of their own: scores = { "text.words@1" = ... }',
    ),
    "a range without bounds": (("{ min = 50 }", "{}"), "has no bound; write { min = 100 }"),
    "a range upside down": (("max = 8192", "max = 3"), "where.tokens: min is above max"),
    "bounds that are no numbers": (("min = 50", 'min = "50"'), '"50" is not a finite number'),
    "not a number": (("max_epochs = 13.8", "max_epochs = nan"), "NaN is not a number above 0"),
    "no end": (("max_epochs = 13.8", "max_epochs = inf"), "Infinity is not a number above 0"),
    "negative epochs": (("epochs = 2", "epochs = -2"), "chat.epochs: -2 is not a number above 0"),
    "an unknown column": (('by = "tokens"', 'by = "token"'), 'strata.by: "token" is not a column'),
    "texts with bounds": (
        ('by = "tokens"', 'by = "lang"'),
        "strata: lang is a column of texts and has no bounds; leave them out",
    ),
    "numbers without": (("bounds = [8192, 16384], ", ""), "say where to cut"),
    "bounds out of order": (("[8192, 16384]", "[16384, 8192]"), "each bound must be above the one"),
    "weights too few": (('[1, 2, "1/3"]', "[1, 2]"), "2 bounds make 3 strata, but there are 2"),
    "a list for texts": (('{ "dialogue_*" = 2 }', "[1, 2]"), "a table, { value = factor }"),
    "a table for numbers": (('[1, 2, "1/3"]', "{ x = 1 }"), "a list, one a stratum"),
    "an unknown rule": (
        ('[1, 2, "1/3"]', '"squareroot"'),
        "write one of equal, proportional, sqrt",
    ),
    "no weights at all": (('{ "dialogue_*" = 2 }', "3"), "weights: 3 does not fit generator"),
    "a window of nothing": (("sequence_length = 256", "sequence_length = 0"), "number from 1"),
    "a batch of nothing": (("global_batch = 2", "global_batch = 0"), "number from 1"),
    "a quantity that is none": (('"1M"', '"1 MB"'), 'phases.first.tokens: "1 MB" is not a whole'),
    "packed documents that see each other": (
        ('layout = "document"\n', 'layout = "packed"\ntrain = { mask = "causal" }\n'),
        'phases.tune.train.mask: is "causal", and chat has layout = "packed", whose documents are '
        'attended alone; write mask = "document", or layout = "stream"',
    ),
    "a stream that must not glue": (
        ('layout = "document"\n', 'layout = "document"\ntrain = { glue = "never" }\n'),
        "phases.tune.mix.code: is a stream, in which documents run on into each other, and tune "
        'has glue = "never"; give it layout = "document" or "packed", or leave glue out',
    ),
    "documents that see each other and must not": (
        ('mask = "document"', 'mask = "causal", glue = "never"'),
        'phases.first.train: glue = "never" and mask = "causal", which lets a document see the one '
        'before it; write mask = "document"',
    ),
    "an unknown layout": (('layout = "document"', 'layout = "documents"'), "mean document?"),
    "shares below": (("200/300", "199/300"), "mix: the shares sum to 299/3 %, not 100 %"),
    "shares above": (('"90%"', '"90.5%"'), "changes.1.mix: the shares sum to 100.5 %, not 100 %"),
    "a whole number for a share": (('web = "1/3"', "web = 15"), "or { weight = 3 } for a part"),
    "an entry of nothing": (('web = "1/3"', "web = {}"), "web: takes one of share, weight, tokens"),
    "an entry of two": (("epochs = 2,", "epochs = 2, weight = 1,"), "has weight and epochs"),
    "a share beside a weight": (
        ('web = "1/3"', "web = { weight = 1 }"),
        "mix.web: has no share, but code has; shares are of the whole phase: give every entry",
    ),
    "a mix of none": (('{ web = "1/3", code = "200/300" }', "{}"), "phases.first.mix: is empty"),
    "a mix that is no table": (('{ web = "1/3", code = "200/300" }', "[1]"), "is not a table"),
    "an unknown source": (("mix = { web", "mix = { wbe"), "mix.wbe: no source of this name; did"),
    "a recall of a later phase": (
        ('recall = "first"', 'recall = "last"'),
        "mix.again.recall: last is no phase that last goes on from; those are: tune, first",
    ),
    "a recall by the first phase": (
        ('web = "1/3"', 'web2 = { recall = "tune", share = "1/3" }'),
        "those are: none; give the phase after = ...",
    ),
    "a recall that is called like a source": (
        ('again = { recall = "first"', 'web = { recall = "first"'),
        "call it recall_first, say",
    ),
    "no budget": (('tokens = "1M"', ""), "phases.first: tokens is missing, and code takes a part"),
    "a budget too many": (("after = ", 'tokens = "1M"\nafter = '), "leave tokens out, or give one"),
    "a phase after none that is there": (('after = "tune"', 'after = "tun"'), "did you mean tune?"),
    "a circle": (('after = "first"', 'after = "last"'), "goes in a circle (last, tune)"),
    "a phase after itself": (('after = "tune"', 'after = "last"'), "goes in a circle (last)"),
    "a source in no phase": (
        ("[sources.chat]", '[sources.spare]\nfrom = "x"\n[sources.chat]'),
        "sources.spare: no phase uses it; give it a place in a mix, or leave the source out",
    ),
    "a change of an unknown phase": (('phase = "first"', 'phase = "frst"'), "mean first?"),
    "a change nowhere": (('at = "500K tokens"', ""), "changes.1: takes one of at ="),
    "a change at two places": (("at_step = 900", 'at_step = 900\nat = "1M"'), "takes one of at ="),
    "a change of nothing": (('tokens = "2M"\nglobal_batch = 16', ""), "changes.2: changes nothing"),
    "a change at the start": (("at_step = 900", "at_step = 0"), "at_step: 0 is not a whole number"),
    "a change beyond its phase": (('"500K tokens"', '"1M"'), "changes.1.at: is beyond the phase"),
    "a step beyond its phase": (("at_step = 900", "at_step = 977"), "changes.2.at_step: is beyond"),
    "changes out of order": (("at_step = 900", "at_step = 100"), "is not after the change before"),
    "a budget that is over": (('tokens = "2M"', 'tokens = "900K"'), "changes.2.tokens: 900,000"),
    "a change whose rest is open": (
        ('{ web = "10%", code = "90%" }', "{ web = { epochs = 1 } }"),
        "changes.1.mix: every entry says how much it gives, but the rest",
    ),
    "a removal of nothing": (('{ report = "recalled.txt" }', "{}"), "remove.2: takes one of"),
    "a removal of two": (('{ report = "', '{ source = "web", report = "'), "has source and report"),
    "a removal of an unknown source": (
        ('{ report = "recalled.txt" }', '{ source = "wbe" }'),
        "changes.1.remove: no source wbe; did you mean web?",
    ),
    "a removed source that is mixed": (
        ('{ report = "recalled.txt" }', '{ source = "web" }'),
        "changes.1.mix: web is removed and mixed; leave it out of the mix",
    ),
    "removals that are no list": (
        ("seed = 1", 'seed = 1\nremove = { source = "web" }'),
        "remove: a table is not a list; write [...]",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused_in_one_line(what: str) -> None:
    (old, new), expected = WRONG[what]
    assert expected in refusal(changed(old, new))


def test_glue_is_about_a_phase_s_own_sources_through_all_its_changes() -> None:
    apart = changed('mask = "document"', 'glue = "never"').replace(
        "global_batch = 8\nmix = { web", 'global_batch = 8\nlayout = "packed"\nmix = { web', 1
    )
    glued = apart.replace('web = "10%"', 'web = { share = "10%", layout = "stream" }')
    assert "changes.1.mix.web: is a stream" in refusal(glued)
    parse_mixture(apart, "mix.toml")
    last = "sequence_length = 128\nglobal_batch = 8\nmix = { chat"
    recalled = GOOD.replace(last, f'layout = "packed"\ntrain = {{ glue = "never" }}\n{last}')
    (again,) = [one for one in parse_mixture(recalled, "m").phase("last").mix if one.recall]
    assert again.layout is None


def test_entries_that_leave_nothing_of_the_budget_are_refused() -> None:
    text = changed("chat = { weight = 3 }", 'chat = { tokens = "10K" }')
    assert "last: the entries ask for 10,000 tokens, which leaves nothing of 10,000" in refusal(
        text
    )


def test_a_source_may_be_there_to_be_removed() -> None:
    text = changed("seed = 1", 'seed = 1\nremove = [{ source = "gone" }]')
    mixture = parse_mixture(text + '[sources.gone]\nfrom = "*"\nwhere = { licence = "x" }', "m")
    assert mixture.remove == (Removal(source="gone"),)


def test_sources_and_phases_must_be_there() -> None:
    head = GOOD[: GOOD.index("[sources")]
    assert "sources is missing; write [sources.<name>]" in refusal(head)
    assert "phases: is empty; write [phases.pretrain]" in refusal(f"{head}[sources]\n[phases]")
    phase = GOOD[GOOD.index("[phases.first]") : GOOD.index("[phases.last]")]
    assert "sources: is empty; write [sources.web]" in refusal(f"{head}[sources]\n{phase}")


def test_the_steps_of_changes_follow_the_batch_and_the_budget_of_the_one_before() -> None:
    # 1,024 tokens a step to 900, from there on 2,048: the new budget of 2M is over after 1,427.
    third = '[[changes]]\nphase = "first"\nat_step = {}\nglobal_batch = 4'
    assert len(parse_mixture(GOOD + third.format(1_426), "m").changes) == 3
    assert "changes.3.at_step: is beyond the phase" in refusal(GOOD + third.format(1_427))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed = ", "not TOML: Invalid value (at end of document)"),
        ("a = 1\na = 2\n", "not TOML: Cannot overwrite a value (at line 2, column 6)"),
        ("x = 1\n[y", "not TOML: Expected ']' at the end of a table declaration (at end"),
        (f"seed = {'9' * 5000}", "not TOML: Exceeds the limit"),
        (f"x = {'[' * 100_000}", "not a mixture: nested too deep to be read"),
        ("", "schema is missing; write schema ="),
    ],
)
def test_what_is_no_toml_is_refused_with_its_place(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_a_file_is_read_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    mixture, text = read_mixture(path)
    assert mixture == parse_mixture(GOOD, "mix.toml")
    assert text.startswith('\r\nschema = "')


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file; give the path of a mixture's TOML"),
        ("folder", "is a folder; give the TOML file in it"),
        (b"name = '\xff'", "not UTF-8 at byte 8; save it as UTF-8 text"),
        (b"name = ", "not TOML: Invalid value"),
    ],
)
def test_a_file_that_is_no_mixture_is_refused(
    content: bytes | str | None, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "mix.toml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(ConfigError, match=re.escape(expected)) as refused:
        read_mixture(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_path_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "mix.toml", tmp_path / ("x" * 300), Path("mix\0.toml")):
        with pytest.raises(ConfigError, match=r"cannot be read|no such file"):
            read_mixture(path)
