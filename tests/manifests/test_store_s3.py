"""S3 over a real server, with a proxy before it that loses replies and answers badly."""

import http.client
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from manifests.errors import ConfigError, ServiceError, StoreFull
from manifests.store import open_store
from manifests.stores import objects


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on, but does to those of a method what its script says, one each.

    `lose`: pass it on, then hang up without an answer. `hang up`: do not pass it on. `cut`: answer
    with half of the body. A number: answer with that status instead. `pass`: as always.
    """

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(endpoint)
        self.script: dict[str, deque[str]] = {}
        self.seen: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        script = self.server.script.get(self.command)
        fault = script.popleft() if script else "pass"
        self.server.seen.append(f"{self.command} {fault}")
        if fault == "hang up":
            self.close_connection = True
            return
        if fault.isdigit():
            return self._answer(int(fault), [], b"<Error><Code>Fault</Code></Error>", 0)
        upstream = http.client.HTTPConnection(str(self.server.upstream.netloc), timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        if fault == "lose":
            self.close_connection = True
            return
        self._answer(answer.status, answer.getheaders(), data, len(data) // 2 * (fault == "cut"))

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = {k.lower(): v for k, v in headers}.get("content-length")
        head = self.command == "HEAD"
        self.send_header("Content-Length", length if head and length else str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body[: len(body) - cut])
        self.close_connection = cut > 0

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any


@pytest.fixture
def proxy(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    monkeypatch.setattr(objects, "BACKOFF_SECONDS", (0.001, 0.01))
    server = FaultProxy(s3_environment)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_create_whose_reply_was_lost_is_known_to_be_ours(bucket: str, proxy: FaultProxy) -> None:
    store = open_store(f"s3://{bucket}/x")
    proxy.script["PUT"] = deque(["lose"])
    assert store.create("commit", b"mine") is True
    assert store.get("commit") == b"mine"
    assert [call for call in proxy.seen if call.startswith("PUT")] == ["PUT lose", "PUT pass"]


def test_a_create_that_lost_its_reply_and_the_race_is_known_to_be_lost(
    bucket: str, proxy: FaultProxy
) -> None:
    store = open_store(f"s3://{bucket}/x")
    assert store.create("commit", b"theirs")
    for fault in ("lose", "hang up", "409", "500"):
        proxy.script["PUT"] = deque([fault])
        assert store.create("commit", b"mine") is False
        proxy.script["PUT"] = deque([fault])
        assert store.create("commit", b"theirs") is False, "equal bytes, but not ours"
    assert store.get("commit") == b"theirs"


@pytest.mark.parametrize("fault", ["hang up", "409", "429", "500", "502", "503", "lose"])
def test_what_passes_by_itself_is_tried_again(bucket: str, proxy: FaultProxy, fault: str) -> None:
    store = open_store(f"s3://{bucket}/x")
    proxy.script["PUT"] = deque([fault, fault])
    assert store.create("a", b"1") is True
    proxy.script = {"PUT": deque([fault]), "GET": deque([fault])}
    store.put("a", b"2")
    assert store.get("a") == b"2"
    proxy.script = {"HEAD": deque([fault]), "GET": deque([fault]), "DELETE": deque([fault])}
    assert store.exists("a")
    assert list(store.list("")) == ["a"]
    store.delete("a")
    assert not store.exists("a")


def test_an_answer_that_breaks_off_is_read_again(bucket: str, proxy: FaultProxy) -> None:
    store = open_store(f"s3://{bucket}/x")
    data = secrets.token_bytes(200_000)
    store.put("a", data)
    proxy.script["GET"] = deque(["cut", "cut"])
    assert store.get("a") == data
    assert proxy.seen[-3:] == ["GET cut", "GET cut", "GET pass"]


def test_a_service_that_stays_down_is_a_service_error(bucket: str, proxy: FaultProxy) -> None:
    store = open_store(f"s3://{bucket}/x")
    proxy.script["PUT"] = deque(["503"] * objects.ATTEMPTS)
    with pytest.raises(ServiceError, match=f"no answer after {objects.ATTEMPTS} attempts"):
        store.put("a", b"1")


def test_a_full_bucket_is_store_full(bucket: str, proxy: FaultProxy) -> None:
    store = open_store(f"s3://{bucket}/x")
    for write in (store.put, store.create):
        proxy.script["PUT"] = deque(["507"])
        with pytest.raises(StoreFull, match="free space"):
            write("a", b"1")
    assert not store.exists("a")


def test_a_big_object_goes_up_in_parts_and_is_still_created_only_once(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/x")
    size = 2 * objects.PART_BYTES + 1
    mine, theirs = secrets.token_bytes(size), secrets.token_bytes(size)
    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(lambda data: store.create("big", data), (mine, theirs)))
    assert sorted(won) == [False, True]
    assert store.get("big") == (mine if won[0] else theirs)
    assert store.create("big", b"small") is False


def test_a_big_object_whose_last_reply_was_lost_is_ours(bucket: str, proxy: FaultProxy) -> None:
    store = open_store(f"s3://{bucket}/x")
    data = secrets.token_bytes(2 * objects.PART_BYTES)
    proxy.script["POST"] = deque(["pass", "lose"])  # initiate, complete
    assert store.create("big", data) is True
    assert store.get("big") == data
    assert "POST lose" in proxy.seen


def test_a_list_of_more_than_one_page_is_whole(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/x")
    keys = [f"many/{number:04d}" for number in range(1050)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert list(store.list("many/")) == keys


def test_the_root_of_a_bucket_is_a_root_too(bucket: str) -> None:
    store = open_store(f"s3://{bucket}")
    assert store.create("a/x", b"1")
    assert list(store.list("")) == ["a/x"]
    assert open_store(f"s3://{bucket}/a/").get("x") == b"1"


def test_a_bucket_that_is_not_there_is_named(s3_environment: str) -> None:
    with pytest.raises(ConfigError, match="there is no bucket none-such; create it first"):
        open_store("s3://none-such/x")


def test_a_bucket_that_went_away_is_no_absent_object(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/x")
    store._files.rmdir(bucket)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="no such bucket"):
        store.get("a")


def test_credentials_that_are_missing_are_a_config_error(
    s3_environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="credentials") as caught:
        open_store("s3://bucket/x")
    assert "\n" not in str(caught.value)


def test_credentials_that_are_wrong_are_a_config_error(s3_that_checks: None) -> None:
    with pytest.raises(ConfigError, match="check the credentials"):
        open_store("s3://bucket/x")
