"""Names: for each a log of versions, and tags that move, each with a log of its own.

Before a name or a tag points at a manifest, everything that the manifest needs is made sure of, so
that nothing named is ever collected as garbage.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from manifests.errors import ConfigError
from manifests.layout import REFS, tags_prefix, versions_prefix
from manifests.objects.log import Log, Version
from manifests.objects.reach import at_once, refresh
from manifests.objects.root import Descriptor
from manifests.objects.tree import Objects
from manifests.store import Store

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""Of names and tags; a tag is no number."""
_ENTRY = re.compile(
    rf"{REFS}(?P<name>{NAME.pattern})/(versions|tags/(?P<tag>{NAME.pattern}))"
    r"/(?P<number>[1-9][0-9]{0,17})\.json"
)
_NUMBER = re.compile(r"[0-9]{1,18}")
_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a text that names a manifest leads to."""

    digest: str
    name: str = ""
    """Empty when it was named by digest."""
    version: int | None = None
    """None when it was named by digest or tag."""
    tag: str = ""


class Refs:
    """The names of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._objects = Objects(store)

    def publish(
        self,
        name: str,
        digest: str,
        *,
        message: str,
        author: str,
        at: str,
        spec: Descriptor | None,
        expected: str | None = None,
        just_put: bool = False,
    ) -> Version:
        """Make a manifest the newest version of a name; the version that it is, perhaps already.

        `expected` is the digest that has to be the newest before, empty for none at all. With
        `just_put` the caller has put all that it needs a moment ago: it is whole, and young.

        Raises:
            ConfigError: Not a name.
            Conflict: The newest is neither this manifest nor the expected one.
            NotInStore: The manifest, or something that it needs, is not there.
            DataError: It is broken.
        """

        def prepare() -> None:
            if just_put:
                return
            refresh(self._objects, digest)
            if spec is not None:
                self._objects.refresh(spec.digest, spec.media)

        return self._versions(name).append(
            digest,
            expected=expected,
            at=at,
            author=author,
            message=message,
            spec=spec,
            prepare=prepare,
        )

    def tag(
        self,
        name: str,
        tag: str,
        digest: str,
        *,
        author: str,
        at: str,
        message: str = "",
        expected: str | None = None,
    ) -> Version:
        """Point a tag of a name at a manifest; raises as `publish`, and ConfigError when nothing
        has that name.
        """
        log = self._tag_log(name, tag)
        if not self.versions(name):
            raise ConfigError(f"{name}: {self._what_there_is(name)}")
        return log.append(
            digest,
            expected=expected,
            at=at,
            author=author,
            message=message,
            prepare=lambda: refresh(self._objects, digest),
        )

    def untag(
        self, name: str, tag: str, *, author: str, at: str, expected: str | None = None
    ) -> Version:
        """Take a tag off; what it pointed at stays in its log, but is no longer kept for it.

        Raises:
            ConfigError: There is no such tag.
            Conflict: It does not point at what was expected.
        """
        log = self._tag_log(name, tag)
        newest = log.newest()
        if newest is None or not newest.digest:
            raise ConfigError(f"{name}@{tag}: {self._what_there_is(name)}")
        return log.append(
            "", expected=expected, at=at, author=author, message="", prepare=lambda: None
        )

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({key.split("/")[2] for key in self.store.list(REFS)})

    def versions(self, name: str) -> list[int]:
        """Numbers of a name's versions; none when there is no such name."""
        return self._versions(name).numbers()

    def newest(self, name: str) -> Version | None:
        """The current version of a name."""
        return self._versions(name).newest()

    def log(self, name: str) -> list[Version]:
        """All versions of a name, the first one first.

        Raises:
            DataError: One is broken or missing.
        """
        return self._versions(name).all()

    def tags(self, name: str) -> dict[str, str]:
        """Digests by tag, without tags that were taken off."""
        prefix = tags_prefix(_checked(name, "name"))
        found = sorted({key.removeprefix(prefix).split("/")[0] for key in self.store.list(prefix)})
        entries = at_once(lambda tag: self._tag_log(name, tag).newest(), found)
        newest = zip(found, entries, strict=True)
        return {tag: entry.digest for tag, entry in newest if entry and entry.digest}

    def tag_log(self, name: str, tag: str) -> list[Version]:
        """Where a tag pointed, the first one first; raises as `log`."""
        return self._tag_log(name, tag).all()

    def entries(self) -> list[Version]:
        """All versions of all names, and of each tag the last entry, with one listing.

        Raises:
            DataError: One is broken or missing.
        """
        highest: dict[Log, int] = {}
        for found in filter(None, map(_ENTRY.fullmatch, self.store.list(REFS))):
            name, tag, number = found["name"], found["tag"], int(found["number"])
            log = self._tag_log(name, tag) if tag else self._versions(name)
            highest[log] = max(number, highest.get(log, 0))
        wanted = [
            (log, number)
            for log, last in highest.items()
            for number in ([last] if "@" in log.name else range(1, last + 1))
        ]
        return at_once(lambda entry: entry[0].demand(entry[1]), wanted)

    def resolve(self, text: str) -> Resolved:
        """The manifest that `name`, `name@3`, `name@tag` or `sha256:<digest or its start>` names.

        Raises:
            ConfigError: Nothing is named so, or several are; it lists what there is.
        """
        if text.startswith("sha256:"):
            return Resolved(digest=self._objects.find(text.removeprefix("sha256:")))
        name, at, rest = text.partition("@")
        number = int(rest) if _NUMBER.fullmatch(rest) else None
        if number is not None:
            found = self._versions(name).read(number)
        else:
            found = self._tag_log(name, rest).newest() if at else self.newest(name)
        if found is None or not found.digest:
            raise ConfigError(f"{text}: {self._what_there_is(name)}")
        if at and number is None:
            return Resolved(digest=found.digest, name=name, tag=rest)
        return Resolved(digest=found.digest, name=name, version=found.number)

    def _what_there_is(self, name: str) -> str:
        """What can be had under a name; or which names there are, when there is no such."""
        if numbers := self.versions(name):
            versions = "version 1" if numbers[-1] == 1 else f"versions 1 to {numbers[-1]}"
            tags = f"the tags {', '.join(found)}" if (found := self.tags(name)) else "no tags"
            return f"there is no such version or tag; {name} has {versions} and {tags}"
        names = self.names()
        if not names:
            return f"nothing is published in {self.store.url} yet"
        shown = get_close_matches(name, names, _SHOWN, 0.5) or names[:_SHOWN]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        return f"no such name in {self.store.url}; there is {', '.join(shown)}{more}"

    def _versions(self, name: str) -> Log:
        return Log(self.store, _checked(name, "name"), versions_prefix(name))

    def _tag_log(self, name: str, tag: str) -> Log:
        if _NUMBER.fullmatch(tag):
            raise ConfigError(f"{tag} cannot be a tag: {name}@{tag} is version {tag}")
        prefix = f"{tags_prefix(_checked(name, 'name'))}{_checked(tag, 'tag')}/"
        return Log(self.store, f"{name}@{tag}", prefix)


def _checked(text: str, what: str) -> str:
    if not NAME.fullmatch(text):
        raise ConfigError(
            f"{text!r:.120} is no {what}: small letters, digits and ._- only, a letter or digit"
            " first, at most 100"
        )
    return text
