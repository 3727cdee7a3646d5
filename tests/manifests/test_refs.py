import re
import secrets
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manifests.errors import ConfigError, Conflict, DataError, NotInStore
from manifests.layout import object_file, versions_prefix
from manifests.objects.log import Version
from manifests.objects.refs import Refs, Resolved
from manifests.objects.root import Descriptor
from manifests.objects.tree import GRACE_SECONDS, Objects
from manifests.store import Store, open_store
from manifests.stores.memory import MemoryStore
from tests.manifests.tables_of_shards import Clock, small_manifest

REPOSITORY = Path(__file__).resolve().parents[2]
AT = "2026-11-22T12:00:00+00:00"


@pytest.fixture
def memory() -> Store:
    return open_store(f"memory://{secrets.token_hex(6)}")


def publish(
    store: Store,
    digest: str,
    name: str = "mix",
    expected: str | None = None,
    spec: Descriptor | None = None,
) -> Version:
    return Refs(store).publish(
        name, digest, message="why", author="Ann", at=AT, spec=spec, expected=expected
    )


def tag(store: Store, name: str, tag: str, digest: str, expected: str | None = None) -> Version:
    return Refs(store).tag(name, tag, digest, author="Ann", at=AT, expected=expected)


def manifests(store: Store, count: int) -> list[str]:
    return [small_manifest(Objects(store), number) for number in range(count)]


def test_a_published_manifest_is_the_newest_version_and_the_log_says_who_and_why(
    store: Store,
) -> None:
    a, b = manifests(store, 2)
    spec = Objects(store).put(b"# a comment", "toml")
    assert publish(store, a, spec=spec).number == 1
    second = publish(store, b)
    assert second == Version(
        name="mix", number=2, digest=b, previous=a, at=AT, author="Ann", message="why", spec=None
    )
    refs = Refs(store)
    assert [entry.digest for entry in refs.log("mix")] == [a, b]
    assert refs.log("mix")[0].spec == spec
    assert refs.newest("mix") == second
    assert refs.versions("mix") == [1, 2]
    assert refs.names() == ["mix"]
    assert [*refs.versions("other"), *refs.log("other")] == []


def test_the_same_manifest_again_is_the_same_version_and_writes_nothing(store: Store) -> None:
    a, b = manifests(store, 2)
    first = publish(store, a)
    there = list(store.list(""))
    assert publish(store, a) == first
    assert publish(store, a, expected=b) == first, "a second try after a lost reply"
    assert list(store.list("")) == there
    publish(store, b)
    assert publish(store, a).number == 3, "going back is a version of its own"


def test_numbers_are_numbers_and_not_texts(memory: Store) -> None:
    digests = manifests(memory, 12)
    for digest in digests:
        publish(memory, digest)
    assert Refs(memory).versions("mix") == list(range(1, 13))
    assert Refs(memory).resolve("mix").version == 12
    assert Refs(memory).resolve("mix@2").digest == digests[1]


def test_publishing_on_what_is_no_longer_the_newest_is_a_conflict(store: Store) -> None:
    a, b, c = manifests(store, 3)
    with pytest.raises(Conflict, match="mix points at nothing, not at"):
        publish(store, a, expected=b)
    publish(store, a, expected="")
    publish(store, b, expected=a)
    for outdated in (a, "", c):
        with pytest.raises(Conflict, match=f"mix points at {b[:12]}, not at") as caught:
            publish(store, c, expected=outdated)
        assert "\n" not in str(caught.value)
    assert Refs(store).versions("mix") == [1, 2]


class Overtaken(MemoryStore):
    """A store where somebody publishes just before our own entry is created."""

    theirs = ""

    def create(self, key: str, data: bytes) -> bool:
        if theirs := self.theirs:
            self.theirs = ""
            publish(MemoryStore(self._name), theirs)
        return super().create(key, data)


def test_a_lost_race_takes_the_next_number_or_the_winner_s_equal_version() -> None:
    for ours_too, number in ((False, 2), (True, 1)):
        store = Overtaken(secrets.token_hex(6))
        a, b = manifests(store, 2)
        store.theirs = b if ours_too else a
        assert publish(store, b).number == number
        assert [entry.digest for entry in Refs(store).log("mix")] == ([b] if ours_too else [a, b])


def test_a_lost_race_is_a_conflict_when_something_was_expected() -> None:
    store = Overtaken(secrets.token_hex(6))
    a, b = manifests(store, 2)
    store.theirs = a
    with pytest.raises(Conflict):
        publish(store, b, expected="")
    assert Refs(store).versions("mix") == [1]


def test_what_is_no_whole_manifest_is_never_named(store: Store) -> None:
    objects = Objects(store)
    (a,) = manifests(store, 1)
    with pytest.raises(NotInStore):
        publish(store, "0" * 64)
    with pytest.raises(DataError, match="not a manifest's root"):
        publish(store, objects.put_json({"some": "thing"}).digest)
    parquet = next(key for key in store.list("") if key.endswith(".parquet"))
    store.delete(parquet)
    with pytest.raises(NotInStore):
        publish(store, a)
    assert Refs(store).names() == []


