"""HTTP/1.1 for one purpose: thousands of small requests a second on one core.

Keep-alive, pipelining, `Connection: close`, bodies with a Content-Length, answers whole or chunked.
A request is handed over as an `Exchange`, which is answered now or later, or reset. When the
client goes away first, `on_disconnect` is called.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

_MAX_HEAD = 64 * 1024
_MAX_BODY = 64 * 1024 * 1024
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class BadHttp(Exception):
    """What arrived is not a request that we take; carries the status to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True, kw_only=True)
class Request:
    """One request; the body is complete."""

    method: str
    path: str
    keep_alive: bool
    length: int
    body: bytes = b""
    expects_continue: bool = False


def parse_head(head: bytes) -> Request:
    """The request line and the few headers that matter.

    Raises:
        BadHttp: Not HTTP, or a body without a length.
    """
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
        raise BadHttp(400, "not an HTTP/1.x request line")
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            raise BadHttp(400, "a header line without a colon")
        headers[name.lower()] = value.strip()
    if b"transfer-encoding" in headers:
        raise BadHttp(411, "chunked request bodies are not taken, send a Content-Length")
    method = parts[0].decode("latin-1")
    length = headers.get(b"content-length")
    if length is None and method in ("POST", "PUT"):
        raise BadHttp(411, "no Content-Length")
    if length is not None and not length.isdigit():
        raise BadHttp(400, "the Content-Length is not a number")
    connection = headers.get(b"connection", b"").lower()
    persistent = parts[2] == b"HTTP/1.1"
    return Request(
        method=method,
        path=parts[1].decode("latin-1").partition("?")[0],
        keep_alive=connection != b"close" and (persistent or connection == b"keep-alive"),
        length=int(length or 0),
        expects_continue=headers.get(b"expect", b"").lower() == b"100-continue",
    )


class Exchange:
    """One request and its one answer."""

    __slots__ = ("connection", "on_disconnect", "request")

    def __init__(self, connection: "Connection", request: Request) -> None:
        self.connection = connection
        self.request = request
        self.on_disconnect: Callable[[], None] | None = None

    def reply(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Sequence[str] = (),
        send: int | None = None,
    ) -> None:
        """Answer; `send` cuts the body after so many bytes and drops the connection."""
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"content-type: {content_type}"]
        lines += [f"content-length: {len(body)}", *headers]
        if not self.request.keep_alive:
            lines.append("connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.connection.write(head + (body if send is None else body[:send]))
        self.connection.finished(close=send is not None)

    def begin(self, content_type: str) -> None:
        """Begin an answer whose length is not known yet."""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n"
        close = "" if self.request.keep_alive else "connection: close\r\n"
        self.connection.write((head + close + "\r\n").encode("latin-1"))

    def send(self, data: bytes) -> None:
        """One chunk of an answer that has begun."""
        self.connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """The end of an answer that has begun."""
        self.connection.write(b"0\r\n\r\n")
        self.connection.finished(close=False)

    def reset(self) -> None:
        """Close the TCP connection with a reset instead of an answer."""
        self.connection.reset()


class Connection(asyncio.Protocol):
    """One TCP connection; requests on it are served one after the other."""

    def __init__(self, handle: Callable[[Exchange], None], connections: set["Connection"]) -> None:
        self._handle = handle
        self._connections = connections
        self._buffer = bytearray()
        self._head: Request | None = None
        self._exchange: Exchange | None = None
        self._serving = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface but not the base class.
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.on_disconnect is not None:
            exchange.on_disconnect()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._exchange is None:
            self._serve()
        elif len(self._buffer) > _MAX_BODY:
            self.reset()

    def write(self, data: bytes) -> None:
        """Send, unless the client has gone."""
        if self._transport is not None:
            self._transport.write(data)

    def finished(self, *, close: bool) -> None:
        """The current request is answered: close, or take the next one."""
        exchange, self._exchange = self._exchange, None
        if self._transport is None:
            return
        if close or exchange is None or not exchange.request.keep_alive:
            self._transport.close()
        elif self._buffer and not self._serving:
            self._serve()

    def reset(self) -> None:
        """Drop the connection so that the client sees a TCP reset."""
        if self._transport is not None:
            linger = struct.pack("ii", 1, 0)
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    def _serve(self) -> None:
        self._serving = True
        try:
            while self._exchange is None and self._transport is not None:
                request = self._next_request()
                if request is None or self._transport.is_closing():
                    return
                self._exchange = Exchange(self, request)
                self._handle(self._exchange)
        except BadHttp as bad:
            request = Request(method="", path="", keep_alive=False, length=0)
            self._exchange = Exchange(self, request)
            self._exchange.reply(bad.status, str(bad).encode() + b"\n", content_type="text/plain")
        finally:
            self._serving = False

    def _next_request(self) -> Request | None:
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end > _MAX_HEAD or (end < 0 and len(self._buffer) > _MAX_HEAD):
                raise BadHttp(431, f"headers longer than {_MAX_HEAD} bytes")
            if end < 0:
                return None
            self._head = parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if self._head.length > _MAX_BODY:
                raise BadHttp(413, f"a body longer than {_MAX_BODY} bytes")
            if self._head.expects_continue and len(self._buffer) < self._head.length:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._buffer) < self._head.length:
            return None
        request, self._head = self._head, None
        request.body = bytes(self._buffer[: request.length])
        del self._buffer[: request.length]
        return request
