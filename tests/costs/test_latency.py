import math
import pickle
from random import Random

import pytest

from sflab.costs import latency, prices
from sflab.errors import SflabError


def quantiles(sample, n=20_000, seed=1):
    rng = Random(seed)
    values = sorted(sample(rng) for _ in range(n))
    return values[n // 2], values[n * 99 // 100]


def test_a_lognormal_has_the_quantiles_it_was_made_from():
    model = latency.lognormal(p50=0.12, p99=0.9)
    assert model.quantile(0.5) == pytest.approx(0.12)
    assert model.quantile(0.99) == pytest.approx(0.9)
    assert quantiles(model.sample) == pytest.approx((0.12, 0.9), rel=0.06)
    assert repr(model) == "lognormal(p50=0.12, p99=0.9)"


def test_the_same_seed_gives_the_same_seconds():
    model = latency.mixture((0.5, latency.lognormal(p50=1, p99=2)), (0.5, latency.empirical([3, 4])))
    first, second = ([model.sample(rng) for _ in range(50)] for rng in (Random(7), Random(7)))
    assert first == second
    assert pickle.loads(pickle.dumps(model)) == model


def test_one_number_is_drawn_for_a_sample():
    for model in (latency.lognormal(p50=1, p99=2), latency.empirical([1, 2])):
        drawn, plain = Random(3), Random(3)
        model.sample(drawn)
        plain.random()
        assert drawn.getstate() == plain.getstate()


def test_constant_empirical_mixture_and_cold_start():
    rng = Random(0)
    assert latency.constant(2).sample(rng) == 2
    assert {latency.empirical([3, 1]).sample(rng) for _ in range(50)} == {1, 3}
    always = latency.mixture((0, latency.constant(9)), (1, latency.constant(1)))
    assert {always.sample(rng) for _ in range(50)} == {1}
    start = latency.cold_start(latency.constant(1), latency.constant(5), share=0.25)
    drawn = [start.sample(rng) for _ in range(4000)]
    assert set(drawn) == {1, 6}
    assert drawn.count(6) / 4000 == pytest.approx(0.25, abs=0.03)
    assert repr(start) == "cold_start(constant(1), constant(5), share=0.25)"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: latency.constant(-1), "seconds must be a number of seconds, 0 or more, not -1"),
        (lambda: latency.constant("1"), "not '1'"),
        (lambda: latency.constant(math.nan), "not nan"),
        (lambda: latency.lognormal(p50=2, p99=1), "0 < p50 <= p99"),
        (lambda: latency.lognormal(p50=0, p99=1), "0 < p50 <= p99"),
        (lambda: latency.empirical([]), "at least one"),
        (lambda: latency.mixture((0.5, latency.constant(1))), "add up to 1"),
        (lambda: latency.cold_start(latency.constant(1), share=2), "share is between 0 and 1"),
    ],
)
def test_bad_parameters(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_every_number_says_where_it_is_from():
    folder = prices.data_directory("latency")
    sources = {row["source"] for row in prices.read_rows(folder / "sources.csv")}
    for fact in latency.measured().facts:
        assert fact.basis in ("measured", "derived", "assumed")
        assert 0 < fact.p50 <= fact.p99
        assert fact.note
        assert (fact.source in sources and fact.measured) if fact.basis != "assumed" else not fact.source
        assert fact.n if fact.basis == "measured" else fact.n is None


@pytest.mark.parametrize("workflow", ["STANDARD", "EXPRESS"])
def test_the_parts_add_up_to_what_was_measured_as_a_whole(workflow):
    """One study measured both types the same way: start of the execution to its first, warm function."""
    model = latency.measured(cold_share=0)
    whole = next(f for f in model.facts if f.part == "check" and f.workflow == workflow and f.source == "bitesized")
    p50, p99 = quantiles(lambda rng: model.sample("lambda", "invoke", workflow, rng))
    assert p50 == pytest.approx(whole.p50, rel=0.1)
    assert p99 == pytest.approx(whole.p99, rel=0.2)


def test_the_most_specific_call_counts():
    model = latency.measured().using(
        {"dynamodb:putItem": latency.constant(0.5), "STANDARD": latency.constant(0.25), "sqs:*": latency.constant(1)}
    )
    rng = Random(0)
    assert model.sample("dynamodb", "putItem", "STANDARD", rng) == 0.75
    assert model.sample("aws-sdk:dynamodb", "putItem.waitForTaskToken", "STANDARD", rng) == 0.75
    assert model.sample("sqs", "sendMessage", "STANDARD", rng) == 1.25
    assert model.call("dynamodb", "getItem") == latency.lognormal(p50=0.01, p99=0.04)
    assert model.call("glue", "startJobRun.sync") == latency.lognormal(p50=0.05, p99=0.25)
    with pytest.raises(ValueError, match="EXPRESS, STANDARD"):
        model.step("FAST", rng)
    with pytest.raises(SflabError, match=r"no latency for glue:x; give one with using"):
        latency.Measured({}, {}).call("glue", "x")


def test_cold_starts_depend_on_the_function():
    java, rust = (latency.measured(runtime=name, cold_share=1).call("lambda", "invoke") for name in ("java21", "rust"))
    java, rust = (quantiles(model.sample, 2000) for model in (java, rust))
    assert java[0] > rust[0] + 0.15
    with pytest.raises(SflabError, match=r"no cold start measured for cobol .*python3\.13.*memory_mb 128, 256"):
        latency.measured(runtime="cobol")


def test_it_draws_itself():
    model = latency.measured()
    assert "assumed" in model._repr_mimebundle_()["text/plain"]
    assert list(model.df.columns[:4]) == ["part", "workflow", "service", "action"]
    assert str(model.df["n"].dtype) == "Int64"


# ── who starts cold, and tasks that have models of their own ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("per_second", "seconds", "keep_alive"), [(0.001, 0, 600), (0.01, 0, 60), (1, 0, 0.5), (0.2, 0, 600)]
)
def test_one_environment_starts_cold_after_a_long_gap(per_second, seconds, keep_alive):
    """A call that takes no time needs one environment: cold where no other came for so long, exp(-rate x keep)."""
    share = latency.cold_share(per_second=per_second, seconds=seconds, keep_alive=keep_alive)
    assert share == pytest.approx(math.exp(-per_second * keep_alive), abs=0.01)


