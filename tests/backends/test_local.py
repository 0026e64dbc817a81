"""The local backend: how tasks are bound, how executions are called, which inputs are taken; and real time."""

import json
import math
import time
from datetime import UTC, datetime

import pytest

import sflab as sf
from sflab.backends.local import function_name, input_text
from sflab.engine.messages import ScheduleTask

ARN = "arn:aws:lambda:us-east-1:123456789012:function:charge-card"
INVOKE = "arn:aws:states:::lambda:invoke"
ONE = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}


def machine(*, name="shop", type="STANDARD", **states):
    raw = {"StartAt": next(iter(states)), "States": states} if states else ONE
    return sf.StateMachine.load(raw, name=name, type=type)


def task(resource=ARN, **more):
    return machine(Charge={"Type": "Task", "Resource": resource, "End": True, **more})


# ── binding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("resource", "parameters"),
    [
        (ARN, None),
        (ARN + ":prod", None),
        (INVOKE, {"FunctionName": "charge-card"}),
        (INVOKE, {"FunctionName": ARN}),
        (INVOKE, {"FunctionName": ARN + ":$LATEST"}),
        (INVOKE + ".waitForTaskToken", {"FunctionName": "charge-card"}),
        ("arn:aws:states:::aws-sdk:lambda:invoke", {"FunctionName": "charge-card"}),
        ("arn:aws:states:us-east-1:123456789012:activity:charge-card", None),
    ],
)
def test_a_function_is_found_by_its_name_however_it_is_called(resource, parameters):
    more = {"Parameters": parameters} if parameters else {}
    done = sf.Local(functions={"charge-card": sf.mock("paid")}).start_execution(task(resource, **more))
    assert done.status == "SUCCEEDED"
    assert "paid" in json.dumps(done.output)


@pytest.mark.parametrize("token", ["${ChargeArn}", "${Charge.Arn}", "${Charge}"])
def test_an_unresolved_token_is_bound_by_the_name_in_it(token):
    assert sf.Local(functions={"Charge": "paid"}).start_execution(task(token)).output == "paid"


@pytest.mark.parametrize("key", ["Charge", ARN])
def test_a_task_is_bound_by_its_states_name_or_its_resource(key):
    assert sf.Local(tasks={key: "by task"}).start_execution(task()).output == "by task"


@pytest.mark.parametrize("key", ["Charge", "dynamodb:putItem", "arn:aws:states:::dynamodb:putItem"])
def test_a_service_is_bound_by_state_resource_or_short_name(key):
    assert sf.Local(tasks={key: {}}).start_execution(task("arn:aws:states:::dynamodb:putItem")).output == {}


@pytest.mark.parametrize("key", ["states:startExecution.sync:2", "states:startExecution"])
def test_a_short_name_may_leave_out_the_pattern(key):
    run = sf.Local(tasks={key: "ran"}).start_execution(task("arn:aws:states:::states:startExecution.sync:2"))
    assert run.output == "ran"


def test_a_state_wins_over_a_resource_a_task_over_a_function_and_all_over_the_star():
    every = {"Charge": 1, ARN: 2}
    for keys in (("Charge", ARN), (ARN,), ()):
        tasks = {key: every[key] for key in keys} | {"*": 4}
        local = sf.Local(functions={"charge-card": 3}, tasks=tasks)
        assert local.start_execution(task()).output == ([*tasks.values()][0] if keys else 3)  # noqa: RUF015
    assert sf.Local(tasks={"*": 4}).start_execution(task()).output == 4


def test_what_is_bound_to_nothing_says_which_line_to_write():
    with pytest.raises(sf.TaskNotFoundError) as caught:
        sf.Local(functions={"charge-cart": 1}).start_execution(task())
    said = str(caught.value)
    assert "nothing is bound to the task 'Charge' (Lambda function 'charge-card')" in said
    assert 'sf.Local(functions={"charge-card": sf.mock({})})' in said
    assert "Did you mean 'charge-cart'?" in said
    assert isinstance(caught.value, LookupError)
    with pytest.raises(sf.TaskNotFoundError) as caught:
        sf.Local().start_execution(task("arn:aws:states:::eks:call"))
    assert 'sf.Local(tasks={"Charge": sf.mock({})})' in str(caught.value)
    assert "eks:call" in str(caught.value)
    assert "Did you mean" not in str(caught.value)


def test_the_line_it_says_to_write_can_be_written_as_it_stands():
    for resource in (ARN, "arn:aws:states:::eks:call", '${It\'s "odd".Arn}'):
        with pytest.raises(sf.TaskNotFoundError) as caught:
            sf.Local().start_execution(task(resource))
        line = str(caught.value).partition("Write ")[2].partition(", with the result")[0]
        local = eval(line, {"sf": sf})
        assert local.start_execution(task(resource)).status == "SUCCEEDED"


