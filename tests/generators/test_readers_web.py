"""Web pages: HTML files and WARC records."""

import gzip
import io
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from generators.seeds.inventory import take_inventory
from generators.seeds.readers import pages, read_unit
from generators.seeds.readers.outcomes import Outcome
from generators.seeds.sources import Format, Source
from manifests.records import Reject, SeedDocument

CODE = """\
def find(xs, x):
    lo, hi = 0, len(xs)

    while lo < hi:  # halve
\tmid = (lo + hi) // 2
    return lo"""

PAGE = """\
<!DOCTYPE html><html lang="en-GB"><head><title>Binary
 search</title></head><body>
<nav><a href="/">Home</a> <a href="/more">More pages</a></nav>
<article><h1>Binary search</h1>
<p>Binary search finds an item in a sorted list by halving the range again and again, so that
its time grows with the logarithm of the length of the list and no faster.</p>
<p>The following function shows how it works in detail, without any library:</p>
{code}
<p>When the range is empty, the answer is its lower end, because everything below is smaller.
Its cost is <math><semantics><mi>x</mi>
<annotation encoding="application/x-tex">\\log_2 n</annotation></semantics></math>
steps, which is small.</p>
<ul><li>The range halves.</li><li>The invariant holds.</li></ul>
<table><tr><th>n</th><th>steps</th></tr><tr><td>8</td><td>3</td></tr></table>
</article><footer>Copyright nobody</footer></body></html>
"""


def page(code: str = "") -> str:
    return PAGE.format(code=code)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def read(path: Path, format_: Format) -> list[Outcome]:
    source = Source(name="web", url=str(path), format=format_, licence="CC-BY-4.0")
    return [o for unit in take_inventory([source]).units for o in read_unit(source, unit)]


def documents(found: list[Outcome]) -> list[SeedDocument]:
    return [outcome for outcome in found if isinstance(outcome, SeedDocument)]


def rejects(found: list[Outcome]) -> list[Reject]:
    return [outcome for outcome in found if isinstance(outcome, Reject)]


HIGHLIGHTED = "".join(f'<span class="l">{escaped(line)}</span>\n' for line in CODE.split("\n"))


@pytest.mark.parametrize(
    "code",
    [
        f"<pre><code class='language-python'>{escaped(CODE)}\n</code></pre>",
        f"<pre>\n{escaped(CODE)}</pre>",
        f"<div class='highlight'><pre><span></span>{HIGHLIGHTED}</pre></div>",
        f"<pre>{escaped(CODE)}</pre>".replace("\n", "<br>"),
    ],
)
def test_code_on_a_page_survives_to_the_byte(tmp_path: Path, code: str) -> None:
    (tmp_path / "a.html").write_text(page(code))
    (document,) = documents(read(tmp_path, Format.HTML))
    assert f"```\n{CODE}\n```" in document.text


