"""What comes from outside: callbacks, activities' workers, executions that others start, and many at once."""

import asyncio
import gc
import json
import threading
import time
from pathlib import Path

import pytest

import sflab as sf
from sflab.errors import ApiError

ASK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token", "order.$": "$.order"}},
}
ACTIVITY = "arn:aws:states:us-east-1:123456789012:activity:pack"
PACK = {"Type": "Task", "Resource": ACTIVITY}


def machine(name="m", type="STANDARD", **states):
    raw = {"StartAt": next(iter(states)), "States": {n: {"End": True, **s} for n, s in states.items()}}
    for state in raw["States"].values():
        if "Next" in state or state["Type"] in ("Succeed", "Fail"):
            del state["End"]
    return sf.StateMachine.load(raw, name=name, type=type)


def types(run):
    return [e["type"] for e in run.history]


def asked(extra=(), **state):
    """(a backend whose function keeps the tokens it is given, the tokens, a machine that asks)."""
    tokens = []

    def ask(event, context):
        tokens.append(event["token"])
        return {"mail": "sent"}

    return sf.Local({"ask": ask}, **dict(extra)), tokens, machine(Ask={**ASK, **state})


# ── callbacks ────────────────────────────────────────────────────────────────────────────────────────────────────────

SUBMITTED = ["ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted"]


def test_an_execution_waits_for_its_token_and_goes_on_when_somebody_sends_it():
    local, tokens, ask = asked()
    run = local.start_execution(ask, {"order": 1})
    assert (run.status, types(run)) == ("RUNNING", SUBMITTED)
    with pytest.raises(sf.ExecutionFailed, match=r"still running: nobody has answered 'Ask'; send_task_success"):
        run.result()
    local.send_task_success(tokens[0], {"approved": True}, after=3600)
    assert (run.result(), run.seconds) == ({"approved": True}, 3600)
    assert types(run)[5:] == ["TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"]


@pytest.mark.parametrize("rate", [float("inf"), 1000])
def test_a_function_can_send_its_own_token_and_the_request_comes_back_first(rate):
    local = sf.Local({"ask": lambda event: local.send_task_success(event["token"], ["yes"])}, rate=rate)
    run = local.start_execution(machine(Ask=ASK), {"order": 1}).wait(30)
    assert (run.status, run.output) == ("SUCCEEDED", ["yes"])
    assert types(run) == [*SUBMITTED, "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"]


