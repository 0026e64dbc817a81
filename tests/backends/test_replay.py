"""Replay, stand, fork, redrive and resume, as a notebook has them."""

import json
import math
import time
from datetime import timedelta

import pytest

import sflab as sf
from sflab.engine.history import details

WORK = "arn:aws:lambda:us-east-1:123456789012:function:work"
RAW = {
    "StartAt": "Make",
    "States": {
        "Make": {"Type": "Pass", "Result": {"n": 1}, "Assign": {"who": "me"}, "Next": "Work"},
        "Work": {"Type": "Task", "Resource": WORK, "Next": "Rest"},
        "Rest": {"Type": "Wait", "Seconds": 10, "Next": "Done"},
        "Done": {"Type": "Succeed"},
    },
}


def broken(event):
    raise ValueError("no")


@pytest.fixture
def machine():
    return sf.StateMachine.load(RAW, name="lab")


@pytest.fixture
def failed(machine):
    return sf.Local(functions={"work": broken}).start_execution(machine, {"x": 1}, name="one")


def types(run):
    return [e["type"] for e in run.history]


def test_a_saved_history_is_an_execution_again(machine, failed, tmp_path):
    path = tmp_path / "incident.json"
    failed.history.save(path)
    run = sf.replay(machine, path)
    assert isinstance(run, sf.Execution)
    assert (run.name, run.status, run.error, run.input) == ("incident", "FAILED", "ValueError", {"x": 1})
    assert run.history.events == failed.history.events
    assert [v.status for v in run.visits] == ["SUCCEEDED", "FAILED"]
    assert repr(run) == "Execution(lab/incident FAILED, error='ValueError', 8 events)"
    assert run.cost().exact == failed.cost().exact
    assert "svg" in "".join(run._repr_mimebundle_())
    assert run.wait() is run
    with pytest.raises(sf.ExecutionFailed):
        run.result()


def test_whatever_holds_a_history_can_be_replayed(machine, failed):
    events = failed.history.events
    for history in (failed, failed.history, events, {"events": events}, events[::-1]):
        assert sf.replay(machine, history).error == "ValueError"
    assert sf.replay(machine, failed).arn == failed.arn


def test_another_definition_is_told_at_which_event_it_differs(failed):
    raw = json.loads(json.dumps(RAW))
    raw["States"]["Make"]["Result"] = {"n": 2}
    with pytest.raises(sf.ReplayError, match="output at /n is 1, the definition gives 2") as refused:
        sf.replay(sf.StateMachine.load(raw), failed)
    assert refused.value.event_id == 3
    with pytest.raises(sf.DefinitionError):
        sf.replay(sf.StateMachine.load(raw), "no-such-file.json")
    with pytest.raises(sf.DefinitionError, match="is no execution ARN"):
        sf.replay(sf.StateMachine.load(RAW), failed.history, arn="one")


def test_an_incident_is_redriven_here_and_the_recording_stays(machine, failed, tmp_path):
    failed.history.save(tmp_path / "incident.json")
    incident = sf.replay(machine, tmp_path / "incident.json")
    fixed = incident.redrive(functions={"work": lambda event: {"done": event}})
    assert (fixed.status, fixed.output) == ("SUCCEEDED", {"done": {"n": 1}})
    assert fixed.arn == incident.arn
    assert (incident.status, len(incident.history)) == ("FAILED", 8)
    assert fixed.history.events[:8] == incident.history.events
    assert types(fixed)[8:10] == ["ExecutionRedriven", "LambdaFunctionScheduled"]
    assert sf.replay(machine, fixed).output == fixed.output
    local = sf.Local(functions={"work": lambda _: 7}, seed=3)
    again = incident.redrive(local)
    assert (again.output, local.executions) == (7, [again])


def test_a_redrive_here_is_the_same_execution(failed):
    assert (failed.redrive_status, failed.redrive_status_reason, failed.redrive_count) == ("REDRIVABLE", None, 0)
    assert failed.redrive() is failed
    assert (failed.status, failed.redrive_count, failed.redrive_status) == ("FAILED", 1, "REDRIVABLE")
    assert failed.redrive(functions={"work": lambda _: 1}) is failed
    assert (failed.status, failed.output, failed.redrive_count, failed.error) == ("SUCCEEDED", 1, 2, None)
    assert failed.redrive_status == "NOT_REDRIVABLE"
    assert failed.redrive_status_reason == "Execution is SUCCEEDED and cannot be redriven"
    with pytest.raises(sf.ApiError, match="Execution is SUCCEEDED and cannot be redriven"):
        failed.redrive()


