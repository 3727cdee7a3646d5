"""Numbers to decide by, from roots whose whole numbers are written down here."""

from dataclasses import replace
from fractions import Fraction

from manifests.cli.draw import phase_text
from manifests.objects.root import Descriptor, Leaf, Root
from manifests.resolve.types import ORDER, Body, Head, Phase, Segment, Supply
from manifests.spec.types import (
    Change,
    Entry,
    Layout,
    Mixture,
    OnCap,
    PhaseSpec,
    SourceSpec,
    TokenizerName,
    Unit,
)
from manifests.views.manifest import manifest_view, plain
from manifests.views.phases import PhaseLines, SourceLine, phase_lines

LENGTH = 10
TOKENIZER = TokenizerName(name="utf8-bytes@1", end_of_document=256)


def body(samples: int, tokens: int | None = None) -> Body:
    layout = Layout.STREAM if tokens is None else Layout.DOCUMENT
    return Body(table="t", layout=layout, samples=samples, tokens=tokens or samples * LENGTH)


def supply(leaf: str, quota: int, of: Body, cursor: int = 0, head: Head | None = None) -> Supply:
    return Supply(leaf=leaf, quota=quota, body=of, cursor=cursor, head=head)


def segment(*supplies: Supply, start: int = 0, first_step: int = 0, batch: int = 4) -> Segment:
    return Segment(
        start=start,
        stop=start + sum(one.quota for one in supplies),
        first_step=first_step,
        global_batch=batch,
        supplies=supplies,
    )


def phase(name: str, *segments: Segment, after: str = "") -> Phase:
    return Phase(name=name, after=after, sequence_length=LENGTH, segments=segments)


def spec(name: str, *mix: Entry, tokens: int | None = None, **more: object) -> PhaseSpec:
    return PhaseSpec(
        name=name, tokens=tokens, sequence_length=LENGTH, global_batch=4, mix=mix, **more
    )


def leaf(name: str, tokens: int) -> Leaf:
    source, _, stratum = name.partition("/")
    table = Descriptor(digest="0" * 64, bytes=1, media="json")
    return Leaf(
        name=name, source=source, stratum=stratum, table=table, shards=1, documents=2, tokens=tokens
    )


def made(
    phases: tuple[Phase, ...],
    specs: tuple[PhaseSpec, ...],
    caps: dict[str, Fraction] | None = None,
    leaves: tuple[Leaf, ...] = (),
    changes: tuple[Change, ...] = (),
) -> tuple[Root, Mixture]:
    names = sorted({e.name for s in specs for e in s.mix if not e.recall})
    sources = tuple(SourceSpec(name=n, steps=("s",), max_epochs=(caps or {}).get(n)) for n in names)
    mixture = Mixture(
        name="mix", seed=1, tokenizer=TOKENIZER, sources=sources, phases=specs, changes=changes
    )
    root = Root(
        name="mix",
        seed=1,
        tokenizer=TOKENIZER,
        order=ORDER,
        spec=Descriptor(digest="1" * 64, bytes=1, media="json"),
        leaves=leaves,
        phases=phases,
    )
    return root, mixture


def line(lines: PhaseLines, source: str, stratum: str = "") -> SourceLine:
    (found,) = [one for one in lines.sources if (one.source, one.stratum) == (source, stratum)]
    return found


def test_a_phase_says_what_each_source_gives_and_was_asked_for() -> None:
    specs = spec(
        "pretrain",
        Entry(name="code", share=Fraction(1, 4)),
        Entry(name="web", share=Fraction(3, 4)),
        tokens=800,
    )
    supplies = (supply("code", 20, body(8)), supply("web", 60, body(100)))
    (lines,) = phase_lines(*made((phase("pretrain", segment(*supplies)),), (specs,)))
    assert (lines.steps, lines.samples, lines.tokens, lines.tokens_asked) == (20, 80, 800, 800)
    assert (lines.layouts, lines.padding) == (("stream",), 0)
    code = line(lines, "code")
    assert (code.samples, code.tokens, code.unique_tokens) == (20, 200, 80)
    assert (code.share, code.share_asked, code.asked) == (Fraction(1, 4), Fraction(1, 4), "25%")
    assert code.epochs == code.epochs_so_far == Fraction(5, 2)
    assert line(lines, "web").epochs == Fraction(3, 5)


