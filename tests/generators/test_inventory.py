import os
import pickle
from itertools import pairwise
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.seeds.inventory import Inventory, Unit, take_inventory
from generators.seeds.sources import Format, Source, guess_format
from manifests.errors import ConfigError, DataError
from manifests.fingerprint import fingerprint, sha256


def text_source(url: object, name: str = "notes") -> Source:
    return Source(name=name, url=str(url), format=Format.TEXT)


def tree(root: Path) -> Path:
    for name in ("b/two.md", "a.txt", "b/skipped.py", ".hidden/x.md", "c/three.rst.gz"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    return root


def test_a_directory_gives_its_files_of_the_format_sorted_with_their_sha256(
    tmp_path: Path,
) -> None:
    units = take_inventory([text_source(tree(tmp_path))]).units
    assert [unit.url for unit in units] == ["a.txt", "b/two.md", "c/three.rst.gz"]
    assert units[0].identity == "sha256:" + sha256(b"text of a.txt")
    assert units[0].size == len(b"text of a.txt")


def test_a_glob_and_a_file_name_only_what_they_say(tmp_path: Path) -> None:
    tree(tmp_path)
    globbed = take_inventory([text_source(tmp_path / "*" / "*.md")]).units
    assert [unit.url for unit in globbed] == ["b/two.md"]
    (tmp_path / "link.md").symlink_to(tmp_path / "b" / "two.md")
    linked = take_inventory([text_source(tmp_path / "*.md")]).units[0]
    assert (linked.url, linked.identity) == ("link.md", globbed[0].identity)
    assert linked in take_inventory([text_source(tmp_path)]).units
    single = take_inventory([text_source(tmp_path / "b" / "skipped.py")]).units
    assert [unit.url for unit in single] == ["skipped.py"]


def test_the_same_files_elsewhere_have_the_same_inventory(tmp_path: Path) -> None:
    here = take_inventory([text_source(tree(tmp_path / "here"))])
    there = take_inventory([text_source(tree(tmp_path / "there"))])
    assert fingerprint(here) == fingerprint(there)
    (tmp_path / "there" / "a.txt").write_text("text of A.txt")
    assert fingerprint(take_inventory([text_source(tmp_path / "there")])) != fingerprint(here)


def test_object_urls_are_whole_and_change_identity_with_their_content() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/inventory-bucket/docs/a.txt", b"one")
    source = text_source("memory://inventory-bucket/docs")
    before = take_inventory([source]).units[0]
    assert before.url == "memory:///inventory-bucket/docs/a.txt"
    fs.pipe("/inventory-bucket/docs/a.txt", b"two")
    assert take_inventory([source]).units[0].identity != before.identity


def test_a_large_parquet_file_becomes_units_of_row_groups(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x" * 50] * 100}), tmp_path / "a.parquet", row_group_size=30)
    (tmp_path / "broken.parquet").write_bytes(b"no parquet at all, but large" * 40)
    source = Source(name="rows", url=str(tmp_path), format=Format.PARQUET)
    units = take_inventory([source], split_bytes=100).units
    assert [(unit.url, unit.part, unit.parts) for unit in units] == [
        ("a.parquet", 0, 4),
        ("a.parquet", 1, 4),
        ("a.parquet", 2, 4),
        ("a.parquet", 3, 4),
        ("broken.parquet", 0, 1),
    ]
    assert len(take_inventory([source]).units) == 2


@pytest.mark.parametrize("url", ["gone", "gone/*.md", "empty", "nosuch://bucket/a"])
def test_a_source_without_files_says_so_in_one_line(tmp_path: Path, url: str) -> None:
    (tmp_path / "empty").mkdir()
    url = url if "://" in url else str(tmp_path / url)
    with pytest.raises(ConfigError) as caught:
        take_inventory([text_source(url)])
    assert "\n" not in str(caught.value)
    assert "notes" in str(caught.value)
    assert url in str(caught.value)


def test_an_unreadable_directory_or_file_is_a_config_error(tmp_path: Path) -> None:
    tree(tmp_path)
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    root = os.geteuid() == 0
    for closed in (tmp_path / "b", tmp_path / "a.txt"):
        mode = closed.stat().st_mode
        closed.chmod(0)
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(ConfigError, match="Permission denied"):
                take_inventory([text_source(tmp_path)])
        finally:
            if root:
                os.seteuid(0)
            closed.chmod(mode)


def test_sources_need_names_of_their_own(tmp_path: Path) -> None:
    tree(tmp_path)
    with pytest.raises(ConfigError, match="two sources are named 'notes'"):
        take_inventory([text_source(tmp_path), text_source(tmp_path / "a.txt")])
    with pytest.raises(ConfigError, match="no sources"):
        take_inventory([])


def test_a_file_name_that_is_not_utf8_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(ConfigError, match="not UTF-8"):
        take_inventory([text_source(tmp_path)])


def test_an_inventory_survives_json_and_pickle(tmp_path: Path) -> None:
    inventory = take_inventory([text_source(tree(tmp_path))])
    assert Inventory.from_json(inventory.to_json()) == inventory
    assert pickle.loads(pickle.dumps(inventory)) == inventory  # noqa: S301
    for wrong in (b"", b"[]", b'{"units": [{"url": "x"}]}'):
        with pytest.raises(DataError):
            Inventory.from_json(wrong)


units = st.builds(
    Unit,
    source_index=st.integers(0, 3),
    url=st.text(max_size=5),
    size=st.integers(0, 10_000),
    identity=st.just("sha256:0"),
    part=st.just(0),
    parts=st.integers(1, 5),
)


@given(st.lists(units, max_size=50).map(tuple), st.integers(1, 5_000))
def test_slices_keep_every_unit_in_order_and_pass_the_target_only_by_one(
    found: tuple[Unit, ...], target: int
) -> None:
    slices = Inventory(units=found).slices(target)
    assert tuple(unit for part in slices for unit in part) == found
    assert all(slices)
    assert all(len(part) == 1 or sum(unit.weight for unit in part) <= target for part in slices)
    for part, after in pairwise(slices):
        assert sum(unit.weight for unit in part) + after[0].weight > target


def test_a_target_below_one_is_a_bug() -> None:
    with pytest.raises(ValueError, match="target_bytes"):
        Inventory(units=()).slices(0)


@pytest.mark.parametrize(
    ("url", "format_"),
    [
        ("s3://b/x.parquet", Format.PARQUET),
        ("x.JSONL.zst", Format.JSONL),
        ("docs/**/*.md", Format.TEXT),
        ("lib/*.py", Format.PYTHON),
        ("CC-MAIN.warc.gz", Format.WARC),
        ("page.htm", Format.HTML),
        ("pydoc_data.topics", Format.TOPICS),
    ],
)
def test_the_format_is_guessed_by_suffix(url: str, format_: Format) -> None:
    assert guess_format(url) is format_


@pytest.mark.parametrize("url", ["docs", "a.gz", "archive.zip", ""])
def test_a_format_that_cannot_be_guessed_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="name the format"):
        guess_format(url)
