import math
import random
import subprocess
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.costs import statistics
from sflab.costs.compare import Comparison, compare, measure, span
from sflab.costs.latency import constant, lognormal
from sflab.costs.prices import load
from sflab.costs.simulation import Row, Simulation, recorded
from sflab.costs.usage import Meter, Usage
from sflab.errors import SflabError


class Simulator:
    """A backend whose executions are so many function calls in a row; *broken* of them fail."""

    def __init__(self, writer, model, *, broken=0.0):
        self.writer, self.model, self.broken = writer, model, broken

    def simulate(self, machine, input, *, n, seed, prices, progress=None):
        meter = Meter(machine.definition, machine.type)
        return recorded("machine", self.runs(machine, n, seed), meter, prices, seed=seed)

    def runs(self, machine, n, seed):
        for i in range(n):
            rng = random.Random(f"{seed}/{i}")
            write = self.writer()
            write("ExecutionStarted")
            for _ in range(machine.calls):
                write.task("lambda", "invoke", seconds=self.model.sample(rng) * machine.slow)
            failed = rng.random() < self.broken
            write("ExecutionFailed" if failed else "ExecutionSucceeded", machine.waits)
            yield SimpleNamespace(
                status="FAILED" if failed else "SUCCEEDED",
                history=SimpleNamespace(events=write.events),
                billed=told(write),
                map_runs=[],
            )


def told(write):
    """What an execution says for its bill."""
    return lambda: SimpleNamespace(events=write.events, children=(), nested=())


def machine(type="STANDARD", calls=3, slow=1.0, waits=0.0):
    return SimpleNamespace(definition={"StartAt": "T", "States": {}}, type=type, calls=calls, slow=slow, waits=waits)


@pytest.fixture
def simulator(write):
    return Simulator(type(write), lognormal(p50=0.1, p99=0.3))


@pytest.fixture
def two(simulator):
    return compare({"saga": machine(), "express": machine("EXPRESS", slow=0.5)}, simulator, {}, n=400, seed=1)


def test_the_table(two):
    frame = two.df
    assert list(frame.index) == ["saga", "express"]
    assert [str(t) for t in frame.dtypes[1:]] == ["float64"] * 11 + ["int64", "float64", "int64"]
    assert frame.columns[0] == "type"
    assert (frame["p50_low"] <= frame["p50_ms"]).all()
    assert (frame["p50_ms"] <= frame["p50_high"]).all()
    assert (frame["p50_ms"] < frame["p90_ms"]).all()
    assert (frame["p90_ms"] < frame["p99_ms"]).all()
    assert frame.loc["saga", "p50_ms"] == pytest.approx(330, rel=0.1)
    assert frame.loc["express", "p50_ms"] == pytest.approx(frame.loc["saga", "p50_ms"] / 2, rel=0.02)
    assert frame.loc["saga", "transitions"] == 4
    assert frame.equals(frame.round(2))


def test_the_bill_is_that_of_a_mean_execution(two):
    bill = two.bills["saga"]
    assert bill.title == "one Standard execution, the mean of 400"
    assert two["saga"].per_million == pytest.approx(bill.usd * 1_000_000)
    assert next(line.quantity for line in bill.lines if line.item == "transition") == 3
    assert two["saga"].per_million == pytest.approx(100 + 0.6 + 0.33 / 8 * 16.6667, rel=0.02)
    with pytest.raises(KeyError, match="compared were saga, express"):
        two["other"]


def test_the_same_seed_gives_the_same_bytes(simulator):
    machines = {"a": machine(), "b": machine("EXPRESS")}
    first, again = (compare(machines, simulator, {}, n=50, seed=3) for _ in range(2))
    assert first == again
    assert first._repr_mimebundle_() == again._repr_mimebundle_()
    assert first.svg() != compare(machines, simulator, {}, n=50, seed=4).svg()


def test_nothing_global_is_touched(simulator):
    import matplotlib as mpl

    settings, luck = dict(mpl.rcParams), random.getstate()
    mpl.rcParams["axes.facecolor"] = "black"
    try:
        with_black = compare({"a": machine()}, simulator, {}, n=20).svg()
        assert mpl.rcParams["axes.facecolor"] == "black"
    finally:
        mpl.rcParams["axes.facecolor"] = settings["axes.facecolor"]
    assert dict(mpl.rcParams) == settings
    assert random.getstate() == luck
    assert compare({"a": machine()}, simulator, {}, n=20).svg() == with_black  # the reader's own style changes nothing


def test_the_words_say_which_and_whether_it_is_real(two):
    assert two.verdict.startswith("Cheapest is “express”: $")
    assert "for “saga”" in two.verdict
    assert "Fastest at the median is “express”" in two.verdict
    assert "a real difference" in two.verdict
    assert "Failed" not in two.verdict


