"""Redrive as AWS does it; the orders of events are those of executions that AWS redrove in September 2026."""

import functools
import json
import pickle

import pytest
from hypothesis import assume, given

import sflab as sf
from sflab.asl.parse import load
from sflab.asl.program import compile_program
from sflab.backends.drivers import EPOCH, Clock, Drive, Resumed
from sflab.engine.history import details, visits
from sflab.engine.machine import Machine
from sflab.engine.messages import TaskFailed, TaskStarted, TaskSucceeded
from sflab.engine.redrive import MOST_EVENTS, not_redrivable
from sflab.engine.replay import verify
from tests.engine.test_properties import Worker, cases, prepare, run, some

DAY = 24 * 3600


def task(**fields):
    resource = "arn:aws:states:us-east-1:123456789012:activity:work"
    return {"Type": "Task", "Resource": resource, "TimeoutSeconds": 60, "End": True, **fields}


def redriven(machine, worker, at):
    """Redrive *machine* at a moment of its time, and see it through."""
    Resumed(machine, worker, due=(), first=functools.partial(machine.redrive, at), clock=Clock()).run("")


class Tried:
    """An execution of which the tasks in *broken* fail (or, with *hang*, never answer) until it is redriven."""

    def __init__(self, raw, input=None, broken=(), *, hang=False, slow=(), until=float("inf"), **about):
        self.broken, self.hang, self.slow, self.asked = set(broken), hang, set(slow), []
        self.machine = Machine(compile_program(load(raw).raw), **about)
        self.drive = Drive(self.machine, self.worker)
        self.drive.run(json.dumps({} if input is None else input), until=until)

    def worker(self, command):
        self.asked.append(command)
        if command.kind == "activity":
            yield 0, TaskStarted(command.token, "w")
        if command.state in self.broken:
            if not self.hang:
                yield 1, TaskFailed(command.token, "Boom", "because")
            return
        yield (5 if command.state in self.slow else 0.5), TaskSucceeded(command.token, {"of": command.state})

    def redrive(self, after=10, *, fixed=True):
        if fixed:
            self.broken.clear()
        del self.asked[:]
        redriven(self.machine, self.worker, self.machine.now + after)
        return self

    def story(self, start=1):
        out = []
        for e in self.machine.log.events()[start - 1 :]:
            said = details(e)
            index = f"[{said['index']}]" if "index" in said else ""
            out.append(f"{e['id']}<{e['previousEventId']} {e['type']} {said.get('name', '')}{index}".strip())
        return out


def test_a_task_is_scheduled_again_from_where_it_was_entered_with_its_retries_reset():
    retry = [{"ErrorEquals": ["Boom"], "MaxAttempts": 1, "IntervalSeconds": 1}]
    parameters = {"execution.$": "$$.Execution", "state.$": "$$.State"}
    work = task(Retry=retry, Parameters=parameters)
    tried = Tried({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Work"}, "Work": work}}, {"x": 1}, {"Work"})
    assert tried.machine.status == "FAILED"
    first = tried.asked[0].parameters
    tried.redrive(fixed=False)
    assert tried.machine.status == "FAILED"
    assert tried.story(11) == [
        "11<10 ExecutionFailed",
        "12<11 ExecutionRedriven",
        "13<4 ActivityScheduled",
        "14<13 ActivityStarted",
        "15<14 ActivityFailed",
        "16<15 ActivityScheduled",
        "17<16 ActivityStarted",
        "18<17 ActivityFailed",
        "19<18 ExecutionFailed",
    ]
    assert [c.parameters["state"]["RetryCount"] for c in tried.asked] == [0, 1]
    again = tried.asked[0].parameters
    assert (first["execution"]["RedriveCount"], again["execution"]["RedriveCount"]) == (0, 1)
    assert "RedriveTime" not in first["execution"]
    assert list(again["execution"])[-2:] == ["RedriveCount", "RedriveTime"]
    assert again["execution"]["StartTime"] == first["execution"]["StartTime"]
    assert again["state"]["EnteredTime"] == first["state"]["EnteredTime"]
    tried.redrive()
    assert tried.story(20)[:2] == ["20<19 ExecutionRedriven", "21<4 ActivityScheduled"]
    assert tried.asked[0].parameters["execution"]["RedriveCount"] == 2
    assert (tried.machine.status, tried.machine.error, json.loads(tried.machine.output)) == (
        "SUCCEEDED", None, {"of": "Work"},
    )  # fmt: skip


def test_only_the_branches_that_failed_or_were_aborted_are_run_again():
    branches = [{"StartAt": name, "States": {name: task()}} for name in "ABC"]
    raw = {"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": branches, "End": True}}}
    tried = Tried(raw, {}, "B", slow="C").redrive()
    assert tried.story(15) == [
        "15<11 ActivityFailed",
        "16<15 TaskStateAborted",
        "17<15 TaskStateAborted",
        "18<15 ParallelStateFailed",
        "19<18 ExecutionFailed",
        "20<19 ExecutionRedriven",
        "21<6 ActivityScheduled",
        "22<8 ActivityScheduled",
        "23<21 ActivityStarted",
        "24<22 ActivityStarted",
        "25<23 ActivitySucceeded",
        "26<25 TaskStateExited B",
        "27<24 ActivitySucceeded",
        "28<27 TaskStateExited C",
        "29<28 ParallelStateSucceeded",
        "30<28 ParallelStateExited P",
        "31<30 ExecutionSucceeded",
    ]
    assert json.loads(tried.machine.output) == [{"of": "A"}, {"of": "B"}, {"of": "C"}]
    found = visits(tried.machine.log.events(), load(raw))
    assert [(v.state, v.status, v.attempts) for v in found] == [
        ("P", "SUCCEEDED", 1), ("A", "SUCCEEDED", 1), ("B", "SUCCEEDED", 2), ("C", "SUCCEEDED", 2),
    ]  # fmt: skip