def test_a_task_that_nothing_is_bound_to_leaves_the_execution_as_it_was(machine):
    raw = {**RAW, "States": {**RAW["States"], "Rest": {"Type": "Task", "Resource": WORK + "2", "Next": "Done"}}}
    run = sf.Local(functions={"work": broken}).start_execution(sf.StateMachine.load(raw), {})
    with pytest.raises(sf.TaskNotFoundError):
        run.redrive(functions={"work": lambda _: 1})
    assert (run.status, len(run.history)) == ("FAILED", 8)
    assert run.redrive(functions={"work": lambda _: 1, "work2": lambda _: 2}).output == 2


def test_after_fourteen_days_and_for_express_a_redrive_is_refused(machine, failed):
    late = failed.history[-1]["timestamp"] + timedelta(days=14, seconds=1)
    with pytest.raises(sf.ApiError, match="Execution redrivable period exceeded") as refused:
        failed.redrive(at=late)
    assert refused.value.code == "ExecutionNotRedrivable"
    express = sf.Local(functions={"work": broken}).start_execution(machine.as_express())
    assert (express.redrive_status, express.redrive_status_reason) == ("NOT_REDRIVABLE", None)
    for run in (express, sf.replay(machine.as_express(), express)):
        with pytest.raises(sf.ApiError) as refused:
            run.redrive()
        assert refused.value.code == "InvalidArn"


def test_in_real_time_a_redrive_runs_on_a_thread(machine):
    raw = {**RAW, "States": {**RAW["States"], "Rest": {"Type": "Wait", "Seconds": 1, "Next": "Done"}}}
    local = sf.Local(functions={"work": broken}, rate=20)
    run = local.start_execution(sf.StateMachine.load(raw), {}).wait(5)
    assert run.status == "FAILED"
    began = time.monotonic()
    assert run.redrive(functions={"work": lambda _: 1}).wait(5).status == "SUCCEEDED"
    assert time.monotonic() - began >= 0.04
    assert local.rate != math.inf


def test_it_stands_at_an_event(machine):
    run = sf.Local(functions={"work": lambda e: e}).start_execution(machine, {"x": 1})
    at = {i: run.at(i) for i in range(1, len(run.history) + 1)}
    assert (at[2].state, at[2].input, at[2].variables) == ("Make", {"x": 1}, {})
    assert (at[4].state, at[4].input, at[4].variables) == ("Work", {"n": 1}, {"who": "me"})
    assert [f.waits for f in at[6].frames] == [f"waits for {WORK}"]
    resting = next(i for i, e in enumerate(run.history, 1) if e["type"] == "WaitStateEntered")
    assert at[resting].frames[0].waits == "waits until 2030-01-01T00:00:10.000+00:00"
    assert repr(at[3]) == "lab after event 3, PassStateExited:\n  Make (Pass): about to enter Work"
    assert repr(at[len(at)]) == f"lab after event {len(at)}, ExecutionSucceeded: it has ended"
    assert len(at[5].history) == 5
    assert set(at[5]._repr_mimebundle_()) >= {"text/plain", "text/html"} or "image/svg+xml" in at[5]._repr_mimebundle_()
    for wrong in (0, len(at) + 1, "2", True):
        with pytest.raises(sf.ReplayError, match="there is no event"):
            run.at(wrong)


def test_the_frames_of_branches_and_iterations_are_told_apart():
    processor = {"StartAt": "In", "States": {"In": {"Type": "Task", "Resource": WORK, "End": True}}}
    raw = {"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemProcessor": processor, "End": True}}}
    run = sf.Local(functions={"work": lambda e: e}).start_execution(sf.StateMachine.load(raw), [5, 6])
    began = [i for i, e in enumerate(run.history, 1) if e["type"] == "LambdaFunctionStarted"]
    stood = run.at(began[-1])
    assert [(f.path, f.state, f.input) for f in stood.frames] == [
        ((), "Each", [5, 6]), ((("Each", 0),), "In", 5), ((("Each", 1),), "In", 6),
    ]  # fmt: skip
    assert stood.frames[0].waits == "waits for 2 of 2"
    assert (stood.state, stood.input) == ("In", 6)