def test_a_page_gives_its_main_text_title_and_language(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(page())
    (document,) = documents(read(tmp_path, Format.HTML))
    assert (document.title, document.lang) == ("Binary search", "en")
    assert (document.url, document.licence) == ("a.html", "CC-BY-4.0")
    assert "halving the range" in document.text
    assert "$\\log_2 n$" in document.text
    assert "- The range halves." in document.text
    assert "8 | 3" in document.text
    assert "Copyright" not in document.text
    assert "More pages" not in document.text


def test_a_page_reads_the_same_after_any_other(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.html").write_text(page())
    texts = {document.text for document in documents(read(tmp_path, Format.HTML))}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html><body></body></html>", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "unreadable"),
    ],
)
def test_a_file_that_is_no_page_is_one_reject(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.html").write_bytes(data)
    (reject,) = rejects(read(tmp_path, Format.HTML))
    assert reject.reason == reason


def test_pages_in_other_character_sets_are_decoded(tmp_path: Path) -> None:
    html = page("<p>Der Fluß fließt über Öl und Gräser, und naïve Cafés stehen am Ufer.</p>")
    declared = html.replace("<head>", '<head><meta charset="ISO-8859-1">')
    (tmp_path / "declared.html").write_bytes(declared.encode("latin-1"))
    (tmp_path / "silent.html").write_bytes(html.encode("latin-1"))
    for document in documents(found := read(tmp_path, Format.HTML)):
        assert "Fluß fließt über Öl" in document.text
    assert len(documents(found)) == 2


def test_a_killed_extractor_costs_no_page(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(page())
    before = read(tmp_path, Format.HTML)
    for child in multiprocessing.active_children():
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    assert read(tmp_path, Format.HTML) == before


def test_a_page_that_takes_for_ever_is_a_reject_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = pages.extract_here

    def hangs(html: str) -> pages.Page:
        if "hang" in html:
            threading.Event().wait()
        if "bomb" in html:
            raise MemoryError("no room")
        return honest(html)

    monkeypatch.setattr(pages, "extract_here", hangs)
    monkeypatch.setattr(pages, "PAGE_SECONDS", 1.0)
    monkeypatch.setattr(pages, "_mine", threading.local())
    for name, text in (("a", "hang"), ("b", "bomb"), ("c", "")):
        (tmp_path / f"{name}.html").write_text(page(f"<p>{text}</p>"))
    hung, failed, read_after = read(tmp_path, Format.HTML)
    assert isinstance(hung, Reject)
    assert hung.detail == "a.html: extraction took over 1 s"
    assert isinstance(failed, Reject)
    assert failed.detail == "b.html: MemoryError: no room"
    assert isinstance(read_after, SeedDocument)


def answer(writer: WARCWriter, url: str, body: str, **headers: str) -> None:
    status = headers.pop("status", "200 OK")
    kind = headers.pop("content_type", "text/html; charset=utf-8")
    http = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1")
    payload = io.BytesIO(body.encode(headers.pop("charset", "utf-8")))
    record = writer.create_warc_record(url, "response", payload=payload, http_headers=http)
    writer.write_record(record)


def warc(path: Path, *, compress: bool, count: int = 3) -> Path:
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=compress)
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "test"}))
        for n in range(count):
            body = page(f"<p>This is page number {n} of all the pages.</p>")
            answer(writer, f"https://example.org/{n}", body)
            answer(writer, f"https://example.org/{n}.png", "png", content_type="image/png")
    return path


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_the_html_answers_of_a_warc_are_documents(tmp_path: Path, name: str) -> None:
    path = warc(tmp_path / name, compress=name.endswith(".gz"))
    with path.open("ab") as file:
        writer = WARCWriter(file, gzip=name.endswith(".gz"))
        answer(writer, "https://example.org/gone", page(), status="404 Not Found")
        latin = "text/html; charset=ISO-8859-1"
        answer(
            writer,
            "https://example.org/latin",
            page("<p>Die Straße über den Fluß ist naß.</p>"),
            content_type=latin,
            charset="latin-1",
        )
    found = read(tmp_path, Format.WARC)
    assert rejects(found) == []
    urls = [document.url.partition("#")[0] for document in documents(found)]
    assert urls == [f"https://example.org/{n}" for n in (0, 1, 2, "latin")]
    assert documents(found)[1].url == f"https://example.org/1#{name}#record=3"
    assert "page number 1" in documents(found)[1].text
    assert "Straße über" in documents(found)[3].text


def test_one_gzip_member_around_all_records_reads_too(tmp_path: Path) -> None:
    plain = warc(tmp_path / "a.warc", compress=False).read_bytes()
    (tmp_path / "b.warc.gz").write_bytes(gzip.compress(plain))
    found = documents(read(tmp_path, Format.WARC))
    assert [d.text for d in found[:3]] == [d.text for d in found[3:]]
    assert len(found) == 6


