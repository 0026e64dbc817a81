"""What the machine does: states and data, retries and catches, timeouts, parallels and maps, limits; event for event."""

# ruff: noqa: E501 - tables of cases and definitions read best with one on a line

import json
import time

import pytest

from sflab.asl.parse import load
from sflab.asl.program import compile_program
from sflab.backends.drivers import EPOCH
from sflab.engine.machine import Machine
from sflab.engine.messages import (
    CancelTask,
    Heartbeat,
    ScheduleTask,
    StartTimer,
    TaskFailed,
    TaskStarted,
    TaskSubmitted,
    TaskSucceeded,
    TimerFired,
)

FN = "arn:aws:lambda:us-east-1:123456789012:function:f"
TASK = {"Type": "Task", "Resource": FN}
SEND = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"


class Boom(Exception):  # noqa: N818 - the error is called so
    pass


class Other(Exception):  # noqa: N818
    pass


def machine(**states):
    return {"StartAt": next(iter(states)), "States": states}


def one(**state):
    return machine(A={"End": True, **state})


def task(**more):
    return one(**TASK, **more)


def error(name, text=""):
    """An exception whose class has this name: what a task fails with."""
    return type(name, (Exception,), {})(text)


# ── states and their data ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "input", "output"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"Result": {"r": 1}}, {"a": 1}, {"r": 1}),
        ({"Result": None}, {"a": 1}, None),
        ({"Result": 5, "ResultPath": "$.r"}, {"a": 1}, {"a": 1, "r": 5}),
        ({"Result": 5, "ResultPath": None}, {"a": 1}, {"a": 1}),
        ({"InputPath": "$.a"}, {"a": {"b": 2}}, {"b": 2}),
        ({"InputPath": None}, {"a": 1}, {}),
        ({"OutputPath": "$.a"}, {"a": [2]}, [2]),
        ({"OutputPath": None}, {"a": 1}, {}),
        ({"Parameters": {"x.$": "$.a", "y": 2}}, {"a": 1}, {"y": 2, "x": 1}),
        ({"InputPath": "$.a", "Parameters": {"x.$": "$.b"}, "ResultPath": "$.r"}, {"a": {"b": 2}}, {"a": {"b": 2}, "r": {"x": 2}}),
        ({"Parameters": {"x.$": "$.a"}, "Result": 7}, {"a": 1}, 7),
        ({"Result": {"q": 1}, "ResultPath": "$.r", "OutputPath": "$.r.q"}, {}, 1),
        ({"Parameters": {"n.$": "$$.Execution.Name", "s.$": "$$.State.Name"}}, {}, {"n": "run", "s": "A"}),
    ],
)  # fmt: skip
def test_a_pass_state_makes(run, state, input, output):
    ran = run(one(Type="Pass", **state), input)
    assert (ran.status, ran.result) == ("SUCCEEDED", output)
    assert ran.types == ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]


def test_a_task_goes_through_every_stage(run):
    raw = task(
        InputPath="$.order",
        Parameters={"id.$": "$.id", "fixed": True},
        ResultSelector={"paid.$": "$.ok", "by.$": "$$.State.Name"},
        ResultPath="$.payment",
        OutputPath="$.payment",
    )
    ran = run(raw, {"order": {"id": 7}}, {"A": [{"ok": True, "noise": 1}]})
    assert ran.result == {"by": "A", "paid": True}
    assert ran.worker.commands[0].parameters == {"fixed": True, "id": 7}
    assert json.loads(ran.of("TaskStateExited")[0][2]["output"]) == ran.result


def test_untouched_input_text_is_passed_on_as_it_was_written(run):
    text = '{ "a" : [ 1.50, "é" ] }'
    ran = run(machine(A={"Type": "Pass", "Next": "B"}, B={"Type": "Pass", "InputPath": "$.a", "End": True}), text=text)
    shown = [d.get("input", d.get("output")) for _, _, d in ran.of(*{*ran.types})]
    assert shown == [text, text, text, text, '[1.5,"é"]', '[1.5,"é"]']


def test_choices_are_tried_in_order_and_the_default_is_last(run):
    raw = machine(
        A={
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.n", "NumericGreaterThan": 5, "Next": "Big"},
                {"Variable": "$.n", "NumericGreaterThan": 1, "Next": "Some"},
            ],
            "Default": "None",
        },
        Big={"Type": "Pass", "End": True},
        Some={"Type": "Pass", "End": True},
        None_={"Type": "Pass", "End": True},
    )
    raw["States"]["None"] = raw["States"].pop("None_")
    taken = [run(raw, {"n": n}).of("PassStateEntered")[0][2]["name"] for n in (9, 2, 0, "x")]
    assert taken == ["Big", "Some", "None", "None"]


def test_no_rule_and_no_default_is_no_choice_matched(run):
    ran = run(
        machine(
            A={"Type": "Choice", "Choices": [{"Variable": "$", "IsNull": True, "Next": "B"}]}, B={"Type": "Succeed"}
        )
    )
    assert (ran.status, ran.error) == ("FAILED", "States.NoChoiceMatched")
    assert ran.types == ["ExecutionStarted", "ChoiceStateEntered", "ExecutionFailed"]


@pytest.mark.parametrize(
    ("about", "details"),
    [
        ({"Error": "E", "Cause": "C"}, {"error": "E", "cause": "C"}),
        ({"Error": "E"}, {"error": "E"}),
        ({"Cause": "C"}, {"cause": "C"}),
        ({}, {}),
        ({"ErrorPath": "$.e", "CausePath": "States.Format('{}!', $.c)"}, {"error": "given", "cause": "3!"}),
        ({"ErrorPath": "$.c", "CausePath": "$.o"}, {"error": "3", "cause": '{"x":1}'}),
        ({"Error": "States.Timeout", "Cause": "mine"}, {"error": "States.Timeout", "cause": "mine"}),
    ],
)
def test_a_fail_state_fails_with_what_it_says_and_leaves_out_what_it_does_not(run, about, details):
    ran = run(machine(A={"Type": "Fail", **about}), {"e": "given", "c": 3, "o": {"x": 1}})
    assert ran.types == ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"]
    assert ran.of("ExecutionFailed") == [(3, 2, details)]
    assert (ran.status, ran.error, ran.cause) == ("FAILED", details.get("error"), details.get("cause"))


@pytest.mark.parametrize(
    ("wait", "input", "seconds"),
    [
        ({"Seconds": 0}, {}, 0),
        ({"Seconds": 259_200}, {}, 259_200),
        ({"SecondsPath": "$.s"}, {"s": 7}, 7),
        ({"Timestamp": "2030-01-01T00:01:00Z"}, {}, 60),
        ({"Timestamp": "2029-01-01T00:00:00Z"}, {}, 0),
        ({"TimestampPath": "$.t"}, {"t": "2030-01-01T01:00:00+01:00"}, 0),
        ({"TimestampPath": "$.t"}, {"t": "2030-01-01T00:00:00.5Z"}, 0.5),
    ],
)
def test_a_wait_waits_until_its_moment_and_not_at_all_for_one_that_is_past(run, wait, input, seconds):
    ran = run(one(Type="Wait", **wait), input)
    assert ran.at("WaitStateExited") == [seconds]
    assert ran.result == input


