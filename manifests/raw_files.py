"""What lies below a root, read without any of the code that wrote it.

For verify.py, which must not repeat a bug of the writers: nothing of theirs is imported but errors.
"""

import io
import json
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import ConfigError, ServiceError
from manifests.raw_token_files import PLACE_TYPES, are_whole


class RawFiles:
    """Objects below a root, which is a path or any fsspec URL; writes nothing.

    Raises:
        ConfigError: The root cannot be opened.
    """

    def __init__(self, root: str) -> None:
        try:
            self._files, path = fsspec.core.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"cannot open the root {root}: {error}") from error
        self._root = path.rstrip("/")

    def resolve(self, text: str) -> str:
        """The step that `text` means: an address, less `steps/`, its version and its end if clear.

        Raises:
            ConfigError: It means none or several; the message lists them.
        """
        name, _, start = text.strip("/").removeprefix("steps/").partition("/")
        found = [(n, f) for n in self.names("steps") for f in self.names(f"steps/{n}")]
        known = [f"steps/{n}/{f}" for n, f in found]
        named = [(n, f) for n, f in found if name in (n, n.partition("@")[0])]
        hits = [f"steps/{n}/{f}" for n, f in named if f.startswith(start)]
        if len(hits) == 1:
            return hits[0]
        problem = f"{len(hits)} steps fit" if hits else "there is no step"
        listed = ", ".join(hits or known) or "none"
        raise ConfigError(f"{problem} {text!r} below {self._root}; steps: {listed}")

    def slices(self, step: str) -> int | None:
        """Into how many slices a step is cut, None when step.json does not say."""
        try:
            slices = json.loads(self.get(f"{step}/step.json") or b"")["slices"]
        except (ValueError, TypeError, LookupError):
            return None
        return slices if type(slices) is int and slices >= 0 else None

    def want(self, step: str) -> tuple[int, str] | None:
        """The amount at which a step ends and what it counts, None for one that has no such end."""
        try:
            want = json.loads(self.get(f"{step}/step.json") or b"")["want"]
            return int(want["amount"]), str(want["unit"])
        except (ValueError, TypeError, LookupError):
            return None

    def commit(self, key: str) -> dict[str, Any] | None:
        """A commit, None when there is none that can be read."""
        try:
            return _parse(self.get(key) or b"")
        except (ValueError, TypeError, LookupError, AttributeError):
            return None

    def get(self, key: str) -> bytes | None:
        """An object's bytes, None when there is none."""
        try:
            data: bytes = self._files.cat_file(f"{self._root}/{key}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # each kind of file system has its own errors
            raise ServiceError(f"cannot read {key} below {self._root}: {error}") from error
        return data

    def names(self, folder: str) -> list[str]:
        """Names in a folder; none when there is no such folder."""
        try:
            paths = self._files.ls(f"{self._root}/{folder}", detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:  # each kind of file system has its own errors
            raise ServiceError(f"cannot list {folder} below {self._root}: {error}") from error
        names = (path.rstrip("/").rpartition("/")[2] for path in paths)
        return [name for name in names if name and not name.startswith(".")]


def _parse(data: bytes) -> dict[str, Any]:
    """A commit that has every field that is looked at; else some kind of exception."""
    commit: dict[str, Any] = json.loads(data)
    ledger, inputs = commit["ledger"], commit["inputs"]
    shards = [commit["data"], commit["rejects"], *commit["tokens"], *inputs]
    texts = [commit[name] for name in ("task", "step", "row_type")]
    texts += [shard["sha256"] for shard in shards]
    texts += [commit["stats"]["tokenizer"]]
    texts += [text for shard in inputs for text in (shard["step"], shard["task"])]
    counts = [commit["slice_index"], *(shard["rows"] for shard in shards)]
    counts += [shard["bytes"] for shard in shards[: -len(inputs) or None]]
    counts += ledger["rejected"].values()
    counts += [ledger[name] for name in ("planned", "accepted", "quarantined", "rows")]
    if not all(type(text) is str for text in texts):
        raise TypeError("a name that is no text")
    if not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError("a count that is no whole number")
    return commit


def read_parquet(data: bytes, names: list[str]) -> pa.Table:
    """These columns, each of its one type; all are read, for their checksums, in groups."""
    file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
    groups = (file.read_row_group(i).select(names) for i in range(file.num_row_groups))
    table = pa.concat_tables([file.schema_arrow.empty_table().select(names), *groups])
    expected = [PLACE_TYPES.get(name, pa.string()) for name in names]
    if table.schema.types != expected or not are_whole(table):
        raise ValueError(f"not all of {', '.join(names)} are of their type in every row")
    return table
