"""Histories lived again: those of this machine, cut anywhere, tampered with, and those that AWS recorded."""

import copy
import importlib.util
import json
import random
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sflab.asl.parse import load
from sflab.asl.program import compile_program
from sflab.backends.drivers import Clock, Drive, Resumed
from sflab.engine.history import details
from sflab.engine.machine import Machine
from sflab.engine.messages import StartTimer, TaskFailed, TaskSucceeded, TimerFired
from sflab.engine.replay import frames, resume, stand, verify
from sflab.errors import ReplayError
from tests.engine.test_properties import Worker, cases, outcome, run, some

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "conformance"


# ── its own histories ────────────────────────────────────────────────────────────────────────────────────────────────


def without(raw, *, heartbeats=False):
    """Return a definition without what is drawn anew when it goes on (jitter, ids), or what is in no history."""
    text = json.dumps(raw).replace('"FULL"', '"NONE"').replace("States.UUID()", "States.Format('id')")
    return json.loads(re.sub(r', "HeartbeatSeconds": \d+', "", text) if heartbeats else text)


@some
@given(cases)
def test_a_replayed_run_is_the_run(case):
    raw, input, seed = case
    _, drive = run(raw, input, seed)
    machine, events = drive.machine, drive.machine.log.events()
    for history in (events, {"events": events[::-1]}, json.loads(json.dumps(events, default=datetime.isoformat))):
        again = verify(machine.program, history, seed=seed)
        assert (again.status, again.output, again.error, again.cause) == outcome(machine)[:4]
        assert again.record.next() is None
        assert not again.record.ahead


@some
@given(cases, st.data())
def test_a_history_that_stops_at_any_moment_goes_on_to_the_same_end(case, data):
    raw, input, seed = case
    raw = without(raw, heartbeats=True)
    _, drive = run(raw, input, seed)
    events = drive.machine.log.events()
    moments = [i for i in range(1, len(events)) if events[i]["timestamp"] > events[i - 1]["timestamp"]]
    assume(moments)
    kept = events[: data.draw(st.sampled_from(moments))]
    machine, due = resume(drive.machine.program, kept, seed=seed)
    worker = Worker(seed)
    asked = sum(e["type"].endswith("Scheduled") for e in kept)
    worker.asked = Counter((c.path, c.pointer, c.attempt) for c in drive.worker.commands[:asked])
    again = [one.command for one in due if not isinstance(one.command, StartTimer)]
    worker.asked.subtract((c.path, c.pointer, c.attempt) for c in again)
    further = Resumed(machine, worker, due=(), first=machine.proceed, clock=Clock())
    for one in due:
        if isinstance(one.command, StartTimer):
            further.clock.push(further, one.at + one.command.seconds, TimerFired(one.command.token))
            continue
        for delay, reply in further.worker(one.command):  # as if it had gone on all the while
            still_to_come = one.at + delay > machine.now and not one.seen
            if still_to_come or isinstance(reply, (TaskSucceeded, TaskFailed)):
                further.clock.push(further, one.at + delay, reply)
    further.run("")
    assert outcome(machine) == outcome(drive.machine)


@some
@given(cases, st.data())
def test_it_can_be_stood_at_every_event(case, data):
    raw, input, seed = case
    _, drive = run(raw, input, seed)
    events = drive.machine.log.events()
    at = data.draw(st.integers(1, len(events)))
    player = stand(drive.machine.program, events[:at], seed=seed)
    assert player.record.next() is None
    known = len(player.record)
    for frame in frames(player.root):
        assert frame.last <= known
        if frame.entered_id and frame.entered_id <= at:
            entered = events[frame.entered_id - 1]
            assert details(entered)["name"] == frame.state.name
            assert json.loads(details(entered)["input"]) == frame.input


def tampered(events, rng):
    """Change one thing that the definition decides; returns (events, the id of the event that was changed)."""
    events = copy.deepcopy(events)
    event = rng.choice([e for e in events[1:] if e["type"].endswith(("StateEntered", "StateExited"))])
    about = details(event)
    if rng.random() < 0.5:
        about["name"] += "X"
    else:
        about["input" if "input" in about else "output"] = '{"tampered": [1, {"with": null}]}'
    return events, event["id"]


@some
@given(cases)
def test_what_the_definition_would_not_have_produced_is_named(case):
    raw, input, seed = case
    raw = without(raw)
    assume("$$" not in json.dumps(raw))
    _, drive = run(raw, input, seed)
    events = drive.machine.log.events()
    assume(any(e["type"].endswith(("StateEntered", "StateExited")) for e in events))
    changed, number = tampered(events, random.Random(seed))
    with pytest.raises(ReplayError) as refused:
        verify(drive.machine.program, changed, seed=seed)
    assert refused.value.event_id is not None
    assert refused.value.event_id <= number or changed[refused.value.event_id - 1]["previousEventId"] <= number
    assert f"event {refused.value.event_id}" in str(refused.value)


PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Result": 1, "End": True}}}


def recorded(raw=PASS, input=None):
    definition = load(raw)
    drive = Drive(Machine(compile_program(definition.raw)), Worker(0))
    drive.run(json.dumps(input or {}))
    return drive.machine.program, drive.machine.log.events()


