"""How records and batches look in a terminal."""

from collections.abc import Iterator, Sequence

from manifests.cli.text import bar, percent, plural, table
from manifests.locate.batch import Batch, Sample
from manifests.locate.pieces import Piece
from manifests.locate.where import Asked, Holding, RecordPlaces, Standing

_WHY = {
    Standing.LATER: "not trained on yet",
    Standing.UNUSED: "not trained on: its samples do not come up",
    Standing.NO_WINDOW: "not trained on: the last tokens of a source fill no window",
    Standing.ABSENT: "in no shard of the manifest",
}


def where_text(found: Sequence[RecordPlaces], asked: Asked) -> list[str]:
    """Records, one after the other."""
    lines: list[str] = []
    for record in found:
        lines += [*_record(record, asked), ""]
    return lines[:-1]


def _record(record: RecordPlaces, asked: Asked) -> Iterator[str]:
    yield f"{record.id}: {_sentence(record, asked)}"
    for holding in record.holdings:
        yield f"  {_holding(holding)}"
    rows = [
        (
            one.phase,
            f"{one.step:,}",
            f"{one.index:,}",
            f"{one.position:,}",
            one.leaf,
            str(one.epoch),
            f"{one.sample:,}",
            "" if one.rank is None else str(one.rank),
            "" if one.micro_step is None else str(one.micro_step),
            "" if one.seen is None else "yes" if one.seen else "no",
        )
        for one in record.occurrences
    ]
    head = ("phase", "step", "index", "position", "source", "epoch", "sample", "rank", "micro step")
    if rows:
        yield from (f"  {line}" for line in table((*head, "seen"), rows, left=(0, 4)))


def _sentence(record: RecordPlaces, asked: Asked) -> str:
    said = "removed; " if record.removed else ""
    if record.standing is Standing.LEFT_OUT:
        return f"{said}in {record.file}, which the manifest uses, but not selected"
    said += _WHY.get(record.standing, "trained on")
    if record.occurrences:
        said += f": {plural(len(record.occurrences), 'sample')}, {plural(record.epochs, 'epoch')}"
    if asked.until_step is not None and record.occurrences:
        said += f"; {record.seen:,} of them before step {asked.until_step:,}"
        said += f" of {asked.phase}" if asked.phase else ""
    return said


def _holding(holding: Holding) -> str:
    where = f"{holding.step}/data/{holding.sha256}.parquet"
    now = "" if holding.now else "; only before a change, not any more"
    return f"{holding.leaf}: row {holding.row:,} of {where}, {plural(holding.tokens, 'token')}{now}"


def batch_text(found: Batch) -> list[str]:
    """A batch by source, then sample by sample."""
    tokens = sum(part.tokens for part in found.sources)
    places = len(found.samples) * found.sequence_length
    padding = f", {places - tokens:,} of padding" if places > tokens else ""
    stop = found.start + found.global_batch - 1
    part = f"{len(found.samples):,} of " if len(found.samples) < found.global_batch else ""
    lines = [
        f"phase {found.phase}, step {found.step:,} of {found.steps:,}: positions {found.start:,} to"
        f" {stop:,}; {part}{plural(found.global_batch, 'sample')} of {found.sequence_length:,}"
        f" tokens, {tokens:,} tokens{padding}"
    ]
    rows = [
        (
            one.source,
            bar(one.share),
            percent(one.share),
            f"{one.tokens:,}",
            f"{one.samples:,}",
            f"{one.documents:,}",
        )
        for one in found.sources
    ]
    head = ("source", "", "share", "tokens", "samples", "documents")
    lines += [f"  {line}" for line in table(head, rows, left=(0, 1))]
    for sample in found.samples:
        lines += ["", *_sample(sample)]
    return lines


def _sample(sample: Sample) -> Iterator[str]:
    layout = (
        f"; rank {sample.rank}, micro step {sample.micro_step}" if sample.rank is not None else ""
    )
    yield (
        f"{sample.index:,}: position {sample.position:,}, {sample.leaf}, epoch {sample.epoch},"
        f" sample {sample.sample:,}, {plural(sample.tokens, 'token')}{layout}"
    )
    for piece in sample.documents:
        yield f"  {_piece(piece)}"


def _piece(piece: Piece) -> str:
    closing = piece.tokens + 1
    text = f"  {' '.join(piece.text.split())}" if piece.text else ""
    last = piece.start + piece.length - 1
    return f"{piece.id}  tokens {piece.start:,} to {last:,} of {closing:,}{text}"
