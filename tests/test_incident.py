"""The recorded incident: as its script records it, with the bug that the notebook finds, and in AWS's own shape."""

import importlib.util
import json
from pathlib import Path

import pytest

import sflab as sf

DATA = Path(__file__).parents[1] / "data"
INCIDENT = DATA / "histories/incident.json"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("record", DATA / "histories/record.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def machine():
    return sf.StateMachine.load(DATA / "machines/order-fulfilment.asl.json")


def test_the_script_records_what_is_stored(script):
    """Events as they are stored; the stack trace of a function has the script's own lines."""
    stored = sf.History.load(INCIDENT)
    assert not script.record().history.diff(stored)
    assert [e["timestamp"] for e in script.record().history] == [e["timestamp"] for e in stored]


def test_it_has_the_shape_that_the_cli_prints():
    raw = json.loads(INCIDENT.read_text("utf-8"))
    assert list(raw) == ["events"]
    assert [event["id"] for event in raw["events"]] == list(range(1, len(raw["events"]) + 1))
    assert all({"timestamp", "type", "id", "previousEventId"} <= set(event) for event in raw["events"])


def test_the_definition_produced_it_and_the_error_is_not_the_one_that_began_it(machine):
    run = sf.replay(machine, INCIDENT, name="order-81734")
    assert (run.status, run.error) == ("FAILED", "States.Runtime")
    assert [e["taskFailedEventDetails"]["error"] for e in run.history if e["type"] == "TaskFailed"] == [
        "CardNetworkBusy",
        "RateLimitExceeded",
    ]
    assert machine.validate() == []  # nothing that anybody could have known beforehand


def test_on_a_quiet_night_the_order_is_confirmed(script, machine):
    item = json.loads(
        next(e for e in sf.History.load(INCIDENT) if e["type"] == "TaskSucceeded")["taskSucceededEventDetails"][
            "output"
        ]
    )
    local = sf.Local(script.functions(allowed=9), {"dynamodb:getItem": sf.mock(item)})
    run = local.start_execution(machine, {"orderId": "81734"})
    assert run.status == "SUCCEEDED"
    assert [each["consignment"] for each in run.output["shipments"]] == [f"PT77{1200 + n}" for n in range(1, 5)]