def test_a_task_that_is_never_reached_need_not_be_bound():
    raw = {
        "A": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": True, "Next": "B"}], "Default": "C"},
        "B": {"Type": "Task", "Resource": ARN, "End": True},
        "C": {"Type": "Succeed"},
    }
    assert sf.Local().start_execution(machine(**raw)).status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ({"kind": "lambda", "resource": ARN}, "charge-card"),
        ({"kind": "lambda", "resource": "${FnArn}"}, "Fn"),
        ({"kind": "lambda", "resource": "${Arn}"}, "${Arn}"),
        ({"kind": "task", "resource_type": "lambda", "action": "invoke", "parameters": {}}, "S"),
        ({"kind": "task", "resource_type": "lambda", "action": "invoke", "parameters": []}, "S"),
        ({"kind": "task", "resource_type": "sqs", "action": "sendMessage", "parameters": {}}, None),
    ],
)
def test_the_name_of_the_function_a_task_calls(about, name):
    command = {
        "token": 1,
        "state": "S",
        "pointer": "/S",
        "attempt": 1,
        "resource": "r",
        "resource_type": "",
        "action": "",
        "pattern": "",
        "parameters": None,
    }
    assert function_name(ScheduleTask(**{**command, **about})) == name


# ── executions and their names ───────────────────────────────────────────────────────────────────────────────────────


def test_executions_are_numbered_and_a_name_is_used_once_for_a_machine():
    local = sf.Local()
    assert [local.start_execution(machine()).name for _ in range(3)] == ["run-0001", "run-0002", "run-0003"]
    assert (
        local.start_execution(machine(), name="mine").arn == "arn:aws:states:us-east-1:123456789012:execution:shop:mine"
    )
    with pytest.raises(sf.DefinitionError, match=r"Execution Already Exists: 'arn:aws:states:.*:shop:mine'"):
        local.start_execution(machine(), name="mine")
    assert local.start_execution(machine(name="other"), name="mine").name == "mine"
    assert len(local.executions) == 5


def test_a_name_that_a_number_would_take_is_passed_over():
    local = sf.Local()
    local.start_execution(machine(), name="run-0002")
    assert local.start_execution(machine()).name == "run-0003"


def test_an_execution_tells_how_it_stands():
    run = sf.Local(functions={"charge-card": lambda event: {"n": event["n"] + 1}}).start_execution(task(), {"n": 1})
    assert (run.status, run.input, run.output, run.error, run.cause) == ("SUCCEEDED", {"n": 1}, {"n": 2}, None, None)
    assert run.result() == {"n": 2}
    assert len(run.history) == 7
    assert [v.state for v in run.visits] == ["Charge"]
    assert "shop/run-0001 SUCCEEDED" in repr(run)
    assert str(run) == "shop · run-0001"


def test_a_failed_execution_is_data_and_only_its_result_raises():
    run = sf.Local(functions={"charge-card": sf.mock(error="Declined", cause="why")}).start_execution(task())
    assert (run.status, run.output, run.error, run.cause) == ("FAILED", None, "Declined", "why")
    with pytest.raises(sf.ExecutionFailed, match="the execution failed: Declined: why") as caught:
        run.result()
    assert (caught.value.error, caught.value.cause, len(caught.value.history)) == ("Declined", "why", len(run.history))


def test_what_cannot_run_is_refused_with_every_reason():
    bad = machine(A={"Type": "Wait", "Seconds": "${Delay}", "Next": "Nowhere"})
    with pytest.raises(sf.DefinitionError) as caught:
        sf.Local().start_execution(bad)
    assert "/States/A/Next" in str(caught.value)
    assert "/States/A/Seconds" in str(caught.value)
    assert len(caught.value.diagnostics) >= 2


def test_two_locals_with_the_same_seed_give_the_same_bytes():
    def history(seed, start=None):
        raw = machine(
            A={
                "Type": "Pass",
                "Parameters": {"id.$": "States.UUID()", "n.$": "States.MathRandom(1, 1000000)"},
                "Next": "B",
            },
            B={
                "Type": "Task",
                "Resource": ARN,
                "Retry": [{"ErrorEquals": ["E"], "JitterStrategy": "FULL"}],
                "End": True,
            },
        )
        local = sf.Local(functions={"charge-card": sf.mock(1, fail_first=2, error="E")}, seed=seed, start=start)
        return json.dumps(local.start_execution(raw).history.events, default=str)

    assert history(1) == history(1) != history(2)
    assert "2030-01-01 00:00:00+00:00" in history(1)
    assert "2024-02-03 04:05:06+00:00" in history(1, datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC))


