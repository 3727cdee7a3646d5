"""Parquet, row group by row group, only the columns that are needed, page checksums verified."""

from collections.abc import Iterator
from typing import Any

from generators.seeds.inventory import Unit
from generators.seeds.readers.outcomes import Outcome, Row
from generators.seeds.readers.rows import from_fields
from generators.seeds.readers.streams import opened
from generators.seeds.sources import Source
from manifests.records import Reason

BATCH_ROWS = 64
BUFFER_BYTES = 1 << 20


class _Watched:
    """A file for pyarrow that remembers its own failures.

    pyarrow reports a damaged page as OSError too; only this tells damage from a store's outage.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._file.read(size)
        except BaseException as error:
            self.failure = error
            raise
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def read_parquet(source: Source, unit: Unit) -> Iterator[Outcome]:
    """A document or a reject for every row of the unit's row groups.

    Rows that a damaged page loses are one reject, located `#rows=FIRST-LAST`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(source, unit) as plain:
        file = _Watched(plain)
        row = Row(source=source, url=unit.url)
        try:
            parquet = pq.ParquetFile(
                file, page_checksum_verification=True, buffer_size=BUFFER_BYTES
            )
            columns = parquet.schema_arrow.names
        except (pa.ArrowException, OSError) as error:
            _raise_if_outage(file)
            yield row.reject(Reason.UNREADABLE, f"no Parquet file, or a damaged one: {error}")
            return
        missing = [name for name in source.fields() if name not in columns]
        if missing:
            problem = f"no column {', '.join(missing)}; it has {', '.join(columns)}"
            yield row.reject(Reason.UNREADABLE, problem)
            return
        for group, first in _row_groups(parquet.metadata, unit):
            yield from _read_group(source, unit, (parquet, file), group, first)


def _raise_if_outage(file: _Watched) -> None:
    if file.failure is not None:
        raise file.failure


def _row_groups(metadata: Any, unit: Unit) -> Iterator[tuple[int, int]]:
    """The unit's row groups and the number of each one's first row in the file."""
    groups = metadata.num_row_groups
    first = 0
    for group in range(groups):
        if unit.part * groups // unit.parts <= group < (unit.part + 1) * groups // unit.parts:
            yield group, first
        first += metadata.row_group(group).num_rows


def _read_group(
    source: Source, unit: Unit, opened_file: tuple[Any, _Watched], group: int, first: int
) -> Iterator[Outcome]:
    import pyarrow as pa

    parquet, file = opened_file
    number = first
    end = first + parquet.metadata.row_group(group).num_rows
    try:
        batches = parquet.iter_batches(
            batch_size=BATCH_ROWS,
            row_groups=[group],
            columns=list(source.fields()),
            use_threads=False,
        )
        for batch in batches:
            for fields in _rows(batch):
                yield from_fields(source, f"{unit.url}#row={number}", fields)
                number += 1
    except (pa.ArrowException, OSError) as error:
        _raise_if_outage(file)
        row = Row(source=source, url=f"{unit.url}#rows={number}-{end - 1}")
        problem = f"{end - number} rows of row group {group} are lost: {error}"
        yield row.reject(Reason.UNREADABLE, problem)


def _rows(batch: Any) -> Iterator[dict[str, object]]:
    """A batch's rows; strings come as bytes, because a file may hold strings that are not UTF-8."""
    import pyarrow as pa

    table = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = column.cast(pa.large_binary())
        table[name] = column.to_pylist()
    for values in zip(*table.values(), strict=True):
        yield dict(zip(table, values, strict=True))
