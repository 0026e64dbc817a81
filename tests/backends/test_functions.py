"""Functions and mocks: what a task answers when Python does its work; and a function's fault as Lambda's error."""

import json
import random
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pytest

import sflab as sf
from sflab.asl.model import StatesError
from sflab.backends.functions import LambdaContext, Mock, mock

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
BY_ARN = {"Type": "Task", "Resource": ARN}
INVOKE = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "f", "Payload.$": "$"},
}


def machine(**state):
    return sf.StateMachine.load({"StartAt": "A", "States": {"A": {"End": True, **state}}})


def run(bound, input=None, *, state=BY_ARN, **local):
    return sf.Local(functions={"f": bound}, **local).start_execution(machine(**state), input)


class CardDeclinedError(Exception):
    pass


# ── what a function is given, and gives ──────────────────────────────────────────────────────────────────────────────


def test_a_function_is_given_the_event_and_the_context():
    seen = []

    def f(event, context):
        seen.append((event, context))
        return {"got": event}

    assert run(f, {"a": [1]}, state={**BY_ARN, "TimeoutSeconds": 30}).output == {"got": {"a": [1]}}
    (event, context), *_ = seen
    assert event == {"a": [1]}
    assert (context.function_name, context.invoked_function_arn, context.function_version) == ("f", ARN, "$LATEST")
    assert context.get_remaining_time_in_millis() == 30_000
    assert len(context.aws_request_id) == 36
    assert LambdaContext("f", ARN, "id", None).get_remaining_time_in_millis() == 900_000


class Callable:
    def __call__(self, event, context):
        return "object"

    def method(self, event, context):
        return "method"

    def only(self, event):
        return "only"


@pytest.mark.parametrize(
    ("bound", "output"),
    [
        (lambda event, context: "two", "two"),
        (lambda event: "one", "one"),
        (lambda: "none", "none"),
        (lambda *args: len(args), 2),
        (lambda event, **more: "keywords", "keywords"),
        (lambda event, context=None: "default", "default"),
        (Callable(), "object"),
        (Callable().method, "method"),
        (Callable().only, "only"),
        (mock(lambda event: event["a"]), 1),
        (mock(lambda event, context: context.function_name), "f"),
        (len, 1),
        ({"just": "data"}, {"just": "data"}),
        ("text", "text"),
        (0, 0),
        (None, None),
        (mock(), None),
        (mock([1, None]), [1, None]),
    ],
)
def test_whatever_can_be_bound(bound, output):
    assert run(bound, {"a": 1}).output == output


@pytest.mark.parametrize(
    ("made", "output"),
    [
        ((1, 2), [1, 2]),
        ({2: "a", None: "b", True: "c"}, {"2": "a", "null": "b", "true": "c"}),
        ([1.5, True, None, "é"], [1.5, True, None, "é"]),
    ],
)
def test_results_become_json_as_lambda_makes_them(made, output):
    assert run(lambda event: made).output == output
    assert run(mock(made)).output == output
    assert run(made).output == output


def test_a_function_cannot_change_the_executions_data_nor_the_execution_the_functions():
    kept = {"count": 0}

    def f(event):
        event["a"].append("changed")
        kept["count"] += 1
        return kept

    raw = {"StartAt": "A", "States": {"A": {**BY_ARN, "ResultPath": "$.r", "End": True}}}
    done = sf.Local(functions={"f": f}).start_execution(sf.StateMachine.load(raw), {"a": []})
    kept["count"] = 99
    assert done.output == {"a": [], "r": {"count": 1}}


def test_data_bound_as_a_result_can_be_changed_afterwards_without_changing_history():
    result = {"items": [1]}
    done = run(mock(result))
    result["items"].append(2)
    assert done.output == {"items": [1]}
    assert json.loads(done.history[-1]["executionSucceededEventDetails"]["output"]) == {"items": [1]}


def test_lambda_invoke_unwraps_the_payload_and_wraps_the_result():
    done = run(lambda event: {"got": event}, {"x": 1}, state=INVOKE)
    assert done.output["Payload"] == {"got": {"x": 1}}
    assert (done.output["StatusCode"], done.output["ExecutedVersion"]) == (200, "$LATEST")
    request = done.output["SdkResponseMetadata"]["RequestId"]
    assert done.output["SdkHttpMetadata"]["HttpHeaders"]["x-amzn-RequestId"] == request
    without = {**INVOKE, "Parameters": {"FunctionName": "f"}}
    assert run(lambda event: event, state=without).output["Payload"] == {}