def test_epochs_add_up_over_the_phases_that_follow_one_another() -> None:
    first = phase("a", segment(supply("web", 8, body(16))))
    second = phase("b", segment(supply("web", 20, body(16), cursor=8)), after="a")
    other = phase("c", segment(supply("web", 4, body(16), cursor=8)), after="a")
    web = Entry(name="web", epochs=Fraction(1))
    specs = (spec("a", web), spec("b", web, after="a"), spec("c", web, after="a"))
    a, b, c = phase_lines(*made((first, second, other), specs))
    assert [line(one, "web").epochs_so_far for one in (a, b, c)] == [
        Fraction(1, 2),
        Fraction(28, 16),
        Fraction(12, 16),
    ]
    assert line(b, "web").asked == "1 epoch"
    assert line(b, "web").share_asked == Fraction(160, 200)


def test_weights_share_what_tokens_and_epochs_leave() -> None:
    specs = spec(
        "a",
        Entry(name="code", epochs=Fraction(2)),
        Entry(name="long", tokens=100),
        Entry(name="syn", weight=Fraction(1)),
        Entry(name="web", weight=Fraction(2)),
        tokens=800,
    )
    quotas = {"code": 10, "long": 10, "syn": 20, "web": 40}
    supplies = [supply(name, quota, body(5)) for name, quota in quotas.items()]
    (lines,) = phase_lines(*made((phase("a", segment(*supplies)),), (specs,)))
    assert [line(lines, name).share_asked for name in quotas] == [
        Fraction(1, 8),
        Fraction(1, 8),
        Fraction(1, 4),
        Fraction(1, 2),
    ]
    assert [line(lines, name).asked for name in quotas] == [
        "2 epochs",
        "100 tokens",
        "weight 1",
        "weight 2",
    ]


def test_padding_is_no_training_and_shares_of_tokens_do_not_count_it() -> None:
    specs = spec(
        "a",
        Entry(name="chat", share=Fraction(1, 2)),
        Entry(name="web", share=Fraction(1, 2)),
        tokens=120,
    )
    supplies = (supply("chat", 8, body(4, tokens=20)), supply("web", 4, body(4)))
    root, mixture = made((phase("a", segment(*supplies)),), (specs,))
    (lines,) = phase_lines(root, mixture)
    assert (lines.tokens, lines.padding) == (80, Fraction(40, 120))
    assert line(lines, "chat").share == Fraction(1, 2)
    assert lines.layouts == ("document", "stream")
    by_samples = spec("a", *specs.mix, tokens=120, unit=Unit.SAMPLES)
    (lines,) = phase_lines(*made((phase("a", segment(*supplies)),), (by_samples,)))
    assert line(lines, "chat").share == Fraction(2, 3)


def test_padding_and_split_documents_are_told_by_source_and_much_padding_is_remarked() -> None:
    """Of chat 60 % is padding, of code 10 %; 2 and 3 documents are longer than a window."""
    thirds = (Entry(name=name, share=Fraction(1, 3)) for name in ("chat", "code", "web"))
    specs = spec("a", *thirds, tokens=240)
    chat, code = body(8, tokens=32), body(10, tokens=90)
    code = replace(code, layout=Layout.PACKED, splits=3)
    supplies = (
        supply("chat/x", 4, replace(chat, splits=2)),
        supply("chat/y", 4, chat),
        supply("code", 10, code),
        supply("web", 6, body(9)),
    )
    root, mixture = made((phase("a", segment(*supplies)),), (specs,))
    view = manifest_view("0" * 64, root, mixture)
    (lines,) = view.phases
    told = {
        one.source: (one.layouts, one.padding, one.splits)
        for one in lines.sources
        if not one.stratum
    }
    assert told == {
        "chat": (("document",), Fraction(6, 10), 2),
        "code": (("packed",), Fraction(1, 10), 3),
        "web": (("stream",), 0, 0),
    }
    assert [line(lines, "chat", one).splits for one in "xy"] == [2, 0]
    (remark,) = [one for one in view.remarks if "padding" in one]
    assert remark == (
        "60% of the positions of chat in a are padding: its 8 samples take 2.5 times the steps of"
        ' full windows; layout = "packed" fills them'
    )
    table = "\n".join(phase_text(lines))
    assert [word in table for word in ("packed", "60.0%", "padding", "split")] == [True] * 4
    pairs = replace(root.phases[0], train={"loss": "dpo"})
    view = manifest_view("0" * 64, replace(root, phases=(pairs,)), mixture)
    assert not [one for one in view.remarks if "padding" in one]


