"""What a vLLM engine says of itself on /metrics, as far as the pool acts on it."""

import re
from dataclasses import dataclass

_LINE = re.compile(
    rb"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|gpu_cache_usage_perc"
    rb"|num_preemptions(?:_total)?|generation_tokens_total|prompt_tokens_total)"
    rb"(?:\{[^\n]*\})? (\S+)$",
    re.MULTILINE,
)
_LARGEST = {b"kv_cache_usage_perc", b"gpu_cache_usage_perc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """One scrape, summed over the engines behind one address."""

    running: int
    waiting: int
    kv_usage: float
    """0 to 1, of the fullest engine."""
    preemptions: float
    tokens: float
    """Generated and prompt tokens since its start: it moves when the engine does anything."""


def read_gauges(text: bytes) -> Gauges | None:
    """The gauges in a Prometheus text, or None when these are not a vLLM engine's."""
    values: dict[bytes, float] = {}
    for name, number in _LINE.findall(text):
        try:
            value = float(number)
        except ValueError:
            continue
        if value != value:
            continue
        old = values.get(name, 0.0)
        values[name] = max(old, value) if name in _LARGEST else old + value
    if b"num_requests_running" not in values or b"num_requests_waiting" not in values:
        return None
    return Gauges(
        running=int(values[b"num_requests_running"]),
        waiting=int(values[b"num_requests_waiting"]),
        kv_usage=max(values.get(name, 0.0) for name in _LARGEST),
        preemptions=values.get(b"num_preemptions_total", values.get(b"num_preemptions", 0.0)),
        tokens=values.get(b"generation_tokens_total", 0.0)
        + values.get(b"prompt_tokens_total", 0.0),
    )
