"""Histories: the shape events have, the shapes they are read from, and the visits and steps read out of them."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sflab.asl.parse import load
from sflab.engine.history import SHAPES, Log, details, normalise, steps, visits
from sflab.errors import DefinitionError

FN = "arn:aws:lambda:us-east-1:123456789012:function:f"
TASK = {"Type": "Task", "Resource": FN}
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class Boom(Exception):  # noqa: N818 - the error is called so
    pass


def machine(**states):
    return {"StartAt": next(iter(states)), "States": states}


def event(id, type, previous=None, *, at=0, **about):
    """An event in AWS's shape; *about* goes under the details' own key."""
    made = {
        "timestamp": NOON + timedelta(seconds=at),
        "type": type,
        "id": id,
        "previousEventId": id - 1 if previous is None else previous,
    }
    if about:
        made[SHAPES.get(type, ("eventDetails",))[0]] = about
    return made


# ── the shape ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_has_the_shape_boto3_gives_it(run):
    ran = run(machine(A={**TASK, "End": True}), {"a": 1}, {"A": ["done"]})
    entered = ran.events[1]
    assert list(entered) == ["timestamp", "type", "id", "previousEventId", "stateEnteredEventDetails"]
    assert entered == {
        "timestamp": datetime(2030, 1, 1, tzinfo=UTC),
        "type": "TaskStateEntered",
        "id": 2,
        "previousEventId": 0,
        "stateEnteredEventDetails": {"name": "A", "input": '{"a": 1}', "inputDetails": {"truncated": False}},
    }
    assert ran.events[4]["lambdaFunctionSucceededEventDetails"] == {
        "output": '"done"',
        "outputDetails": {"truncated": False},
    }
    assert set(ran.events[3]) == {"timestamp", "type", "id", "previousEventId"}, "LambdaFunctionStarted has no details"
    assert ran.events[0]["executionStartedEventDetails"]["roleArn"].startswith("arn:aws:iam::")


def test_a_service_task_says_its_region_and_its_limits(run):
    raw = machine(
        A={
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage",
            "Parameters": {"x": 1},
            "TimeoutSeconds": 9,
            "End": True,
        }
    )
    ran = run(raw, region="eu-west-1")
    assert ran.of("TaskScheduled")[0][2] == {
        "resourceType": "sqs",
        "resource": "sendMessage",
        "region": "eu-west-1",
        "parameters": '{"x":1}',
        "timeoutInSeconds": 9,
    }


def test_timestamps_are_utc_and_kept_to_the_millisecond():
    log = Log()
    log.write("LambdaFunctionStarted", 0, NOON.timestamp() + 0.0004999)
    log.write("LambdaFunctionStarted", 1, NOON.timestamp() + 1.2345)
    assert [e["timestamp"].isoformat(timespec="milliseconds") for e in log.events()] == [
        "2024-01-01T12:00:00.000+00:00",
        "2024-01-01T12:00:01.234+00:00",
    ]


def test_a_part_of_the_log_is_the_same_part_of_the_whole(run):
    ran = run(machine(A={**TASK, "Next": "B"}, B={"Type": "Pass", "End": True}), {"a": [1]}, {"A": [{"b": [2]}]})
    whole = ran.log.events()
    for start in range(len(whole) + 1):
        assert ran.log.events(start) == whole[start:]
        assert ran.log.events(0, start) == whole[:start]


def test_equal_values_in_a_row_are_written_each_with_its_own_text():
    """A value's text is kept for the event after it; a list that looks like the one before is not that one."""
    log = Log()
    log.root, log.root_text = [1], "[ 1 ]"
    for value in (log.root, [1], log.root, [1]):
        log.write("PassStateEntered", 0, 0.0, "A", value)
    assert [details(e)["input"] for e in log.events()] == ["[ 1 ]", "[1]", "[ 1 ]", "[1]"]


def test_a_null_value_is_written_and_an_absent_member_is_not():
    log = Log()
    log.write("PassStateEntered", 0, 0.0, "A", None)
    log.write("ExecutionFailed", 1, 0.0, "E", None)
    log.write("PassStateExited", 1, 0.0, "A", None, {"x": None, "y": [1]})
    first, second, third = map(details, log.events())
    assert first["input"] == "null"
    assert second == {"error": "E"}
    assert third["assignedVariables"] == {"x": "null", "y": "[1]"}


