"""Asking the simulated teacher over HTTP, as the tests do."""

import json
from contextlib import closing
from http.client import HTTPConnection
from random import Random
from typing import Any

from infra.simulated.schemas import Writer
from infra.simulated.start import SimulatedTeacher

SOURCE = "In 1969 Neil Armstrong walked on the Moon. People watched it for 2.5 hours and were glad."
Reply = tuple[int, dict[str, str], bytes]


def question(text: str = SOURCE, **more: Any) -> dict[str, Any]:
    return {"model": "simulated", "messages": [{"role": "user", "content": text}], **more}


def send(teacher: SimulatedTeacher, method: str, path: str, body: object = None) -> Reply:
    with closing(HTTPConnection(teacher.url.removeprefix("http://"), timeout=20)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def ask(teacher: SimulatedTeacher, body: dict[str, Any]) -> Reply:
    return send(teacher, "POST", "/v1/chat/completions", body)


def said(reply: Reply) -> str:
    text: str = json.loads(reply[2])["choices"][0]["message"]["content"]
    return text


def asked_for(schema: object, **more: Any) -> dict[str, Any]:
    wrapped = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return question(response_format=wrapped, **more)


def written(schema: Any, seed: int = 0) -> Any:
    writer = Writer(rng=Random(seed), question=1, source=SOURCE, root=schema)
    return writer.value(schema, room=400)


# --- the API
