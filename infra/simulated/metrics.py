"""What the simulated teacher knows about its work: its own counts, and vLLM's metrics."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from infra.simulated.engine import Engine


@dataclass(slots=True, kw_only=True)
class Counts:
    """Since the start or the last reset; times are wall seconds."""

    requests: int = 0
    """Completion requests that could be read, those struck by a fault included."""
    answered: int = 0
    cancelled: int = 0
    """Left by their client before they were answered."""
    rejected: int = 0
    """Answered with the 400 or 404 that they deserved."""
    turned_away: int = 0
    """Completion requests that came while it was down."""
    connections: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    service_seconds: float = 0.0
    """Slot-seconds that the answered requests needed; over the slots, it is the ideal time."""
    first_arrival: float | None = None
    last_reply: float | None = None
    prompts: set[int] = field(default_factory=set)
    errors: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    cpu_start: float = field(default_factory=time.process_time)

    def arrived(self, identity: int) -> None:
        """A request came."""
        if self.first_arrival is None:
            self.first_arrival = time.time()
        self.requests += 1
        self.prompts.add(identity)

    def entered(self) -> None:
        """A request went to the engine."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def replied(self) -> None:
        """Something was sent back."""
        self.last_reply = time.time()


def stats(counts: Counts, engine: Engine, slots: int) -> dict[str, Any]:
    """The figures of `/simulated/stats`."""
    both = counts.first_arrival is not None and counts.last_reply is not None
    return {
        "slots": slots,
        "requests": counts.requests,
        "total_prompts": counts.requests,
        "unique_prompts": len(counts.prompts),
        "answered": counts.answered,
        "cancelled": counts.cancelled,
        "rejected": counts.rejected,
        "turned_away": counts.turned_away,
        "errors": dict(counts.errors),
        "finished": dict(counts.finished),
        "connections": counts.connections,
        "in_flight": counts.in_flight,
        "running": engine.running,
        "waiting": engine.waiting,
        "max_in_flight": counts.max_in_flight,
        "max_queue": engine.max_waiting,
        "busy_slot_seconds": engine.busy_seconds(),
        "service_seconds": counts.service_seconds,
        "first_arrival": counts.first_arrival,
        "last_reply": counts.last_reply,
        "elapsed_seconds": (counts.last_reply or 0) - (counts.first_arrival or 0) if both else 0.0,
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "prefix_queries": engine.prefix_queries,
        "prefix_hits": engine.prefix_hits,
        "cpu_seconds": time.process_time() - counts.cpu_start,
    }


def prometheus(counts: Counts, engine: Engine, model: str) -> bytes:
    """The part of vLLM's `/metrics` that says how loaded a replica is; token counts live."""
    gauges = {
        "num_requests_running": engine.running,
        "num_requests_waiting": engine.waiting,
        "kv_cache_usage_perc": engine.cache_usage,
    }
    counters = {
        "num_preemptions": 0,
        "prompt_tokens": counts.prompt_tokens,
        "generation_tokens": engine.generated_tokens(),
        "prefix_cache_queries": engine.prefix_queries,
        "prefix_cache_hits": engine.prefix_hits,
    }
    label = f'engine="0",model_name="{model}"'
    lines: list[str] = []
    for name, value in gauges.items():
        lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{label}}} {float(value)}"]
    for name, value in counters.items():
        lines += [f"# TYPE vllm:{name} counter", f"vllm:{name}_total{{{label}}} {float(value)}"]
    lines.append("# TYPE vllm:request_success counter")
    for reason in ("stop", "length"):
        line = f'vllm:request_success_total{{{label},finished_reason="{reason}"}}'
        lines.append(f"{line} {float(counts.finished[reason])}")
    return ("\n".join(lines) + "\n").encode()
