"""How a request gets to an endpoint: straight on aiohttp, or through the openai client.

Our own engines are asked on aiohttp: measured against a local server a call costs 0.1 ms of CPU,
through the openai client with its aiohttp transport 1.2 to 1.5 ms (2 cores, Python 3.11), as much
as everything else that is done for a record. Hosted services are asked through the openai client.
Neither retries: the pool does.
"""

import json
import os
from typing import TYPE_CHECKING, Protocol

from infra.teacher.models import Endpoint
from infra.teacher.policy import PoolPolicy
from infra.teacher.wire import Body, Fault, FaultKind, Reply

if TYPE_CHECKING:
    import aiohttp
    from openai import AsyncOpenAI

_KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which vLLM's server closes an idle connection: else a call may be put on a
connection that is just being closed."""


class Transport(Protocol):
    """Asks one endpoint once. Cancelling the call closes its connection, so the engine aborts."""

    async def chat(self, endpoint: Endpoint, body: Body) -> Reply:
        """The endpoint's answer, whatever its status.

        Raises:
            Fault: No whole answer came.
        """

    async def close(self) -> None:
        """Close idle connections."""


def api_key() -> str | None:
    """The key that both transports send, if there is one."""
    return os.environ.get("OPENAI_API_KEY") or None


def open_session(policy: PoolPolicy) -> "aiohttp.ClientSession":
    """An aiohttp session without a limit of its own: the pool's limits are the only ones."""
    import aiohttp

    key = api_key()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=policy.connect_seconds),
        headers={"Authorization": f"Bearer {key}"} if key else {},
    )


class DirectTransport:
    """On aiohttp, for engines of our own."""

    def __init__(self, session: "aiohttp.ClientSession", policy: PoolPolicy) -> None:
        self._session, self._limit = session, policy.max_answer_bytes

    async def chat(self, endpoint: Endpoint, body: Body) -> Reply:
        """See Transport."""
        import aiohttp

        url = f"{endpoint.url}/v1/chat/completions"
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(
                url, data=json.dumps(body).encode(), headers=headers, allow_redirects=False
            ) as response:
                return Reply(
                    status=response.status,
                    headers=response.headers,
                    body=await self._read(response),
                )
        except (aiohttp.ClientError, OSError) as error:
            raise _connection(error) from error

    async def _read(self, response: "aiohttp.ClientResponse") -> bytes:
        if (response.content_length or self._limit + 1) <= self._limit:
            return await response.read()
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self._limit:
                response.close()
                raise Fault(FaultKind.MALFORMED, f"an answer of more than {self._limit} bytes")
            parts.append(part)
        return b"".join(parts)

    async def close(self) -> None:
        """The session belongs to whoever opened it."""


class HostedTransport:
    """Through the openai client, for hosted services."""

    def __init__(self, policy: PoolPolicy) -> None:
        import httpx2
        from openai import DefaultAioHttpClient

        self._http = DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=httpx2.Timeout(None, connect=policy.connect_seconds),
        )
        self._clients: dict[str, AsyncOpenAI] = {}

    async def chat(self, endpoint: Endpoint, body: Body) -> Reply:
        """See Transport."""
        import httpx2
        from openai import APIConnectionError, APIStatusError

        client = self._client(endpoint.url)
        try:
            response = await client.post(
                "/chat/completions", body=body, cast_to=httpx2.Response, options={"timeout": None}
            )
        except APIStatusError as error:
            response = error.response
        except APIConnectionError as error:
            raise _connection(error.__cause__ or error) from error
        return Reply(
            status=response.status_code,
            headers=dict(response.headers),
            body=response.content,
        )

    def _client(self, url: str) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        if url not in self._clients:
            self._clients[url] = AsyncOpenAI(
                base_url=f"{url}/v1",
                api_key=api_key() or "none",
                max_retries=0,
                http_client=self._http,
            )
        return self._clients[url]

    async def close(self) -> None:
        """See Transport."""
        await self._http.aclose()


def _connection(error: BaseException) -> Fault:
    return Fault(FaultKind.CONNECTION, f"{type(error).__name__}: {error}"[:200])