def test_a_fork_keeps_what_happened_and_goes_on_with_other_data(failed):
    fork = failed.fork(3, input={"n": 9}, functions={"work": lambda e: e["n"]})
    assert (fork.status, fork.output, fork.name) == ("SUCCEEDED", 9, "one-fork-3")
    assert fork.history.events[:3] == failed.history.events[:3]
    assert details(fork.history[3])["input"] == '{"n":9}'
    anew = failed.fork(4, input={"n": 8}, functions={"work": lambda e: e["n"]})  # Work is entered anew
    assert (anew.output, details(anew.history[3])["input"]) == (8, '{"n":8}')
    first = failed.fork(1, input={"x": 5}, functions={"work": lambda e: e})
    assert (details(first.history[1])["input"], first.output) == ('{"x":5}', {"n": 1})
    assert failed.fork(6, functions={"work": lambda _: 3}).output == 3  # what was under way is asked for again
    assert failed.fork(3, functions={"work": lambda _: 3}).name == "one-fork-3-2"
    assert (failed.status, len(failed.history)) == ("FAILED", 8)


def test_a_fork_goes_on_with_another_definition(failed):
    raw = json.loads(json.dumps(RAW))
    raw["States"]["Work"] = {"Type": "Pass", "Result": "skipped", "Next": "Done"}
    del raw["States"]["Rest"]
    new = sf.StateMachine.load(raw, name="new")
    fork = failed.fork(3, new)
    assert (fork.status, fork.output, fork.machine) == ("SUCCEEDED", "skipped", new)
    raw["States"]["Make"]["Next"] = "Done"
    del raw["States"]["Work"]
    assert types(failed.fork(3, sf.StateMachine.load(raw)))[3:] == [
        "SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded",
    ]  # fmt: skip


def test_where_a_fork_cannot_be_is_said(failed):
    raw = {"StartAt": "Make", "States": {"Make": RAW["States"]["Make"] | {"Next": "Work"}, "Work": {"Type": "Succeed"}}}
    new = sf.StateMachine.load(raw)
    with pytest.raises(
        sf.ReplayError, match=r"stands at 'Work' \(Task, /States/Work\), and the definition has no such"
    ):
        failed.fork(5, new)
    assert failed.fork(3, new).status == "SUCCEEDED"
    with pytest.raises(sf.ReplayError, match="nothing to give the input to"):
        failed.fork(5, input={})
    with pytest.raises(sf.ReplayError, match="the execution ended there"):
        failed.fork(8)
    with pytest.raises(sf.ReplayError, match="the history has the events 1 to 8"):
        failed.fork(9)


def test_a_history_that_stops_before_its_end_is_gone_on_with(machine):
    whole = sf.Local(functions={"work": lambda e: e}).start_execution(machine, {})
    for stop in range(1, len(whole.history)):
        run = sf.replay(machine, whole.history[:stop])
        assert run.status == "RUNNING"
        done = run.resume(functions={"work": lambda e: e})
        assert (done.output, types(done)) == (whole.output, types(whole))
        assert done.history.events[:stop] == whole.history[:stop]
        assert [e["timestamp"] for e in done.history] == [e["timestamp"] for e in whole.history]
    with pytest.raises(sf.ReplayError, match="the execution has ended"):
        sf.replay(machine, whole).resume()


def test_a_callback_that_was_waited_for_is_waited_for_still():
    resource = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
    parameters = {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}}
    state = {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}
    machine = sf.StateMachine.load({"StartAt": "Ask", "States": {"Ask": state}})
    run = sf.Local(tasks={"Ask": lambda _: {"yes": True}}).start_execution(machine, {})
    submitted = next(i for i, e in enumerate(run.history, 1) if e["type"] in ("TaskSubmitted", "TaskStarted"))
    done = sf.replay(machine, run.history[:submitted]).resume(tasks={"Ask": lambda _: {"yes": True}})
    assert (done.output, types(done)) == (run.output, types(run))
    assert sf.replay(machine, run).output == run.output


def test_a_distributed_map_is_replayed_by_its_parent_and_gone_on_with_by_running_its_children():
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    state = {"Type": "Task", "Resource": WORK, "End": True}
    processor = {"ProcessorConfig": config, "StartAt": "In", "States": {"In": state}}
    each = {"Type": "Map", "ItemProcessor": processor, "ResultPath": "$.all", "ItemsPath": "$.items", "End": True}
    machine = sf.StateMachine.load({"StartAt": "Each", "States": {"Each": each}})
    run = sf.Local(functions={"work": lambda e: e * 2}).start_execution(machine, {"items": [1, 2, 3]})
    replayed = sf.replay(machine, run)
    assert replayed.output == {"items": [1, 2, 3], "all": [2, 4, 6]}
    began = types(run).index("MapRunStarted") + 1
    assert run.at(began).frames[0].waits == "waits for its map run of 3 items"
    done = sf.replay(machine, run.history[:began]).resume(functions={"work": lambda e: e * 2})
    assert (done.output, types(done)) == (run.output, types(run))
    assert run.fork(began, functions={"work": lambda _: 0}).output["all"] == [0, 0, 0]