def test_an_iteration_that_failed_goes_on_and_those_that_had_not_begun_begin():
    processor = {"StartAt": "Y", "States": {"Y": task()}}
    state = {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 1, "ItemProcessor": processor, "End": True}
    tried = Tried({"StartAt": "M", "States": {"M": state}}, {"items": [1, 2]}, "Y").redrive()
    after = [line.split(" ", 1)[1] for line in tried.story() if "Redriven" in line or "MapIteration" in line]
    assert after == [
        "MapIterationStarted M[0]", "MapIterationFailed M[0]", "ExecutionRedriven", "MapIterationSucceeded M[0]",
        "MapIterationStarted M[1]", "MapIterationSucceeded M[1]",
    ]  # fmt: skip
    assert sum("MapStateStarted" in line for line in tried.story()) == 1
    assert json.loads(tried.machine.output) == [{"of": "Y"}, {"of": "Y"}]


def test_a_fail_state_is_not_entered_again_and_fails_again():
    tried = Tried({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "c"}}}).redrive()
    assert tried.story(2) == ["2<0 FailStateEntered F", "3<2 ExecutionFailed", "4<3 ExecutionRedriven",
                              "5<4 ExecutionFailed"]  # fmt: skip
    assert (tried.machine.error, tried.machine.cause) == ("E", "c")
    (visit,) = visits(tried.machine.log.events())
    assert (visit.status, visit.error) == ("FAILED", "E")


def test_an_execution_that_was_stopped_goes_on_where_it_stood():
    first = {**task(), "Next": "W"}
    first.pop("End")
    raw = {"StartAt": "A", "States": {"A": first, "W": {"Type": "Wait", "Seconds": 9, "End": True}}}
    tried = Tried(raw, {}, "A", hang=True, until=EPOCH)
    tried.machine.stop("Mine", "stopped", at=EPOCH + 1)
    assert not tried.machine.waits
    tried.redrive()
    assert tried.story(5)[:3] == ["5<0 ExecutionAborted", "6<5 ExecutionRedriven", "7<2 ActivityScheduled"]
    assert tried.machine.status == "SUCCEEDED"


def test_the_timeout_of_the_execution_counts_anew():
    raw = {"TimeoutSeconds": 8, "StartAt": "A", "States": {"A": task()}}
    tried = Tried(raw, {}, "A", hang=True)
    assert (tried.machine.status, tried.story()[-1]) == ("TIMED_OUT", "5<0 ExecutionTimedOut")
    tried.redrive(after=100, fixed=False)
    assert tried.machine.status == "TIMED_OUT"
    assert tried.machine.now == EPOCH + 8 + 100 + 8
    assert tried.redrive().machine.status == "SUCCEEDED"


def test_a_choice_chooses_again_and_a_task_whose_output_could_not_be_made_is_run_again():
    rule = {"Variable": "$.x", "NumericEquals": 1, "Next": "A"}
    raw = {"StartAt": "C", "States": {"C": {"Type": "Choice", "Choices": [rule]}, "A": task(OutputPath="$.nowhere")}}
    tried = Tried(raw, {"x": 1})
    assert tried.machine.error == "States.Runtime"
    tried.redrive()
    assert [c.state for c in tried.asked] == ["A"]
    lost = Tried({**raw}, {"x": 2})
    assert lost.machine.error == "States.NoChoiceMatched"
    assert lost.redrive().machine.error == "States.NoChoiceMatched"
    assert sum("ChoiceStateEntered" in line for line in lost.story()) == 1