def test_what_could_be_chance_is_called_so(write):
    class Shifted(Simulator):
        """The second machine meets other luck."""

        def runs(self, machine, n, seed):
            return super().runs(machine, n, seed + machine.calls)

    simulator = Shifted(type(write), lognormal(p50=0.1, p99=0.9))
    few = compare({"a": machine(calls=3), "b": machine(calls=3, slow=1.02)}, simulator, {}, n=60)
    assert "could be chance" in few.verdict
    assert "60 executions are too few to tell" in few.verdict  # no interval of p99 from so few
    assert math.isnan(few["a"].interval(0.99)[1])
    assert "(…" not in few._repr_mimebundle_()["text/plain"]
    assert "?)" in few._repr_mimebundle_()["text/plain"]


def test_equal_machines_and_a_single_one(write):
    simulator = Simulator(type(write), constant(0.1))
    same = compare({"a": machine(), "b": machine()}, simulator, {}, n=5)
    assert same.verdict.split(".")[0] == "All cost the same: $101"
    assert "All take the same at the median: 300 ms." in same.verdict
    only = compare({"a": machine()}, simulator, {}, n=5)
    assert only.verdict.startswith("“a” takes 300 ms at the median and 300 ms at p99. A million")
    ET.fromstring(only.svg())


def test_failures_and_what_express_does_not_allow_are_said(write):
    simulator = Simulator(type(write), constant(0.1), broken=0.5)
    result = compare({"a": machine(), "slow": machine("EXPRESS", waits=301)}, simulator, {}, n=40)
    failed = result["a"].failures
    assert 10 < failed < 30
    assert f"Failed: {failed} of 40 of “a”" in result.verdict
    assert "AWS ends an Express execution after five minutes; “slow” took longer here." in result.verdict


def test_more_than_two_are_ranked(simulator):
    many = {f"m{i}": machine(calls=i + 1) for i in range(8)}
    result = compare(many, simulator, {}, n=30)
    assert result.verdict.startswith("Cheapest is “m0”")
    assert "and, at the far end, " in result.verdict
    ET.fromstring(result.svg())


def test_names_are_escaped_and_mean_nothing(simulator):
    name = "<script>x</script> & $a_1$ with a name that is rather long"
    result = compare({name: machine(), "日本": machine()}, simulator, {}, n=20)
    bundle = result._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"]
    assert "<script>" not in bundle["image/svg+xml"]
    assert "$a_1$" in bundle["image/svg+xml"].replace("&amp;", "&")
    ET.fromstring(bundle["image/svg+xml"])


def test_the_picture_is_one_opaque_card_without_a_date(two):
    svg = two.svg()
    assert svg.startswith("<svg")
    assert "dc:date" not in svg
    assert "fill: #ffffff" in svg
    width = float(ET.fromstring(svg).get("width").removesuffix("pt")) * 4 / 3
    assert width <= 760  # pixels that JupyterLab shows unscaled
    assert len(svg) < 80_000
    assert [axes.get_title(loc="left") for axes in two.plot().axes] == [
        "How long executions take",
        "What a million cost",
    ]


@pytest.mark.parametrize("waits", [0, 259_200])
def test_a_long_wait_does_not_flatten_the_picture(write, waits):
    simulator = Simulator(type(write), lognormal(p50=1, p99=3))
    result = compare({"a": machine(waits=waits)}, simulator, {}, n=50)
    axes = result.plot().axes[0]
    assert axes.get_xlabel() == ("seconds above 3 d 1 s" if waits else "seconds")
    assert axes.get_xlim()[1] < 15


def test_in_a_notebook_table_and_picture_are_two_outputs(two, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append(bundle))
    two._ipython_display_()
    assert [sorted(bundle) for bundle in shown] == [["text/html", "text/plain"], ["image/svg+xml", "text/plain"]]
    assert "p99 (95 %)" in shown[0]["text/plain"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"machines": {}}, "a dict from names to state machines: "),
        ({"machines": [machine()]}, "a dict from names to state machines: "),
        ({"n": 0}, "1 or more, not 0"),
    ],
)
def test_bad_input(simulator, arguments, said):
    with pytest.raises(ValueError, match=said):
        compare(**{"machines": {"a": machine()}, "backend": simulator, "input": {}, **arguments})


def test_a_backend_that_cannot_simulate(write):
    with pytest.raises(SflabError, match=r"object cannot simulate; compare with a local backend: sf\.Local"):
        compare({"a": machine()}, object(), {})
    empty = recorded("machine", [], Meter(machine().definition), load())
    nothing = SimpleNamespace(simulate=lambda *_, **__: empty)
    with pytest.raises(SflabError, match="no execution of 'a'"):
        compare({"a": machine()}, nothing, {})


# ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────────────


def weight(n, q, k):
    return math.comb(n, k) * q**k * (1 - q) ** (n - k)


@given(st.integers(1, 300), st.sampled_from([0.5, 0.9, 0.99]))
def test_ranks_are_the_tightest_that_hold(n, q):
    low, high = statistics.ranks(n, q)
    below = lambda k: sum(weight(n, q, i) for i in range(k))  # noqa: E731 - P(fewer than k)
    assert below(low) <= 0.025 + 1e-9
    assert low == n or below(low + 1) > 0.025 - 1e-9
    assert high == n + 1 or below(high) >= 0.975 - 1e-9
    assert high == 1 or below(high - 1) < 0.975 + 1e-9


