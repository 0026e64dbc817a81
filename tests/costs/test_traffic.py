import math
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.costs.traffic import Bucket, burst, limits, poisson, rate, started, trace
from sflab.errors import SflabError


@pytest.mark.parametrize(
    ("pattern", "times"),
    [
        (rate(2), [0, 0.5, 1, 1.5]),
        (burst(), [0, 0, 0, 0]),
        (burst(3, every=10), [0, 0, 0, 10]),
        (trace([7, 5, 9, 9.5]), [0, 2, 4, 4.5]),
        (trace(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s) for s in (3, 0, 1, 2)), [0, 1, 2, 3]),
    ],
    ids=repr,
)
def test_arrivals(pattern, times):
    assert pattern.times(4, Random(0)) == times


def test_poisson_arrivals_have_independent_gaps():
    times = poisson(4).times(20_000, Random(1))
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.25, rel=0.03)
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(mean**2, rel=0.06)
    assert times == poisson(4).times(20_000, Random(1)) == sorted(times)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: rate(0), "per_second must be a number above 0"),
        (lambda: poisson(math.inf), "per_second must be a number above 0"),
        (lambda: burst(0), "a whole number"),
        (lambda: burst(5), "every is the seconds"),
        (lambda: trace([]), "at least one arrival"),
        (lambda: trace([1]).times(2, Random(0)), "2 executions are asked for"),
        (lambda: limits(workers={"Pack": 0}), "'Pack' may do a whole number"),
        (lambda: limits(start=(0, 1)), "a bucket must be a number above 0"),
    ],
)
def test_what_means_nothing_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def naive(arrivals, size, per_second):
    """A token bucket, second by second as the words say it."""
    tokens, at, out = float(size), 0.0, []
    for arrival in arrivals:
        when = max(arrival, at)
        tokens = min(size, tokens + (when - at) * per_second)
        if tokens < 1:
            when += (1 - tokens) / per_second
            tokens = 1.0
        tokens, at = tokens - 1, when
        out.append(when)
    return out


@given(
    st.lists(st.floats(0, 20), max_size=60).map(sorted),
    st.integers(1, 10),
    st.floats(0.5, 20),
)
def test_a_bucket_lets_through_what_a_naive_one_does(arrivals, size, per_second):
    found = started(arrivals, Bucket(size, per_second))
    assert found == pytest.approx(naive(arrivals, size, per_second), abs=1e-6)


def test_who_has_no_patience_gives_up_and_takes_no_token():
    found = started([0.0] * 10, Bucket(2, 1), patience=1.5)
    assert found == [0, 0, 1, *[None] * 7]
    assert started([0.0, 5.0], None) == [0.0, 5.0]


def test_quotas_are_dated_rows_by_region_and_type():
    here, there = limits("us-east-1"), limits("eu-central-1")
    assert here.start["STANDARD"] == Bucket(1300, 300)
    assert there.start["STANDARD"] == Bucket(800, 150)
    assert here.start["EXPRESS"] == there.start["EXPRESS"] == Bucket(6000, 6000)
    assert (here.transitions["STANDARD"].size, there.transitions["STANDARD"].size) == (5000, 800)
    assert "EXPRESS" not in here.transitions
    assert here.lambda_concurrency == 1000
    assert here.dispatch == {"STANDARD": 100, "EXPRESS": 1000}
    mine = limits(None, lambda_concurrency=10)
    assert mine.start == mine.transitions == {}
    assert mine.shared("EXPRESS")
    assert not limits(None, start=(1, 1)).shared("STANDARD")
    with pytest.raises(SflabError, match="a name such as us-east-1"):
        limits("Ireland")