def test_a_caught_failure_is_in_the_past_and_stays_there():
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Last"}]
    first = task(Catch=catch, Next="Last")
    first.pop("End")
    tried = Tried({"StartAt": "A", "States": {"A": first, "Last": task()}}, {}, {"A", "Last"})
    tried.redrive()
    assert [c.state for c in tried.asked] == ["Last"]
    assert tried.machine.status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("status", "about", "reason"),
    [
        ("RUNNING", {}, "Execution is RUNNING and cannot be redriven"),
        ("SUCCEEDED", {}, "Execution is SUCCEEDED and cannot be redriven"),
        ("FAILED", {}, None),
        ("ABORTED", {}, None),
        ("TIMED_OUT", {}, None),
        ("FAILED", {"events": MOST_EVENTS - 1}, None),
        ("FAILED", {"events": MOST_EVENTS}, "Execution history event limit exceeded"),
        ("FAILED", {"now": 14 * DAY}, None),
        ("FAILED", {"now": 14 * DAY + 1}, "Execution redrivable period exceeded"),
        ("FAILED", {"stopped": 364 * DAY, "now": 366 * DAY}, "Execution has exceeded the max execution time"),
    ],
)
def test_which_executions_can_be_redriven(status, about, reason):
    assert not_redrivable(status, **{"events": 5, "started": 0, "stopped": 0, "now": 0, **about}) == reason


def test_refusals_are_in_awss_words():
    tried = Tried({"StartAt": "A", "States": {"A": task()}}, arn="arn:aws:states:eu-west-1:1:execution:m:e")
    with pytest.raises(sf.ApiError) as refused:
        tried.redrive()
    assert refused.value.code == "ExecutionNotRedrivable"
    arn = "arn:aws:states:eu-west-1:1:execution:m:e"
    assert (
        str(refused.value) == f"Execution {arn} invalid for redrive as: Execution is SUCCEEDED and cannot be redriven"
    )
    express = Tried({"StartAt": "F", "States": {"F": {"Type": "Fail"}}}, type="EXPRESS")
    with pytest.raises(sf.ApiError, match="Resource type not valid in this context: express") as refused:
        express.redrive()
    assert refused.value.code == "InvalidArn"


# ── Distributed Maps ─────────────────────────────────────────────────────────────────────────────────────────────────


def distributed(kind, **fields):
    states = {
        "Before": {"Type": "Pass", "Next": "Work"},
        "Work": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:Work", "End": True},
    }
    config = {"Mode": "DISTRIBUTED", "ExecutionType": kind}
    processor = {"ProcessorConfig": config, "StartAt": "Before", "States": states}
    state = {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}
    return sf.StateMachine.load({"StartAt": "Each", "States": {"Each": state}})


@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_a_map_run_is_redriven_and_of_its_children_those_that_did_not_succeed(kind):
    broken, asked = {3}, []

    def work(item):
        asked.append(item)
        if item in broken:
            raise ValueError("no")
        return item * 10

    run = sf.Local(functions={"Work": work}).start_execution(distributed(kind, MaxConcurrency=2), [1, 2, 3, 4, 5])
    assert run.status == "FAILED"
    (map_run,) = run.map_runs
    arns = [child.arn for child in map_run.executions]
    done = set(asked) - broken
    broken.clear()
    asked.clear()
    run.redrive()
    assert (run.status, run.output) == ("SUCCEEDED", [10, 20, 30, 40, 50])
    assert set(asked) >= {3}
    assert 1 not in asked
    assert done - {4} <= {1, 2}
    assert [e["type"] for e in run.history][-6:] == [
        "ExecutionRedriven", "MapRunRedriven", "MapRunSucceeded", "MapStateSucceeded", "MapStateExited",
        "ExecutionSucceeded",
    ]  # fmt: skip
    again = run.history[-5]
    assert again["previousEventId"] == 3  # MapStateStarted
    assert details(again) == {"mapRunArn": map_run.arn, "redriveCount": 1}
    assert run.history[-2]["previousEventId"] == again["id"]
    (after,) = run.map_runs
    counts = after.execution_counts
    assert (after.arn, after.status, counts["failed"], counts["succeeded"]) == (map_run.arn, "SUCCEEDED", 0, 5)
    assert (counts["total"], after.redrive_count) == (5, 1)
    assert [child.arn for child in after.executions][: len(arns)] == arns
    types = [e["type"] for e in after.executions[2].history]
    assert ("ExecutionRedriven" in types) == (kind == "STANDARD")
    assert types.count("PassStateEntered") == 1
    assert sf.replay(run.machine, run).status == "SUCCEEDED"


