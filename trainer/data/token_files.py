"""Token files of a store, mapped into memory: those of a local root where they lie, others from a
copy that all processes of a machine share.

Nothing is used before its sha256 is known to be right. A copy is checked when it is fetched. A file
that lies in place is checked when the machine opens it for the first time; that it was, and the
state that it was in (size, time, inode), is noted in the cache.
"""

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

from manifests.errors import ConfigError, NotInStore, ShardCorrupt, StoreFull
from manifests.fingerprint import sha256 as digest_of
from manifests.layout import tokens_file
from manifests.spec.types import TokenizerName
from manifests.store import Store
from manifests.stores.local import LocalStore
from manifests.token_files import Ids, TokenFacts, find_ids, map_ids

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class TokenFiles:
    """The token files of a store. Safe to use from several threads and processes."""

    def __init__(self, store: Store, cache: Path, tokenizer: TokenizerName) -> None:
        self._store = store
        self._cache = cache
        self._tokenizer = tokenizer
        self._known: dict[str, tuple[Path, TokenFacts, int]] = {}
        self._open: WeakValueDictionary[str, Ids] = WeakValueDictionary()

    def ids(self, step: str, sha256: str) -> Ids:
        """All ids of a file of a step, mapped; shared by all that use it at the same time.

        Raises:
            NotInStore: There is no such file.
            ShardCorrupt: Its bytes are others.
            DataError: It is not laid out as a token file.
            ConfigError: It is of another tokenizer than the manifest.
        """
        found = self._open.get(sha256)
        if found is None:
            if sha256 not in self._known:
                path = self._checked(step, sha256)
                facts, place = find_ids(path)
                self._refuse_other_tokens(facts, path)
                self._known[sha256] = (path, facts, place)
            found = self._open[sha256] = map_ids(*self._known[sha256])[1]
        return found

    def facts(self, step: str, sha256: str) -> TokenFacts:
        """What a file of a step says of itself; raises as `ids`."""
        self.ids(step, sha256)
        return self._known[sha256][1]

    def _checked(self, step: str, sha256: str) -> Path:
        key = tokens_file(step, sha256)
        if not isinstance(self._store, LocalStore):
            return self._fetched(key, sha256)
        path = Path(self._store.url) / key
        note = self._cache / "checked" / sha256
        with self._alone(sha256):
            state = _state(path)
            if not (note.exists() and note.read_text() == state):
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != sha256:
                    raise ShardCorrupt(f"{path} has sha256 {found}, not that of its name")
                write_whole(note, state.encode())
        return path

    def _fetched(self, key: str, sha256: str) -> Path:
        path = self._cache / "tokens" / f"{sha256}.parquet"
        with self._alone(sha256):
            if not path.exists():
                data = self._store.get(key)
                if (found := digest_of(data)) != sha256:
                    raise ShardCorrupt(f"{self._store.url}: {key} has sha256 {found}")
                write_whole(path, data)
        return path

    def _refuse_other_tokens(self, facts: TokenFacts, path: Path) -> None:
        found = (facts.tokenizer, facts.end_of_document)
        wanted = (self._tokenizer.name, self._tokenizer.end_of_document)
        if found != wanted:
            raise ConfigError(
                f"{path}: ids of {found[0]} with end of document {found[1]}; the manifest is of"
                f" {wanted[0]} with {wanted[1]}: tokenize again, or build it for these"
            )

    @contextmanager
    def _alone(self, sha256: str) -> Iterator[None]:
        """One process of the machine at a time looks after a file."""
        path = self._cache / "locks" / sha256[:2]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of the cache so that it is there whole or not at all.

    Raises:
        StoreFull: No room left.
        ConfigError: The folder cannot be written to.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        kind = StoreFull if error.errno in _FULL else ConfigError
        raise kind(f"the cache {path.parent} cannot be written to: {error.strerror}") from error


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        raise NotInStore(f"no token file {path}") from None
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
