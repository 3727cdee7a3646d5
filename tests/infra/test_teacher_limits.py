"""The pure parts: limiter, gauges, breaker, retry budget, names."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.teacher.breaker import Breaker, RetryBudget, State
from infra.teacher.gauges import Gauges, read_gauges
from infra.teacher.limiter import Limiter
from infra.teacher.models import Endpoint, Teacher, base_url
from infra.teacher.policy import LimitPolicy, PoolPolicy
from infra.teacher.replica import Replica, stable_hash


def gauges(running: int, waiting: int, kv: float = 0.5, preemptions: float = 0) -> Gauges:
    return Gauges(
        running=running, waiting=waiting, kv_usage=kv, preemptions=preemptions, tokens=0.0
    )


def engine(in_flight: int, slots: int) -> Gauges:
    return gauges(min(in_flight, slots), max(0, in_flight - slots))


def test_the_limit_doubles_until_the_engine_queues_and_then_settles_just_above_its_slots() -> None:
    limiter, seen = Limiter(LimitPolicy(initial=16)), []
    for tick in range(40):
        limiter.bound = True
        limiter.tick(engine(limiter.limit, 256), limiter.limit, float(tick))
        seen.append(limiter.limit)
    assert seen[:4] == [32, 64, 128, 256]
    assert all(256 < limit <= 256 * 1.15 for limit in seen[10:])


def test_the_limit_does_not_grow_while_calls_are_too_few_to_need_it() -> None:
    limiter = Limiter(LimitPolicy(initial=16))
    for tick in range(10):
        limiter.tick(engine(5, 256), 5, float(tick))
    assert limiter.limit == 16


def test_the_limit_does_not_grow_when_the_engine_has_not_seen_what_was_sent() -> None:
    limiter = Limiter(LimitPolicy(initial=16))
    for tick in range(10):
        limiter.bound = True
        limiter.tick(gauges(3, 0), limiter.limit, float(tick))
    assert limiter.limit == 16


def test_one_scrape_between_two_batches_does_not_cut_the_limit() -> None:
    limiter = Limiter(LimitPolicy(initial=60))
    for tick in range(3):
        limiter.tick(gauges(48, 12), 60, float(tick))
    settled = limiter.limit
    limiter.tick(gauges(1, 50), 51, 3.0)
    assert limiter.limit == settled >= 48


def test_several_clients_of_one_engine_come_to_equal_shares() -> None:
    limiters = [Limiter(LimitPolicy(initial=n)) for n in (16, 200, 60)]
    for tick in range(400):
        total = sum(one.limit for one in limiters)
        for one in limiters:
            one.bound = True
            one.tick(engine(total, 240), one.limit, float(tick))
    limits = sorted(one.limit for one in limiters)
    assert limits[-1] <= 1.5 * limits[0]
    assert 240 <= sum(limits) <= 300


def test_a_burst_of_errors_cuts_the_limit_once_and_preemptions_cut_it_too() -> None:
    limiter = Limiter(LimitPolicy(initial=100))
    for _ in range(50):
        limiter.overloaded(1.0)
    assert limiter.limit == 75
    limiter.tick(gauges(75, 1, preemptions=4), 75, 10.0)
    assert limiter.limit == 75
    limiter.tick(gauges(75, 1, preemptions=5), 75, 11.0)
    assert limiter.limit == 56


def test_without_metrics_the_limit_grows_to_a_bound_until_errors_cut_it() -> None:
    limiter = Limiter(LimitPolicy(blind_maximum=100))
    for tick in range(10):
        limiter.bound = True
        limiter.tick(None, limiter.limit, float(tick))
    assert limiter.limit == 100
    limiter.overloaded(10.0)
    limiter.bound = True
    limiter.tick(None, limiter.limit, 11.0)
    assert limiter.limit == 75


@given(st.lists(st.tuples(*[st.integers(0, 500)] * 3, st.booleans()), max_size=60))
def test_the_limit_stays_in_its_bounds_whatever_the_engine_says(
    ticks: list[tuple[int, int, int, bool]],
) -> None:
    policy = LimitPolicy(minimum=2, maximum=300)
    limiter = Limiter(policy)
    for now, (running, waiting, in_flight, bound) in enumerate(ticks):
        limiter.bound = bound
        limiter.tick(gauges(running, waiting), in_flight, float(now))
        if bound:
            limiter.overloaded(float(now))
        assert policy.minimum <= limiter.limit <= policy.maximum


def test_gauges_are_summed_over_engines_and_other_metrics_are_left_alone() -> None:
    text = b"""# HELP vllm:num_requests_running x
vllm:num_requests_running{engine="0",model_name="a b{}"} 3.0
vllm:num_requests_running{engine="1",model_name="a"} 4.0
vllm:num_requests_waiting{engine="0"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",reason="x"} 90
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75
vllm:num_preemptions_total{engine="0"} 2
vllm:num_preemptions_created{engine="0"} 1.7e9
vllm:generation_tokens_total{engine="0"} 10
vllm:prompt_tokens_total{engine="0"} NaN
"""
    assert read_gauges(text) == Gauges(
        running=7, waiting=1, kv_usage=0.75, preemptions=2, tokens=10
    )
    assert read_gauges(b"go_goroutines 3\n") is None


def test_the_breaker_opens_at_half_failures_and_not_on_few_calls() -> None:
    breaker = Breaker(PoolPolicy())
    assert [breaker.answered(False) for _ in range(5)] == [False] * 4 + [True]
    breaker.open(State.OPEN, "why")
    assert not breaker.answered(False)
    breaker.close()
    for _ in range(20):
        breaker.answered(True)
    assert [breaker.answered(False) for _ in range(10)] == [False] * 9 + [True]


@given(st.integers(0, 3000), st.integers(0, 10**6))
def test_retries_never_exceed_a_tenth_of_calls_plus_the_floor(calls: int, seed: int) -> None:
    rng, budget, spent = random.Random(seed), RetryBudget(0.1, 20), 0
    for _ in range(calls):
        budget.earn()
        while rng.random() < 0.5:
            spent += budget.spend()
    assert spent <= 20 + 0.1 * calls + 1e-6


def test_records_spread_evenly_and_a_lost_replica_moves_only_its_own() -> None:
    replicas = [
        Replica(Endpoint(f"http://10.0.0.{i}:8000", "m", Teacher("m")), PoolPolicy())
        for i in range(8)
    ]

    def home(record: int, among: list[Replica]) -> Replica:
        return max(among, key=lambda r: r.weight(stable_hash(f"record {record}")))

    homes = [home(n, replicas) for n in range(4000)]
    counts = [homes.count(r) for r in replicas]
    assert min(counts) > 350
    assert max(counts) < 650
    for n, before in enumerate(homes):
        after = home(n, replicas[1:])
        assert after is before or before is replicas[0]


@pytest.mark.parametrize(
    ("text", "name"),
    [("m", "m@unpinned"), ("org/m@abc", "org/m@abc"), ("m@", "m@@unpinned"), ("@x", "@x@unpinned")],
)
def test_a_teachers_name_is_model_and_revision(text: str, name: str) -> None:
    assert Teacher.parse(text).name == name


def test_a_url_may_be_given_with_or_without_v1() -> None:
    for url in ("http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"):
        assert base_url(url) == "http://h:1"