def test_more_traffic_starts_cold_less_often_and_longer_calls_more():
    shares = [latency.cold_share(per_second=rate, seconds=0.5, keep_alive=20) for rate in (0.01, 0.1, 1, 10)]
    assert shares == sorted(shares, reverse=True)
    quick, slow = (latency.cold_share(per_second=2, seconds=s, keep_alive=5) for s in (0.05, 5))
    assert quick < slow
    with pytest.raises(ValueError, match="more than 0"):
        latency.cold_share(per_second=0, seconds=1)


def test_functions_have_runtimes_of_their_own():
    model = latency.measured(functions={"Resize": {"runtime": "java21", "memory_mb": 1024, "cold_share": 1}})

    def mean(function, cold=None):
        rng = Random(1)
        return (
            sum(model.sample("lambda", "invoke", "STANDARD", rng, function=function, cold=cold) for _ in range(500))
            / 500
        )

    assert mean("Resize") > mean("Other") + 0.3
    assert mean("Resize", cold=False) == pytest.approx(mean("Other", cold=False))
    assert mean("Other", cold=True) > mean("Other") + 0.15
    with pytest.raises(ValueError, match="a function has runtime, memory_mb, architecture, cold_share, not ram"):
        latency.measured(functions={"f": {"ram": 1}})


def test_a_whole_task_is_named_by_state_function_or_arn():
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    model = latency.measured().using(
        {"Charge": latency.constant(1), arn: latency.constant(2), "s3:*": latency.constant(3)}
    )
    assert model.whole(("Charge", "f", arn)) == latency.constant(1)
    assert model.whole(("Pack", None, arn)) == latency.constant(2)
    assert model.whole(("Pack", None)) is None
    assert model.call("s3", "getObject") == latency.constant(3)
    assert latency.latencies({"Charge": latency.constant(1)}).tasks == {"Charge": latency.constant(1)}
    with pytest.raises(TypeError, match="'Charge' needs a model"):
        latency.measured().using({"Charge": 3})
    with pytest.raises(TypeError, match="latencies are"):
        latency.latencies(3)