def test_what_a_function_returns_is_not_what_it_calls_back_with():
    state = {**INVOKE, "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken"}
    done = run(mock({"ok": True}), state=state)
    assert done.output == {"ok": True}
    assert "TaskSubmitted" in [e["type"] for e in done.history]
    waits = run(lambda event: {"ok": True}, state=state)
    assert waits.status == "RUNNING"
    (submitted,) = [e for e in waits.history if e["type"] == "TaskSubmitted"]
    assert json.loads(submitted["taskSubmittedEventDetails"]["output"])["Payload"] == {"ok": True}


def test_bound_as_a_task_it_is_given_the_parameters_and_gives_the_tasks_result():
    seen = []
    local = sf.Local(tasks={"A": lambda event: seen.append(event) or {"Payload": 1}})
    assert local.start_execution(machine(**INVOKE), {"x": 1}).output == {"Payload": 1}
    assert seen == [{"FunctionName": "f", "Payload": {"x": 1}}]


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def failing(event, context):
    raise CardDeclinedError("no money")


@pytest.mark.parametrize(("state", "separator"), [(BY_ARN, ": "), (INVOKE, ":")])
def test_an_exception_is_the_lambda_error_of_its_class(state, separator):
    """The ARN integration hands on the runtime's own text, with spaces; lambda:invoke compacts it (recorded)."""
    done = run(failing, state=state)
    assert (done.status, done.error) == ("FAILED", "CardDeclinedError")
    said = json.loads(done.cause)
    assert list(said) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (said["errorMessage"], said["errorType"]) == ("no money", "CardDeclinedError")
    assert done.cause.startswith(f'{{"errorMessage"{separator}"no money"')
    assert said["stackTrace"][-1].startswith('  File "/var/task/')
    assert "in failing\n    raise CardDeclinedError" in said["stackTrace"][-1]
    assert not any("sflab" in line for line in said["stackTrace"]), "the trace is the function's, not ours"


@pytest.mark.parametrize(
    "exception",
    [ValueError("v"), KeyError("k"), RecursionError("r"), MemoryError(), AssertionError(), ZeroDivisionError("z")],
)
def test_any_exception_of_a_function_is_the_tasks_failure(exception):
    def f(event):
        raise exception

    assert run(f).error == type(exception).__name__


def test_a_function_that_recurses_forever_fails_like_one_on_lambda():
    def f(event):
        return f(event)

    assert run(f).error == "RecursionError"


def test_what_stops_python_is_not_swallowed():
    def f(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(f)


def test_a_states_error_is_failed_with_exactly_so():
    def f(event):
        raise StatesError("Custom.Error", "its cause")

    done = run(f)
    assert (done.error, done.cause) == ("Custom.Error", "its cause")


@dataclass
class Thing:
    x: int


def looped():
    made = []
    made.append(made)
    return made


def deep():
    made = []
    for _ in range(100_000):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({1, 2}, "Object of type set is not JSON serializable"),
        (b"x", "Object of type bytes is not JSON serializable"),
        (datetime(2024, 1, 1), "Object of type datetime is not JSON serializable"),  # noqa: DTZ001
        (Decimal(1), "Object of type Decimal is not JSON serializable"),
        (Thing(1), "Object of type Thing is not JSON serializable"),
        (float("nan"), "Out of range float values"),
        (float("inf"), "Out of range float values"),
        ({(1, 2): 3}, "keys must be"),
        (looped(), "Circular reference"),
        (deep(), "recursion"),
    ],
    ids=["set", "bytes", "datetime", "Decimal", "object", "nan", "inf", "keys", "loop", "deep"],
)  # fmt: skip
def test_what_cannot_become_json_is_lambdas_marshal_error(made, words):
    done = run(lambda event: made)
    assert (done.status, done.error) == ("FAILED", "Runtime.MarshalError")
    said = json.loads(done.cause)
    assert said["errorMessage"].startswith("Unable to marshal response: ")
    assert words in said["errorMessage"]
    assert said["stackTrace"] == []


def test_a_bound_object_that_is_no_json_data_fails_the_task_and_crashes_nothing():
    assert run(Thing(1)).error == "Runtime.MarshalError"


# ── mocks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

