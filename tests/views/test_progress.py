"""Events become colours: each state at each position of a history."""

import pytest

import sflab as sf
from sflab.errors import DefinitionError
from sflab.views import progress

ONE = "/States/Ship/ItemProcessor/States/One"


def at(seen, pointer, event):
    """How a state looks after an event, by its id."""
    marks = [m for m in seen.states.get(pointer, []) if m.id <= event]
    return marks[-1].status if marks else "IDLE"


def first(seen, type_, name=None):
    return next(
        e["id"]
        for e in seen.events
        if e["type"] == type_ and name in (None, e.get("stateEnteredEventDetails", {}).get("name"))
    )


def test_a_state_changes_with_its_events(saga, good) -> None:
    seen = progress.read(saga, good)
    entered, failed = first(seen, "TaskStateEntered"), first(seen, "TaskFailed")
    assert at(seen, "/States/Validate", entered - 1) == "IDLE"
    assert at(seen, "/States/Validate", entered) == "RUNNING"
    assert at(seen, "/States/Validate", failed) == "RETRYING"
    assert at(seen, "/States/Validate", failed + 1) == "RUNNING"
    assert at(seen, "/States/Validate", first(seen, "TaskStateExited")) == "SUCCEEDED"
    assert seen.last("/States/Validate")[1:] == ("SUCCEEDED", 1, 1, "")
    assert seen.last("/States/Pay").visits == 3
    assert seen.last("/States/Apologise") is None
    assert (seen.status, seen.outcome["output"]) == ("SUCCEEDED", good[-1]["executionSucceededEventDetails"]["output"])
    assert seen.seconds > 3 * 259200


def test_a_map_counts_its_items(saga, good) -> None:
    seen = progress.read(saga, good)
    assert [m.done for m in seen.states["/States/Ship"]] == ["", "0/3", "1/3", "2/3", "3/3", "3/3"]
    assert seen.last(ONE)[1:3] == ("SUCCEEDED", 3)


def test_a_caught_error(saga, caught) -> None:
    seen = progress.read(saga, caught)
    assert seen.status == "FAILED"
    assert seen.last("/States/Reserve").status == "CAUGHT"
    assert seen.last("/States/Reserve/Branches/0/States/Stock").status == "FAILED"
    assert seen.last("/States/Reserve/Branches/1/States/Courier").status == "CANCELLED"
    assert seen.last("/States/Apologise").status == "FAILED"
    assert [(m.source, m.target, m.caught) for m in seen.moves] == [
        ("/States/Validate", "Reserve", False),
        ("/States/Reserve", "Apologise", True),
    ]


def test_what_somebody_stopped_is_aborted_and_what_was_never_entered_is_skipped(saga, good) -> None:
    n = next(i for i, e in enumerate(good) if e["type"] == "TaskScheduled" and i > 10)
    last = good[n - 1]
    stop = {"id": last["id"] + 1, "previousEventId": last["id"], "timestamp": last["timestamp"]}
    seen = progress.read(saga, [*good[:n], {**stop, "type": "ExecutionAborted", "executionAbortedEventDetails": {}}])
    assert seen.last("/States/Reserve").status == "ABORTED"
    assert seen.last("/States/Reserve/Branches/1/States/Courier").status == "ABORTED"
    assert (seen.last("/States/Done"), seen.unreached) == (None, "SKIPPED")
    assert progress.read(saga, good[:n]).unreached == "IDLE"


def test_what_failed_stands_before_what_succeeded(saga, failed) -> None:
    seen = progress.read(saga, failed)
    assert seen.last("/States/Ship").status == "FAILED"
    assert seen.last(ONE).status == "FAILED"
    assert seen.outcome == {"error": "Broken", "cause": "no tape"}


def test_a_history_that_stops_in_the_middle(saga, good) -> None:
    for n in range(len(good)):
        seen = progress.read(saga, good[:n])
        assert seen.status == ("RUNNING" if n else "")
        assert not any(m.target is None for m in seen.moves if m.source == "/States/Validate")


def test_every_visit_ends_as_the_visit_says(saga, good, caught, failed) -> None:
    for events in (good, caught, failed):
        seen = progress.read(saga, events)
        for visit, changes in zip(seen.visits, seen.changes, strict=True):
            assert changes[-1][1] == visit.status.replace("ABORTED", "CANCELLED")  # nobody stopped these
            assert [i for i, _ in changes] == sorted(i for i, _ in changes)


def test_a_history_of_something_else(saga, good) -> None:
    other = [
        {**e, **({"stateEnteredEventDetails": {"name": "?"}} if "stateEnteredEventDetails" in e else {})} for e in good
    ]
    assert progress.read(saga, other).states == {}
    with pytest.raises(DefinitionError, match="not an execution history"):
        progress.read(saga, [{"no": "event"}])


def test_a_redrive_takes_back_what_failed_and_shows_it_running():
    state = {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:work", "End": True}
    branches = [{"StartAt": name, "States": {name: state}} for name in "AB"]
    machine = sf.StateMachine.load(
        {"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": branches, "End": True}}}
    )
    local = sf.Local(tasks={"A": sf.mock(1), "B": sf.mock(error="Boom", latency=1)})
    run = local.start_execution(machine)
    assert run.status == "FAILED"
    redriven = len(run.history) + 1
    run.redrive(tasks={"B": sf.mock(2)})
    assert run.status == "SUCCEEDED"
    read = progress.read(machine.definition, run.history.events)
    shown = {
        v.state: [(i > redriven, status) for i, status in c] for v, c in zip(read.visits, read.changes, strict=True)
    }
    assert shown["A"] == [(False, "RUNNING"), (False, "SUCCEEDED")]
    assert [status for _, status in shown["B"]] == ["RUNNING", "FAILED", "FAILED", "RUNNING", "SUCCEEDED"]
    assert shown["P"] == [(False, "RUNNING"), (False, "FAILED"), (False, "RUNNING"), (True, "SUCCEEDED")]


def test_a_distributed_map_shows_no_count_for_its_history_tells_of_none():
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    for more, shown in (({}, "2/2"), (config, "")):
        raw = {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": {**inner, **more}, "End": True}}}
        run = sf.Local().start_execution(sf.StateMachine.load(raw), [1, 2])
        assert progress.read(run.machine.definition, run.history.events).last("/States/M").done == shown
