import json
from random import Random

import pytest

import sflab as sf
from sflab.costs.fitting import cdf
from sflab.costs.latency import Constant, Empirical, Lognormal, Mixture
from sflab.errors import SflabError


def chain(*names):
    states = {
        name: {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": name},
            "ResultPath": None,
            **({"Next": after} if after else {"End": True}),
        }
        for name, after in zip(names, (*names[1:], None), strict=True)
    }
    return sf.StateMachine.load({"StartAt": names[0], "States": states})


def runs(n, machine=None, **functions):
    machine = machine or chain(*functions)
    return [sf.Local(functions, seed=seed).start_execution(machine) for seed in range(n)]


def test_what_was_simulated_is_recovered():
    truth = {
        "Fast": sf.lognormal(p50=0.2, p99=0.9),
        "Cold": sf.mixture((0.9, sf.lognormal(p50=0.1, p99=0.15)), (0.1, sf.lognormal(p50=0.6, p99=0.9))),
        "Same": sf.constant(0.25),
    }
    fit = sf.latency.fit(runs(1500, **{name: sf.mock(latency=model) for name, model in truth.items()}))
    fast, cold = fit["Fast"].model, fit["Cold"].model
    assert isinstance(fast, Lognormal)
    assert fast.mu == pytest.approx(truth["Fast"].mu, abs=4 * truth["Fast"].sigma / 1500**0.5)
    assert fast.sigma == pytest.approx(truth["Fast"].sigma, rel=0.08)
    assert isinstance(cold, Mixture)
    assert cold.parts[1][0] == pytest.approx(0.1, abs=0.025)
    assert [part.quantile(0.5) for _, part in cold.parts] == pytest.approx([0.1, 0.6], rel=0.06)
    assert fit["Same"].model == Constant(0.25)
    assert fit["Fast"].p > 0.01
    assert fit["Cold"].ks < 0.04
    assert fit.executions == 1500


def test_a_fit_is_used_as_latencies_and_simulating_with_it_gives_it_back():
    machine = chain("Charge", "Pack")
    fit = sf.latency.fit(
        runs(
            800,
            Charge=sf.mock(latency=sf.lognormal(p50=0.3, p99=1.2)),
            Pack=sf.mock(latency=sf.lognormal(p50=0.1, p99=0.2)),
        )
    )
    again = sf.simulate(machine, n=800, functions={"Charge": sf.mock(latency=99), "Pack": sf.mock()}, latencies=fit)
    first = sorted(
        run.seconds * 1000
        for run in runs(
            800,
            Charge=sf.mock(latency=sf.lognormal(p50=0.3, p99=1.2)),
            Pack=sf.mock(latency=sf.lognormal(p50=0.1, p99=0.2)),
        )
    )
    for q in (0.5, 0.9):
        assert again.quantile(q) == pytest.approx(first[int(800 * q)], rel=0.1)
    local = sf.Local({"Charge": sf.mock(), "Pack": sf.mock()}, latency=fit)
    assert 0.05 < local.start_execution(machine).seconds < 5


def test_errors_become_faults_that_strike_as_often():
    machine = sf.StateMachine.load(
        {
            "StartAt": "T",
            "States": {
                "T": {
                    "Type": "Task",
                    "Resource": "arn:aws:lambda:us-east-1:123456789012:function:f",
                    "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 9}],
                    "End": True,
                }
            },
        }
    )
    wrong = sf.faults({"T": [sf.fault(0.2, "Busy", "try later", after=0.5), sf.fault(0.1, "Broken", after=0.1)]})
    local = [sf.Local({"f": sf.mock(1, latency=0.2)}, seed=seed, faults=wrong) for seed in range(700)]
    fit = sf.latency.fit([each.start_execution(machine) for each in local])
    busy, broken = fit.faults.rules["T"]
    assert (busy.error, busy.cause, busy.after) == ("Busy", "try later", Constant(0.5))
    assert busy.rate == pytest.approx(0.2, abs=0.04)
    assert broken.rate == pytest.approx(0.1, abs=0.03)
    again = sf.simulate(machine, n=700, functions={"f": sf.mock(1)}, latencies=fit, faults=fit.faults)
    assert again.transitions - 2 == pytest.approx(fit["T"].attempts / 700 - 1, abs=0.08)
    assert fit.df.loc["T", "error_rate"] == pytest.approx(0.28, abs=0.04)