@pytest.mark.parametrize(
    ("wait", "input", "cause"),
    [
        ({"SecondsPath": "$.s"}, {}, "The SecondsPath parameter does not reference an input value: $.s"),
        ({"SecondsPath": "$.s"}, {"s": -1}, "The SecondsPath parameter references a negative value: $.s == -1"),
        ({"SecondsPath": "$.s"}, {"s": "x"}, "The SecondsPath parameter cannot be parsed as a long value: $.s == x"),
        ({"SecondsPath": "$.s"}, {"s": 1.5}, "The SecondsPath parameter cannot be parsed as a long value: $.s == 1.5"),
        (
            {"SecondsPath": "$.s"},
            {"s": True},
            "The SecondsPath parameter cannot be parsed as a long value: $.s == true",
        ),
        ({"SecondsPath": "$.s"}, {"s": 10**400}, "Wait state delay is too long."),
        ({"TimestampPath": "$.t"}, {"t": "soon"}, "string: $.t == soon"),
        ({"TimestampPath": "$.t"}, {"t": 5}, "string: $.t == 5"),
        ({"Timestamp": "2999-01-01T00:00:00Z"}, {}, "Wait state delay is too long."),
    ],
)
def test_a_wait_that_cannot_be_understood_fails_in_awss_words(run, wait, input, cause):
    ran = run(one(Type="Wait", **wait), input)
    assert (ran.status, ran.error) == ("FAILED", "States.Runtime")
    assert ran.cause.startswith("An error occurred while executing the state 'A' (entered at the event id #2). ")
    assert ran.cause.endswith(cause)
    assert ran.types == ["ExecutionStarted", "WaitStateEntered", "ExecutionFailed"]


def test_previous_event_ids_follow_the_flow(run):
    ran = run(machine(A={**TASK, "Next": "B"}, B={"Type": "Succeed"}))
    assert ran.story == [
        "1<0 ExecutionStarted",
        "2<0 TaskStateEntered A",
        "3<2 LambdaFunctionScheduled",
        "4<3 LambdaFunctionStarted",
        "5<4 LambdaFunctionSucceeded",
        "6<5 TaskStateExited A",
        "7<6 SucceedStateEntered B",
        "8<7 SucceedStateExited B",
        "9<8 ExecutionSucceeded",
    ]