def test_texts_of_a_wet_file_are_documents_as_they_are(tmp_path: Path) -> None:
    with (tmp_path / "a.warc.wet.gz").open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for data in (b"Plain text.\n", b"caf\xe9", b""):
            record = writer.create_warc_record(
                "https://example.org/",
                "conversion",
                payload=io.BytesIO(data),
                warc_content_type="text/plain",
            )
            writer.write_record(record)
    found = read(tmp_path, Format.WARC)
    assert [document.text for document in documents(found)] == ["Plain text.\n"]
    assert [reject.reason for reject in rejects(found)] == ["unreadable", "empty"]


def member_starts(data: bytes) -> list[int]:
    starts, at = [], 0
    while (at := data.find(b"\x1f\x8b\x08\0", at)) >= 0:
        starts.append(at)
        at += 1
    return starts


@pytest.mark.parametrize("where", ["head", "middle", "checksum"])
def test_a_damaged_gzip_member_is_one_reject_and_the_next_record_is_read(
    tmp_path: Path, where: str
) -> None:
    path = warc(tmp_path / "a.warc.gz", compress=True)
    data = bytearray(path.read_bytes())
    starts = member_starts(data)
    assert len(starts) == 7
    start, end = starts[3], starts[4]
    at = {"head": start + 12, "middle": (start + end) // 2, "checksum": end - 6}[where]
    data[at] ^= 0xFF
    path.write_bytes(data)
    found = read(tmp_path, Format.WARC)
    (reject,) = rejects(found)
    assert (reject.reason, reject.by) == ("unreadable", "read_warc@1")
    assert "broken record" in reject.detail
    urls = [document.url.partition("#")[0] for document in documents(found)]
    assert urls == ["https://example.org/0", "https://example.org/2"]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_truncated_warc_gives_its_whole_records_and_one_reject(tmp_path: Path, name: str) -> None:
    path = warc(tmp_path / name, compress=name.endswith(".gz"))
    data = path.read_bytes()
    cut = data.rindex(b"WARC/1.0") - 900 if name == "a.warc" else member_starts(data)[-2] + 300
    path.write_bytes(data[:cut])
    found = read(tmp_path, Format.WARC)
    assert len(documents(found)) == 2
    (reject,) = rejects(found)
    assert reject.reason == "unreadable"


@pytest.mark.parametrize("length", ["999999", "100", "2600", "oops", "99999999999"])
def test_a_wrong_content_length_breaks_its_own_record_only(tmp_path: Path, length: str) -> None:
    path = warc(tmp_path / "a.warc", compress=False)
    before, middle, after = path.read_bytes().partition(b"WARC-Target-URI: https://example.org/1\r")
    head, _, rest = after.partition(b"Content-Length: ")
    rest = rest.partition(b"\r\n")[2]
    path.write_bytes(
        before + middle + head + b"Content-Length: " + length.encode() + b"\r\n" + rest
    )
    found = read(tmp_path, Format.WARC)
    (reject,) = rejects(found)
    assert "broken record" in reject.detail
    assert reject.detail.startswith("https://example.org/1#a.warc#record=3: ")
    urls = [document.url.partition("#")[0] for document in documents(found)]
    assert urls == ["https://example.org/0", "https://example.org/2"]


def test_a_file_that_is_no_warc_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"no archive\nat all\n")
    (tmp_path / "b.warc.gz").write_bytes(b"no gzip")
    found = read(tmp_path, Format.WARC)
    assert len(rejects(found)) == len(found) == 2


def test_no_extractor_outlives_a_killed_reader(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(page())
    receive, send = multiprocessing.Pipe(duplex=False)

    def reader() -> None:
        read(tmp_path, Format.HTML)
        send.send([child.pid for child in multiprocessing.active_children()])
        threading.Event().wait()

    parent = multiprocessing.get_context("fork").Process(target=reader)
    parent.start()
    (child,) = receive.recv()
    assert parent.pid
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    deadline = threading.Event()
    for _ in range(100):
        if not alive(child):
            return
        deadline.wait(0.05)
    pytest.fail("the extractor is still there after its parent was killed")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
