"""From URLs to endpoints: what does each serve, and is it the model that is wanted?"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.teacher.models import UNPINNED, Endpoint, Teacher, base_url
from infra.teacher.policy import PoolPolicy
from infra.teacher.transport import open_session
from infra.teacher.wire import error_message
from manifests.errors import ConfigError, TeacherMisconfigured, TeacherUnavailable

if TYPE_CHECKING:
    import aiohttp

_ENGINES = {"vllm", "sglang"}


class WrongModel(TeacherMisconfigured, ConfigError):
    """The model asked for is not what is served: a person named the wrong one (exit 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One line of /v1/models."""

    name: str
    owner: str
    max_model_len: int | None


async def resolve(urls: Sequence[str], model: str | None) -> list[Endpoint]:
    """One endpoint per URL, all of one model at one revision.

    Args:
        urls: With or without `/v1`.
        model: `NAME` or `NAME@REV`; None takes the only model served.

    Raises:
        TeacherUnavailable: A server does not answer.
        WrongModel: The model is not served, is not the only one, or has several revisions.
    """
    if not urls:
        raise ConfigError("no teacher: give the URL of at least one OpenAI-compatible server")
    bases = list(dict.fromkeys(base_url(url) for url in urls))
    async with open_session(PoolPolicy()) as session:
        listed = await asyncio.gather(*(list_models(session, url) for url in bases))
    if model is None:
        model = _only_model(dict(zip(bases, listed, strict=True)))
    found = [choose(url, served, model) for url, served in zip(bases, listed, strict=True)]
    if len({endpoint.teacher for endpoint in found}) > 1:
        where = ", ".join(f"{e.url} serves {e.teacher.name}" for e in found)
        raise WrongModel(f"one model must have one revision everywhere, but {where}")
    return found


def _only_model(listed: Mapping[str, Sequence[Served]]) -> str:
    names = {Teacher.parse(one.name).model for served in listed.values() for one in served}
    if len(names) != 1:
        where = "; ".join(f"{u}: {_names(served)}" for u, served in listed.items())
        raise WrongModel(f"which model? name one of those that are served ({where})")
    return names.pop()


def choose(url: str, served: Sequence[Served], model: str) -> Endpoint:
    """The endpoint for `model` at `url`; an alias that carries a revision is preferred.

    Raises:
        WrongModel: It is not served there, or at several revisions.
    """
    wanted = Teacher.parse(model)
    names = {one.name: one for one in served}
    aliases = [n for n in names if Teacher.parse(n).model == wanted.model]
    pinned = [n for n in aliases if Teacher.parse(n).revision != UNPINNED]
    if wanted.revision != UNPINNED:
        pinned = [n for n in pinned if Teacher.parse(n) == wanted]
        aliases = []
    elif len(pinned) > 1:
        raise WrongModel(f"{url} serves {wanted.model} at several revisions: {', '.join(pinned)}")
    if not (pinned or aliases):
        raise WrongModel(f"{url} does not serve {model}: it serves {_names(served)}")
    name = (pinned or aliases)[0]
    return Endpoint(
        url=url,
        served_name=name,
        teacher=Teacher.parse(name),
        max_model_len=names[name].max_model_len,
        hosted=names[name].owner not in _ENGINES and names[name].max_model_len is None,
    )


def _names(served: Sequence[Served]) -> str:
    return ", ".join(sorted(one.name for one in served)) or "nothing"


async def list_models(session: "aiohttp.ClientSession", url: str) -> list[Served]:
    """What `url` serves.

    Raises:
        TeacherUnavailable: No answer, or not a list of models.
        TeacherMisconfigured: 401 or 403.
    """
    import aiohttp

    advice = "start one with `python -m infra.teacher serve`, or check the URL"
    try:
        timeout = aiohttp.ClientTimeout(total=15)
        async with session.get(f"{url}/v1/models", timeout=timeout) as response:
            status, body = response.status, await response.read()
            if status == 200:
                return _read_models(await response.json(content_type=None))
    except aiohttp.InvalidURL as error:
        raise ConfigError(f"not a URL: {url!r}; expected http://HOST:PORT") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise TeacherUnavailable(f"no teacher answers at {url} ({reason}): {advice}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TeacherUnavailable(f"{url}/v1/models is not a list of models: {advice}") from error
    said = error_message(body)
    if status in (401, 403):
        raise TeacherMisconfigured(f"{url} answered {status} ({said}): set OPENAI_API_KEY")
    raise TeacherUnavailable(f"{url}/v1/models answered {status} ({said}): {advice}")


def _read_models(parsed: object) -> list[Served]:
    if not isinstance(parsed, dict):
        raise TypeError("not an object")
    served = []
    for row in parsed["data"]:
        length = row.get("max_model_len")
        served.append(
            Served(
                name=str(row["id"]),
                owner=str(row.get("owned_by", "")),
                max_model_len=length if isinstance(length, int) else None,
            )
        )
    return served