EVERYTHING = [  # a value for every member; the JSON ones are any value, also one that is in the text of a template
    ("PassStateEntered", '?"%s\0{a}', "?"),
    ("PassStateEntered", "é\n\ud800", {"?": ["\ud83d\ude00", "\ud800", 1.5, None]}),
    ("PassStateExited", "A", [1], {"x": {"y": "?"}, "é": None}),
    ("PassStateExited", "A", [1], {}),
    ("PassStateExited", "A", None, None),
    ("MapIterationStarted", "A", 12),
    ("MapStateStarted", 0),
    ("TaskScheduled", "lambda", "invoke", "us-east-1", {"a": "?"}, 1.5, None, {"roleArn": "r", "a": {"b": ["c"]}}),
    ("TaskStarted", "lambda", "invoke"),
    ("EvaluationFailed", "E", '"?"', None, "A"),
    ("ExecutionFailed", None, None),
    ("LambdaFunctionStarted",),
    ("SomethingOfTomorrow",),
]


@pytest.mark.parametrize("indent", [None, 1, 4])
@pytest.mark.parametrize("entry", EVERYTHING, ids=lambda entry: entry[0])
def test_an_event_is_written_as_text_as_it_is_read(entry, indent):
    log = Log()
    log.write(entry[0], 7, NOON.timestamp() + 0.0005, *entry[1:])
    said = {"indent": indent, "default": datetime.isoformat, "ensure_ascii": False}
    for _ in range(2):
        assert log.json(indent=indent) == json.dumps({"events": log.events()}, **said)
        log.write(*log.entries[0])


def test_many_events_are_written_as_text_as_they_are_read():
    log = Log()
    for i in range(1000):
        log.write("PassStateEntered", i, i // 7 / 8, "A", i // 3)
    for stop in (0, 1, 255, 256, 257, 512, None):
        events = log.events(0, stop)
        assert log.json(0, stop) == json.dumps({"events": events}, default=datetime.isoformat)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

EVENTS = [event(1, "ExecutionStarted", 0, input="{}"), event(2, "PassStateEntered", 0, name="A", input="{}")]


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2024-01-01T12:00:00+00:00", NOON),
        ("2024-01-01T12:00:00Z", NOON),
        ("2024-01-01T13:00:00+01:00", NOON),
        ("2024-01-01T12:00:00.123000+00:00", NOON + timedelta(milliseconds=123)),
        ("2024-01-01T12:00:00", NOON),
        (NOON.timestamp(), NOON),
        (int(NOON.timestamp()), NOON),
        (NOON, NOON),
        (NOON.replace(tzinfo=None), NOON),
        (NOON.astimezone(timezone(timedelta(hours=5))), NOON),
        (None, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_timestamps_are_read_as_boto3_the_cli_and_json_write_them(given, moment):
    (read,) = normalise([{"timestamp": given, "type": "PassStateEntered", "id": 1}])
    assert read["timestamp"] == moment
    assert read["timestamp"].tzinfo is not None


def test_a_history_is_read_from_a_list_or_from_the_clis_object_in_either_order():
    assert (
        normalise(EVENTS)
        == normalise({"events": EVENTS})
        == normalise({"events": EVENTS[::-1], "nextToken": "x"})
        == EVENTS
    )


def test_ids_of_logs_are_texts_and_read_as_numbers():
    (read,) = normalise([{"id": "7", "type": "ExecutionStarted", "previousEventId": "0", "timestamp": 0}])
    assert (read["id"], read["previousEventId"]) == (7, 0)


@pytest.mark.parametrize(
    "source",
    [None, 5, "x", {}, {"events": 5}, {"Events": []}, [1], [{}], [{"id": 1}], [{"type": "A"}],
     [{"id": "x", "type": "A"}],
     [{"id": None, "type": "A"}], [{"id": 1, "type": 5}], [{"id": 1, "type": "A", "timestamp": "yesterday"}],
     [{"id": 1, "type": "A", "timestamp": 1e30}], [{"id": 1, "type": "A", "timestamp": []}],
     [{"id": 1, "type": "A", "previousEventId": "x"}]],
)  # fmt: skip
def test_what_is_no_history_says_so(source):
    with pytest.raises(DefinitionError, match="not an execution history"):
        normalise(source)


def test_reading_does_not_change_what_was_given():
    given = [{"timestamp": "2024-01-01T12:00:00Z", "type": "A", "id": "1"}]
    normalise(given)
    assert given == [{"timestamp": "2024-01-01T12:00:00Z", "type": "A", "id": "1"}]


@pytest.mark.parametrize("previous", [0, 1, 2, 3, 99, -1])
def test_a_broken_history_is_read_as_far_as_it_goes(previous):
    kinds = [
        "MapStateEntered",
        "MapIterationStarted",
        "TaskStateExited",
        "TaskStateAborted",
        "MapStateFailed",
        "TaskFailed",
    ]
    for kind in kinds:
        broken = [event(1, "ExecutionStarted", 0), event(2, kind, previous, name="X"), event(3, "ExecutionFailed", 2)]
        assert len(steps(broken)) == 3
        assert len(visits(broken)) == (kind == "MapStateEntered")
    odd = [event(1, "MapStateEntered", 0, name="M"), event(2, "MapIterationStarted", 1, name="M", index="x")]
    assert len(steps(odd)) == 2


# ── visits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_visit_tells_all_about_one_passage(run):
    raw = machine(
        A={**TASK, "Retry": [{"ErrorEquals": ["Boom"]}], "Next": "B"}, B={"Type": "Wait", "Seconds": 5, "End": True}
    )
    ran = run(raw, {"in": 1}, {"A": [Boom("x"), {"out": 2}]}, after={"A": 2})
    first, second = visits(ran.events, load(raw))
    assert (first.state, first.type, first.pointer, first.path) == ("A", "Task", "/States/A", ())
    assert (first.status, first.attempts, first.error, first.cause) == ("SUCCEEDED", 2, None, None)
    assert (first.input, first.output, first.next) == ('{"in": 1}', '{"out":2}', "B")
    assert (first.seconds, first.exited - first.entered) == (5, 5)
    assert first.events == tuple(range(2, 10))
    assert (first.entered_id, first.exited_id, first.caught) == (2, 9, False)
    assert (second.index, second.seconds, second.next, second.attempts) == (1, 5, None, 1)


def test_a_caught_failure_is_caught_and_keeps_its_error(run):
    raw = machine(
        A={**TASK, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}], "End": True}, B={"Type": "Succeed"}
    )
    first, second = visits(run(raw, {}, {"A": [Boom("why")]}).events)
    assert (first.status, first.caught, first.error, first.cause, first.next) == ("CAUGHT", True, "Boom", "why", "B")
    assert second.status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({**TASK, "End": True}, "Boom"),
        ({"Type": "Fail", "Error": "E", "Cause": "C"}, "E"),
        ({"Type": "Pass", "InputPath": "$.no", "End": True}, "States.Runtime"),
        ({"Type": "Wait", "SecondsPath": "$.no", "End": True}, "States.Runtime"),
    ],
)
def test_what_ends_an_execution_is_the_visit_that_failed(run, state, error):
    raw = machine(Z={"Type": "Pass", "Next": "A"}, A=state)
    ran = run(raw, {}, {"A": [Boom("why")]})
    before, failed = visits(ran.events, load(raw))
    assert before.status == "SUCCEEDED"
    assert (failed.status, failed.error, failed.exited_id) == ("FAILED", error, None)
    assert failed.cause == ran.cause
    assert failed.exited == ran.events[-1]["timestamp"].timestamp()


