"""The simulated teacher speaks as vLLM does."""

import json
import socket
from functools import partial
from typing import Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.simulated.answers import answer_to
from infra.simulated.chat import parse_ask
from infra.simulated.settings import Settings
from infra.simulated.start import SimulatedTeacher
from tests.infra.simulated_client import SOURCE, ask, asked_for, question, said, send


def test_the_openai_client_gets_a_completion(teacher: SimulatedTeacher) -> None:
    client = openai.OpenAI(base_url=teacher.url + "/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.create(
        model="simulated@r1", messages=[{"role": "user", "content": SOURCE}], max_tokens=50, seed=1
    )
    assert answer.model == "simulated"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 50
    assert [m.id for m in client.models.list()] == ["simulated", "simulated@r1"]


def test_a_streamed_answer_is_the_whole_answer_in_pieces(teacher: SimulatedTeacher) -> None:
    client = openai.OpenAI(base_url=teacher.url + "/v1", api_key="none", max_retries=0)
    chunks = list(
        client.chat.completions.create(
            model="simulated",
            messages=[{"role": "user", "content": SOURCE}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == said(ask(teacher, question()))
    assert len(chunks) > 3
    assert chunks[-1].usage is not None


def test_the_same_question_has_the_same_answer_and_another_seed_another(
    teacher: SimulatedTeacher,
) -> None:
    first, again, other = (said(ask(teacher, question(seed=s))) for s in (1, 1, 2))
    assert first == again != other


def test_an_answer_usually_keeps_the_numbers_and_names_of_the_question(
    teacher: SimulatedTeacher,
) -> None:
    answers = [said(ask(teacher, question(seed=s))) for s in range(40)]
    kept = sum("1969 Neil Armstrong" in a and "2.5" in a for a in answers)
    assert kept >= 28


def test_an_answer_longer_than_max_tokens_is_cut_and_says_so(teacher: SimulatedTeacher) -> None:
    body = json.loads(ask(teacher, question(max_tokens=5))[2])
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5
    assert len(body["choices"][0]["message"]["content"]) == 20


def test_a_stop_text_ends_the_answer(teacher: SimulatedTeacher) -> None:
    whole = said(ask(teacher, question(seed=4)))
    stop = whole[30:36]
    ask_with_stop = parse_ask(
        json.dumps(question(seed=4, stop=[stop])).encode(), Settings(), is_chat=True
    )
    assert stop not in answer_to(ask_with_stop, (), Settings()).text


def test_plain_completions_are_served_too(teacher: SimulatedTeacher) -> None:
    status, _, body = send(teacher, "POST", "/v1/completions", {"prompt": SOURCE, "max_tokens": 9})
    assert status == 200
    assert json.loads(body)["choices"][0]["text"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (question(model="other"), 404, "The model `other` does not exist."),
        (question(max_tokens=9000), 400, "maximum context length is 8192"),
        (question(max_tokens=0.5), 400, "max_tokens is 0.5"),
        (question(n=2), 400, "n must be 1"),
        ({"model": "simulated", "messages": []}, 400, "at least one message"),
        (question(response_format={"type": "grammar"}), 400, "response_format"),
        (asked_for({"not": {"type": "string"}}), 400, "schema keyword 'not'"),
        ([], 400, "not a JSON object"),
    ],
)
def test_a_wrong_request_is_refused_as_vllm_refuses_it(
    teacher: SimulatedTeacher, body: Any, status: int, message: str
) -> None:
    got, _, text = ask(teacher, body)
    error = json.loads(text)["error"]
    assert (got, error["code"]) == (status, status)
    assert message in error["message"]
    assert teacher.stats()["rejected"] == 1


def test_the_metrics_have_vllms_names_and_count_what_happened(teacher: SimulatedTeacher) -> None:
    usages = [json.loads(ask(teacher, question(seed=s))[2])["usage"] for s in range(3)]
    families = text_string_to_metric_families(send(teacher, "GET", "/metrics")[2].decode())
    samples = {s.name: s.value for f in families for s in f.samples if s.labels["model_name"]}
    assert samples["vllm:generation_tokens_total"] == sum(u["completion_tokens"] for u in usages)
    assert samples["vllm:prompt_tokens_total"] == sum(u["prompt_tokens"] for u in usages)
    assert samples["vllm:prefix_cache_queries_total"] == samples["vllm:prompt_tokens_total"]
    assert samples["vllm:prefix_cache_hits_total"] == 2 * 16
    gauges = ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"]
    assert [samples[f"vllm:{name}"] for name in gauges] == [0, 0, 0]
    assert samples["vllm:num_preemptions_total"] == 0


def test_stats_tell_unique_from_repeated_prompts(teacher: SimulatedTeacher) -> None:
    for seed in (1, 2, 2, 2):
        ask(teacher, question(seed=seed))
    stats = teacher.stats()
    assert (stats["unique_prompts"], stats["total_prompts"], stats["answered"]) == (2, 4, 4)
    teacher.reset()
    assert teacher.stats()["total_prompts"] == 0


# --- HTTP


def raw(teacher: SimulatedTeacher, data: bytes) -> bytes:
    host, port = teacher.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(partial(client.recv, 65536), b""))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
        (b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /v1/chat/completions HTTP/1.1\r\nConnection: close\r\n\r\n", b"405"),
    ],
)
def test_what_is_not_a_request_we_take_is_answered_politely(
    teacher: SimulatedTeacher, data: bytes, status: bytes
) -> None:
    assert raw(teacher, data).split(b" ")[1] == status


def test_pipelined_requests_are_answered_in_order_on_one_connection(
    teacher: SimulatedTeacher,
) -> None:
    get = b"GET /%b HTTP/1.1\r\n\r\n"
    last = b"GET /health HTTP/1.0\r\n\r\n"
    answers = raw(teacher, get % b"health" + get % b"nowhere" + get % b"v1/models" + last)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [
        b"200",
        b"404",
        b"200",
        b"200",
    ]


def test_a_body_that_comes_byte_by_byte_is_read(teacher: SimulatedTeacher) -> None:
    host, port = teacher.url.removeprefix("http://").split(":")
    body = json.dumps(question(max_tokens=3)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head % len(body) + body:
            client.send(bytes([byte]))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")


# --- answers that satisfy a schema


def test_a_rule_puts_words_into_the_teachers_mouth(teacher: SimulatedTeacher) -> None:
    teacher.rules(
        [
            {"containing": "Armstrong", "answer": {"verdict": "yes"}},
            {"containing": "", "answer": "no idea", "finish_reason": "length"},
        ]
    )
    assert json.loads(said(ask(teacher, question()))) == {"verdict": "yes"}
    other = json.loads(ask(teacher, question("hello"))[2])["choices"][0]
    assert (other["message"]["content"], other["finish_reason"]) == ("no idea", "length")


# --- time