@pytest.mark.parametrize(
    ("resource", "types"),
    [
        (FN, ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionSucceeded"]),
        ("arn:aws:states:::lambda:invoke", ["TaskScheduled", "TaskStarted", "TaskSucceeded"]),
        ("arn:aws:states:us-east-1:1:activity:a", ["ActivityScheduled", "ActivityStarted", "ActivitySucceeded"]),
    ],
)
def test_each_kind_of_task_has_events_of_its_own(run, resource, types):
    ran = run(one(Type="Task", Resource=resource, Parameters={"x": 1}))
    assert ran.types[2:5] == types
    about = ran.of(types[0])[0][2]
    given = about.get("input", about.get("parameters"))
    assert given == '{"x":1}'


# ── variables ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_variables_are_assigned_together_and_seen_from_the_next_state_on(run):
    raw = machine(
        A={"Type": "Pass", "Assign": {"x": 1, "y.$": "$.a"}, "Next": "B"},
        B={"Type": "Pass", "Assign": {"x.$": "$y", "y.$": "$x"}, "Next": "C"},
        C={"Type": "Pass", "Parameters": {"x.$": "$x", "y.$": "$y"}, "End": True},
    )
    ran = run(raw, {"a": [2]})
    assert ran.result == {"x": [2], "y": 1}
    about = ran.of("PassStateExited")[0][2]
    assert about["assignedVariables"] == {"x": "1", "y": "[2]"}
    assert about["assignedVariablesDetails"] == {"truncated": False}


def test_variables_of_a_branch_or_an_iteration_do_not_leak_out(run):
    inner = machine(
        I={"Type": "Pass", "Assign": {"x": "inside"}, "Next": "J"}, J={"Type": "Pass", "InputPath": "$x", "End": True}
    )
    raw = machine(
        A={"Type": "Pass", "Assign": {"x": "outside"}, "Next": "M"},
        M={"Type": "Map", "ItemProcessor": inner, "Next": "Z"},
        Z={"Type": "Pass", "Parameters": {"inner.$": "$", "x.$": "$x"}, "End": True},
    )
    assert run(raw, [1, 2]).result == {"inner": ["inside", "inside"], "x": "outside"}


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

LIMIT = 256 * 1024


def test_a_pass_result_over_256_kib_ends_the_execution(run):
    at_the_limit = run(one(Type="Pass", Result="x" * (LIMIT - 2)))
    assert at_the_limit.status == "SUCCEEDED"
    ran = run(machine(A={"Type": "Pass", "Result": "x" * (LIMIT - 1), "End": True}))
    said = "The state/task 'A' returned a result with a size exceeding the maximum number of bytes service limit."
    assert (ran.status, ran.error, ran.cause) == ("FAILED", "States.DataLimitExceeded", said)
    assert ran.types == ["ExecutionStarted", "PassStateEntered", "ExecutionFailed"]


def test_bytes_count_and_not_characters(run):
    assert run(one(Type="Pass", Result="é" * (LIMIT // 2 - 1))).status == "SUCCEEDED"
    assert run(one(Type="Pass", Result="é" * (LIMIT // 2))).error == "States.DataLimitExceeded"


def test_data_that_grows_state_by_state_is_measured(run):
    """Growth is estimated where it can be: the estimate may be high, never the verdict."""
    states = {
        f"P{n}": {"Type": "Pass", "Result": "x" * 50_000, "ResultPath": f"$.p{n}", "Next": f"P{n + 1}"}
        for n in range(6)
    }
    ran = run({"StartAt": "P0", "States": {**states, "P6": {"Type": "Succeed"}}})
    assert (ran.error, len(ran.of("PassStateExited"))) == ("States.DataLimitExceeded", 5)
    again = {
        f"P{n}": {"Type": "Pass", "Result": "x" * 50_000, "ResultPath": "$.p", "Next": f"P{n + 1}"} for n in range(20)
    }
    assert run({"StartAt": "P0", "States": {**again, "P20": {"Type": "Succeed"}}}).status == "SUCCEEDED"


def test_a_lambda_result_that_is_too_large_is_caught_by_states_all(run):  # recorded
    raw = machine(
        A={**TASK, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B", "ResultPath": "$.e"}], "Next": "B"},
        B={"Type": "Succeed"},
    )
    ran = run(raw, {}, {"A": ["x" * LIMIT]})
    said = f"The state/task '{FN}' returned a result with a size exceeding the maximum number of bytes service limit."
    assert ran.result == {"e": {"Error": "States.DataLimitExceeded", "Cause": said}}
    assert ran.types[4:6] == ["LambdaFunctionFailed", "TaskStateExited"]


def test_the_joined_results_of_a_map_are_measured_too(run):
    raw = one(Type="Map", ItemProcessor=machine(I={"Type": "Pass", "Result": "x" * 100_000, "End": True}))
    assert run(raw, [1, 2]).status == "SUCCEEDED"
    assert run(raw, [1, 2, 3]).error == "States.DataLimitExceeded"


def test_data_nested_deeper_with_every_round_ends_as_too_large_and_not_as_a_crash(run):
    raw = machine(
        A={"Type": "Pass", "Parameters": {"x.$": "$"}, "Next": "B"},
        B={"Type": "Choice", "Choices": [{"Variable": "$.never", "IsPresent": True, "Next": "C"}], "Default": "A"},
        C={"Type": "Succeed"},
    )
    ran = run(raw)
    assert ran.error == "States.DataLimitExceeded"
    assert len(ran.events) > 500


# ── retriers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def waits(ran):
    """Seconds between a failure and the next attempt."""
    scheduled, failed = ran.at("LambdaFunctionScheduled"), ran.at("LambdaFunctionFailed", "LambdaFunctionTimedOut")
    return [b - a for a, b in zip(failed, scheduled[1:], strict=False)]


@pytest.mark.parametrize(
    ("retriers", "failures", "delays", "status"),
    [
        ([{"ErrorEquals": ["Boom"]}], [Boom()] * 2, [1, 2], "SUCCEEDED"),
        ([{"ErrorEquals": ["Boom"]}], [Boom()] * 9, [1, 2, 4], "FAILED"),
        ([{"ErrorEquals": ["Boom"], "MaxAttempts": 0}], [Boom()], [], "FAILED"),
        ([{"ErrorEquals": ["Boom"], "IntervalSeconds": 3, "BackoffRate": 1}], [Boom()] * 3, [3, 3, 3], "SUCCEEDED"),
        ([{"ErrorEquals": ["Boom"], "BackoffRate": 10, "MaxDelaySeconds": 15}], [Boom()] * 3, [1, 10, 15], "SUCCEEDED"),
        ([{"ErrorEquals": ["Other"]}], [Boom()], [], "FAILED"),
        ([{"ErrorEquals": ["States.ALL"]}], [Boom(), Other()], [1, 2], "SUCCEEDED"),
        ([{"ErrorEquals": ["States.TaskFailed"]}], [Boom()], [1], "SUCCEEDED"),
        # every retrier counts and grows for itself
        ([{"ErrorEquals": ["Boom"], "IntervalSeconds": 10}, {"ErrorEquals": ["Other"]}],
         [Boom(), Other(), Boom(), Other()], [10, 1, 20, 2], "SUCCEEDED"),
        ([{"ErrorEquals": ["Boom"], "MaxAttempts": 1}, {"ErrorEquals": ["Other"], "MaxAttempts": 1}],
         [Boom(), Other(), Boom()], [1, 1], "FAILED"),
        # the first that matches is the one that counts, also when it is used up
        ([{"ErrorEquals": ["Boom"], "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"]}], [Boom()] * 2, [1], "FAILED"),
        ([{"ErrorEquals": ["Boom"], "MaxAttempts": 0}, {"ErrorEquals": ["States.ALL"]}], [Other()], [1], "SUCCEEDED"),
        ([{"ErrorEquals": ["States.ALL"]}], [error("States.Runtime")], [], "FAILED"),
        ([{"ErrorEquals": ["States.TaskFailed"]}], [error("States.Timeout")], [], "FAILED"),
    ],
)  # fmt: skip
def test_a_task_is_retried(run, retriers, failures, delays, status):
    ran = run(task(Retry=retriers), {}, {"A": [*failures, "done"]})
    assert (waits(ran), ran.status) == (delays, status)
    assert [c.attempt for c in ran.worker.commands] == list(range(1, len(delays) + 2))
    assert ran.types.count("TaskStateEntered") == 1


def test_a_retry_points_at_the_failure_before_it_and_has_no_event_of_its_own(run):
    ran = run(task(Retry=[{"ErrorEquals": ["Boom"]}]), {}, {"A": [Boom("why"), "done"]})
    assert ran.story[3:9] == [
        "4<3 LambdaFunctionStarted",
        "5<4 LambdaFunctionFailed",
        "6<5 LambdaFunctionScheduled",
        "7<6 LambdaFunctionStarted",
        "8<7 LambdaFunctionSucceeded",
        "9<8 TaskStateExited A",
    ]
    assert ran.of("LambdaFunctionFailed")[0][2] == {"error": "Boom", "cause": "why"}


def test_jitter_is_drawn_from_the_seed_within_the_delay(run):
    raw = task(Retry=[{"ErrorEquals": ["Boom"], "IntervalSeconds": 8, "JitterStrategy": "FULL", "MaxAttempts": 5}])
    answers = {"A": [*[Boom()] * 5, "done"]}
    drawn = {seed: waits(run(raw, {}, answers, seed=seed)) for seed in (1, 2)}
    assert drawn[1] == waits(run(raw, {}, answers, seed=1)) != drawn[2]
    assert all(0 <= d <= 8 * 2**n for d, n in zip(drawn[1], range(5), strict=True))
    assert len(set(drawn[1])) == 5


def test_the_context_counts_the_retries(run):
    ran = run(
        task(Parameters={"n.$": "$$.State.RetryCount"}, Retry=[{"ErrorEquals": ["Boom"]}]),
        {},
        {"A": [Boom(), Boom(), 1]},
    )
    assert [c.parameters["n"] for c in ran.worker.commands] == [0, 1, 2]


def test_each_visit_counts_its_retries_from_the_start(run):
    raw = machine(
        A={**TASK, "Retry": [{"ErrorEquals": ["Boom"], "MaxAttempts": 1}], "Next": "B"},
        B={"Type": "Choice", "Choices": [{"Variable": "$.again", "BooleanEquals": True, "Next": "A"}], "Default": "C"},
        C={"Type": "Succeed"},
    )
    ran = run(raw, {}, {"A": [Boom(), {"again": True}, Boom(), {"again": False}]})
    assert (ran.status, [c.attempt for c in ran.worker.commands]) == ("SUCCEEDED", [1, 2, 1, 2])


def test_a_parallel_is_retried_as_a_whole(run):
    raw = one(
        Type="Parallel",
        Branches=[machine(P={**TASK, "End": True}), machine(Q={"Type": "Pass", "Result": "q", "End": True})],
        Retry=[{"ErrorEquals": ["Boom"]}],
    )
    ran = run(raw, {}, {"P": [Boom(), "p"]})
    assert ran.result == ["p", "q"]
    assert ran.types.count("ParallelStateStarted") == 2
    assert ran.types.count("ParallelStateEntered") == 1
    assert ran.types.count("PassStateExited") == 2
    assert "ParallelStateFailed" not in ran.types
    assert ran.at("ParallelStateStarted") == [0, 1]


# ── catchers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def caught_by(run, catchers, failure, **more):
    names = [catcher["Next"] for catcher in catchers]
    ends = {name: {"Type": "Pass", "End": True} for name in (*names, "Z")}
    raw = machine(A={**TASK, **more, "Catch": catchers, "Next": "Z"}, **ends)
    ran = run(raw, {"in": 1}, {"A": [failure]})
    return ran, [d["name"] for _, _, d in ran.of("PassStateEntered")]


@pytest.mark.parametrize(
    ("catchers", "failure", "next"),
    [
        ([{"ErrorEquals": ["Boom"], "Next": "B"}], Boom("x"), "B"),
        ([{"ErrorEquals": ["Other"], "Next": "B"}, {"ErrorEquals": ["Boom"], "Next": "C"}], Boom("x"), "C"),
        ([{"ErrorEquals": ["States.TaskFailed"], "Next": "B"}, {"ErrorEquals": ["Boom"], "Next": "C"}], Boom("x"), "B"),
        ([{"ErrorEquals": ["States.ALL"], "Next": "B"}], Boom("x"), "B"),
        ([{"ErrorEquals": ["States.ALL"], "Next": "B"}], error("States.Timeout"), "B"),
        ([{"ErrorEquals": ["States.TaskFailed"], "Next": "B"}], error("States.Timeout"), None),
        ([{"ErrorEquals": ["States.ALL"], "Next": "B"}], error("States.Runtime"), None),
        ([{"ErrorEquals": ["States.Runtime"], "Next": "B"}], error("States.Runtime"), None),
        ([{"ErrorEquals": ["Other"], "Next": "B"}], Boom("x"), None),
        ([{"ErrorEquals": ["Other", "Boom"], "Next": "B"}], Boom("x"), "B"),
    ],
)
def test_the_first_catcher_that_matches_takes_the_error(run, catchers, failure, next):
    ran, passed = caught_by(run, catchers, failure)
    assert passed == ([next] if next else [])
    assert ran.status == ("SUCCEEDED" if next else "FAILED")


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ({}, {"Error": "Boom", "Cause": "why"}),
        ({"ResultPath": "$"}, {"Error": "Boom", "Cause": "why"}),
        ({"ResultPath": "$.e"}, {"in": 1, "e": {"Error": "Boom", "Cause": "why"}}),
        ({"ResultPath": None}, {"in": 1}),
    ],
)
def test_what_the_next_state_is_given_of_an_error(run, path, output):
    ran, _ = caught_by(run, [{"ErrorEquals": ["Boom"], "Next": "B", **path}], Boom("why"), OutputPath="$.not.used")
    assert ran.result == output
    assert list(ran.result) == list(output)


def test_an_error_without_name_and_cause_is_caught_as_nulls(run):  # recorded
    fail = run.answer((0, TaskFailed))
    ran, _ = caught_by(run, [{"ErrorEquals": ["States.ALL"], "Next": "B"}], fail)
    assert ran.result == {"Error": None, "Cause": None}
    assert ran.of("LambdaFunctionFailed")[0][2] == {}


def test_a_caught_error_leaves_from_its_failed_event(run):
    ran, _ = caught_by(run, [{"ErrorEquals": ["Boom"], "Next": "B"}], Boom("x"))
    assert ran.story[4:7] == ["5<4 LambdaFunctionFailed", "6<5 TaskStateExited A", "7<6 PassStateEntered B"]


def test_a_catcher_comes_after_the_retriers_are_used_up(run):
    raw = machine(
        A={
            **TASK,
            "Retry": [{"ErrorEquals": ["Boom"], "MaxAttempts": 2}],
            "Catch": [{"ErrorEquals": ["Boom"], "Next": "B"}],
            "End": True,
        },
        B={"Type": "Succeed"},
    )
    ran = run(raw, {}, {"A": [Boom()]})
    assert (len(ran.worker.commands), ran.status) == (3, "SUCCEEDED")


def test_a_catcher_may_go_back_to_its_own_state(run):
    raw = machine(A={**TASK, "Catch": [{"ErrorEquals": ["Boom"], "Next": "A", "ResultPath": "$.e"}], "End": True})
    ran = run(raw, {}, {"A": [Boom("1"), Boom("2"), "done"]})
    assert (ran.result, ran.types.count("TaskStateEntered")) == ("done", 3)


def test_a_path_that_leads_nowhere_in_a_task_is_not_caught(run):
    raw = machine(
        A={
            **TASK,
            "InputPath": "$.no",
            "Catch": [{"ErrorEquals": ["States.Runtime"], "Next": "B"}, {"ErrorEquals": ["States.ALL"], "Next": "B"}],
            "End": True,
        },
        B={"Type": "Succeed"},
    )
    ran = run(raw)
    assert (ran.status, ran.error) == ("FAILED", "States.Runtime")
    head = "An error occurred while executing the state 'A' (entered at the event id #2). "
    assert ran.cause == head + "Invalid path '$.no' : No results for path: $['no']"
    assert ran.worker.commands == []


def test_an_intrinsic_failure_and_a_result_path_mismatch_are_caught_by_name(run):
    for fault, input, error_ in (
        ({"Parameters": {"x.$": "States.ArrayGetItem($.a, 9)"}}, {"a": []}, "States.IntrinsicFailure"),
        ({"ResultPath": "$.a.b"}, {"a": 5}, "States.ResultPathMatchFailure"),
    ):
        raw = machine(
            A={**TASK, **fault, "Catch": [{"ErrorEquals": [error_], "Next": "B"}], "End": True}, B={"Type": "Succeed"}
        )
        ran = run(raw, input)
        assert (ran.status, ran.result["Error"]) == ("SUCCEEDED", error_)


def test_a_catcher_whose_result_path_does_not_fit_fails_the_state(run):
    raw = machine(
        A={**TASK, "Catch": [{"ErrorEquals": ["Boom"], "Next": "B", "ResultPath": "$.a.b"}], "End": True},
        B={"Type": "Succeed"},
    )
    ran = run(raw, {"a": 5}, {"A": [Boom()]})
    assert (ran.status, ran.error) == ("FAILED", "States.ResultPathMatchFailure")


# ── timeouts, heartbeats, tokens ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", [{"TimeoutSeconds": 5}, {"TimeoutSecondsPath": "$.t"}])
def test_a_task_that_takes_too_long_times_out_without_a_cause(run, limit):
    ran = run(task(**limit), {"t": 5}, {"A": ["late"]}, after={"A": 6})
    assert (ran.status, ran.error, ran.cause) == ("FAILED", "States.Timeout", None)
    assert ran.of("LambdaFunctionTimedOut") == [(5, 4, {"error": "States.Timeout"})]
    assert ran.of("ExecutionFailed") == [(6, 5, {"error": "States.Timeout"})]
    assert ran.at("ExecutionFailed") == [5]
    assert ran.of("LambdaFunctionScheduled")[0][2]["timeoutInSeconds"] == 5


def test_an_answer_at_the_last_moment_counts(run):
    assert run(task(TimeoutSeconds=5), {}, {"A": ["done"]}, after={"A": 5}).result == "done"


@pytest.mark.parametrize("found", ["x", None, [], -1, True, 1e300])
@pytest.mark.parametrize("name", ["TimeoutSecondsPath", "HeartbeatSecondsPath"])
def test_a_time_limit_that_is_no_number_of_seconds_fails_the_state(run, name, found):
    ran = run(one(Type="Task", Resource=SEND, **{name: "$.t"}), {"t": found})
    assert (ran.status, ran.error) == (("SUCCEEDED", None) if found is None else ("FAILED", "States.Runtime"))


def test_every_attempt_has_the_whole_time(run):
    raw = task(TimeoutSeconds=5, Retry=[{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 2}])
    ran = run(raw, {}, {"A": [None, None, "done"]})
    assert (ran.status, ran.at("LambdaFunctionTimedOut")) == ("SUCCEEDED", [5, 11])


def test_a_caught_timeout_has_an_empty_cause(run):  # recorded
    raw = machine(
        A={**TASK, "TimeoutSeconds": 1, "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "B"}], "End": True},
        B={"Type": "Succeed"},
    )
    assert run(raw, {}, {"A": [None]}).result == {"Error": "States.Timeout", "Cause": ""}


def test_a_missed_heartbeat_is_a_timeout_and_each_beat_starts_it_anew(run):
    beats = [(n, Heartbeat) for n in (2, 4, 6)]
    ran = run(one(Type="Task", Resource=SEND, HeartbeatSeconds=3, TimeoutSeconds=60), {}, {"A": [run.answer(*beats)]})
    assert (ran.error, ran.at("TaskTimedOut")) == ("States.Timeout", [9])
    in_time = run.answer(*beats, (8, lambda token: TaskSucceeded(token, "done")))
    assert run(one(Type="Task", Resource=SEND, HeartbeatSeconds=3), {}, {"A": [in_time]}).result == "done"


def test_an_activity_waits_for_a_worker_and_then_for_its_heartbeat(run):
    raw = one(Type="Task", Resource="arn:aws:states:us-east-1:1:activity:a", HeartbeatSeconds=3, TimeoutSeconds=20)
    took = run.answer((2, lambda token: TaskStarted(token, "w-1")), (4, lambda token: TaskSucceeded(token, 1)))
    ran = run(raw, {}, {"A": [took]})
    assert (ran.result, ran.of("ActivityStarted")[0][2]) == (1, {"workerName": "w-1"})


def test_a_callback_task_has_a_token_of_its_own_for_every_attempt(run):
    raw = one(Type="Task", Resource=SEND, Parameters={"t.$": "$$.Task.Token"}, Retry=[{"ErrorEquals": ["Boom"]}])
    submit = (0, lambda token: TaskSubmitted(token, {"MessageId": "m"}))
    fail = run.answer(submit, (1, lambda token: TaskFailed(token, "Boom", "x")))
    done = run.answer(submit, (1, lambda token: TaskSucceeded(token, "done")))
    ran = run(raw, {}, {"A": [fail, done]})
    tokens = [c.task_token for c in ran.worker.commands]
    assert [c.parameters["t"] for c in ran.worker.commands] == tokens
    assert len(set(tokens)) == 2
    assert min(map(len, tokens)) >= 64
    assert ran.types[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskFailed"]
    assert json.loads(ran.of("TaskSubmitted")[0][2]["output"]) == {"MessageId": "m"}


def test_the_token_is_gone_from_the_context_in_the_next_state(run):
    raw = machine(
        A={"Type": "Task", "Resource": SEND, "Next": "B"}, B={"Type": "Pass", "InputPath": "$$.Task.Token", "End": True}
    )
    assert run(raw).error == "States.Runtime"


def test_without_a_pattern_there_is_no_token(run):
    assert run(task(Parameters={"t.$": "$$.Task.Token"})).error == "States.Runtime"


@pytest.mark.parametrize(
    ("type", "limit", "ends"), [("STANDARD", 10, 10), ("EXPRESS", None, 300), ("EXPRESS", 1000, 300), ("EXPRESS", 7, 7)]
)
def test_an_execution_ends_at_its_timeout_and_an_express_one_after_five_minutes(run, type, limit, ends):
    raw = {**one(Type="Wait", Seconds=5000), **({"TimeoutSeconds": limit} if limit else {})}
    ran = run(raw, type=type)
    assert (ran.status, ran.error, ran.cause) == ("TIMED_OUT", "States.Timeout", None)
    assert ran.of("ExecutionTimedOut") == [(3, 0, {"error": "States.Timeout"})]
    assert ran.at("ExecutionTimedOut") == [ends]
    assert (ran.waits, list(ran.agenda)) == ({}, [])


def test_a_timeout_gives_up_what_is_in_flight_in_every_branch():
    definition = load({
        "TimeoutSeconds": 5,
        **one(Type="Parallel", Branches=[machine(P={**TASK, "End": True}), machine(Q={**TASK, "End": True})]),
    })  # fmt: skip
    machine_ = Machine(compile_program(definition.raw))
    started = machine_.start("{}", EPOCH)
    deadline = next(c for c in started if isinstance(c, StartTimer))
    tasks = [c.token for c in started if isinstance(c, ScheduleTask)]
    assert machine_.reply(TimerFired(deadline.token), at=EPOCH + 5) == [CancelTask(t) for t in tasks]
    assert machine_.reply(*(TaskSucceeded(t, 1) for t in tasks), at=EPOCH + 6) == []
    assert machine_.status == "TIMED_OUT"


# ── parallels ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_parallel_gives_every_branch_its_input_and_joins_the_results_in_order(run):
    raw = one(
        Type="Parallel",
        Parameters={"x.$": "$.a"},
        Branches=[
            machine(P={**TASK, "End": True}),
            machine(Q={**TASK, "End": True}),
            machine(R={"Type": "Pass", "End": True}),
        ],
        ResultSelector={"all.$": "$[*]"},
        ResultPath="$.r",
    )
    ran = run(raw, {"a": 1}, {"P": ["p"], "Q": ["q"]}, after={"P": 5, "Q": 1})
    assert ran.result == {"a": 1, "r": {"all": ["p", "q", {"x": 1}]}}
    assert [c.parameters for c in ran.worker.commands] == [{"x": 1}] * 2
    assert [c.path for c in ran.worker.commands] == [(("A", 0),), (("A", 1),)]
    assert ran.at("ParallelStateSucceeded") == [5]


def test_the_events_of_a_parallel_with_one_branch(run):  # as recorded
    ran = run(one(Type="Parallel", Branches=[machine(P={"Type": "Pass", "End": True})]))
    assert ran.story == [
        "1<0 ExecutionStarted",
        "2<0 ParallelStateEntered A",
        "3<2 ParallelStateStarted",
        "4<3 PassStateEntered P",
        "5<4 PassStateExited P",
        "6<5 ParallelStateSucceeded",
        "7<5 ParallelStateExited A",
        "8<7 ExecutionSucceeded",
    ]


FORK = {
    "Type": "Parallel",
    "Branches": [
        machine(P={**TASK, "End": True}),
        machine(Q={**TASK, "End": True}),
        machine(R={"Type": "Wait", "Seconds": 99, "End": True}),
    ],
}


def test_a_branch_that_fails_aborts_the_others_with_awss_events(run):
    ran = run(machine(A={**FORK, "End": True}), {}, {"P": ["late"], "Q": [Boom("why")]}, after={"P": 50, "Q": 1})
    failed = next(e["id"] for e in ran.events if e["type"] == "LambdaFunctionFailed")
    assert (ran.status, ran.error, ran.cause) == ("FAILED", "Boom", "why")
    assert ran.types[-6:] == [
        "LambdaFunctionFailed",
        "TaskStateAborted",
        "TaskStateAborted",
        "WaitStateAborted",
        "ParallelStateFailed",
        "ExecutionFailed",
    ]
    assert {prev for _, prev, _ in ran.of("TaskStateAborted", "WaitStateAborted", "ParallelStateFailed")} == {failed}
    assert ran.at("ExecutionFailed") == [1]


def test_what_an_aborted_branch_still_answers_is_dropped(run):
    raw = machine(
        A={**FORK, "Catch": [{"ErrorEquals": ["Boom"], "Next": "B"}], "End": True},
        B={"Type": "Wait", "Seconds": 200, "End": True},
    )
    ran = run(raw, {}, {"P": ["late"], "Q": [Boom("why")]}, after={"P": 50, "Q": 1})
    assert ran.status == "SUCCEEDED"
    assert ran.result == {"Error": "Boom", "Cause": "why"}
    assert "LambdaFunctionSucceeded" not in ran.types
    assert ran.types[-5:] == [
        "ParallelStateFailed",
        "ParallelStateExited",
        "WaitStateEntered",
        "WaitStateExited",
        "ExecutionSucceeded",
    ]


def test_branches_that_fail_in_the_same_instant_fail_the_state_once(run):
    raw = machine(A={**FORK, "Retry": [{"ErrorEquals": ["Boom"], "MaxAttempts": 2}], "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}],
                     "End": True}, B={"Type": "Wait", "Seconds": 500, "End": True})  # fmt: skip
    ran = run(raw, {}, {"P": [Boom("p")], "Q": [Boom("q")]}, after={"P": 1, "Q": 1})
    assert ran.types.count("ParallelStateStarted") == 3
    assert ran.types.count("ParallelStateFailed") == 1
    assert ran.types.count("ParallelStateExited") == 1
    assert ran.types.count("LambdaFunctionFailed") == 6, "both are recorded before either has consequences"
    assert (ran.status, ran.result["Cause"]) == ("SUCCEEDED", "p")


def test_a_branch_that_cannot_begin_fails_its_parallel(run):
    raw = one(Type="Parallel", Branches=[machine(P={"Type": "Pass", "InputPath": "$.no", "End": True})])
    ran = run(raw)
    assert ran.error == "States.Runtime"
    assert "the state 'P' (entered at the event id #4)" in ran.cause


def test_branches_inside_branches_abort_from_the_inside_out(run):
    inner = machine(
        I={
            "Type": "Parallel",
            "Branches": [machine(J={**TASK, "End": True}), machine(K={**TASK, "End": True})],
            "End": True,
        }
    )
    ran = run(
        one(Type="Parallel", Branches=[machine(P={**TASK, "End": True}), inner]),
        {},
        {"P": [Boom()], "J": [None], "K": [None]},
    )
    assert ran.types[-6:] == ["TaskStateAborted"] * 3 + [
        "ParallelStateAborted",
        "ParallelStateFailed",
        "ExecutionFailed",
    ]
    assert ran.waits == {}


def test_an_earlier_failure_of_a_parallel_does_not_show_in_a_later_map(run):
    raw = machine(
        A={**FORK, "Catch": [{"ErrorEquals": ["Boom"], "Next": "M"}], "Next": "M"},
        M={"Type": "Map", "ItemsPath": "$.no", "Iterator": machine(I={"Type": "Pass", "End": True}), "End": True},
    )
    ran = run(raw, {}, {"P": [Boom()]})
    assert ran.error == "States.Runtime"
    assert ran.types[-2:] == ["MapStateEntered", "ExecutionFailed"], "it never started, so it does not fail"


# ── maps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def each(**more):
    return one(Type="Map", **{"ItemProcessor": machine(I={**TASK, "End": True}), **more})


def test_a_map_does_its_work_for_every_item_and_keeps_their_order(run):
    ran = run(each(), [10, 20, 30], {"I": ["a", "b", "c"]})
    assert ran.result == ["a", "b", "c"]
    assert [c.parameters for c in ran.worker.commands] == [10, 20, 30]
    assert [c.path for c in ran.worker.commands] == [(("A", n),) for n in range(3)]


def test_an_empty_array_is_mapped_to_an_empty_array(run):
    ran = run(each(), [])
    assert ran.result == []
    assert ran.story[1:] == [
        "2<0 MapStateEntered A",
        "3<2 MapStateStarted",
        "4<3 MapStateSucceeded",
        "5<3 MapStateExited A",
        "6<5 ExecutionSucceeded",
    ]


def test_one_at_a_time_the_next_begins_where_the_one_before_left(run):  # as recorded
    ran = run(each(MaxConcurrency=1, ItemProcessor=machine(I={"Type": "Pass", "End": True})), ["x", "y"])
    assert ran.story[2:] == [
        "3<2 MapStateStarted",
        "4<3 MapIterationStarted A[0]",
        "5<4 PassStateEntered I",
        "6<5 PassStateExited I",
        "7<6 MapIterationSucceeded A[0]",
        "8<6 MapIterationStarted A[1]",
        "9<8 PassStateEntered I",
        "10<9 PassStateExited I",
        "11<10 MapIterationSucceeded A[1]",
        "12<11 MapStateSucceeded",
        "13<11 MapStateExited A",
        "14<13 ExecutionSucceeded",
    ]


def test_a_wave_starts_all_its_iterations_then_schedules_then_starts_its_tasks(run):  # as recorded
    ran = run(each(), [1, 2, 3], after={"I": 1})
    assert ran.types[3:6] == ["MapIterationStarted"] * 3
    assert ran.types[6:12] == ["TaskStateEntered", "LambdaFunctionScheduled"] * 3
    assert ran.types[12:15] == ["LambdaFunctionStarted"] * 3
    assert [prev for _, prev, _ in ran.of("MapIterationStarted")] == [3, 3, 3]


@pytest.mark.parametrize(("limit", "items", "together"), [({}, 100, 40), ({"MaxConcurrency": 0}, 50, 40), ({"MaxConcurrency": 3}, 7, 3),
                                                          ({"MaxConcurrencyPath": "$.n"}, 7, 2)])  # fmt: skip
def test_no_more_iterations_run_at_once_than_may(run, limit, items, together):
    raw = each(ItemsPath="$.items", **limit)
    ran = run(raw, {"items": list(range(items)), "n": 2}, after={"I": 1})
    running = most = 0
    for kind in ran.types:
        running += (kind == "MapIterationStarted") - (kind == "MapIterationSucceeded")
        most = max(most, running)
    assert (ran.status, most) == ("SUCCEEDED", together)
    assert ran.at("ExecutionSucceeded") == [-(-items // together)]


def test_an_iteration_sees_its_item_and_the_maps_input(run):
    raw = each(
        InputPath="$.in",
        ItemsPath="$.items",
        ItemSelector={"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "shared.$": "$.shared"},
        ItemProcessor=machine(
            I={"Type": "Pass", "Parameters": {"again.$": "$$.Map.Item.Value", "all.$": "$"}, "End": True}
        ),
        ResultPath="$.out",
    )
    ran = run(raw, {"in": {"items": ["x", "y"], "shared": 1}})
    assert [r["again"] for r in ran.result["out"]] == ["x", "y"]
    assert [r["all"] for r in ran.result["out"]] == [{"i": 0, "shared": 1, "v": "x"}, {"i": 1, "shared": 1, "v": "y"}]


@pytest.mark.parametrize(
    ("raw", "input", "cause"),
    [
        (each(), {"not": "an array"}, 'Reference path "$" must point to array.'),
        (each(ItemsPath="$.a"), {"a": 5}, 'Reference path "$.a" must point to array.'),
        (each(ItemsPath="$.a"), {}, "Invalid path '$.a' : No results for path: $['a']"),
        (
            each(MaxConcurrencyPath="$[0]"),
            ["x"],
            'The MaxConcurrencyPath field refers to value "x" which is not a valid integer: $[0]',
        ),
    ],
)
def test_a_map_that_cannot_begin_fails_before_it_has_started(run, raw, input, cause):
    ran = run(raw, input)
    assert (ran.status, ran.error, ran.cause.partition("). ")[2]) == ("FAILED", "States.Runtime", cause)
    assert ran.types == ["ExecutionStarted", "MapStateEntered", "ExecutionFailed"]


def test_an_iteration_that_fails_aborts_the_others_with_awss_events(run):  # order as recorded
    fail_second = {"I": [None, Boom("why"), None]}
    ran = run(each(), [1, 2, 3], fail_second)
    assert ran.story[-9:] == [
        "16<14 LambdaFunctionFailed",
        "17<16 MapIterationFailed A[1]",
        "18<16 TaskStateAborted",
        "19<16 MapIterationAborted A[0]",
        "20<16 TaskStateAborted",
        "21<16 MapIterationAborted A[2]",
        "22<16 TaskStateAborted",
        "23<16 MapStateFailed",
        "24<23 ExecutionFailed",
    ]
    assert (ran.error, ran.cause) == ("Boom", "why")


def test_an_iteration_that_fails_keeps_the_ones_to_come_from_starting(run):
    ran = run(each(MaxConcurrency=1), [1, 2, 3], {"I": ["a", Boom(), "c"]})
    assert len(ran.worker.commands) == 2
    assert ran.types.count("MapIterationStarted") == 2


def test_a_map_whose_items_cannot_be_selected_is_caught_once_and_leaves_nothing_behind(run):
    raw = machine(
        A={
            **each(ItemSelector={"x.$": "States.ArrayGetItem($$.Map.Item.Value, 0)"})["States"]["A"],
            "Catch": [{"ErrorEquals": ["States.IntrinsicFailure"], "Next": "B"}],
        },
        B={"Type": "Wait", "Seconds": 100, "End": True},
    )
    ran = run(raw, [[1], [], [3]], {"I": ["late"]}, after={"I": 50})
    assert (ran.status, ran.result["Error"]) == ("SUCCEEDED", "States.IntrinsicFailure")
    assert ran.types.count("MapStateExited") == 1
    assert ran.types[-3:] == ["WaitStateEntered", "WaitStateExited", "ExecutionSucceeded"]
    assert "LambdaFunctionSucceeded" not in ran.types


def test_a_map_is_retried_with_all_its_items(run):
    raw = each(Retry=[{"ErrorEquals": ["Boom"]}], MaxConcurrency=1)
    ran = run(raw, [1, 2], {"I": ["a", Boom(), "a2", "b2"]})
    assert ran.result == ["a2", "b2"]
    assert (ran.types.count("MapStateStarted"), ran.types.count("MapStateEntered")) == (2, 1)


def test_a_thousand_items_take_a_moment(run):
    begun = time.perf_counter()
    ran = run(each(ItemProcessor=machine(I={"Type": "Pass", "End": True})), list(range(1000)), max_events=10**6)
    assert ran.result == list(range(1000))
    assert time.perf_counter() - begun < 30


def test_an_old_map_with_iterator_and_parameters_is_the_same(run):
    raw = one(Type="Map", Iterator=machine(I={"Type": "Pass", "End": True}), Parameters={"v.$": "$$.Map.Item.Value"})
    assert run(raw, [1]).result == [{"v": 1}]


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────

ANY = {"ErrorEquals": ["States.ALL"]}
AGAIN = {
    "B": {"Type": "Choice", "Choices": [{"Variable": "$.stop", "IsPresent": True, "Next": "C"}], "Default": "A"},
    "C": {"Type": "Succeed"},
}
LOOP = machine(A={"Type": "Pass", "Next": "B"}, **AGAIN)


def test_an_endless_loop_fails_at_25_000_events_in_awss_words(run):
    begun = time.perf_counter()
    ran = run(LOOP)
    assert time.perf_counter() - begun < 30
    assert (ran.status, ran.error) == ("FAILED", "States.Runtime")
    assert ran.cause == "The execution reached the maximum number of history events (25000)."
    assert len(ran.events) == 25_000
    assert ran.types[-1] == "ExecutionFailed"


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Wait", "Seconds": 0, "Next": "B"},
        {"Type": "Parallel", "Branches": [machine(I={"Type": "Succeed"})], "ResultPath": None, "Next": "B"},
        {
            **TASK,
            "QueryLanguage": "JSONata",
            "Arguments": "{% $error() %}",
            "Catch": [{**ANY, "Next": "B"}],
            "End": True,
        },
    ],
    ids=["wait", "parallel", "catch"],
)
def test_an_endless_loop_of_what_takes_no_time_does_not_run_out_of_stack(run, state):
    ran = run(machine(A=state, **AGAIN))
    assert (ran.error, len(ran.events)) == ("States.Runtime", 25_000)


def test_an_endless_loop_ends_an_express_execution_too(run):
    ran = run(LOOP, type="EXPRESS", max_events=2_000)
    assert (ran.status, ran.types[-1]) == ("TIMED_OUT", "ExecutionTimedOut")
    assert ran.waits == {}


@pytest.mark.parametrize(
    ("raw", "input"),
    [
        (machine(A={**TASK, "Next": "B"}, **AGAIN), {}),
        (machine(A={"Type": "Wait", "Seconds": 1, "Next": "B"}, **AGAIN), {}),
        (machine(A={**TASK, "Retry": [{"ErrorEquals": ["Boom"], "MaxAttempts": 9999, "BackoffRate": 1}], "End": True}), {}),
        (each(ItemProcessor=machine(I={"Type": "Pass", "End": True})), list(range(300))),
        (each(MaxConcurrency=1), list(range(300))),
        (machine(A={**FORK, "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 9999, "BackoffRate": 1}], "End": True}), {}),
    ],
    ids=["task", "wait", "retry", "map", "slow map", "parallel"],
)  # fmt: skip
@pytest.mark.parametrize("most", [30, 31, 32, 33, 34, 35, 36, 37])
def test_no_history_is_ever_longer_than_it_may_be(run, raw, input, most):
    ends = [[Boom()] if "Retry" in raw["States"]["A"] else [{}]] * 3
    ran = run(raw, input, dict(zip("APQ", ends, strict=True)), max_events=most)
    assert (ran.status, ran.error) == ("FAILED", "States.Runtime")
    assert len(ran.events) <= most
    assert ran.types[-1] == "ExecutionFailed"
    assert all(e["previousEventId"] < e["id"] for e in ran.events)


INSIDE = machine(I={"Type": "Pass", "End": True})
BIG = {"Type": "Pass", "Assign": {"v": "x" * 200_000}, "Next": "A"}


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Parallel", "Branches": [INSIDE], "Parameters": {"a.$": "$v", "b.$": "$v"}},
        {"Type": "Map", "ItemProcessor": INSIDE, "ItemsPath": "$$.Execution.Input.items", "ItemSelector": {"a.$": "$v", "b.$": "$v"}},
    ],
    ids=["parallel", "map"],
)  # fmt: skip
def test_what_a_branch_is_given_is_measured_where_it_is_not_part_of_the_input(run, state):
    ran = run(machine(Big=BIG, A={**state, "End": True}), {"items": [1]})
    assert ran.error == "States.DataLimitExceeded"
    assert "PassStateExited" not in ran.types[4:]


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Wait", "Seconds": 40_000_000},
        # sixty-eight years a time, until no calendar has the year
        {**TASK, "Retry": [{"ErrorEquals": ["Boom"], "MaxAttempts": 200, "BackoffRate": 1e9}]},
    ],
    ids=["wait", "retry"],
)
def test_a_standard_execution_ends_after_a_year(run, state):
    ran = run(one(**state), {}, {"A": [Boom()]})
    assert (ran.status, ran.at("ExecutionTimedOut")) == ("TIMED_OUT", [31_536_000])


# ── the narrow interface ─────────────────────────────────────────────────────────────────────────────────────────────


def prepared(raw, **about):
    return Machine(compile_program(load(raw).raw), **about)


def test_commands_are_plain_data_and_say_all_a_worker_needs():
    machine_ = prepared(
        one(Type="Task", Resource="arn:aws:states:::sqs:sendMessage", Parameters={"x": 1}, TimeoutSeconds=9)
    )
    task_, timer = machine_.start("{}", EPOCH)
    assert task_ == ScheduleTask(
        token=1,
        state="A",
        pointer="/States/A",
        attempt=1,
        kind="task",
        resource="arn:aws:states:::sqs:sendMessage",
        resource_type="sqs",
        action="sendMessage",
        pattern="",
        parameters={"x": 1},
        timeout=9,
    )
    assert timer == StartTimer(2, 9)


def test_replies_nobody_waits_for_change_nothing():
    machine_ = prepared(task())
    (command,) = machine_.start("{}", EPOCH)
    before = machine_.log.events()
    for reply in (
        TaskSucceeded(99, 1),
        TaskFailed(99),
        TimerFired(99),
        Heartbeat(99),
        TaskStarted(99),
        TaskSubmitted(99, 1),
    ):
        assert machine_.reply(reply, at=EPOCH) == []
    assert machine_.log.events() == before
    machine_.reply(TaskSucceeded(command.token, 1), at=EPOCH + 1)
    ended = machine_.log.events()
    assert machine_.reply(TaskSucceeded(command.token, 2), TaskFailed(command.token), at=EPOCH + 2) == []
    assert machine_.log.events() == ended


def test_a_task_answered_twice_in_one_reply_counts_once():
    machine_ = prepared(task())
    (command,) = machine_.start("{}", EPOCH)
    machine_.reply(TaskSucceeded(command.token, "first"), TaskSucceeded(command.token, "second"), at=EPOCH)
    assert machine_.output == '"first"'


def test_a_task_that_times_out_is_given_up():
    machine_ = prepared(task(TimeoutSeconds=3))
    command, timer = machine_.start("{}", EPOCH)
    assert machine_.reply(TimerFired(timer.token), at=EPOCH + 3) == [CancelTask(command.token)]


def test_stopping_before_the_start_and_after_the_end_does_nothing():
    machine_ = prepared(one(Type="Pass"))
    assert machine_.stop(at=EPOCH) == []
    assert (machine_.status, len(machine_.log)) == ("READY", 0)
    machine_.start("{}", EPOCH)
    assert machine_.stop("E", "C", at=EPOCH) == []
    assert (machine_.status, machine_.error) == ("SUCCEEDED", None)


def test_stopping_without_a_reason_writes_an_event_without_details():  # recorded
    machine_ = prepared(one(Type="Wait", Seconds=5))
    machine_.start("{}", EPOCH)
    machine_.stop(at=EPOCH + 1)
    assert machine_.log.events()[-1] == {
        "timestamp": machine_.log.events()[-1]["timestamp"],
        "type": "ExecutionAborted",
        "id": 3,
        "previousEventId": 0,
        "executionAbortedEventDetails": {},
    }


def test_the_context_object_is_awss_in_awss_order(run):
    arn = "arn:aws:states:eu-west-1:1:execution:shop:one"
    ran = run(
        one(Type="Pass", Parameters={"c.$": "$$"}),
        {"a": 1},
        arn=arn,
        machine_arn="arn:aws:states:eu-west-1:1:stateMachine:shop",
        role_arn="arn:aws:iam::1:role/r",
    )
    assert json.dumps(ran.result["c"]) == json.dumps(
        {
            "Execution": {
                "Id": arn,
                "Input": {"a": 1},
                "StartTime": "2030-01-01T00:00:00.000Z",
                "Name": "one",
                "RoleArn": "arn:aws:iam::1:role/r",
                "RedriveCount": 0,
            },
            "StateMachine": {"Id": "arn:aws:states:eu-west-1:1:stateMachine:shop", "Name": "shop"},
            "State": {"Name": "A", "EnteredTime": "2030-01-01T00:00:00.000Z"},
        }
    )


def test_an_execution_without_an_end_in_sight_says_it_is_running(run):
    ran = run(one(Type="Task", Resource=SEND), {}, {"A": [None]})
    assert (ran.status, ran.output, ran.error) == ("RUNNING", None, None)
    assert len(ran.waits) == 1


def test_ten_thousand_states_in_a_row_do_not_exhaust_the_stack(run):
    states = {f"S{n}": {"Type": "Pass", "Next": f"S{n + 1}"} for n in range(5_000)}
    assert run({"StartAt": "S0", "States": {**states, "S5000": {"Type": "Succeed"}}}).status == "SUCCEEDED"


def test_frames_show_where_they_stand():
    machine_ = prepared(each(MaxConcurrency=1))
    machine_.start("[1, 2]", EPOCH)
    child = machine_.root.children[0]
    assert repr(machine_.root) == "<Frame root RUNNING at 'A'>"
    assert repr(child) == "<Frame A[0] RUNNING at 'I'>"