def test_an_execution_is_as_random_as_its_name():
    raw = machine(A={"Type": "Pass", "Parameters": {"id.$": "States.UUID()"}, "End": True})
    local = sf.Local()
    assert local.start_execution(raw).output != local.start_execution(raw).output


def test_an_express_execution_has_an_express_arn_and_five_minutes():
    run = sf.Local().start_execution(machine(A={"Type": "Wait", "Seconds": 301, "End": True}, type="EXPRESS"))
    assert run.arn.startswith("arn:aws:states:us-east-1:123456789012:express:shop:run-0001:")
    assert (run.name, run.status) == ("run-0001", "TIMED_OUT")


def test_simulating_gives_every_run_a_latency_of_its_own_and_keeps_none():
    local = sf.Local(functions={"charge-card": sf.mock(1)}, latency=None)
    took = [row.seconds for row in local.simulate(task(), n=20, seed=3).rows]
    assert took == [row.seconds for row in local.simulate(task(), n=20, seed=3).rows]
    assert len(set(took)) > 10
    assert min(took) > 0
    assert local.executions == []


def test_it_shows_itself_in_one_line():
    assert repr(sf.Local()) == "Local(nothing bound; virtual time, seed 0, 0 executions)"
    assert "rate 60" in repr(sf.Local(functions={"f": 1}, rate=60))


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("input", "text"),
    [
        (None, "{}"),
        ({"a": [1, "é"]}, '{"a": [1, "é"]}'),
        ('{ "a":1 }', '{ "a":1 }'),
        ('"text"', '"text"'),
        ("null", "null"),
        ([], "[]"),
        (0, "0"),
        (True, "true"),
        ((1, 2), "[1, 2]"),
    ],
)
def test_an_input_is_json_data_or_json_text(input, text):
    assert input_text(input) == text
    assert sf.Local().start_execution(machine(), input).input == json.loads(text)