def test_intervals_hold_what_they_are_about():
    """Of many samples from a known distribution, about 95 in 100 intervals hold the true quantile."""
    model, rng, held = lognormal(p50=1, p99=5), random.Random(11), {0.5: 0, 0.99: 0}
    for _ in range(300):
        values = tuple(sorted(model.sample(rng) for _ in range(500)))
        for q in held:
            low, high = statistics.interval(values, q)
            held[q] += low <= model.quantile(q) <= high
    assert all(0.92 <= hits / 300 <= 0.995 for hits in held.values()), held


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        (0, "0 ms"),
        (8.25, "8.25 ms"),
        (812.4, "812 ms"),
        (3210, "3.21 s"),
        (119_000, "119 s"),
        (125_000, "2 min 5 s"),
        (-349, "−349 ms"),
        (259_201_530, "3 d 1.5 s"),
        (86_400_000 * 400, "400 d"),
    ],
)
def test_durations_in_the_unit_that_suits_them(ms, written):
    assert span(ms) == written


# ── kept, and other ways to do the same ──────────────────────────────────────────────────────────────────────────────


def test_it_is_saved_whole(two, tmp_path):
    for name in ("two.json", "two.json.gz"):
        two.save(tmp_path / name)
        again = Comparison.load(tmp_path / name)
        assert again == two
        assert again._repr_mimebundle_() == two._repr_mimebundle_()
    assert (tmp_path / "two.json.gz").stat().st_size < (tmp_path / "two.json").stat().st_size / 3
    with pytest.raises(SflabError, match=r"expected a file of format 'sflab\.simulation/1'"):
        Simulation.load(tmp_path / "two.json")
    with pytest.raises(SflabError, match="no such file"):
        Comparison.load(tmp_path / "three.json")


def test_the_breakdown_adds_up(two):
    assert list(two.costs.columns) == ["saga", "express"]
    assert two.costs.loc[("stepfunctions", "transition")].tolist() == [100.0, 0.0]
    assert two.costs.sum().tolist() == pytest.approx(two.df["usd_per_million"].tolist(), abs=0.05)


def test_a_callable_is_another_way_to_do_it(simulator):
    seen = []

    def direct(input, rng):
        seen.append(input)
        error = "Timeout" if rng.random() < 0.2 else None
        return {"seconds": rng.uniform(1, 2), "usage": {"lambda.request": 2}, "error": error, "payload": 70}

    told = []
    found = compare(
        {"saga": machine(), "direct": direct, "quick": lambda given, rng: 0.25},
        simulator,
        {"id": 1},
        n=200,
        progress=lambda done, total: told.append((done, total)),
    )
    assert seen == [{"id": 1}] * 200
    assert found["direct"].per_million == pytest.approx(0.4)
    assert 1000 < found["direct"].quantile(0.5) < 2000
    assert 20 < found["direct"].failures < 60
    assert found["direct"].payload == 70
    assert (found["quick"].type, found["quick"].quantile(0.99)) == ("CALLABLE", 250)
    assert "Fastest at the median is “quick”" in found.verdict
    assert told[-1] == (600, 600)
    assert found["direct"] == compare({"direct": direct}, n=200, input={"id": 1})["direct"]


def test_executions_that_somebody_else_ran():
    one = Usage(seconds=1.5, transitions=3)
    one.add("stepfunctions.transition", "each state entered", 3)
    made = Comparison((measure("mine", "STANDARD", [(one, False), (one, True)], load()),), 2, 0)
    assert made["mine"].per_million == pytest.approx(75)
    assert (made["mine"].failures, made["mine"].mean, made["mine"].transitions) == (1, 1500, 3)
    with pytest.raises(SflabError, match="no execution of 'mine'"):
        measure("mine", "STANDARD", [], load())


def test_what_a_callable_may_return(write):
    write("ExecutionStarted")
    write("PassStateEntered", 1.5, name="P", input='"é"')
    write("ExecutionSucceeded", 0.5)
    run = SimpleNamespace(
        status="SUCCEEDED",
        history=SimpleNamespace(events=write.events),
        billed=told(write),
        map_runs=[],
        machine=machine(calls=0),
    )
    found = compare({"ran": lambda given, rng: run}, n=3)
    assert found["ran"].simulation.rows[2] == Row(2, 0.0, 0.0, 2.0, "SUCCEEDED", "", 2, 4, 0, 0.00005)
    for wrong in ("soon", -1, {"took": 1}, {"seconds": 1, "usd": 3}):
        with pytest.raises(TypeError, match="'odd' return"):
            compare({"odd": lambda given, rng, wrong=wrong: wrong}, n=1)
    with pytest.raises(TypeError, match="'odd' is a state machine or a callable"):
        compare({"odd": 3}, n=1)


def test_importing_is_light():
    heavy = "{'pandas', 'numpy', 'matplotlib', 'IPython', 'boto3'}"
    code = f"import sys, sflab.costs.compare, sflab.costs.latency; print(*{heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
