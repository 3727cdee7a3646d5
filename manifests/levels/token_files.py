"""The token files of data files of token documents: which they are, and what they hold.

L1 takes their names from the indexes of steps, or from commits; from L2 on the rows name them.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.errors import NotInStore
from manifests.levels.commits import Commits, Task, read_commit
from manifests.levels.findings import Kind
from manifests.levels.metadata import Material
from manifests.levels.reading import Bad, at_once, checked_bytes
from manifests.raw_token_files import (
    PLACE_TYPES,
    RawTokens,
    are_whole,
    named_files,
    parse_token_file,
    wrong_places,
)
from manifests.spec.types import TokenizerName
from manifests.store import Store

ROW_TYPE = "tokendocument"
_TASK_COLUMNS = ["step", "key", "sha256"]
_LOT = 32


@dataclass(frozen=True, slots=True, order=True)
class TokenFile:
    """A token file as an index or a commit names it."""

    step: str
    sha256: str
    bytes: int

    @property
    def key(self) -> str:
        """Where it lies."""
        return token_key(self.step, self.sha256)


def token_key(step: str, sha256: str) -> str:
    """Where a token file of a step lies."""
    return f"{step}/tokens/{sha256}.parquet"


def token_files(material: Material) -> list[TokenFile]:
    """The token files of all shards, as far as indexes and commits tell.

    Of a step one commit is read, to see whether it has any, then its index; where the index does
    not have a shard, that shard's commit. What is wrong with commits is for L5 to tell.
    """
    tables = [material.rows(table, _TASK_COLUMNS) for table in material.tables]
    if not tables:
        return []
    rows = pa.concat_tables(tables).group_by(_TASK_COLUMNS).aggregate([])
    commits = Commits(material.store)
    found: set[TokenFile] = set()
    for step in sorted(rows["step"].unique().to_pylist()):
        mine = rows.filter(pc.equal(rows["step"], step))
        tasks = map(Task, *(mine[name].to_pylist() for name in _TASK_COLUMNS))
        if not _tokenizes(commits, first := next(tasks)):
            continue
        indexed = _indexed(material.store, step)
        unknown = []
        for task in chain([first], tasks):
            if task.sha256 in indexed:
                found.update(indexed[task.sha256])
            else:
                unknown.append(task)
        lots = [unknown[at : at + _LOT] for at in range(0, len(unknown), _LOT)]
        for files in at_once(partial(_committed, commits), lots):
            found.update(files)
    return sorted(found)


def read_token_file(store: Store, key: str) -> RawTokens:
    """A token file whose bytes are those of its name and whose layout holds; else Bad."""
    digest = key.rpartition("/")[2].removesuffix(".parquet")
    try:
        return parse_token_file(checked_bytes(store, key, digest, None))
    except ValueError as error:
        raise Bad(Kind.FORM, str(error)) from None


def places(data: bytes) -> pa.Table:
    """Where the documents of a data file lie; no rows where it holds no token documents.

    Raises:
        Bad: It has nulls there, or other types.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        if (file.schema_arrow.metadata or {}).get(b"scriptorium.row") != ROW_TYPE.encode():
            return pa.schema(PLACE_TYPES).empty_table()
        table = file.read(list(PLACE_TYPES), use_threads=False)
    except (pa.ArrowException, OSError, ValueError):
        return pa.schema(PLACE_TYPES).empty_table()  # L3 tells what is wrong with it
    if table.schema.types != list(PLACE_TYPES.values()) or not are_whole(table):
        raise Bad(Kind.FORM, "does not say of every document where it lies")
    return table


def keys_of(step: str, rows: pa.Table) -> dict[str, str]:
    """The token files that rows name, and where they lie."""
    return {sha256: token_key(step, sha256) for sha256 in named_files(rows)}


def wrong_rows(
    rows: pa.Table, files: Mapping[str, RawTokens], tokenizer: TokenizerName
) -> Iterator[Bad]:
    """What rows say of their places that is not so, and files of another tokenizer."""
    expected = (tokenizer.name, tokenizer.end_of_document)
    for sha256, file in files.items():
        has = (file.tokenizer, file.end_of_document)
        if has != expected:
            what = f"ids of {has[0]} with the end of document {has[1]}"
            told = f"of the manifest {expected[0]} and {expected[1]}"
            yield Bad(Kind.COUNT, f"token file {sha256[:12]}: {what}, {told}")
    yield from (Bad(Kind.COUNT, what) for what in wrong_places(rows, files))


def _indexed(store: Store, step: str) -> dict[str, list[TokenFile]]:
    """By data file: what the index of a step names; nothing without an index that says it."""
    columns = ["data_sha256", "token_files"]
    try:
        file = pq.ParquetFile(pa.BufferReader(store.get(f"{step}/index.parquet")))
        table = file.read(columns, use_threads=False)
        shards = zip(*(table[name].to_pylist() for name in columns), strict=True)
        return {
            data: [TokenFile(step, one["sha256"], one["bytes"]) for one in files]
            for data, files in shards
        }
    except (NotInStore, pa.ArrowException, OSError, LookupError, TypeError, ValueError):
        return {}


def _tokenizes(commits: Commits, task: Task) -> bool:
    try:
        return bool(read_commit(commits, task).get("row_type") == ROW_TYPE)
    except Bad:
        return True  # then the index or the other commits may tell


def _committed(commits: Commits, tasks: Iterable[Task]) -> list[TokenFile]:
    found = []
    for task in tasks:
        with suppress(Bad, LookupError, TypeError):
            named = read_commit(commits, task)["tokens"]
            found += [TokenFile(task.step, one["sha256"], one["bytes"]) for one in named]
    return found
