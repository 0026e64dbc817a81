"""What each field did in a visit that has happened, worked out from the definition and the history."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sflab as sf
from sflab.engine import history
from sflab.engine.retrace import Retracer

LAMBDA = "arn:aws:states:::lambda:invoke"
CALL = {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "f", "Payload.$": "$.in"}}


def run(states, input, f=lambda event: {"got": event}, **more):
    machine = sf.StateMachine.load({"StartAt": next(iter(states)), "States": states, **more})
    return sf.Local(functions={"f": f}).start_execution(machine, input)


def retraced(execution, events=None):
    events = events or execution.history.events
    definition = execution.machine.definition
    visits = history.visits(events, definition)
    return Retracer(definition, events, visits, {"StateMachine": {"Name": "m"}}), visits


def stages(execution, state):
    tracer, visits = retraced(execution)
    return {s.name: s.value for s in tracer.stages(next(v for v in visits if v.state == state))}


def fail(_):
    raise ValueError("no")


CASES = {
    "a task in JSONPath": (
        {"A": {**CALL, "InputPath": "$.order", "ResultSelector": {"r.$": "$.Payload"}, "ResultPath": "$.done",
               "OutputPath": "$.done", "End": True}},
        {"order": {"in": 1}}, "A",
        {"InputPath": {"in": 1}, "Parameters": {"FunctionName": "f", "Payload": 1}, "ResultSelector": {"r": {"got": 1}},
         "ResultPath": {"order": {"in": 1}, "done": {"r": {"got": 1}}}, "OutputPath": {"r": {"got": 1}}},
    ),
    "a task in JSONata": (
        {"A": {"Type": "Task", "QueryLanguage": "JSONata", "Resource": LAMBDA, "End": True,
               "Arguments": {"FunctionName": "f", "Payload": "{% $states.input.in + 1 %}"},
               "Assign": {"seen": "{% $states.result.Payload.got %}"}, "Output": "{% $states.result.Payload %}"}},
        {"in": 1}, "A",
        {"Arguments": {"FunctionName": "f", "Payload": 2}, "Output": {"got": 2}, "Assign": {"seen": 2}},
    ),
    "a wait of a year": (
        {"A": {"Type": "Wait", "Seconds": 31536000, "OutputPath": "$.x", "End": True}}, {"x": 5}, "A", {"output": 5}),
    "a map": (
        {"A": {"Type": "Map", "ItemsPath": "$.xs", "ItemSelector": {"n.$": "$$.Map.Item.Value"}, "ResultPath": "$.all",
               "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}, "End": True}},
        {"xs": [1, 2]}, "A",
        {"ItemsPath": [1, 2], "ItemSelector": [{"n": 1}, {"n": 2}], "result": [{"n": 1}, {"n": 2}],
         "ResultPath": {"xs": [1, 2], "all": [{"n": 1}, {"n": 2}]}},
    ),
    "a parallel": (
        {"A": {"Type": "Parallel", "ResultSelector": {"first.$": "$[0]"}, "End": True, "Branches": [
            {"StartAt": n, "States": {n: {"Type": "Pass", "Result": n, "End": True}}} for n in ("x", "y")]}},
        {}, "A", {"result": ["x", "y"], "ResultSelector": {"first": "x"}, "output": {"first": "x"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("states", "input", "state", "expected"), CASES.values(), ids=CASES)
def test_stages(states, input, state, expected) -> None:
    execution = run(states, input)
    assert execution.status == "SUCCEEDED"
    found = stages(execution, state)
    assert {name: found.get(name) for name in expected} == expected
    assert found["output"] == execution.output


def test_an_error_and_what_the_catcher_made_of_it() -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "B"}]
    retry = [{"ErrorEquals": ["ValueError"], "MaxAttempts": 2}]
    states = {"A": {**CALL, "Catch": catch, "Retry": retry, "Next": "B"}, "B": {"Type": "Pass", "End": True}}
    execution = run(states, {"in": 1}, f=fail)
    found = stages(execution, "A")
    assert found["error"]["Error"] == "ValueError"
    assert found["output"]["error"]["Error"] == "ValueError"
    assert found["output"]["in"] == 1
    assert "result" not in found


def test_what_only_the_record_knows_is_taken_from_it() -> None:
    """A UUID would come out otherwise: only what was recorded is shown, not what would be made up."""
    states = {"A": {"Type": "Pass", "Parameters": {"id.$": "States.UUID()"}, "End": True}}
    execution = run(states, {"in": 1})
    assert stages(execution, "A") == {"input": {"in": 1}, "output": execution.output}


def test_variables_of_the_scope_and_of_those_around_it() -> None:
    inner = {"StartAt": "I", "States": {
        "I": {"Type": "Pass", "Assign": {"n.$": "$"}, "Next": "J"}, "J": {"Type": "Pass", "End": True}}}  # fmt: skip
    states = {
        "A": {"Type": "Pass", "Assign": {"who": "Ann", "xsDetails": {"truncated": 1}}, "Next": "M"},
        "M": {"Type": "Map", "ItemsPath": "$.xs", "MaxConcurrency": 1, "ItemProcessor": inner, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"who": "Bob"}, "Next": "C"},
        "C": {"Type": "Pass", "End": True},
    }
    tracer, visits = retraced(run(states, {"xs": [7, 8]}))
    outer = {"who": "Ann", "xsDetails": {"truncated": 1}}
    seen = [(v.state, tracer.variables(v)) for v in visits]
    assert seen == [
        ("A", {}), ("M", outer), ("I", outer), ("J", {**outer, "n": 7}), ("I", outer), ("J", {**outer, "n": 8}),
        ("B", outer), ("C", {**outer, "who": "Bob"}),
    ]  # fmt: skip


def test_a_definition_that_does_not_fit() -> None:
    execution = run({"A": {**CALL, "OutputPath": "$.Payload", "End": True}}, {"in": 1})
    events = execution.history.events
    for raw in ({}, {"Type": "Task"}, {"Type": "Map"}, {**CALL, "OutputPath": "$.nothing"}, {"Type": "?"}):
        definition = sf.StateMachine.load({"StartAt": "A", "States": {"A": raw}}).definition
        visits = history.visits(events, definition)
        found = {s.name: s.value for s in Retracer(definition, events, visits).stages(visits[0])}
        assert (found["input"], found["output"]) == ({"in": 1}, {"got": 1})


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_prefix_of_a_history_can_be_retraced(data) -> None:
    item = {**CALL, "Parameters": {"FunctionName": "f", "Payload.$": "$"}, "End": True}
    inner = {"StartAt": "I", "States": {"I": item}}
    states = {
        "A": {**CALL, "ResultPath": "$.a", "Retry": [{"ErrorEquals": ["ValueError"]}], "Next": "M"},
        "M": {"Type": "Map", "ItemsPath": "$.xs", "ItemProcessor": inner, "End": True},
    }
    times = data.draw(st.integers(0, 4))
    left = [times]

    def f(event):
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError("again")
        return event

    execution = run(states, {"in": 1, "xs": [1, 2, 3]}, f=f)
    events = execution.history.events
    tracer, visits = retraced(execution, events[: data.draw(st.integers(1, len(events)))])
    for visit in visits:
        found = tracer.stages(visit)
        assert found[0].name == "input"
        assert json.dumps([s.value for s in found])
        if visit.output is not None:
            assert found[-1].value == json.loads(visit.output)
