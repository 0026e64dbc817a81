from random import Random

import pytest

from sflab.costs.faults import CAUSES, Faults, fault, faults, slow_tail
from sflab.costs.latency import constant


def test_the_first_name_that_has_rules_counts():
    given = faults({"Charge": 0.1, "lambda:invoke": fault(0.2, "A"), "*": [fault(0.3, "B"), slow_tail(0.4, times=3)]})
    assert [one.rate for one in given.of(("Charge", "f", "lambda:invoke"))] == [0.1]
    assert [one.error for one in given.of(("Pack", "lambda:invoke"))] == ["A"]
    assert [one.rate for one in given.of((None, "sqs:sendMessage"))] == [0.3, 0.4]
    assert faults({}).of(("Charge",)) == ()
    assert faults(given) is given


def test_faults_strike_as_often_as_they_say():
    given = faults({"*": [fault(0.1, "A"), fault(0.2, "B"), slow_tail(0.25, times=4)]})
    rng, n = Random(3), 20_000
    struck = [given.strike(("T",), rng) for _ in range(n)]
    errors = [one.error if one else None for one, _ in struck]
    assert errors.count("A") / n == pytest.approx(0.1, abs=0.01)
    assert errors.count("B") / n == pytest.approx(0.2 * 0.9, abs=0.01)  # where A struck, B is not seen
    assert sum(times == 4 for _, times in struck) / n == pytest.approx(0.25, abs=0.01)


def test_a_higher_rate_strikes_more_and_the_same():
    few, many = (
        faults({"*": [fault(0.1), slow_tail(0.2, times=2)]}),
        faults({"*": [fault(0.3), slow_tail(0.2, times=2)]}),
    )
    for seed in range(300):
        (struck, slow), (more, as_slow) = (each.strike(("T",), Random(seed)) for each in (few, many))
        assert slow == as_slow
        assert struck is None or more is not None


def test_throttling_has_awss_words():
    one = fault(0.5, "Lambda.TooManyRequestsException", after=0.05)
    assert one.cause == CAUSES["Lambda.TooManyRequestsException"]
    assert one.after == constant(0.05)
    assert fault(0.5, "Lambda.TooManyRequestsException", "mine").cause == "mine"
    assert (
        repr(faults({"T": one}))
        == "faults({'T': [fault(0.5, 'Lambda.TooManyRequestsException', after=constant(0.05))]})"
    )
    assert isinstance(faults(None), Faults)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fault(2), "between 0 and 1"),
        (lambda: faults({"T": "often"}), "a rate is"),
        (lambda: slow_tail(0.1, times=0), "more than 0"),
    ],
)
def test_what_is_no_rate_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()
