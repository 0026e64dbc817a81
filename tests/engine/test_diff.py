"""Differences between executions: empty where they did the same, and naming what was changed."""

import copy
import json

import pytest
from hypothesis import given

import sflab as sf
from sflab.asl.parse import load
from sflab.engine.diff import differences
from sflab.engine.history import details
from tests.engine.test_properties import cases, some
from tests.engine.test_properties import run as run_machine

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:F"
TASK = {"Type": "Task", "Resource": FUNCTION, "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 1}], "End": True}
ITEMS = {
    "StartAt": "Each",
    "States": {
        "Each": {"Type": "Map", "ItemProcessor": {"StartAt": "Do", "States": {"Do": TASK}}, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Left", "States": {"Left": {"Type": "Pass", "End": True}}},
                {"StartAt": "Right", "States": {"Right": {"Type": "Wait", "Seconds": 2, "End": True}}},
            ],
            "End": True,
        },
    },
}


def run(items, seed=0, **mock):
    given_ = {"latency": sf.lognormal(p50=0.1, p99=2), **mock}
    return sf.Local({"F": sf.mock(lambda event, context: event, **given_)}, seed=seed).start_execution(
        sf.StateMachine.load(ITEMS, name="items"), items
    )


def test_the_order_of_branches_ids_and_times_are_no_difference():
    one, two = run([1, 2, 3, 4], seed=1), run([1, 2, 3, 4], seed=2)
    order = [[(e["type"], e["previousEventId"]) for e in each.history] for each in (one, two)]
    assert order[0] != order[1]
    assert not one.history.diff(two.history)
    assert repr(one.history.diff(two.history)) == "Diff(the executions did the same)"
    assert len(one.history.diff(two.history).df) == 0


def test_a_retry_is_named_in_its_branch():
    one, two = run([1, 2]), run([1, 2], fail_first=1, error="Busy")
    found = one.history.diff(two.history)
    assert {(d.branch, d.kind, d.state) for d in found} == {("Each[0]", "missing", "Do"), ("Each[1]", "missing", "Do")}
    attempt = ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionFailed"]
    assert sorted(d.event for d in found if d.branch == "Each[0]") == sorted(attempt)
    back = two.history.diff(one.history)
    assert [(d.branch, d.theirs_id, d.theirs, d.mine_id, d.mine) for d in found] == [
        (d.branch, d.mine_id, d.mine, d.theirs_id, d.theirs) for d in back
    ]


def test_a_value_that_differs_is_shown_once_and_listed_wherever_it_is_handed_on():
    one, two = run([{"sku": "lamp"}]), run([{"sku": "vase"}])
    found = one.history.diff(two.history)
    assert found[0].where == "/input/0/sku"
    assert (found[0].mine, found[0].theirs) == ("lamp", "vase")
    table = found.df
    assert len(table) == len(found) > 5
    assert table["carried"].sum() == len(found) - 1
    assert {"Each[0]", "Both[0]", ""} <= set(table["branch"])
    text = repr(found)
    assert text.count("lamp") == text.count("vase") == 1
    assert "hand these on" in text
    assert "&lt;" in run(["<b>"]).history.diff(two.history)._repr_html_()


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        ("b8f1a7f0-35a4-4f21-9d52-3f8f0c0d4a11", "7c9e6679-7425-40de-944b-e07fc1f90ae7", True),
        ("2026-01-01T00:00:00Z", "2026-02-03T10:11:12.345Z", True),
        ("Tue, 19 Sep 2023 10:11:12 GMT", "Wed, 20 Sep 2023 01:02:03 GMT", True),
        ("arn:aws:states:us-east-1:1:execution:m:a", "arn:aws:states:us-east-1:1:execution:m:b", True),
        ("arn:aws:states:us-east-1:1:stateMachine:a", "arn:aws:states:us-east-1:1:stateMachine:b", False),
        ("2026-01-01", "2026-01-02", False),
        (1, 2, False),
        (1, True, False),
        ("1", 1, False),
        ([1, 2], [1], False),
        ({"a": None}, {}, True),
    ],
)
def test_what_is_another_in_every_run_is_no_difference(mine, theirs, same):
    def events(value):
        return [
            {
                "id": 1, "previousEventId": 0, "timestamp": 0, "type": "ExecutionStarted",
                "executionStartedEventDetails": {"input": json.dumps(value), "roleArn": str(value)},
            }
        ]  # fmt: skip

    assert (differences(events(mine), events(theirs)) == []) is same


def test_the_name_of_an_execution_is_an_id():
    machine = sf.StateMachine.load(
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "Parameters": {"by.$": "$$.Execution.Name"}, "End": True}}}
    )
    local = sf.Local()
    one, two = (local.start_execution(machine, name=name) for name in ("mine", "yours"))
    assert not one.history.diff(two.history)


@some
@given(cases)
def test_an_execution_does_not_differ_from_itself_and_a_change_is_found(case):
    raw, input, seed = case
    _, drive = run_machine(raw, input, seed)
    events, definition = drive.machine.log.events(), load(raw)
    assert differences(events, events, definition) == []
    assert differences(events, json.loads(json.dumps(events, default=str))) == []
    changed = copy.deepcopy(events)
    target = next(e for e in changed if e["type"].endswith("StateEntered"))
    details(target)["input"] = '"changed"'
    found = differences(events, changed, definition)
    assert [(d.mine_id, d.theirs) for d in found] == [(target["id"], '"changed"')]
    assert differences(events, events[:-1], definition)[-1].kind == "extra"