def test_strata_stand_below_their_source_and_sum_to_it() -> None:
    names = ("web/below-8", "web/from-8")
    supplies = (supply(names[0], 6, body(10)), supply(names[1], 6, body(2)))
    web = Entry(name="web", share=Fraction(1))
    root, mixture = made(
        (phase("a", segment(*supplies)),), (spec("a", web, tokens=120),), leaves=()
    )
    (lines,) = phase_lines(root, mixture)
    assert [(one.source, one.stratum) for one in lines.sources] == [
        ("web", ""),
        ("web", "below-8"),
        ("web", "from-8"),
    ]
    assert line(lines, "web").epochs == Fraction(1)
    assert line(lines, "web", "from-8").epochs == Fraction(3)
    assert line(lines, "web", "from-8").share == Fraction(1, 2)
    assert line(lines, "web", "from-8").asked == ""


def test_a_recall_brings_back_what_an_earlier_phase_had() -> None:
    first = phase("a", segment(supply("code", 4, body(8)), supply("web", 12, body(8))))
    second = phase(
        "b",
        segment(supply("code", 2, body(8)), supply("long", 8, body(8)), supply("web", 6, body(8))),
        after="a",
    )
    halves = (Entry(name="code", share=Fraction(1, 4)), Entry(name="web", share=Fraction(3, 4)))
    mix = (
        Entry(name="long", share=Fraction(1, 2)),
        Entry(name="past", recall="a", share=Fraction(1, 2)),
    )
    specs = (spec("a", *halves, tokens=160), spec("b", *mix, tokens=160, after="a"))
    _, lines = phase_lines(*made((first, second), specs))
    assert line(lines, "web").share_asked == line(lines, "web").share == Fraction(3, 8)
    assert line(lines, "web").asked == "50% of a"


def test_what_is_left_of_an_old_epoch_counts_as_part_of_it() -> None:
    head = Head(body=body(20), epoch=0, start=15, count=5)
    supplies = (supply("web", 9, body(16), head=head),)
    specs = spec("a", Entry(name="web", share=Fraction(1)), tokens=80)
    lines = phase_lines(
        *made(
            (
                phase(
                    "a",
                    segment(supply("web", 15, body(20)), batch=3),
                    segment(*supplies, start=15, first_step=5, batch=3),
                ),
            ),
            (specs,),
        )
    )[0]
    assert line(lines, "web").epochs == Fraction(15, 20) + Fraction(5, 20) + Fraction(4, 16)
    assert [(one.first_step, one.steps) for one in lines.segments] == [(0, 5), (5, 3)]
    assert lines.steps == 8


def test_after_a_change_of_the_mix_nothing_is_compared_with_the_first() -> None:
    other = (Entry(name="code", share=Fraction(1)),)
    change = Change(phase="a", step=1, mix=other)
    specs = spec("a", Entry(name="web", share=Fraction(1)), tokens=80)
    segments = (
        segment(supply("web", 4, body(8))),
        segment(supply("code", 4, body(8)), start=4, first_step=1),
    )
    root, mixture = made((phase("a", *segments),), (specs,), changes=(change,))
    (lines,) = phase_lines(root, mixture)
    assert {one.asked for one in lines.sources} == {""}
    assert [one.shares for one in lines.segments] == [{"web": 1}, {"code": 1}]