@pytest.mark.parametrize(
    ("input", "says"),
    [
        ("hello", r"""a string is JSON text, as AWS takes it; write '"hello"' for the string itself"""),
        ("{'a': 1}", "double quotes"),
        ("", "Expecting value"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[1e999]", "1e999 is not JSON"),
        ("[" * 100_000, "recursion"),
        ("[" * 450 + "]" * 450, "nested deeper than 400 levels"),
        ({"a": {1, 2}}, "the input is not JSON data: Object of type set"),
        (float("nan"), "the input is not JSON data"),
        (b"{}", "the input is not JSON data"),
        ("9" * 5_000, "Exceeds the limit"),
    ],
)
def test_an_input_that_cannot_be_used_says_why(input, says):
    with pytest.raises(sf.DefinitionError, match="Invalid State Machine Execution Input") as caught:
        sf.Local().start_execution(machine(), input)
    assert says in str(caught.value)


def test_an_input_over_256_kib_is_refused_with_its_size_and_what_to_do():
    limit = 256 * 1024
    assert sf.Local().start_execution(machine(), {"a": "x" * (limit - 9)}).status == "SUCCEEDED"
    for input in ({"a": "x" * limit}, json.dumps({"a": "é" * (limit // 2)}, ensure_ascii=False)):
        with pytest.raises(sf.DefinitionError, match=r"262,1\d\d bytes; AWS takes at most 262,144 \(256 KiB\).*S3"):
            sf.Local().start_execution(machine(), input)


def test_a_refused_input_uses_up_no_name():
    local = sf.Local()
    with pytest.raises(sf.DefinitionError):
        local.start_execution(machine(), "nope", name="mine")
    assert local.start_execution(machine(), name="mine").status == "SUCCEEDED"


# ── real time ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_at_a_finite_rate_it_runs_on_a_thread_and_ends_in_its_time():
    local = sf.Local(rate=1000)
    begun = time.perf_counter()
    run = local.start_execution(machine(A={"Type": "Wait", "Seconds": 150, "End": True}), {"a": 1})
    assert time.perf_counter() - begun < 30
    assert (run.status, run.output) == ("RUNNING", None)
    assert [e["type"] for e in run.history][:2] == ["ExecutionStarted", "WaitStateEntered"][: len(run.history)]
    assert run.result() == {"a": 1}
    assert 0.14 < time.perf_counter() - begun < 30
    assert run.seconds == 150


def test_a_real_time_history_is_the_virtual_one():
    raw = machine(A={"Type": "Wait", "Seconds": 20, "Next": "B"}, B={"Type": "Task", "Resource": ARN, "End": True})
    functions = {"charge-card": sf.mock(1, latency=10, fail_first=0)}
    slow = sf.Local(functions, rate=1000).start_execution(raw).wait()
    assert slow.history.events == sf.Local(functions).start_execution(raw).history.events


def test_stop_aborts_an_execution_that_sleeps_at_once():
    run = sf.Local(rate=1).start_execution(machine(A={"Type": "Wait", "Seconds": 1000, "End": True}))
    begun = time.perf_counter()
    run.stop("Enough", "said so")
    assert time.perf_counter() - begun < 30
    assert (run.status, run.error, run.cause) == ("ABORTED", "Enough", "said so")
    assert run.history[-1]["type"] == "ExecutionAborted"
    before = run.history.events
    run.stop()
    assert run.history.events == before
    with pytest.raises(sf.ExecutionFailed, match="the execution aborted: Enough"):
        run.result()


@pytest.mark.parametrize("rate", [math.inf, 1000])
def test_stop_ends_an_execution_that_waits_for_what_never_comes(rate):
    """A negative MaxConcurrency starts nothing: AWS stalls as well (recorded)."""
    raw = machine(
        A={"Type": "Map", "MaxConcurrencyPath": "$.n", "ItemsPath": "$.items", "ItemProcessor": ONE_MORE, "End": True}
    )
    run = sf.Local(rate=rate).start_execution(raw, {"n": -1, "items": [1]})
    run.wait(5)
    assert run.status == "RUNNING"
    run.stop()
    assert run.status == "ABORTED"


ONE_MORE = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}


def test_stopping_what_has_ended_changes_nothing():
    run = sf.Local().start_execution(machine())
    run.stop()
    assert run.status == "SUCCEEDED"


def test_waiting_can_be_for_a_while_only():
    run = sf.Local(rate=1).start_execution(machine(A={"Type": "Wait", "Seconds": 1000, "End": True}))
    begun = time.perf_counter()
    assert run.wait(0.05) is run
    assert time.perf_counter() - begun < 30
    assert run.status == "RUNNING"
    run.stop()


def test_trouble_on_the_thread_is_told_to_whoever_asks():
    run = sf.Local(rate=1000).start_execution(task())
    run.wait(5)
    with pytest.raises(sf.TaskNotFoundError, match="nothing is bound to the task 'Charge'"):
        _ = run.status


def test_many_executions_can_run_at_once():
    local = sf.Local(rate=1000)
    runs = [local.start_execution(machine(A={"Type": "Wait", "Seconds": 100, "End": True})) for _ in range(10)]
    begun = time.perf_counter()
    assert {run.wait(5).status for run in runs} == {"SUCCEEDED"}
    assert time.perf_counter() - begun < 30


def test_a_name_is_free_again_when_its_task_was_not_found():
    local = sf.Local()
    with pytest.raises(sf.TaskNotFoundError):
        local.start_execution(task(), name="mine")
    assert local.executions == []
    local.functions["charge-card"] = sf.mock(1)
    assert local.start_execution(task(), name="mine").status == "SUCCEEDED"


@pytest.mark.parametrize("text", ["{}", '{"half": "\\ud800", "whole": "\\ud83d\\ude00 é"}'])
def test_a_history_saved_reads_back_as_it_was(tmp_path, text):
    run = sf.Local().start_execution(machine(), json.loads(text))
    run.history.save(tmp_path / "h.json")
    assert sf.History.load(tmp_path / "h.json").events == run.history.events


def test_a_history_is_as_long_as_it_was_when_it_was_taken_and_is_saved_as_it_was_changed(tmp_path):
    run = sf.Local().start_execution(machine(), {"n": 1})
    taken, seen = sf.History(run.run.log), run.history
    run.run.log.write("ExecutionRedriven", 1, 0.0, 1)
    assert len(taken) == len(seen) == len(run.history) - 1
    seen.events.pop()
    for history in (taken, seen, run.history):
        history.save(tmp_path / "h.json")
        assert sf.History.load(tmp_path / "h.json").events == history.events
        assert (
            (tmp_path / "h.json")
            .read_text()
            .startswith('{\n "events": [\n  {\n   "timestamp": "2030-01-01T00:00:00+00:00"')
        )


def test_status_changes_are_what_eventbridge_is_sent():
    running, ended = sf.Local().start_execution(machine(), {"a": 1}).status_changes()
    assert (running["source"], running["detail-type"]) == ("aws.states", "Step Functions Execution Status Change")
    assert (running["detail"]["status"], running["detail"]["stopDate"]) == ("RUNNING", None)
    assert (ended["detail"]["status"], ended["detail"]["output"]) == ("SUCCEEDED", '{"a": 1}')
    assert sf.Local().start_execution(machine().as_express()).status_changes() == []
    waits = sf.Local(tasks={"Charge": sf.mock(error="Declined", cause="no")}).start_execution(task())
    failed = waits.status_changes()[-1]["detail"]
    assert (failed["status"], failed["error"], failed["redriveStatus"]) == ("FAILED", "Declined", "REDRIVABLE")
    assert failed["outputDetails"] is None
