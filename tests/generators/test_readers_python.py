import ast
import sysconfig
from pathlib import Path

import pytest

from generators.seeds.inventory import take_inventory
from generators.seeds.readers import read_unit
from generators.seeds.readers.outcomes import Outcome
from generators.seeds.readers.python import LONG_CLASS
from generators.seeds.sources import Format, Source
from manifests.records import Kind, Reject, SeedDocument

MODULE = '''\
"""A module."""
from __future__ import annotations

import os.path
import sys, json
from collections import OrderedDict as Ordered, deque
from . import sibling

try:
    import fast
except ImportError:
    fast = None


@sibling.mark(
    "x",
)
def documented(path: str) -> Ordered:
    """Reads."""

    def inner():
        """Is not a document of its own."""
        a = 1
        b = 2
        return a + b

    data = json.loads(os.path.basename(path))
    return Ordered(data)


def bare(x):
    y = x
    z = y
    return z


def trivial():
    """Says much, does little."""
    return sys.argv


class Small(Base):
    """Holds."""

    size = 1

    def method(self):
        """Works."""
        first = deque()
        second = first
        return second


if sys.platform == "linux":
    async def fetch(url):
        """Fetches here."""
        a = url
        b = a
        return b
else:
    async def fetch(url):
        """Fetches there."""
        a = url
        b = a
        return b, """
    kept
"""
'''


def read(path: Path) -> list[Outcome]:
    source = Source(name="code", url=str(path), format=Format.PYTHON, licence="PSF-2.0", lang="en")
    return [o for unit in take_inventory([source]).units for o in read_unit(source, unit)]


def documents_of(path: Path) -> dict[str, SeedDocument]:
    found = read(path)
    documents = [outcome for outcome in found if isinstance(outcome, SeedDocument)]
    assert len(documents) == len(found)
    return {document.url.partition("#")[2]: document for document in documents}


@pytest.fixture
def module(tmp_path: Path) -> dict[str, SeedDocument]:
    (tmp_path / "m.py").write_bytes(MODULE.replace("\n", "\r\n").encode())
    return documents_of(tmp_path)


def test_only_documented_definitions_that_do_something_are_documents(
    module: dict[str, SeedDocument],
) -> None:
    assert list(module) == ["documented", "Small", "fetch", "fetch@61"]
    assert {document.kind for document in module.values()} == {Kind.CODE}
    assert module["Small"].title == "Small"


def test_a_definition_comes_with_its_decorators_and_the_imports_it_names(
    module: dict[str, SeedDocument],
) -> None:
    text = module["documented"].text
    head, _, code = text.partition("\n\n\n")
    assert head.split("\n") == [
        "from __future__ import annotations",
        "import os.path",
        "import json",
        "from collections import OrderedDict as Ordered",
        "from . import sibling",
    ]
    assert code.startswith('@sibling.mark(\n    "x",\n)\ndef documented(')
    assert code.endswith("    return Ordered(data)\n")
    assert "from collections import deque\n" in module["Small"].text


def test_every_snippet_is_python_by_itself(module: dict[str, SeedDocument]) -> None:
    for document in module.values():
        compile(document.text, document.url, "exec")


def test_a_long_class_gives_its_methods_below_its_header(tmp_path: Path) -> None:
    filler = "\n".join(f"    field_{n} = {n}" for n in range(LONG_CLASS))
    (tmp_path / "m.py").write_text(
        "import abc\n\n\n@abc.mark\nclass Long(\n    Base,  # why\n):  # so\n"
        '    """Long."""\n\n'
        f"{filler}\n\n"
        "    @property\n    def size(self):\n"
        '        """Counts."""\n        a = 1\n        b = a\n        return b\n\n'
        "    @size.setter\n    def size(self, value):\n"
        '        """Sets."""\n        a = 1\n        b = a\n        self.x = b\n'
    )
    found = documents_of(tmp_path)
    assert [document.title for document in found.values()] == ["Long.size", "Long.size"]
    assert found["Long.size"].text == (
        "import abc\n\n\n@abc.mark\nclass Long(\n    Base,  # why\n):  # so\n"
        "    @property\n    def size(self):\n"
        '        """Counts."""\n        a = 1\n        b = a\n        return b\n'
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"def (", "unreadable"),
        (b"x = '\xff'", "unreadable"),
        (b"# coding: no-such\n", "unreadable"),
        (b"x = 1\0", "unreadable"),
        (b"(" * 5_000, "unreadable"),
        (b"x = " + b"-" * 100_000 + b"1", "unreadable"),
        (b"", "empty"),
        (b"x = 1\n", "empty"),
    ],
)
def test_a_module_without_documents_is_one_reject(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "m.py").write_bytes(data)
    (reject,) = read(tmp_path)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.by) == (reason, "read_python@1")
    assert reject.detail.startswith("m.py: ")


def test_a_module_declares_its_own_encoding(tmp_path: Path) -> None:
    code = '# coding: latin-1\ndef f():\n    """Café."""\n    a = 1\n    b = a\n    return b\n'
    (tmp_path / "m.py").write_bytes(code.encode("latin-1"))
    assert "Café" in documents_of(tmp_path)["f"].text


def test_the_standard_library_gives_thousands_of_snippets_that_all_parse() -> None:
    library = Path(sysconfig.get_path("stdlib"))
    found = [outcome for glob in ("*.py", "asyncio/*.py") for outcome in read(library / glob)]
    documents = [outcome for outcome in found if isinstance(outcome, SeedDocument)]
    assert len(documents) > 2_000
    for document in documents:
        ast.parse(document.text)