def capped(on_cap: OnCap) -> tuple[Root, Mixture]:
    """40 samples of code and 40 of web are asked for; code has 10 an epoch and at most 2 epochs."""
    halves = (Entry(name="code", share=Fraction(1, 2)), Entry(name="web", share=Fraction(1, 2)))
    specs = spec("a", *halves, tokens=800, on_cap=on_cap)
    web = 60 if on_cap is OnCap.REDISTRIBUTE else 20
    supplies = (supply("code", 20, body(10)), supply("web", web, body(100)))
    return made((phase("a", segment(*supplies)),), (specs,), {"code": Fraction(2)})


def test_what_a_cap_denies_is_told_in_tokens() -> None:
    for on_cap in (OnCap.REDISTRIBUTE, OnCap.SHRINK):
        root, mixture = capped(on_cap)
        view = manifest_view("0" * 64, root, mixture)
        (lines,) = view.phases
        assert line(lines, "code").shortfall == 200
        assert line(lines, "code").max_epochs == 2
        assert line(lines, "web").shortfall == 0
        assert any("code gives 200 tokens less than asked for" in one for one in view.remarks)
    assert "a is shrunk by 400 of 800 tokens, so that no source is capped" in view.remarks


def test_more_than_four_epochs_are_remarked_once_for_a_source() -> None:
    first = phase("a", segment(supply("web", 36, body(8))))
    second = phase("b", segment(supply("web", 8, body(8))), after="a")
    web = Entry(name="web", epochs=Fraction(1))
    root, mixture = made((first, second), (spec("a", web), spec("b", web, after="a")))
    remarks = manifest_view("0" * 64, root, mixture).remarks
    assert [one for one in remarks if "passed over" in one] == [
        "web is passed over 5.5 times by the end of b; beyond about 4, repeated tokens teach less"
        " and less"
    ]


def test_a_source_that_comes_in_twice_is_remarked() -> None:
    first = phase("a", segment(supply("web", 8, body(8))))
    second = phase("b", segment(supply("web", 8, body(8))), after="a")
    half = Fraction(1, 2)
    mix = (Entry(name="past", recall="a", share=half), Entry(name="web", share=half))
    whole = Entry(name="web", share=Fraction(1))
    specs = (spec("a", whole, tokens=80), spec("b", *mix, tokens=80, after="a"))
    root, mixture = made((first, second), specs)
    view = manifest_view("0" * 64, root, mixture)
    assert any("web comes into b twice, by past and by web" in one for one in view.remarks)
    assert line(view.phases[1], "web").share_asked == 1
    assert line(view.phases[1], "web").asked == "50% of a + 50%"


def test_rounding_and_tokens_that_fill_no_window_are_remarked_when_they_are_many() -> None:
    specs = spec("a", Entry(name="web", share=Fraction(1)), tokens=70)
    parts = ((phase("a", segment(supply("web", 8, body(8)))),), (specs,))
    root, mixture = made(*parts, leaves=(leaf("web", 89),))
    remarks = manifest_view("0" * 64, root, mixture).remarks
    assert any("a has 10 tokens more than asked for" in one for one in remarks)
    assert any("9 of the 89 tokens of web fill no window of 10" in one for one in remarks)
    root, mixture = made(parts[0], (spec("a", *specs.mix, tokens=80),), leaves=(leaf("web", 80),))
    assert manifest_view("0" * 64, root, mixture).remarks == ()


def test_a_source_without_a_sample_is_remarked() -> None:
    mix = (Entry(name="code", weight=Fraction(1, 10**6)), Entry(name="web", weight=Fraction(1)))
    specs = spec("a", *mix, tokens=80, allow_zero=True)
    root, mixture = made((phase("a", segment(supply("web", 8, body(8)))),), (specs,))
    remarks = manifest_view("0" * 64, root, mixture).remarks
    assert "code is in the mix of a and has not one sample there" in remarks


def test_a_view_is_plain_data_for_json() -> None:
    root, mixture = capped(OnCap.REDISTRIBUTE)
    view = plain(manifest_view("0" * 64, root, mixture))
    assert isinstance(view, dict)
    code = view["phases"][0]["sources"][0]
    assert (code["share"], code["tokens"], code["max_epochs"]) == (0.25, 200, 2.0)