def test_tags_move_come_off_and_come_back(store: Store) -> None:
    refs = Refs(store)
    a, b = manifests(store, 2)
    with pytest.raises(ConfigError, match="nothing is published"):
        tag(store, "mix", "prod", a)
    publish(store, a)
    tag(store, "mix", "prod", a)
    tag(store, "mix", "old-1.0", a)
    assert tag(store, "mix", "prod", b, expected=a).number == 2
    assert refs.tags("mix") == {"old-1.0": a, "prod": b}
    with pytest.raises(Conflict, match="mix@prod points at"):
        tag(store, "mix", "prod", a, expected=a)
    with pytest.raises(Conflict):
        refs.untag("mix", "prod", author="Ann", at=AT, expected=a)
    refs.untag("mix", "prod", author="Ann", at=AT, expected=b)
    assert refs.tags("mix") == {"old-1.0": a}
    with pytest.raises(ConfigError, match="no such version or tag"):
        refs.untag("mix", "prod", author="Ann", at=AT)
    tag(store, "mix", "prod", a, expected="")
    assert [entry.digest for entry in refs.tag_log("mix", "prod")] == [a, b, "", a]
    assert refs.versions("mix") == [1], "tags are no versions"


def test_a_text_leads_to_a_manifest(store: Store) -> None:
    refs = Refs(store)
    a, b = manifests(store, 2)
    publish(store, a)
    publish(store, b)
    tag(store, "mix", "prod", a)
    assert refs.resolve("mix") == Resolved(digest=b, name="mix", version=2)
    assert refs.resolve("mix@1") == Resolved(digest=a, name="mix", version=1)
    assert refs.resolve("mix@prod") == Resolved(digest=a, name="mix", tag="prod")
    assert refs.resolve(f"sha256:{a}") == refs.resolve(f"sha256:{a[:16]}") == Resolved(digest=a)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mix@3", r"mix@3: there is no such version or tag; mix has versions 1 to 2 and the tags"),
        ("mix@0", "versions 1 to 2"),
        ("mix@porf", "the tags prod"),
        ("mixx", r"no such name in .*; there is mix and 1 more$"),
        ("quite-different", "there is mix, other"),
        ("quite-different@prod", "there is mix, other"),
        ("other@prod", "other has version 1 and no tags"),
        ("", "is no name"),
        ("mix@", "is no tag"),
        ("Mix", "is no name"),
        ("../mix", "is no name"),
        ("mix/versions", "is no name"),
        ("mix@a/b", "is no tag"),
        ("mix@1@2", "is no tag"),
        ("sha256:00", "4 to 64 hex digits"),
        ("sha256:" + "0" * 64, "there is no such manifest"),
    ],
)
def test_a_text_that_leads_nowhere_is_told_what_there_is(
    memory: Store, text: str, says: str
) -> None:
    a, b = manifests(memory, 2)
    for digest in (a, b):
        publish(memory, digest)
    publish(memory, a, "other")
    tag(memory, "mix", "prod", a)
    with pytest.raises(ConfigError, match=says) as caught:
        Refs(memory).resolve(text)
    assert "\n" not in str(caught.value)


def test_of_many_names_the_close_ones_are_shown(memory: Store) -> None:
    (a,) = manifests(memory, 1)
    for number in range(30):
        publish(memory, a, f"web-{number}")
    publish(memory, a, "phi-mini")
    with pytest.raises(ConfigError, match="there is phi-mini and 30 more"):
        Refs(memory).resolve("phi-mimi")
    with pytest.raises(ConfigError, match=r"there is phi-mini, web-0, .* and 23 more"):
        Refs(memory).resolve("zzz")


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "a b", "a/b", "a@b", "a" * 101, "ä"])
def test_what_is_no_name_is_refused_and_a_number_is_no_tag(memory: Store, name: str) -> None:
    (a,) = manifests(memory, 1)
    with pytest.raises(ConfigError, match="is no name"):
        publish(memory, a, name)
    publish(memory, a)
    with pytest.raises(ConfigError, match="is no tag"):
        tag(memory, "mix", name, a)
    with pytest.raises(ConfigError, match="7 cannot be a tag: mix@7 is version 7"):
        tag(memory, "mix", "7", a)


def test_a_broken_log_is_an_error_and_never_a_shorter_log(memory: Store) -> None:
    refs = Refs(memory)
    for digest in manifests(memory, 3):
        publish(memory, digest)
    key = f"{versions_prefix('mix')}2.json"
    whole = memory.get(key)
    for broken in (b"", b"[]", b"{}", whole[:-2], whole + b" ", whole.replace(b'"why"', b"1")):
        memory.put(key, broken)
        for read in (lambda: refs.log("mix"), lambda: refs.resolve("mix@2"), refs.entries):
            with pytest.raises(DataError, match="not"):
                read()
    memory.put(key, memory.get(f"{versions_prefix('mix')}3.json"))
    with pytest.raises(DataError, match="entry 2 of mix does not follow on the one before"):
        refs.log("mix")
    memory.delete(key)
    for read in (lambda: refs.log("mix"), refs.entries):
        with pytest.raises(DataError, match="entry 2 of mix is missing"):
            read()