NEST = machine(
    M={
        "Type": "Map",
        "ItemProcessor": machine(
            P={
                "Type": "Parallel",
                "Branches": [machine(X={**TASK, "End": True}), machine(Y={"Type": "Wait", "Seconds": 9, "End": True})],
                "End": True,
            }
        ),
        "End": True,
    }
)


def test_visits_know_the_iterations_and_branches_around_them(run):
    ran = run(NEST, ["a", "b"])
    found = visits(ran.events, load(NEST))
    assert {(v.state, v.path) for v in found} == {
        ("M", ()),
        *(("P", (("M", n),)) for n in range(2)),
        *((state, (("M", n), ("P", b))) for n in range(2) for b, state in enumerate("XY")),
    }
    pointers = {v.state: v.pointer for v in found}
    assert pointers["Y"] == "/States/M/ItemProcessor/States/P/Branches/1/States/Y"
    assert {v.state: v.pointer for v in visits(ran.events)} == dict.fromkeys("MPXY")
    assert {v.status for v in found} == {"SUCCEEDED"}


def test_of_what_an_abort_ends_only_the_cause_has_failed(run):
    ran = run(NEST, ["a", "b"], {"X": [None, Boom("why")]})
    found = {(v.state, v.path): v for v in visits(ran.events, load(NEST))}
    assert {where: v.status for where, v in found.items()} == {
        ("M", ()): "FAILED",
        ("P", (("M", 0),)): "ABORTED",
        ("P", (("M", 1),)): "FAILED",
        ("X", (("M", 0), ("P", 0))): "ABORTED",
        ("Y", (("M", 0), ("P", 1))): "ABORTED",
        ("X", (("M", 1), ("P", 0))): "FAILED",
        ("Y", (("M", 1), ("P", 1))): "ABORTED",
    }
    assert {v.error for v in found.values() if v.status == "FAILED"} == {"Boom"}
    assert {v.cause for v in found.values() if v.status == "ABORTED"} == {None}


