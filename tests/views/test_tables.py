"""Histories as tables: a row each, documented columns and dtypes."""

import json
import re

import pytest

from sflab.engine.history import visits
from sflab.engine.maprun import MapRun
from sflab.errors import DefinitionError
from sflab.views import tables

UTC = "datetime64[us, UTC]"
EVENTS = {
    "id": "int64", "timestamp": UTC, "type": "category", "state": "category", "previous_id": "int64",
    "seconds": "float64", "error": "category", "details": "string",
}  # fmt: skip
VISITS = {
    "state": "category", "type": "category", "status": "category", "entered": UTC, "exited": UTC, "seconds": "float64",
    "waiting": "float64", "attempts": "int64", "error": "category", "cause": "string", "input_bytes": "Int64",
    "output_bytes": "Int64", "cost": "float64", "next": "category", "path": "string", "iteration": "Int64",
    "entered_id": "int64", "exited_id": "Int64",
}  # fmt: skip
EXECUTIONS = {
    "name": "string", "machine": "category", "kind": "category", "status": "category", "started": UTC, "stopped": UTC,
    "seconds": "float64", "visits": "int64", "retries": "int64", "events": "int64", "redrives": "int64",
    "error": "category", "cause": "string", "failed_state": "category", "input_bytes": "Int64", "output_bytes": "Int64",
    "cost": "float64", "parent": "string",
}  # fmt: skip
ERRORS = {
    "error": "string", "times": "int64", "retried": "int64", "caught": "int64", "ended": "int64", "executions": "int64",
    "states": "string", "cause": "string", "example": "string",
}  # fmt: skip
MAP_RUNS = {
    "state": "category", "status": "category", "started": UTC, "stopped": UTC, "seconds": "float64", "items": "int64",
    "executions": "int64", "succeeded": "int64", "failed": "int64", "unfinished": "int64", "redrives": "int64",
    "arn": "string",
}  # fmt: skip

CHILDREN = {
    "name": "string", "status": "category", "items": "int64", "started": UTC, "stopped": UTC, "seconds": "float64",
    "error": "category", "cause": "string",
}  # fmt: skip


def map_run(total):
    run = MapRun("arn:run", "e", "m", "EXPRESS", "l", "Each", "/States/Each", 0, 0, 0, 0.0)
    run.load(list(range(total)), None)
    return run


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_the_columns(saga, good) -> None:
    assert dtypes(tables.events_frame(good)) == dtypes(tables.events_frame([])) == EVENTS
    assert dtypes(tables.visits_frame(visits(good, saga))) == dtypes(tables.visits_frame([])) == VISITS
    assert dtypes(tables.children_frame(map_run(2))) == dtypes(tables.children_frame(map_run(0))) == CHILDREN
    assert dtypes(tables.executions_frame([tables.executed("e", good, [])])) == EXECUTIONS
    assert dtypes(tables.executions_frame([])) == EXECUTIONS
    assert dtypes(tables.errors_frame([], [])) == ERRORS
    assert dtypes(tables.map_runs_frame([map_run(2)])) == dtypes(tables.map_runs_frame([])) == MAP_RUNS
    described = re.findall(
        r"^(\w+)(?:, (\w+))? +(?:int64|category|datetime64|float64|string|Int64)", tables.__doc__, re.MULTILINE
    )
    assert [n for pair in described for n in pair if n] == [
        *EVENTS, *VISITS, *EXECUTIONS, *ERRORS, *MAP_RUNS, *CHILDREN,
    ]  # fmt: skip


def test_a_row_for_every_event(good) -> None:
    frame = tables.events_frame(good)
    assert list(frame.id) == list(range(1, len(good) + 1))
    assert list(frame.timestamp) == [e["timestamp"] for e in good]
    assert frame.state.isna().sum() == 2  # the first and the last are the execution's own
    assert frame.error.dropna().tolist() == ["Busy"]
    assert json.loads(frame.details[1])["name"] == "Validate"
    assert tables.events_frame({"events": good[::-1]}).equals(frame)
    assert frame.groupby("type", observed=True).size().sum() == len(good)


def test_a_row_for_every_visit(saga, good, caught) -> None:
    known = visits(good, saga)
    frame = tables.visits_frame(known)
    assert list(frame.state) == [v.state for v in known]
    first = frame.iloc[0]
    assert (first.attempts, first.status, first.exited - first.entered) == (
        2,
        "SUCCEEDED",
        first.exited - first.entered,
    )
    assert first.input_bytes == 2
    assert frame[frame.state == "Pay"].seconds.tolist() == [259200.0] * 3
    assert frame[frame.state == "One"].path.tolist() == ["Ship[0]", "Ship[1]", "Ship[2]"]
    wrong = tables.visits_frame(visits(caught, saga)).set_index("state")
    assert wrong.status.to_dict() == {
        "Validate": "SUCCEEDED", "Reserve": "CAUGHT", "Stock": "FAILED", "Courier": "ABORTED", "Apologise": "FAILED",
    }  # fmt: skip
    assert wrong.error["Stock"] == "OutOfStock"
    assert wrong.output_bytes.isna()["Courier"]


def test_a_visit_that_has_not_ended(saga, good) -> None:
    frame = tables.visits_frame(visits(good[:3], saga))
    assert frame.exited.isna().all()
    assert frame.seconds.isna().all()
    assert frame.status.tolist() == ["RUNNING"]


def test_what_is_no_history() -> None:
    with pytest.raises(DefinitionError, match="not an execution history"):
        tables.events_frame([{"x": 1}])


def test_a_row_for_every_child_execution() -> None:
    run = map_run(3)
    run.codes, run.errors[1] = bytearray([2, 3, 0]), ("Boom", "it broke")
    run.starts[0], run.stops[0] = 10.0, 12.5
    frame = tables.children_frame(run)
    assert list(frame.status) == ["SUCCEEDED", "FAILED", "PENDING"]
    assert frame.seconds.tolist()[:1] == [2.5]
    assert frame.started.isna().tolist() == [False, True, True]
    assert (frame.error[1], frame.cause[1]) == ("Boom", "it broke")
    assert len(set(frame.name)) == 3