def test_all_entries_are_all_versions_and_the_last_of_each_tag(store: Store) -> None:
    a, b, c = manifests(store, 3)
    for name in ("mix", "mix.2", "mix-2"):
        publish(store, a, name)
        publish(store, b, name)
    tag(store, "mix", "prod", a)
    tag(store, "mix", "prod", c)
    store.put("manifests/refs/mix/versions/notes.txt", b"not ours")
    found = sorted((entry.name, entry.digest) for entry in Refs(store).entries())
    names = ("mix", "mix-2", "mix.2")
    assert found == sorted([*((name, d) for name in names for d in (a, b)), ("mix@prod", c)])


PUBLISHER = """
import sys
sys.path.insert(0, sys.argv[1])
from manifests.objects.refs import Refs
from manifests.store import open_store
refs = Refs(open_store(sys.argv[2]))
for digest in sys.argv[3:]:
    print(refs.publish("mix", digest, message="", author="", at="", spec=None).number, digest)
"""


def publisher(root: str, *digests: str) -> list[str]:
    return [sys.executable, "-IBc", PUBLISHER, str(REPOSITORY), root, *digests]


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_many_publishers_at_once_lose_nothing_and_leave_no_gap(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    s3 = kind == "s3"
    root = f"s3://{request.getfixturevalue('bucket')}/x" if s3 else str(tmp_path / "root")
    store = open_store(root)
    writers, each = (3, 4) if s3 else (6, 8)
    digests = manifests(store, writers * each)
    shares = [digests[number::writers] for number in range(writers)]
    running = [
        subprocess.Popen(publisher(root, *share), stdout=subprocess.PIPE, text=True)
        for share in shares
    ]
    told: dict[int, str] = {}
    for process, share in zip(running, shares, strict=True):
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        numbers = [int(line.split()[0]) for line in out.splitlines()]
        assert numbers == sorted(numbers)
        told |= dict(zip(numbers, share, strict=True))
    log = Refs(store).log("mix")
    assert [entry.number for entry in log] == list(range(1, len(digests) + 1))
    assert {entry.number: entry.digest for entry in log} == told


def test_many_threads_publishing_the_same_make_one_version(store: Store) -> None:
    (a,) = manifests(store, 1)
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: publish(store, a).number, range(16)))
    assert made == {1}
    assert len(Refs(store).log("mix")) == 1


WRITING = "write,fsync,link,linkat,unlink,unlinkat,mkdir,mkdirat,rename,renameat"


def test_a_publisher_killed_at_any_call_that_writes_leaves_a_whole_log(tmp_path: Path) -> None:
    probe = ["strace", "-o", "/dev/null", "true"]
    if shutil.which("strace") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("strace cannot trace here")
    prepared = tmp_path / "prepared"
    first, second = manifests(open_store(str(prepared)), 2)
    publish(open_store(str(prepared)), first)

    def traced(root: Path, *options: str) -> int:
        shutil.copytree(prepared, root)
        command = ["strace", "-f", "-y", "-e", f"trace={WRITING}", *options]
        done = subprocess.run(
            [*command, *publisher(str(root), second)], capture_output=True, timeout=120
        )
        return done.returncode

    assert traced(tmp_path / "whole", "-o", str(tmp_path / "log")) == 0
    points: list[tuple[str, int]] = []
    counts: dict[tuple[str, str], int] = {}
    for line in (tmp_path / "log").read_text().splitlines():
        if matched := re.match(r"(\d+) +(\w+)\((.*)", line):
            thread, name, arguments = matched.groups()
            counts[thread, name] = counts.get((thread, name), 0) + 1
            if str(tmp_path / "whole") in arguments:
                points.append((name, counts[thread, name]))
    assert {"write", "fsync", "unlink"} <= {name for name, _ in points}
    outcomes = set()
    for number, (name, count) in enumerate(points):
        root = tmp_path / f"root-{number}"
        options = ("-o", "/dev/null", "-e", f"inject={name}:signal=SIGKILL:when={count}")
        assert traced(root, *options) == -signal.SIGKILL, (name, count)
        store = open_store(str(root))
        left = [entry.digest for entry in Refs(store).log("mix")]
        outcomes.add(len(left))
        assert left in ([first], [first, second]), (name, count)
        assert publish(store, second).number == 2
        assert Refs(store).resolve("mix").digest == second
    assert outcomes == {1, 2}, "the sweep has to cover both sides of the publication"


def test_an_object_is_young_again_before_a_name_points_at_it(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    (a,) = manifests(memory, 1)
    clock.wait(10 * GRACE_SECONDS)
    publish(memory, a)
    keys = [key for key in memory.list("") if key.startswith("manifests/objects/")]
    assert object_file(a, "json") in keys
    assert {memory.info(key).modified for key in keys} == {clock.now}