def test_a_map_run_of_which_nothing_began_reads_its_items_again():
    reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "lab", "Key": "items.json"}}
    local = sf.Local(functions={"Work": lambda item: item}, objects={"lab": {}})
    run = local.start_execution(distributed("STANDARD", ItemReader=reader), {})
    assert run.status == "FAILED"
    run.redrive(sf.Local(functions={"Work": lambda item: item}, objects={"lab": {"items.json": "[1, 2]"}}))
    assert (run.status, run.output) == ("SUCCEEDED", [1, 2])


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Mended(Worker):
    """A worker whose failures are mended when it is told so."""

    mended = False

    def __call__(self, command):
        for delay, reply in super().__call__(command):
            broken = self.mended and isinstance(reply, TaskFailed)
            made = TaskSucceeded(command.token, {"n": 1, "tag": "made", "items": []})
            yield delay, made if broken else reply


@some
@given(cases)
def test_a_redriven_execution_ends_leaves_nothing_waiting_and_its_history_replays(case):
    raw, input, seed = case
    worker = Mended(seed)
    _, drive = run(raw, input, seed, worker)
    machine = drive.machine
    assume(machine.status != "SUCCEEDED")
    before = machine.log.events()
    worker.mended = True
    for count in (1, 2):
        redriven(machine, worker, machine.now + 60)
        events = machine.log.events()
        assert events[: len(before)] == before
        assert [e["id"] for e in events] == list(range(1, len(events) + 1))
        assert all(e["previousEventId"] < e["id"] for e in events)
        assert machine.status in {"SUCCEEDED", "FAILED", "TIMED_OUT"}
        assert not machine.waits
        assert not machine.agenda
        counts = [details(e)["redriveCount"] for e in events if e["type"] == "ExecutionRedriven"]
        assert counts == list(range(1, count + 1))
        again = verify(machine.program, events, seed=seed)
        assert (again.status, again.output, again.error) == (machine.status, machine.output, machine.error)
        assert pickle.loads(pickle.dumps(machine)).log.events() == events
        if machine.status == "SUCCEEDED":
            break
        before = events


@some
@given(cases)
def test_a_redrive_runs_no_state_again_that_was_left(case):
    raw, input, seed = case
    worker = Mended(seed)
    definition, drive = run(raw, input, seed, worker)
    assume(drive.machine.status != "SUCCEEDED")
    left = {(v.pointer, v.path, v.entered_id) for v in visits(drive.machine.log.events(), definition) if v.exited_id}
    worker.mended = True
    redriven(drive.machine, worker, drive.machine.now)
    after = {(v.pointer, v.path, v.entered_id): v for v in visits(drive.machine.log.events(), definition)}
    mark = next(e["id"] for e in drive.machine.log.events() if e["type"] == "ExecutionRedriven")
    for key in left:
        assert not [n for n in after[key].events if n > mark]


@some
@given(cases)
def test_an_abort_leaves_nothing_waiting_and_can_be_redriven(case):
    raw, input, seed = case
    _, drive = prepare(raw, seed)
    drive.run(json.dumps(input), until=EPOCH + 1)
    assume(drive.machine.running)
    drive.machine.stop(at=EPOCH + 1)
    assert (drive.machine.status, len(drive.machine.waits), len(drive.machine.agenda)) == ("ABORTED", 0, 0)
    redriven(drive.machine, drive.worker, EPOCH + 2)
    assert drive.machine.status in {"SUCCEEDED", "FAILED", "TIMED_OUT"}
    assert not drive.machine.waits


def test_where_the_output_could_not_be_made_the_whole_state_is_run_again():
    branch = {"StartAt": "A", "States": {"A": task()}}
    parallel = {"Type": "Parallel", "Branches": [branch], "OutputPath": "$.nowhere", "End": True}
    tried = Tried({"StartAt": "P", "States": {"P": parallel}}, {})
    assert tried.machine.error == "States.Runtime"
    tried.redrive()
    assert [c.state for c in tried.asked] == ["A"]
    assert sum("ParallelStateStarted" in line for line in tried.story()) == 2
    verify(tried.machine.program, tried.machine.log.events())


def test_a_map_run_whose_result_could_not_be_used_is_started_anew():
    run = sf.Local(functions={"Work": lambda item: item}).start_execution(
        distributed("STANDARD", OutputPath="$.nowhere"), [1]
    )
    assert (run.status, run.error) == ("FAILED", "States.Runtime")
    run.redrive()
    kinds = [e["type"] for e in run.history]
    assert kinds.count("MapRunStarted") == 2
    assert "MapRunRedriven" not in kinds
    replayed = sf.replay(run.machine, run)
    assert replayed.redrive(functions={"Work": lambda item: item}).history[-1]["type"] == "ExecutionFailed"