def test_one_execution_answers_another():
    local, tokens, ask = asked()
    local.functions["answer"] = lambda event: local.send_task_success(tokens[0], event)
    first = local.start_execution(ask, {"order": 1})
    local.start_execution(
        machine("n", A={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:answer"}), {"ok": 1}
    )
    assert first.output == {"ok": 1}


@pytest.mark.parametrize(
    ("given", "said"), [(("No", "too dear"), ("No", "too dear")), ((None, None), (None, None)), (("No",), ("No", None))]
)
def test_a_task_fails_as_it_is_told(given, said):
    local, tokens, ask = asked()
    run = local.start_execution(ask, {"order": 1})
    local.send_task_failure(tokens[0], *given)
    assert (run.status, run.error, run.cause) == ("FAILED", *said)
    assert "TaskFailed" in types(run)


def test_heartbeats_keep_a_task_alive_and_one_that_is_missed_ends_it():
    local, _, ask = asked(HeartbeatSeconds=60, TimeoutSeconds=1000)
    local.functions["ask"] = lambda event: [
        *(local.send_task_heartbeat(event["token"], after=s) for s in (50, 100, 150)),
        local.send_task_success(event["token"], 1, after=200),
    ]
    assert local.start_execution(ask, {"order": 1}).seconds == 200
    local.functions["ask"] = lambda event: local.send_task_heartbeat(event["token"], after=50)
    run = local.start_execution(ask, {"order": 1})
    assert (run.error, run.seconds) == ("States.Timeout", 110)


def test_a_token_is_good_once_and_only_while_its_task_waits():
    local, tokens, ask = asked()
    run = local.start_execution(ask, {"order": 1})
    with pytest.raises(ApiError, match="Invalid Token: 'Invalid token'") as e:
        local.send_task_success("made up", {})
    assert e.value.code == "InvalidToken"
    for bad in ("{not json", float("nan"), {1}):
        with pytest.raises(ApiError, match="Invalid Output") as e:
            local.send_task_success(tokens[0], bad)
        assert e.value.code == "InvalidOutput"
    local.send_task_success(tokens[0], '{"as": "text"}')
    assert run.output == {"as": "text"}
    for send in (local.send_task_success, local.send_task_failure, local.send_task_heartbeat):
        with pytest.raises(ApiError, match="Provided task does not exist anymore") as e:
            send(tokens[0])
        assert e.value.code == "TaskTimedOut"
    stopped = local.start_execution(ask, {"order": 1})
    stopped.stop()
    with pytest.raises(ApiError, match="anymore"):
        local.send_task_success(tokens[1], {})


def test_iterations_of_a_map_are_answered_one_by_one_in_any_order():
    local, tokens, _ = asked()
    ask = {"StartAt": "Ask", "States": {"Ask": {**ASK, "End": True}}}
    run = local.start_execution(machine(M={"Type": "Map", "ItemProcessor": ask}), [{"order": n} for n in range(3)])
    for n in (2, 0, 1):
        assert run.status == "RUNNING"
        local.send_task_success(tokens[n], n)
    assert run.output == [0, 1, 2]


# ── activities ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_activitys_worker_takes_its_tasks_in_order_and_answers_them():
    local = sf.Local()
    assert local.create_activity("pack") == ACTIVITY
    runs = [local.start_execution(machine(Pack=PACK), {"order": n}) for n in range(2)]
    assert types(runs[0])[-1] == "ActivityScheduled"
    for run, n in zip(runs, range(2), strict=True):
        task = local.get_activity_task(ACTIVITY, "packer")
        assert json.loads(task["input"]) == {"order": n}
        assert run.history[-1]["activityStartedEventDetails"] == {"workerName": "packer"}
        local.send_task_success(task["taskToken"], '"packed"')
        assert run.output == "packed"
    assert local.get_activity_task(ACTIVITY) is None


def test_an_activity_nobody_made_is_an_error_that_shows_what_to_write():
    with pytest.raises(sf.TaskNotFoundError, match=r"create_activity\('pack'\)"):
        sf.Local().start_execution(machine(Pack=PACK))
    with pytest.raises(ApiError, match="Activity Does Not Exist: 'arn:none'") as e:
        sf.Local().get_activity_task("arn:none")
    assert e.value.code == "ActivityDoesNotExist"


def test_a_worker_is_not_given_what_was_stopped():
    local = sf.Local()
    local.create_activity("pack")
    local.start_execution(machine(Pack=PACK)).stop()
    assert local.get_activity_task(ACTIVITY) is None


def test_a_worker_on_a_thread_waits_for_work():
    local = sf.Local(rate=50)
    local.create_activity("pack")

    def worker():
        task = local.get_activity_task(ACTIVITY, "w", wait=30)
        local.send_task_success(task["taskToken"], task["input"])

    threading.Thread(target=worker, daemon=True).start()
    run = local.start_execution(machine(Wait={"Type": "Wait", "Seconds": 2, "Next": "Pack"}, Pack=PACK), {"a": 1})
    assert run.wait(30).output == {"a": 1}


# ── executions that executions start ─────────────────────────────────────────────────────────────────────────────────

CHILD = machine("child", Work={"Type": "Wait", "Seconds": 10, "Next": "Out"}, Out={"Type": "Pass", "Result": {"r": 1}})
START = "arn:aws:states:::states:startExecution"


def start(form="", of="child", type="STANDARD", **parameters):
    arn = f"arn:aws:states:us-east-1:123456789012:stateMachine:{of}"
    resource = form if form.startswith("arn:") else START + form
    given = {"StateMachineArn": arn, "Input": {"from": "parent"}, **parameters}
    return machine("parent", type, Start={"Type": "Task", "Resource": resource, "Parameters": given})


def test_request_response_goes_on_at_once_and_the_child_on_its_own():
    local = sf.Local(machines=[CHILD])
    run = local.start_execution(start())
    (child,) = run.nested
    assert (run.seconds, child.seconds, child.parent, child.input) == (0, 10, run, {"from": "parent"})
    assert run.output["ExecutionArn"] == child.arn
    assert child.history[0]["timestamp"] == run.history[2]["timestamp"]
    assert local.executions == [run, child]


@pytest.mark.parametrize("rate", [float("inf"), 500])
@pytest.mark.parametrize(("form", "output"), [(".sync", '{"r":1}'), (".sync:2", {"r": 1})])
def test_sync_waits_for_the_child_and_gives_its_output_as_text_or_as_json(form, output, rate):
    run = sf.Local(machines=[CHILD], rate=rate).start_execution(start(form)).wait(30)
    assert (run.output["Output"], run.output["Status"]) == (output, "SUCCEEDED")
    assert run.seconds >= 10
    assert types(run)[3:6] == ["TaskStarted", "TaskSubmitted", "TaskSucceeded"]


def test_a_child_that_fails_fails_its_task_with_all_there_is_to_know():
    child = machine("child", F={"Type": "Fail", "Error": "Boom", "Cause": "said so"})
    run = sf.Local(machines=[child]).start_execution(start(".sync"))
    assert run.error == "States.TaskFailed"
    said = json.loads(run.cause)
    assert (said["Error"], said["Cause"], said["Status"]) == ("Boom", "said so", "FAILED")
    assert list(said) == sorted(said)


def test_stopping_the_parent_stops_the_child_it_waits_for():
    local, _, _ = asked(extra={"machines": [machine("child", Ask=ASK)]})
    run = local.start_execution(start(".sync", Input={"order": 1}))
    assert (run.status, run.nested[0].status) == ("RUNNING", "RUNNING")
    assert "child" in run.waiting
    run.stop()
    assert (run.status, run.nested[0].status) == ("ABORTED", "ABORTED")


def test_a_parent_that_times_out_stops_its_child():
    raw = start(".sync").definition.raw
    parent = {**raw, "TimeoutSeconds": 3}
    run = sf.Local(machines=[CHILD]).start_execution(sf.StateMachine.load(parent))
    assert (run.status, run.nested[0].status, run.nested[0].seconds) == ("TIMED_OUT", "ABORTED", 3)


def test_an_express_child_is_run_to_its_end_by_start_sync_execution():
    child = machine("child", "EXPRESS", Out={"Type": "Pass"})
    run = sf.Local(machines=[child]).start_execution(start("arn:aws:states:::aws-sdk:sfn:startSyncExecution"))
    assert (run.output["Status"], run.output["Output"]) == ("SUCCEEDED", '{"from":"parent"}')
    assert run.output["BillingDetails"] == {"BilledDurationInMilliseconds": 100, "BilledMemoryUsedInMB": 64}
    assert run.nested[0].machine.type == "EXPRESS"


@pytest.mark.parametrize(
    ("parent", "child", "error"),
    [
        (start(".sync"), machine("child", "EXPRESS", A={"Type": "Pass"}), "StepFunctions.StateMachineTypeNotSupported"),
        (start("arn:aws:states:::aws-sdk:sfn:startSyncExecution"), CHILD, "Sfn.StateMachineTypeNotSupported"),
        (start(Input="{not json"), CHILD, "StepFunctions.InvalidExecutionInput"),
    ],
)
def test_what_cannot_be_started_fails_the_task_in_awss_words(parent, child, error):
    run = sf.Local(machines=[child]).start_execution(parent)
    assert run.error == error + "Exception"
    assert "Status Code: 400" in run.cause


def test_a_name_is_used_once():
    local = sf.Local(machines=[CHILD])
    local.start_execution(start(Name="one"))
    run = local.start_execution(start(Name="one"))
    assert run.error == "StepFunctions.ExecutionAlreadyExistsException"
    assert run.cause.startswith(
        "Execution Already Exists: 'arn:aws:states:us-east-1:123456789012:execution:child:one' ("
    )


def test_a_machine_nobody_knows_is_an_error_that_shows_what_to_write():
    with pytest.raises(sf.TaskNotFoundError, match=r"sf\.Local\(machines=\[child\]\)"):
        sf.Local().start_execution(start())


@pytest.mark.parametrize("form", ["", ".sync"])
def test_an_execution_that_starts_itself_for_ever_ends(form, monkeypatch):
    monkeypatch.setattr("sflab.backends.local.MAX_FAMILY", 300)
    local = sf.Local()
    run = local.start_execution(start(form, of="parent"))
    last = local.executions[-1]
    assert len(local.executions) == 300
    assert last.error == "StepFunctions.ExecutionLimitExceededException"
    assert run.status == ("FAILED" if form else "SUCCEEDED")


# ── what AWS recorded ────────────────────────────────────────────────────────────────────────────────────────────────

RECORDED = sorted(Path(__file__).parents[3].glob("shared/conformance/cases/callback/*start_execution_sync*.json"))


@pytest.mark.skipif(not RECORDED, reason="../shared is not there")
@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.stem[14:70])
def test_parent_and_child_write_the_history_aws_wrote(path):
    case = json.loads(path.read_text())
    children = [c for c in case["setup"]["state_machines"] if "definition" in c]
    functions = {"lambda_1": sf.mock({}, latency=60)}
    filled = json.loads(
        json.dumps(children).replace("<lambda_function_1_name>", "lambda_1").replace("<region>", "us-east-1")
    )
    local = sf.Local(functions, machines=[sf.StateMachine.load(c["definition"], name="child") for c in filled])
    parent = sf.StateMachine.load(json.loads(json.dumps(case["definition"]).replace("<partition>", "aws")))
    given = {**json.loads(case["input"]), "StateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:child"}
    run = local.start_execution(parent, given)
    theirs = case["expect"]["history"]
    assert types(run) == [e["type"] for e in theirs]
    for ours, event in zip(run.history, theirs, strict=True):
        for kind in ("taskSubmittedEventDetails", "taskSucceededEventDetails", "taskFailedEventDetails"):
            said = event.get(kind, {})
            for field in {"output", "cause"} & said.keys():
                mine = json.loads(ours[kind][field])
                redrive = {"RedriveCount", "RedriveStatus", "RedriveStatusReason"}  # younger than the recording
                assert shape({k: v for k, v in mine.items() if k not in redrive}) == shape(said[field])


def shape(value):
    """Names in their order, values where they are not ids and dates."""
    if isinstance(value, dict):
        return [(k, shape(v)) for k, v in value.items()]
    if isinstance(value, list) and len(value) == 1:  # a date is recorded without its list
        return shape(value[0])
    return value if value in ("SUCCEEDED", "FAILED", "TestStartTarget", True, 200, "keep-alive", "{}") else "…"


# ── many at once, in real time ───────────────────────────────────────────────────────────────────────────────────────


def test_slow_functions_of_many_executions_run_at_the_same_time():
    gate = threading.Barrier(20, timeout=60)
    local = sf.Local({"f": lambda event: gate.wait() and None}, rate=1)
    raw = machine(A={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:f"})
    runs = [local.start_execution(raw) for _ in range(20)]
    assert {run.wait(60).status for run in runs} == {"SUCCEEDED"}


@pytest.mark.parametrize("rate", [float("inf"), 100])
def test_a_function_may_be_async_also_inside_a_running_loop(rate):
    async def f(event):
        await asyncio.sleep(0.001)
        if event["n"] < 0:
            raise ValueError("negative")
        return event["n"] + 1

    local = sf.Local({"f": f}, rate=rate)
    raw = machine(A={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:f"})

    async def cell():
        return local.start_execution(raw, {"n": 1}).wait(30), local.start_execution(raw, {"n": -1}).wait(30)

    good, bad = asyncio.run(cell())
    assert (good.output, bad.error) == (2, "ValueError")


def test_an_async_function_may_send_its_own_token():
    async def f(event):
        await asyncio.sleep(0)
        local.send_task_success(event["token"], ["async"])

    local = sf.Local({"ask": f})
    assert local.start_execution(machine(Ask=ASK), {"order": 1}).output == ["async"]


def test_stopping_does_not_wait_for_a_function_that_is_stuck():
    stuck = threading.Event()
    local = sf.Local({"f": lambda event: stuck.wait(60)}, rate=1)
    run = local.start_execution(machine(A={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:f"}))
    run.stop("Enough")
    assert (run.status, run.error) == ("ABORTED", "Enough")
    stuck.set()
    time.sleep(0.05)
    assert types(run)[-1] == "ExecutionAborted"


def test_trouble_in_one_execution_leaves_the_others_alone():
    local = sf.Local(rate=1000)
    bad = local.start_execution(machine("bad", A={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:f"}))
    good = local.start_execution(machine("good", A={"Type": "Wait", "Seconds": 20}), {"a": 1})
    assert good.wait(30).output == {"a": 1}
    with pytest.raises(sf.TaskNotFoundError):
        bad.wait(30).status  # noqa: B018


def test_two_thousand_executions_at_a_time_leave_nothing_behind():
    """Timers, functions, callbacks and stops, two hundred open at once: none is lost, no thread and no token stays."""
    before = set(threading.enumerate())
    local = sf.Local({"ask": lambda event: tokens.append(event["token"])}, rate=20)
    tokens, sent, runs = [], 0, []
    ask = machine(
        Wait={"Type": "Wait", "Seconds": 1, "Next": "Ask"},
        Ask={**ASK, "TimeoutSeconds": 600, "Next": "Sleep"},
        Sleep={"Type": "Wait", "Seconds": 1},
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (len(runs) < 2000 or any(r.status == "RUNNING" for r in runs[-400:])):
        while len(runs) < 2000 and len(local._clock.open) < 200:
            runs.append(local.start_execution(ask, {"order": len(runs)}))
            if len(runs) % 5 == 0:
                runs[-1].stop("Stopped")
        for token in tokens[sent:]:
            sent += 1
            try:
                (local.send_task_failure if sent % 7 == 0 else local.send_task_success)(token)
            except ApiError as e:
                assert e.code == "TaskTimedOut"
        time.sleep(0.002)
    ends = [run.wait(30).status for run in runs]
    assert (len(ends), ends.count("ABORTED"), ends.count("RUNNING")) == (2000, 400, 0)
    assert ends.count("SUCCEEDED") > 1000
    assert ends.count("FAILED") > 100
    assert all(run.run.waits == {} for run in runs)
    due = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < due:
        time.sleep(0.01)
    gc.collect()
    assert (set(threading.enumerate()) - before, local._tokens, local._clock.open) == (set(), {}, set())
    assert len(local._clock.heap) < 4000, "what nobody waits for any more goes with its moment"