def test_what_is_between_states_is_the_workflows_own():
    def event(number, kind, ms, previous, **about):
        key = "stateEnteredEventDetails" if kind.endswith("Entered") else f"{kind[0].lower()}{kind[1:]}EventDetails"
        return {"id": number, "type": kind, "timestamp": ms / 1000, "previousEventId": previous, key: about}

    events = [
        event(1, "ExecutionStarted", 0, 0),
        event(2, "TaskStateEntered", 30, 1, name="A"),
        event(3, "TaskScheduled", 40, 2),
        event(4, "TaskStarted", 60, 3),
        event(5, "TaskSucceeded", 240, 4),
        event(6, "TaskStateExited", 250, 5),
        event(7, "ExecutionSucceeded", 250, 6),
    ]
    for shape in (events, {"events": events}, [events, events], [{"events": events[::-1]}]):
        fit = sf.latency.fit(shape)
        assert fit["A"].model == Constant(0.2)
        assert fit.steps["STANDARD"] == Constant(0.05)
    assert sf.latency.fit(events, type="EXPRESS").steps["EXPRESS"] == Constant(0.05)


def test_a_saved_history_is_read(tmp_path):
    (run,) = runs(1, T=sf.mock(latency=0.7))
    run.history.save(tmp_path / "run.json")
    assert sf.latency.fit([tmp_path / "run.json"])["T"].model == sf.latency.fit(run.history)["T"].model == Constant(0.7)
    (tmp_path / "no.json").write_text("nothing")
    with pytest.raises(SflabError, match=r"no\.json: this is not an execution history"):
        sf.latency.fit(tmp_path / "no.json")


def test_what_no_model_comes_near_is_its_observations():
    rng = Random(1)
    spread = [0.1 * rng.randrange(1, 4) for _ in range(300)]  # three values
    fit = sf.latency.fit([sf.Local({"T": sf.mock(latency=each)}).start_execution(chain("T")) for each in spread])
    assert isinstance(fit["T"].model, Empirical)
    assert isinstance(
        sf.latency.fit(runs(9, T=sf.mock(latency=sf.lognormal(p50=1, p99=2))), model="empirical")["T"].model, Empirical
    )


@pytest.mark.parametrize(
    "model",
    [
        sf.constant(2),
        sf.lognormal(p50=1, p99=4),
        sf.empirical([1, 2, 2, 5]),
        sf.mixture((0.5, sf.constant(1)), (0.5, sf.constant(3))),
    ],
)
def test_a_distribution_function_counts_samples(model):
    rng = Random(5)
    drawn = [model.sample(rng) for _ in range(8000)]
    for x in (0.5, 1, 1.5, 2, 3, 6):
        assert cdf(model, x) == pytest.approx(sum(each <= x for each in drawn) / 8000, abs=0.02)


def test_nothing_to_learn_is_said():
    passing = sf.StateMachine.load({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    with pytest.raises(SflabError, match="no task ended"):
        sf.latency.fit(sf.Local().start_execution(passing))
    with pytest.raises(ValueError, match="auto, lognormal or empirical"):
        sf.latency.fit([], model="normal")
    with pytest.raises(KeyError, match="learned were T"):
        sf.latency.fit(runs(1, T=sf.mock()))["Other"]


def test_it_shows_itself_the_same_every_time():
    learned = [sf.latency.fit(runs(60, T=sf.mock(latency=sf.lognormal(p50=1, p99=3)))) for _ in range(2)]
    one, other = (fit._repr_mimebundle_() for fit in learned)
    assert one == other
    assert "<svg" in one["text/html"]
    assert "learned from 60 executions" in one["text/plain"]
    assert json.loads(learned[0].df.to_json(orient="index"))["T"]["n"] == 60
