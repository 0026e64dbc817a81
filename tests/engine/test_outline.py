"""Definitions rebuilt from events: what happened is in them, and they draw it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given

import sflab as sf
from sflab.asl.parse import load
from sflab.engine.history import normalise, visits
from sflab.engine.outline import outline
from sflab.views.graph import svg
from tests.engine.test_properties import cases, run, some

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "conformance" / "cases"
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:F"
MACHINE = {
    "StartAt": "Ask",
    "States": {
        "Ask": {"Type": "Task", "Resource": LAMBDA, "TimeoutSeconds": 9, "Next": "Big?"},
        "Big?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericGreaterThan": 5, "Next": "Each"}],
            "Default": "Never",
        },
        "Never": {"Type": "Succeed"},
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {
                "StartAt": "Send",
                "States": {
                    "Send": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                        "Parameters": {"QueueUrl": "q", "MessageBody.$": "$$.Task.Token"},
                        "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 2}],
                        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Note"}],
                        "End": True,
                    },
                    "Note": {"Type": "Pass", "End": True},
                },
            },
            "Next": "Both",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "L", "States": {"L": {"Type": "Wait", "Seconds": 1, "End": True}}},
                {"StartAt": "R", "States": {"R": {"Type": "Pass", "End": True}}},
            ],
            "Next": "Stop",
        },
        "Stop": {"Type": "Fail", "Error": "Enough", "Cause": "it is"},
    },
}


def test_what_happened_is_rebuilt():
    local = sf.Local({"F": lambda event, context: event}, tasks={"Send": sf.mock(error="Busy", cause="later")})
    ran = local.start_execution(sf.StateMachine.load(MACHINE), {"n": 7, "items": [1, 2]})
    rebuilt = outline(ran.history)
    states = rebuilt["States"]
    assert rebuilt["StartAt"] == "Ask"
    assert states["Ask"] == {"Type": "Task", "Resource": LAMBDA, "TimeoutSeconds": 9, "Next": "Big?"}
    assert states["Big?"] == {"Type": "Choice", "Choices": [{"Next": "Each"}]}
    assert "Never" not in states
    inner = states["Each"]["ItemProcessor"]
    assert (inner["StartAt"], inner["ProcessorConfig"]) == ("Send", {"Mode": "INLINE"})
    assert inner["States"]["Send"] == {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Retry": [{"ErrorEquals": ["Busy"], "MaxAttempts": 2}],
        "Catch": [{"ErrorEquals": ["Busy"], "Next": "Note"}],
    }
    assert [b["StartAt"] for b in states["Both"]["Branches"]] == ["L", "R"]
    assert states["Stop"] == {"Type": "Fail", "Error": "Enough", "Cause": "it is"}


def test_a_loaded_history_draws_and_shows_itself(tmp_path):
    local = sf.Local({"F": lambda event, context: event}, tasks={"Send": sf.mock(1)})
    ran = local.start_execution(sf.StateMachine.load(MACHINE), {"n": 7, "items": [1, 2]})
    ran.history.save(tmp_path / "incident.json")
    read = sf.History.load(tmp_path / "incident.json")
    shown = read._repr_mimebundle_()["text/html"]
    assert shown.startswith("<svg")
    assert "rebuilt from the events" in shown
    assert "Big?" in shown
    assert "Never" not in shown
    assert not read.diff(ran.history)
    assert read.show().drawing
    known = sf.History.load(tmp_path / "incident.json", definition=ran.machine.definition)
    assert "<svg" not in known._repr_mimebundle_()["text/html"]
    assert known.drawn is ran.machine.definition


def test_no_events_give_no_states():
    assert outline([])["States"] == {}


@some
@given(cases)
def test_every_visit_is_at_home_in_what_was_rebuilt(case):
    raw, input, seed = case
    _, drive = run(raw, input, seed)
    events = drive.machine.log.events()
    rebuilt = load(outline(events))
    known = {p.name: p.state["Type"] for p in load(raw).places()}
    types = {p.pointer: p.state["Type"] for p in rebuilt.places()}
    assert {p.name: p.state["Type"] for p in rebuilt.places()}.items() <= known.items()
    for visit in visits(events, rebuilt):
        assert visit.pointer is not None
        assert types[visit.pointer] == visit.type


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recorded histories (../shared/conformance) are not here")
def test_every_recorded_history_is_drawn_without_its_definition():
    begun, drawn = datetime(2026, 1, 1, tzinfo=UTC), 0
    for path in sorted(RECORDINGS.rglob("*.json")):
        recorded = (json.loads(path.read_text("utf-8")).get("expect") or {}).get("history")
        if not recorded or not all(isinstance(e["id"], int) for e in recorded):
            continue
        events = normalise([{**e, "timestamp": begun + timedelta(seconds=e["id"])} for e in recorded])
        rebuilt = load(outline(events))
        assert all(v.pointer for v in visits(events, rebuilt)), path.name
        assert svg(rebuilt, events).startswith("<svg"), path.name
        drawn += 1
    assert drawn > 400
