"""The bill of a month, from executions that stand for it; what bills are as numbers; bills of whole families."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sflab as sf
from sflab.backends.serve import Server
from sflab.costs.estimate import Bill, bill, mixed, month, per_visit
from sflab.costs.prices import load

PRICES = load()
ITEMS = sorted(PRICES.items)
ROLE = "arn:aws:iam::123456789012:role/states"
HOME = "arn:aws:states:us-east-1:123456789012:stateMachine"


def task(resource, parameters, **more):
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, **more}


def machine(states, name="m", **given):
    return sf.StateMachine.load({"StartAt": next(iter(states)), "States": states}, name=name, **given)


CHARGE = machine(
    {
        "Charge": task(
            "lambda:invoke",
            {"FunctionName": "Charge"},
            Retry=[{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}],
            Next="Paid",
        ),
        "Paid": {"Type": "Succeed"},
    },
    name="charge",
)


def charging(fail_first=0):
    """A backend whose function takes 100 ms, and fails so many times."""
    return sf.Local({"Charge": sf.mock({"paid": True}, latency=0.1, fail_first=fail_first, error="Declined")})


# ── estimate ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_machine_is_run_once_and_its_month_goes_through_the_tiers():
    passing = machine({"A": {"Type": "Pass", "End": True}})
    assert sf.estimate(passing, per_month=1_000_000).exact == 50  # a state, and start and end
    assert sf.estimate(passing, per_month=2000, free_tier=True).usd == 0
    assert sf.estimate(passing, per_month=1_000_000, region="sa-east-1").exact == 75
    assert sf.estimate(passing, sf.Local(region="sa-east-1"), per_month=1_000_000).exact == 75
    express = sf.estimate(passing.as_express(), per_month=100_000_000, express_memory_mb=640)
    assert [(line.item, float(line.quantity)) for line in express.lines] == [
        ("express-request", 100_000_000),
        ("express-gb-second", 3_600_000),
        ("express-gb-second", 2_650_000),
    ]
    one = sf.estimate(CHARGE, charging(), {"id": 1}, per_month=1_000_000, memory_mb=1024)
    assert one.title == "a month of 1,000,000 × one Standard execution"
    assert one.exact == 75 + Decimal("0.2") + 100_000 * Decimal("0.0000166667")
    assert one.exact == sf.estimate(charging().start_execution(CHARGE), per_month=1_000_000, memory_mb=1024).exact


def test_executions_are_mixed_by_their_weights():
    good, slow = charging().start_execution(CHARGE), charging(1).start_execution(CHARGE)
    mixed_up = sf.estimate(
        CHARGE, per_month=1000, runs={"paid": good, "retried": slow}, weights={"paid": 9, "retried": 1}
    )
    assert mixed_up.exact == good.cost().exact * 900 + slow.cost().exact * 100
    assert mixed_up.title == "a month of 1,000 × one execution (90 % paid, 10 % retried)"
    again = {line.assumption: line.quantity for line in slow.cost().lines}
    assert again["each Retry attempt once more"] == 1
    half = sf.estimate(CHARGE, per_month=2, runs=[good, slow])
    assert half.exact == (good.cost() + slow.cost()).exact
    assert sf.estimate(CHARGE, per_month=2, runs=[good.history, slow.history]).exact == half.exact
    assert sf.estimate(good.cost(), per_month=3).exact == good.cost().exact * 3
    assert sf.estimate(CHARGE, per_month=1, runs=[good, slow], weights=[1, 0]).exact == good.cost().exact


def test_what_cannot_be_estimated_is_told():
    run = charging().start_execution(CHARGE)
    for options, said in [
        ({"runs": []}, "no runs"),
        ({"runs": [42]}, "a run is an execution, a History or a Bill, not int"),
        ({"runs": [run, run], "weights": [1]}, "weights= has one number for each of run 1, run 2"),
        ({"runs": {"a": run}, "weights": {"b": 1}}, "weights= has one number for each of a"),
        ({"runs": [run, run], "weights": [1, -1]}, "0 or more"),
        ({"runs": [run, run], "weights": [0, 0]}, "not all of them 0"),
        ({"runs": run, "input": 1}, "not both"),
        ({"runs": run, "per_month": -1}, "per_month is a number of executions"),
        ({"runs": run, "per_month": float("nan")}, "per_month is a number of executions"),
        ({"runs": run, "region": "mars-1"}, "no prices for region 'mars-1'; known are: af-south-1, "),
        ({"runs": run.cost(), "memory_mb": 256}, "a bill is what it is"),
        ({"runs": [run.cost(region="eu-west-3"), run]}, "give region="),
    ]:
        with pytest.raises(sf.SflabError, match=said):
            sf.estimate(CHARGE, **{"per_month": 1, **options})
    with pytest.raises(sf.TaskNotFoundError, match="Charge"):
        sf.estimate(CHARGE, per_month=1)
    for option, value in (("memory_mb", 0), ("start_end", 3), ("api_type", "rest"), ("logging", "all")):
        with pytest.raises(ValueError, match=option):
            run.cost(**{option: value})


def test_free_units_of_one_pool_are_taken_once():
    used = {"lambda.gb-second-x86_64": 300_000, "lambda.gb-second-arm64": 300_000}
    free = month(used, free_tier=True)
    assert free.exact == 200_000 * Decimal("0.0000133334")
    assert [float(line.quantity) for line in free.lines if not line.unit_price] == [300_000, 100_000]
    queues = month({"sqs.request": 1_000_000, "sqs.fifo-request": 1_000_000}, free_tier=True)
    assert queues.exact == Decimal("0.5")


# ── bills as numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

QUANTITY = st.decimals(0, 10**11, places=3)
USED = st.dictionaries(st.sampled_from(ITEMS), QUANTITY, max_size=5)


@given(USED, USED)
def test_bills_add_up(first, second):
    a, b = month(first, prices=PRICES), month(second, prices=PRICES)
    assert (a + b).exact == (b + a).exact == a.exact + b.exact
    assert sum([a, b], start=Bill((), "us-east-1", ())).exact == a.exact + b.exact
    assert sum((a + b).by_service().values()) == a.exact + b.exact


@given(USED, st.integers(0, 10**7))
def test_bills_multiply(used, times):
    a = month(used, prices=PRICES)
    assert (a * times).exact == (times * a).exact == a.per(times).exact == a.exact * times
    assert (a < a * (times + 2)) == (a.exact > 0)


@given(st.sampled_from(ITEMS), QUANTITY, QUANTITY, st.booleans())
def test_more_never_costs_less(item, quantity, more, free):
    before, after = (month({item: q}, prices=PRICES, free_tier=free).exact for q in (quantity, quantity + more))
    assert 0 <= before <= after


@given(st.sampled_from(ITEMS), QUANTITY)
def test_a_month_is_linear_within_a_tier(item, quantity):
    price = PRICES[item]
    total = Decimal(0)
    for tier, end in zip(price.tiers, [*(t.start for t in price.tiers[1:]), None], strict=True):
        upper = quantity if end is None else min(quantity, end)
        total += max(Decimal(0), upper - tier.start) * tier.usd
    lines = month({item: quantity}, prices=PRICES).lines
    assert sum((line.usd for line in lines), Decimal(0)) == total
    assert sum((line.quantity for line in lines), Decimal(0)) == quantity


@given(USED)
def test_a_free_tier_takes_off_no_more_than_there_is(used):
    full, free = month(used, prices=PRICES), month(used, prices=PRICES, free_tier=True)
    assert 0 <= free.exact <= full.exact
    assert sum((line.quantity for line in free.lines), Decimal(0)) == sum(used.values(), Decimal(0))


def test_bills_are_compared_side_by_side():
    one = charging().start_execution(CHARGE).cost()
    cheap = charging().start_execution(CHARGE.as_express()).cost()
    assert cheap < one
    assert one > cheap
    assert min(one, cheap) is cheap
    beside = one.compare(cheap, names=("Standard", "Express"))
    assert beside.verdict.startswith("Express is cheaper: ")
    assert "Standard comes to $0.0000754" in beside.verdict
    assert beside.df["difference"].sum() == pytest.approx(cheap.usd - one.usd)
    assert "total" in beside._repr_mimebundle_()["text/plain"]
    assert repr(one.compare(one)) == "<this beside other: both come to $0.00007541>"
    assert one.compare(one).df["difference"].abs().sum() == 0
    with pytest.raises(TypeError):
        one * "2"
    with pytest.raises(TypeError, match="no option 'memory'; there are region, prices, start_end, memory_mb"):
        charging().start_execution(CHARGE).cost(memory=128)
    with pytest.raises(sf.SflabError, match="tiers are a region's own"):
        month(one + charging().start_execution(CHARGE).cost(region="eu-west-3"))
    with pytest.raises(sf.SflabError, match="0 or more"):
        one * -1
    assert mixed([("only", one, 5)]) is one


# ── a visit ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_visits_cost_what_happened_in_them():
    run = charging(1).start_execution(CHARGE)
    costs = per_visit(CHARGE.definition, run.history.events)
    function = Decimal("0.0000002") * 2 + Decimal("0.0000166667") * Decimal("0.025")
    assert [run.history[i - 1]["type"] for i in costs] == ["TaskStateEntered", "SucceedStateEntered"]
    assert list(costs.values()) == [Decimal("0.00005") + function, Decimal("0.000025")]
    assert sum(costs.values()) + Decimal("0.000025") == run.cost().exact  # the start and the end are nobody's
    express = per_visit(CHARGE.definition, run.history.events, type="EXPRESS")
    assert list(express.values()) == [function, 0]


# ── families, and AWS ────────────────────────────────────────────────────────────────────────────────────────────────

INNER = machine({"A": task("lambda:invoke", {"FunctionName": "Charge"}, End=True)}, name="inner")
OUTER = machine(
    {
        "Start": task(
            "states:startExecution.sync:2", {"StateMachineArn": f"{HOME}:inner"}, ResultPath=None, Next="Each"
        ),
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "P",
                "States": {"P": {"Type": "Pass", "Next": "Q"}, "Q": {"Type": "Pass", "End": True}},
            },
            "End": True,
        },
    },
    name="outer",
)


def family(**given):
    local = charging()
    return sf.Local(local.functions, machines=[INNER], **given)


def test_nested_and_child_executions_are_billed_with_their_parent():
    run = family().start_execution(OUTER, {"items": [1, 2, 3]})
    assert run.status == "SUCCEEDED", run.cause
    one = run.cost()
    counted = {line.assumption: float(line.quantity) for line in one.lines}
    assert counted["each state entered"] == 2
    assert counted["each child execution a distributed Map starts"] == 3
    assert counted["child executions of Each: each state entered"] == 6
    assert counted["nested executions of inner: each state entered"] == 1
    assert counted["nested executions of inner: each attempt that ran, failed ones too"] == 1
    assert one.notes == ()
    assert one.title == "one Standard execution and its 3 child executions and 1 nested"
    alone = run.history.cost(OUTER)
    assert any("bills of their own" in note for note in alone.notes)
    with pytest.raises(sf.DefinitionError, match=r"history\.cost\(machine\)"):
        sf.History(run.history.events).cost()


def test_on_aws_it_is_the_same_bill():
    local = family(rate=1)
    with Server(local, 0) as server:
        aws = sf.AWS(endpoint_url=server.url, region="us-east-1", role_arn=ROLE)
        aws.create(INNER)
        run = aws.start_execution(OUTER, {"items": list(range(12))}).wait(30)
        assert run.status == "SUCCEEDED", run.cause
        there, here = run.cost(), local.executions[0].cost()
        assert {line.assumption: line.quantity for line in there.lines if line.service == "stepfunctions"} == {
            line.assumption: line.quantity for line in here.lines if line.service == "stepfunctions"
        }
        assert any("2 of 12 child executions of Each are billed as the average" in note for note in there.notes)
        assert sf.estimate(run, per_month=10).title.startswith("a month of 10 × one Standard execution and its 12")


def test_of_express_children_without_histories_the_requests_are_billed():
    from sflab.costs.usage import Children

    children = Children("arn", "Each", {}, "EXPRESS", {"SUCCEEDED": 5}, ())
    one = bill({}, [], children=[children])
    assert [(line.item, line.quantity) for line in one.lines][-1] == ("express-request", 5)
    assert "how long the child executions of Each took is not known" in one.notes[0]


def test_region_is_where_it_ran():
    passing = machine({"A": {"Type": "Pass", "End": True}})
    assert sf.Local(region="eu-west-3").start_execution(passing).cost().region == "eu-west-3"
    far = sf.Local(region="cn-north-1").start_execution(passing)
    with pytest.raises(sf.SflabError, match=r"no prices for region 'cn-north-1'; known are"):
        far.cost()
    assert far.cost(region="us-east-1").usd == 0.00005
    with pytest.raises(ValueError, match="not both"):
        far.cost(region="us-west-1", prices=PRICES)