def test_a_stopped_execution_leaves_aborted_visits_and_a_running_one_running(run):
    raw = machine(A={"Type": "Wait", "Seconds": 50, "End": True})
    ran = run(raw, until=0)
    (waiting,) = visits(ran.events)
    assert (waiting.status, waiting.exited, waiting.seconds) == ("RUNNING", None, None)
    ran.machine.stop(at=ran.events[0]["timestamp"].timestamp() + 3)
    (stopped,) = visits(ran.log.events())
    assert (stopped.status, stopped.seconds) == ("ABORTED", 3)


def test_a_state_visited_often_has_a_visit_each_time(run):
    raw = machine(
        A={**TASK, "Next": "B"},
        B={"Type": "Choice", "Choices": [{"Variable": "$", "NumericLessThan": 3, "Next": "A"}], "Default": "C"},
        C={"Type": "Succeed"},
    )
    found = visits(run(raw, {}, {"A": [1, 2, 3]}).events)
    assert [v.state for v in found] == ["A", "B"] * 3 + ["C"]
    assert [v.output for v in found if v.state == "A"] == ["1", "2", "3"]


def test_a_parallel_retried_after_a_failure_deep_inside_keeps_its_visit(run):
    """The retry's ParallelStateStarted points at the last inner event, which stands inside another Parallel."""
    inner = machine(
        Q={"Type": "Parallel", "Branches": [machine(X={**TASK, "End": True})], "ResultPath": "$.r", "End": True}
    )
    raw = machine(P={"Type": "Parallel", "Branches": [inner], "Retry": [{"ErrorEquals": ["States.ALL"]}], "End": True})
    ran = run(raw, 5)  # a number takes no ResultPath: Q fails as it ends, every time
    found = visits(ran.events, load(raw))
    assert [(v.state, v.path) for v in found] == [("P", ())] + [("Q", (("P", 0),)), ("X", (("P", 0), ("Q", 0)))] * 4
    assert found[0].attempts == 4
    assert (found[0].status, found[0].error) == ("FAILED", "States.ResultPathMatchFailure")


def test_steps_tell_for_every_event_whose_it_is(run):
    ran = run(machine(A={**TASK, "Next": "B"}, B={"Type": "Pass", "End": True}), after={"A": 2})
    found = steps(ran.events, load(machine(A={**TASK, "Next": "B"}, B={"Type": "Pass", "End": True})))
    assert [(s.id, s.pointer, s.visit) for s in found] == [
        (1, None, None),
        *((n, "/States/A", 0) for n in range(2, 7)),
        (7, "/States/B", 1),
        (8, "/States/B", 1),
        (9, None, None),
    ]
    assert [s.at - found[0].at for s in found] == [0, 0, 0, 0, 2, 2, 2, 2, 2]
    assert [s.type for s in found] == ran.types


@pytest.mark.parametrize("size", [400])
def test_a_long_history_is_read_in_a_moment(run, size):
    raw = machine(M={"Type": "Map", "Iterator": machine(I={**TASK, "End": True}), "End": True})
    ran = run(raw, list(range(size)), {"I": [*[1] * (size - 1), Boom()]}, max_events=10**6)
    begun = time.perf_counter()
    assert len(visits(ran.events)) == size + 1
    assert time.perf_counter() - begun < 30


# ── what AWS itself wrote ────────────────────────────────────────────────────────────────────────────────────────────


def recorded(shared):
    for path in sorted((shared / "conformance" / "cases").rglob("*.json")):
        case = json.loads(path.read_text())
        history = case.get("expect", {}).get("history")
        if case["kind"] == "history" and isinstance(history, list) and isinstance(case.get("definition"), dict):
            yield case, history


def test_every_recorded_history_is_read_with_its_definition(shared):
    """Where ids are true, every StateEntered is a visit to a state of that name and every StateExited ends one."""
    count = 0
    for case, history in recorded(shared):
        if any(not isinstance(e["id"], int) for e in history):
            continue  # the recorder erased the ids of a Parallel's inner events
        events = [{**e, "timestamp": n} for n, e in enumerate(history)]
        definition = load(case["definition"])
        found = visits(events, definition)
        names = {p.pointer: p.name for p in definition.places()}
        entered = [e for e in history if e["type"].endswith("StateEntered")]
        assert len(found) == len(entered), case["id"]
        exits = sorted(v.exited_id for v in found if v.exited_id)
        assert exits == [e["id"] for e in history if e["type"].endswith("StateExited")], case["id"]
        assert all(names[v.pointer] == v.state for v in found), case["id"]
        if history[-1]["type"] == "ExecutionSucceeded":
            assert "RUNNING" not in {v.status for v in found}, case["id"]
        count += 1
    assert count > 400