@pytest.mark.parametrize(
    ("change", "number", "words"),
    [
        (lambda e: e.clear(), None, "no events"),
        (lambda e: e.pop(0), 1, "event 1 is not there"),
        (lambda e: e.pop(2), 3, "event 3 is not there"),
        (lambda e: e.insert(2, dict(e[1])), 3, "event 2 is there twice"),
        (lambda e: details(e[1]).pop("input"), 2, "includeExecutionData=False"),
        (lambda e: details(e[0]).update(inputDetails={"truncated": True}), 1, "cut off"),
        (lambda e: e[1].update(type="TaskStateEntered"), 2, "the history has TaskStateEntered of 'A'"),
        (lambda e: details(e[4]).update(output="2"), 5, "its output is 2, the definition gives 1"),
        (lambda e: e[3].update(previousEventId=2), 4, "event 4"),
        (lambda e: e[5].update(type="ExecutionTimedOut"), 6, "ExecutionTimedOut"),
    ],
)
def test_a_history_that_cannot_be_replayed_is_refused_in_clear_words(change, number, words):
    program, events = recorded()
    change(events)
    with pytest.raises(ReplayError, match=re.escape(words)) as refused:
        verify(program, events)
    assert refused.value.event_id == number


def test_data_that_was_cut_off_is_not_compared():
    program, events = recorded()
    details(events[3]).update(input="{", inputDetails={"truncated": True})
    assert verify(program, events).status == "SUCCEEDED"


def test_the_recorded_value_is_taken_where_chance_made_it():
    raw = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Parameters": {"id.$": "States.UUID()"}, "Next": "B"},
            "B": {"Type": "Pass", "Parameters": {"was.$": "$.id"}, "End": True},
        },
    }
    program, events = recorded(raw)
    text = json.dumps(events, default=datetime.isoformat)
    mine = json.loads(details(events[2])["output"])["id"]
    theirs = json.loads(text.replace(mine, "3d1c2f04-0000-4000-8000-00000000aaaa"))
    assert json.loads(verify(program, theirs).output) == {"was": "3d1c2f04-0000-4000-8000-00000000aaaa"}
    details(theirs[4])["output"] = '{"was": "another"}'
    with pytest.raises(ReplayError, match="event 5"):
        verify(program, theirs)


# ── AWS's recordings ─────────────────────────────────────────────────────────────────────────────────────────────────

#: Why a recording cannot be replayed: the recorder erased the ids of what happened inside a Parallel state.
ERASED = "the ids of concurrent events were erased when it was recorded"


def conformance():
    """The conformance runner, as a module."""
    path = Path(__file__).parents[1] / "conformance" / "run.py"
    spec = importlib.util.spec_from_file_location("conformance_run", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("conformance_run", module)
    spec.loader.exec_module(module)
    return module


def as_aws_wrote_it(case, runner, compare):
    """Return the recorded events with what the recorder replaced put back: JSON text, the input's dates, causes."""
    history = copy.deepcopy(case["expect"]["history"])
    if case.get("history_request", {}).get("reverseOrder"):
        history.reverse()
    for event in history:
        about = details(event)
        if event["type"] == "LambdaFunctionFailed" and isinstance(about.get("cause"), dict):
            about["cause"] = json.dumps(about["cause"])  # the Lambda runtime's own text
    bindings = dict(case.get("bindings", {}))
    events = runner.filled(compare.as_engine(history), bindings)
    given = runner.filled(case.get("input"), bindings) or "{}"
    text, stamps = json.dumps(events), set(compare.ISO.findall(json.dumps([given, case["definition"]])))
    if isinstance(json.loads(given), dict):
        for value in json.loads(given).values():
            stamps |= {value} if isinstance(value, str) and re.match(r"[\d:T.Z -]{8,}$", value) else set()
    if len(stamps) == 1:
        text = re.sub(r'<timestamp>|(?<=\\")timestamp(?=\\")|(?<![\w-])date(?![\w-])', stamps.pop(), text)
    events = json.loads(text)
    for event in events:
        event["timestamp"] = datetime.fromtimestamp(runner.FROZEN, UTC)
        about = details(event)
        if "<json-input:" in str(about.get("cause")) and event["previousEventId"]:
            before = details(events[event["previousEventId"] - 1]).get("input", "")
            about["cause"] = re.sub(r"<json-input:\d+>", lambda _, b=before: b, about["cause"])
    return events


def test_every_history_that_aws_recorded_replays_against_its_definition():
    if not RECORDINGS.is_dir():
        pytest.skip(f"{RECORDINGS} is not there")
    runner = conformance()
    compare = runner.load_compare(RECORDINGS)
    replayed, unreplayable, wrong = 0, {}, {}
    for path in sorted(RECORDINGS.rglob("cases/**/*.json")):
        case = json.loads(path.read_text())
        if case["kind"] != "history":
            continue
        if not all(isinstance(e["id"], int) for e in case["expect"]["history"]):
            unreplayable[case["id"]] = ERASED
            continue
        program = compile_program(load(runner.filled(case["definition"], dict(case.get("bindings", {})))).raw)
        try:
            verify(program, as_aws_wrote_it(case, runner, compare), type=case.get("type", "STANDARD"))
        except ReplayError as e:
            wrong[case["id"]] = str(e)
        else:
            replayed += 1
    assert wrong == {}
    assert replayed >= 460
    assert len(unreplayable) <= 10
