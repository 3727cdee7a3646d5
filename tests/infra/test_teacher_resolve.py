"""Choosing the model that a server is asked for."""

import asyncio

import pytest
from aiohttp import web

from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from infra.teacher.models import Teacher
from infra.teacher.resolve import Served, WrongModel, choose, resolve
from manifests.errors import ConfigError, TeacherMisconfigured, TeacherUnavailable


def served(*names: str, owner: str = "vllm") -> list[Served]:
    return [Served(name=name, owner=owner, max_model_len=4096) for name in names]


def test_the_alias_with_the_revision_is_what_is_asked_for() -> None:
    endpoint = choose("http://h", served("m", "m@r1", "other"), "m")
    assert endpoint.served_name == "m@r1"
    assert endpoint.teacher == Teacher("m", "r1")
    assert endpoint.max_model_len == 4096
    assert not endpoint.hosted


def test_a_model_without_a_revision_is_unpinned() -> None:
    assert choose("http://h", served("org/m"), "org/m").teacher.name == "org/m@unpinned"


def test_a_server_of_no_known_engine_is_hosted() -> None:
    rows = [Served(name="gpt", owner="openai", max_model_len=None)]
    assert choose("https://h", rows, "gpt").hosted


@pytest.mark.parametrize(
    ("names", "model", "message"),
    [
        (("a", "b"), "m", "does not serve m: it serves a, b"),
        ((), "m", "it serves nothing"),
        (("m", "m@r1"), "m@r2", "does not serve m@r2: it serves m, m@r1"),
        (("m@r1", "m@r2"), "m", "several revisions: m@r1, m@r2"),
    ],
)
def test_a_model_that_is_not_served_is_the_callers_mistake(
    names: tuple[str, ...], model: str, message: str
) -> None:
    with pytest.raises(WrongModel, match=message) as caught:
        choose("http://h", served(*names), model)
    assert isinstance(caught.value, ConfigError)
    assert isinstance(caught.value, TeacherMisconfigured)


def test_servers_are_asked_and_must_agree_on_the_revision() -> None:
    settings = Settings(model="m", revision="r1")
    with (
        SimulatedTeacher(settings) as a,
        SimulatedTeacher(settings) as b,
        SimulatedTeacher(Settings(model="m", revision="r2")) as c,
        SimulatedTeacher(Settings(model="n")) as d,
    ):
        found = asyncio.run(resolve([a.url, b.url + "/v1", a.url + "/"], None))
        assert [(e.url, e.teacher.name) for e in found] == [(a.url, "m@r1"), (b.url, "m@r1")]
        with pytest.raises(WrongModel, match="one model must have one revision everywhere"):
            asyncio.run(resolve([a.url, c.url], "m"))
        with pytest.raises(WrongModel, match="which model"):
            asyncio.run(resolve([a.url, d.url], None))


def test_an_address_where_nothing_answers_is_named_with_what_to_do() -> None:
    with SimulatedTeacher() as gone:
        url = gone.url
    with pytest.raises(
        TeacherUnavailable, match=f"no teacher answers at {url}.*infra.teacher serve"
    ):
        asyncio.run(resolve([url], None))


@pytest.mark.parametrize("urls", [[], ["nonsense"]])
def test_what_is_not_a_url_is_the_callers_mistake(urls: list[str]) -> None:
    with pytest.raises(ConfigError):
        asyncio.run(resolve(urls, None))


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (401, "{}", TeacherMisconfigured),
        (500, "oops", TeacherUnavailable),
        (200, "<html>", TeacherUnavailable),
        (200, '{"data": 3}', TeacherUnavailable),
        (200, "[]", TeacherUnavailable),
    ],
)
def test_what_is_no_list_of_models_is_an_error_of_one_line(
    status: int, text: str, error: type[Exception]
) -> None:
    async def go() -> None:
        async def models(request: web.Request) -> web.Response:
            return web.Response(status=status, text=text)

        app = web.Application()
        app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            with pytest.raises(error) as caught:
                await resolve([f"http://127.0.0.1:{runner.addresses[0][1]}"], None)
            assert "\n" not in str(caught.value)
        finally:
            await runner.cleanup()

    asyncio.run(go())