RETRIED = {**BY_ARN, "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 5, "BackoffRate": 1}]}


@pytest.mark.parametrize(
    ("about", "attempts", "status"),
    [
        ({"fail_first": 2, "error": "Busy"}, 3, "SUCCEEDED"),
        ({"fail_first": 0, "error": "Busy"}, 1, "SUCCEEDED"),
        ({"fail_first": 5, "error": "Busy"}, 6, "SUCCEEDED"),
        ({"fail_first": 6, "error": "Busy"}, 6, "FAILED"),
        ({"error": "Busy"}, 6, "FAILED"),
        ({"fail_first": 1}, 2, "SUCCEEDED"),
        ({}, 1, "SUCCEEDED"),
    ],
)
def test_a_mock_fails_always_or_for_the_first_attempts(about, attempts, status):
    done = run(mock("done", **about), state=RETRIED)
    assert (done.visits[0].attempts, done.status) == (attempts, status)
    assert done.error == (about.get("error") if status == "FAILED" else None)


def test_a_mock_fails_the_first_attempts_of_every_visit():
    raw = {
        "StartAt": "M",
        "States": {
            "M": {
                "Type": "Map",
                "ItemProcessor": {"StartAt": "A", "States": {"A": {**RETRIED, "End": True}}},
                "End": True,
            }
        },
    }
    local = sf.Local(functions={"f": mock(1, fail_first=1)})
    done = local.start_execution(sf.StateMachine.load(raw), [1, 2, 3])
    assert [v.attempts for v in done.visits if v.state == "A"] == [2, 2, 2]


def test_an_error_of_a_mock_has_the_name_and_cause_it_was_given():
    done = run(mock(error="Busy", cause="try again"))
    assert (done.error, done.cause) == ("Busy", "try again")
    assert run(mock(error="Busy")).cause is None
    assert run(mock(fail_first=1)).error == "Exception"


def test_a_mock_takes_its_latency():
    assert run(mock(1, latency=2.5)).seconds == 2.5
    assert run(mock(error="E", latency=2.5)).seconds == 2.5
    assert run(mock(1)).seconds == 0


def test_a_latency_model_is_drawn_from_with_the_seed():
    class Model:
        def sample(self, rng: random.Random) -> float:
            return rng.choice([1, 2, 4, 8, 16, 32])

    took = [run(mock(1, latency=Model()), seed=seed).seconds for seed in range(8)]
    assert len(set(took)) > 1
    assert took == [run(mock(1, latency=Model()), seed=seed).seconds for seed in range(8)]


def test_a_mocked_service_says_what_it_took_the_request_with():
    state = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"}
    for said, shown in (({"MessageId": "m"}, {"MessageId": "m"}), (None, {})):
        done = sf.Local(tasks={"A": mock("answer", submitted=said)}).start_execution(machine(**state))
        (submitted,) = [e for e in done.history if e["type"] == "TaskSubmitted"]
        assert json.loads(submitted["taskSubmittedEventDetails"]["output"]) == shown
        assert done.output == "answer"


@pytest.mark.parametrize(
    "result", [{1}, object(), float("nan"), looped(), deep()], ids=["set", "object", "nan", "loop", "deep"]
)
def test_a_mock_refuses_at_once_what_is_no_json_data(result):
    with pytest.raises(TypeError, match=r"mock\(result=…\) must be JSON data or a callable"):
        mock(result)


def test_a_mock_shows_itself_in_one_line():
    assert "\n" not in repr(mock({"a": 1}, latency=1))
    assert isinstance(mock(), Mock)


# ── through the machine ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_functions_error_is_retried_and_caught_by_the_name_of_its_class():
    raw = {
        "StartAt": "A",
        "States": {
            "A": {
                **BY_ARN,
                "Retry": [{"ErrorEquals": ["CardDeclinedError"], "MaxAttempts": 2}],
                "Catch": [{"ErrorEquals": ["CardDeclinedError"], "ResultPath": "$.e", "Next": "B"}],
                "End": True,
            },
            "B": {"Type": "Pass", "InputPath": "$.e.Error", "End": True},
        },
    }
    done = sf.Local(functions={"f": failing}).start_execution(sf.StateMachine.load(raw))
    assert (done.status, done.output, done.visits[0].attempts) == ("SUCCEEDED", "CardDeclinedError", 3)


def test_a_result_over_256_kib_is_data_limit_exceeded():
    done = run(lambda event: "x" * 300_000)
    assert done.error == "States.DataLimitExceeded"
    assert ARN in done.cause


def test_a_function_slower_than_its_timeout_times_out():
    done = run(mock(1, latency=10), state={**BY_ARN, "TimeoutSeconds": 5})
    assert (done.error, done.seconds) == ("States.Timeout", 5)
