"""A compiled definition: what a Resource calls, which errors are taken, how long a retry waits; and that it pickles."""

import math
import pickle
import random

import pytest

from sflab.asl.model import resource
from sflab.asl.parse import load
from sflab.asl.program import MAX_WAIT, Retrier, compile_program, matches


@pytest.mark.parametrize(
    ("text", "kind", "type", "action", "pattern"),
    [
        ("arn:aws:lambda:us-east-1:123456789012:function:f", "lambda", "lambda", None, ""),
        ("arn:aws:lambda:us-east-1:123456789012:function:f:prod", "lambda", "lambda", None, ""),
        ("arn:aws:states:::lambda:invoke", "task", "lambda", "invoke", ""),
        ("arn:aws:states:::sqs:send.waitForTaskToken", "task", "sqs", "send.waitForTaskToken", "waitForTaskToken"),
        ("arn:aws:states:::states:startExecution.sync:2", "task", "states", "startExecution.sync:2", "sync"),
        ("arn:aws:states:::ecs:runTask.sync", "task", "ecs", "runTask.sync", "sync"),
        ("arn:aws:states:::aws-sdk:dynamodb:putItem", "task", "aws-sdk:dynamodb", "putItem", ""),
        ("arn:aws-cn:states:::sqs:sendMessage", "task", "sqs", "sendMessage", ""),
        ("arn:aws:states:us-east-1:123456789012:activity:a", "activity", "activity", None, ""),
        ("arn:aws:states:us-east-1:123456789012:activity:a.b", "activity", "activity", None, ""),
        ("${MyFunction.Arn}", "lambda", "lambda", None, ""),
        ("${MyActivity}", "activity", "activity", None, ""),
    ],
)  # fmt: skip
def test_a_resource_is_a_function_a_service_or_an_activity(text, kind, type, action, pattern):
    found = resource(text)
    assert (found.kind, found.type, found.action, found.pattern) == (kind, type, action or found.action, pattern)
    assert found.text == text


@pytest.mark.parametrize("suffix", ["", ":1", ":$LATEST", ":prod"])
def test_the_function_of_an_arn_is_its_name_without_version_or_alias(suffix):
    assert resource(f"arn:aws:lambda:eu-west-1:123456789012:function:my-fn{suffix}").function == "my-fn"


# States.ALL takes everything but States.Runtime, States.TaskFailed everything but States.Timeout (States Language);
# States.DataLimitExceeded is caught, States.Runtime is not even by its name (recorded).
@pytest.mark.parametrize(
    ("errors", "error", "taken"),
    [
        (["Boom"], "Boom", True),
        (["Boom"], "boom", False),
        (["Boom"], "Boom2", False),
        (["A", "Boom"], "Boom", True),
        (["States.ALL"], "Boom", True),
        (["States.ALL"], None, True),
        (["States.ALL"], "States.Timeout", True),
        (["States.ALL"], "States.DataLimitExceeded", True),
        (["States.ALL"], "States.Runtime", False),
        (["States.Runtime"], "States.Runtime", False),
        (["States.TaskFailed"], "Boom", True),
        (["States.TaskFailed"], "States.TaskFailed", True),
        (["States.TaskFailed"], "States.Timeout", False),
        (["States.TaskFailed"], "States.Runtime", False),
        (["States.Timeout"], "States.Timeout", True),
        (["States.Timeout"], "States.HeartbeatTimeout", False),
        ([], "Boom", False),
    ],
)
def test_which_errors_are_taken(errors, error, taken):
    assert matches(tuple(errors), error) is taken


def retrier(**more):
    return Retrier(
        **{"errors": (), "interval": 1, "attempts": 3, "rate": 2.0, "longest": math.inf, "jitter": False, **more}
    )


@pytest.mark.parametrize(
    ("about", "delays"),
    [
        ({}, [1, 2, 4, 8, 16]),
        ({"interval": 3, "rate": 1}, [3, 3, 3]),
        ({"interval": 3, "rate": 1.5}, [3, 4.5, 6.75]),
        ({"interval": 2, "rate": 10, "longest": 50}, [2, 20, 50, 50]),
        ({"interval": 60, "longest": 30}, [30, 30]),
    ],
)
def test_the_delay_grows_by_the_backoff_rate_up_to_the_longest(about, delays):
    assert [retrier(**about).delay(n, None) for n in range(len(delays))] == delays


def test_full_jitter_is_drawn_between_nothing_and_the_delay():
    chance = random.Random(0)
    drawn = [retrier(jitter=True, interval=8).delay(1, chance) for _ in range(500)]
    assert 0 <= min(drawn) < 1
    assert 15 < max(drawn) <= 16
    assert retrier(jitter=True).delay(3, random.Random(5)) == retrier(jitter=True).delay(3, random.Random(5))


@pytest.mark.parametrize("rate", [10, 10.0, 1e9])
def test_a_delay_beyond_all_numbers_is_the_longest_there_is(rate):
    raw = {"ErrorEquals": ["A"], "BackoffRate": rate, "MaxAttempts": 10_000}
    task = {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:f", "Retry": [raw], "End": True}
    compiled = compile_program({"StartAt": "A", "States": {"A": task}}).states["A"].retriers[0]
    assert compiled.delay(9_999, None) == MAX_WAIT


def test_the_defaults_of_a_retrier_are_the_languages():
    task = {"Type": "Task", "Resource": "x", "Retry": [{"ErrorEquals": ["A"]}], "End": True}
    found = compile_program({"StartAt": "A", "States": {"A": task}}).states["A"].retriers[0]
    assert (found.errors, found.interval, found.attempts, found.rate, found.jitter) == (("A",), 1, 3, 2.0, False)


def test_a_state_pickles_as_its_definition_and_its_pointer():
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Parameters": {"x.$": "$.y"}, "End": True}}}
    raw = load({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": inner, "End": True}}}).raw
    program = compile_program(raw)
    state = program.at["/States/M/ItemProcessor/States/I"]
    outer, again, twin = pickle.loads(pickle.dumps((program, state, state)))
    assert again is twin is outer.at[state.pointer]
    assert again.run({"y": 1}, None)[0] == {"x": 1}
    assert again.program is outer.at["/States/M"].programs[0]
    assert pickle.loads(pickle.dumps(state.program)).pointer == "/States/M/ItemProcessor"
