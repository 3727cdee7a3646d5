"""Parts of a verification by themselves: objects, shard rows, bans, what is left of an epoch."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import ConfigError
from manifests.fingerprint import canonical_json, sha256
from manifests.levels.banned import Banned, parse_banned, read_banned
from manifests.levels.findings import Finding, Kind, Level, listed
from manifests.levels.reading import Bad, canonical, npy_digest, numbers
from manifests.levels.resolution import differences
from manifests.levels.rows import is_cut, window_bounds, wrong_keys, wrong_rows
from manifests.objects.ranges import SHARD_ROWS
from manifests.select.rows import step_rows
from manifests.select.selection import window_samples
from manifests.store import open_store
from tests.manifests.committed import address
from tests.manifests.selectable import commit_records, record


@pytest.mark.parametrize("length", [0, 1, 9, 10, 99_999])
def test_numbers_are_read_and_digested_as_numpy_writes_them(length: int) -> None:
    values, out = np.arange(length, dtype="<i8") * 7, io.BytesIO()
    np.lib.format.write_array(out, values, version=(1, 0), allow_pickle=False)
    data = out.getvalue()
    assert numbers(data).tolist() == values.tolist()
    assert npy_digest(values) == sha256(data)
    for wrong in (data[:-1], data + b"x", b"", data.replace(b"<i8", b"<f8"), b"\x93NUMPY" * 9):
        with pytest.raises(Bad):
            numbers(wrong)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_canonical_json_is_what_is_written_and_nothing_else(value: object) -> None:
    data = canonical_json(value)
    assert canonical(data) == value
    for wrong in (data + b"\n", b" " + data):
        with pytest.raises(Bad):
            canonical(wrong)


def test_json_with_keys_out_of_order_or_twice_is_not_canonical() -> None:
    for wrong in (
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'"\\u00e9"',
        b"NaN",
        b"[",
        b"\xff",
    ):
        with pytest.raises(Bad):
            canonical(wrong)


def rows_of(tmp_path: Path) -> pa.Table:
    store = open_store(str(tmp_path / "root"))
    made = [
        [record(f"{s}/{i}", tokens=i * s, licence=f"L{i % 3}") for i in range(9)] for s in range(3)
    ]
    commit_records(store, made)
    return step_rows(store, address("make", "a"), "words@1").table


def test_every_edit_of_a_shard_row_is_wrong(tmp_path: Path) -> None:
    table = rows_of(tmp_path)
    assert list(wrong_rows(table)) == []
    assert list(wrong_keys(table["key"].to_pylist(), True)) == []
    good = table.to_pylist()
    edits: dict[str, list[object]] = {
        "key": ["x" * 32, good[0]["key"][:-1]],
        "step": ["web", "steps/web@1/" + "0" * 31],
        "sha256": ["0" * 63, "Z" * 64],
        "slice_index": [-1],
        "bytes": [0],
        "rows": [8, 10],
        "picked": [b"\xff", b"\xff\x03", b"\x01\x00\x00"],
        "documents": [0, 8, 10],
        "tokens": [good[1]["tokens"] + 1, 0],
    }
    for name in ("buckets", "generators", "sources", "licences", "languages", "teachers"):
        first, *rest = good[1][name]
        edits[name] = [
            [],
            [first | {"rows": first["rows"] + 1}, *rest],
            [first | {"tokens": first["tokens"] + 1}, *rest],
            [first, first, *rest],
        ]
    edits["lengths"] = [
        [{"bin": 192, "count": 1}],
        [{"bin": 5, "count": 0}],
        [{"bin": 5, "count": 10}],
        [{"bin": 9, "count": 1}, {"bin": 5, "count": 1}],
        [{"bin": 150, "count": 1}],
    ]
    for name, values in edits.items():
        for value in values:
            changed = [good[0], good[1] | {name: value}, good[2]]
            wrong = list(wrong_rows(pa.Table.from_pylist(changed, schema=SHARD_ROWS)))
            assert wrong, (name, value)
    null = [good[0], good[1] | {"teachers": [{"name": None, "rows": 9, "tokens": 0}]}]
    assert list(wrong_rows(pa.Table.from_pylist(null, schema=SHARD_ROWS)))


def test_ranges_end_where_fourteen_bits_are_zero_and_nowhere_else() -> None:
    cut, plain = "a" * 28 + "4000", "b" * 28 + "2000"
    assert (is_cut(cut), is_cut(plain), is_cut("nothing")) == (True, False, False)
    assert list(wrong_keys([cut], False)) == []
    assert list(wrong_keys([plain], True)) == []
    assert list(wrong_keys([plain], False))
    assert list(wrong_keys([cut, plain], True))
    assert list(wrong_keys([plain, plain], True))
    assert list(wrong_keys([plain, cut], True))


def test_windows_lie_within_their_bounds(tmp_path: Path) -> None:
    table = rows_of(tmp_path)
    store = open_store(str(tmp_path / "root"))
    for length in (1, 3, 8, 100):
        fewest, most = window_bounds(table, length)
        exact = window_samples(store, table, length)
        assert (fewest <= exact).all()
        assert (exact <= most).all()
        assert (fewest == most).any() or length < 8


def test_a_list_of_bans_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "banned.txt"
    file.write_text(
        "# why\n\nlicence:unknown\n generator:x@1 \nteacher:a/b@c:d\nid:with:colon\n" + "a" * 32
    )
    assert read_banned(file) == Banned(
        ids=frozenset({"with:colon", "a" * 32}),
        values=frozenset({("licence", "unknown"), ("generator", "x@1"), ("teacher", "a/b@c:d")}),
    )
    assert len(read_banned(file)) == 5
    for wrong, what in (
        ("license:x", "line 2: 'license:x'"),
        ("licence:", "line 2"),
        ("", "nothing"),
    ):
        with pytest.raises(ConfigError, match=what):
            parse_banned(["# a remark", wrong], "file")
    for unreadable in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_banned(unreadable)


def test_differences_say_where_and_what() -> None:
    old = {"a": [{"leaf": "web", "quota": 3}], "b": [1, 2], "c": 1}
    new = {"a": [{"leaf": "web", "quota": 4}], "b": [1], "c": 1}
    assert differences(old, new) == [
        "a[web].quota is 3, resolved again 4",
        "b has 2 entries, resolved again 1",
    ]
    assert differences(old, old) == []


def test_a_finding_is_one_line() -> None:
    found = Finding(level=Level.L2, kind=Kind.CORRUPT, where="steps/x", what="has 1 byte, not 2")
    assert str(found) == "L2 corrupt: steps/x: has 1 byte, not 2"
    assert listed([]) == ""
    assert listed(list("abcde")) == "a, b, c and 2 more"
