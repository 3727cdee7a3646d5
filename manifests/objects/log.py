"""An append-only log of digests: entry n is one file, created only if absent.

Of two writers at once each number goes to one and nothing is lost: the other looks again and takes
the next number. That is the whole of compare-and-swap here. Nothing is overwritten or removed.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

from manifests.errors import Conflict, DataError, NotInStore
from manifests.fingerprint import canonical_json
from manifests.objects.reach import at_once
from manifests.objects.root import Descriptor
from manifests.store import Store

_ENTRY = re.compile(r"([1-9][0-9]{0,17})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An entry of the log of a name (`mix`) or of a tag (`mix@tag`)."""

    name: str
    number: int
    """From 1."""
    digest: str
    """Of a manifest; empty where a tag was taken off."""
    previous: str
    """Digest of the entry before; empty in the first."""
    at: str
    """ISO 8601."""
    author: str
    message: str
    spec: Descriptor | None
    """The mixture's text as it was written, comments and all."""

    def to_json(self) -> bytes:
        """Canonical JSON of what the file's own name does not say."""
        plain = asdict(self)
        del plain["name"], plain["number"]
        return canonical_json(plain)


@dataclass(frozen=True, slots=True)
class Log:
    """The entries below a prefix of a store."""

    store: Store
    name: str
    prefix: str

    def append(
        self,
        digest: str,
        *,
        expected: str | None,
        at: str,
        author: str,
        message: str,
        spec: Descriptor | None = None,
        prepare: Callable[[], None],
    ) -> Version:
        """Make a digest the newest; the entry that says so, ours or, if it says so already, the
        newest one. `prepare` is called once before anything is written.

        Raises:
            Conflict: The newest is neither this digest nor the expected one (empty: none at all).
        """
        prepared = False
        while True:
            newest = self.newest()
            before = newest.digest if newest else ""
            if newest and before == digest:
                return newest
            if expected is not None and before != expected:
                raise Conflict(
                    f"{self.name} points at {before[:12] or 'nothing'}, not at"
                    f" {expected[:12] or 'nothing'} as expected: look what came between"
                )
            if not prepared:
                prepare()
                prepared = True
            entry = Version(
                name=self.name,
                number=newest.number + 1 if newest else 1,
                digest=digest,
                previous=before,
                at=at,
                author=author,
                message=message,
                spec=spec,
            )
            if self.store.create(self._key(entry.number), entry.to_json()):
                return entry

    def numbers(self) -> list[int]:
        """Numbers of the entries, sorted."""
        names = (key.removeprefix(self.prefix) for key in self.store.list(self.prefix))
        return sorted(int(found[1]) for found in map(_ENTRY.fullmatch, names) if found)

    def newest(self) -> Version | None:
        """The entry that counts."""
        numbers = self.numbers()
        return self.read(numbers[-1]) if numbers else None

    def all(self) -> list[Version]:
        """The entries, the first one first.

        Raises:
            DataError: One is broken or missing, or two do not follow on each other.
        """
        numbers = self.numbers()
        # By number and not as listed: a listing may show an entry that was made meanwhile and
        # miss the one before it.
        found = at_once(self.demand, range(1, numbers[-1] + 1 if numbers else 1))
        previous = ""
        for entry in found:
            if entry.previous != previous:
                raise DataError(
                    f"{self.store.url}: entry {entry.number} of {self.name} does not follow on the"
                    " one before; put the log back from a copy"
                )
            previous = entry.digest
        return found

    def demand(self, number: int) -> Version:
        """An entry that has to be there.

        Raises:
            DataError: It is missing or broken.
        """
        if (entry := self.read(number)) is None:
            raise DataError(
                f"{self.store.url}: entry {number} of {self.name} is missing; put the log back from"
                " a copy"
            )
        return entry

    def read(self, number: int) -> Version | None:
        """An entry, or None when it is not there.

        Raises:
            DataError: It is broken.
        """
        key = self._key(number)
        try:
            data = self.store.get(key)
        except NotInStore:
            return None
        try:
            entry = _parsed(data, self.name, number)
        except (ValueError, TypeError, LookupError) as error:
            raise DataError(f"{self.store.url}: {key}: not an entry of a log") from error
        if entry.to_json() != data:
            raise DataError(f"{self.store.url}: {key}: not the canonical JSON; was it edited?")
        return entry

    def _key(self, number: int) -> str:
        return f"{self.prefix}{number}.json"


def _parsed(data: bytes, name: str, number: int) -> Version:
    """By hand: pydantic would take a tenth of a second of every build to come up."""
    told = json.loads(data)
    spec = None if told["spec"] is None else Descriptor(**told["spec"])
    entry = Version(**{**told, "name": name, "number": number, "spec": spec})
    texts = [entry.digest, entry.previous, entry.at, entry.author, entry.message]
    texts += [spec.digest, spec.media] if spec else []
    if not all(type(text) is str for text in texts) or (spec and type(spec.bytes) is not int):
        raise TypeError("a text that is none, or a size")
    return entry
