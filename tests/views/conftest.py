"""A workflow that has everything the views show, and runs of it."""

import json
from pathlib import Path

import pytest

from sflab.asl.parse import load
from sflab.backends.functions import mock
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine

LAMBDA = "arn:aws:states:::lambda:invoke"
SAGA = {
    "StartAt": "Validate",
    "States": {
        "Validate": {
            "Type": "Task",
            "Resource": LAMBDA,
            "Parameters": {"FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:Validate:$LATEST"},
            "OutputPath": "$.Payload",
            "Retry": [{"ErrorEquals": ["Busy"], "MaxAttempts": 3}],
            "Next": "Reserve",
        },
        "Reserve": {
            "Type": "Parallel",
            "ResultPath": None,
            "Branches": [
                {"StartAt": "Stock", "States": {"Stock": {"Type": "Task", "Resource": "${Stock}", "End": True}}},
                {
                    "StartAt": "Courier",
                    "States": {
                        "Courier": {
                            "Type": "Task",
                            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                            "Parameters": {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}},
                            "Next": "Label",
                        },
                        "Label": {"Type": "Pass", "End": True},
                    },
                },
            ],
            "Catch": [{"ErrorEquals": ["OutOfStock"], "ResultPath": "$.error", "Next": "Apologise"}],
            "Next": "Pay",
        },
        "Pay": {"Type": "Wait", "Seconds": 259200, "Next": "Paid?"},
        "Paid?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.paid", "BooleanEquals": True, "Next": "Ship"}],
            "Default": "Remind",
        },
        "Remind": {
            "Type": "Task",
            "Resource": LAMBDA,
            "Parameters": {"FunctionName": "Remind", "Payload.$": "$"},
            "OutputPath": "$.Payload",
            "Next": "Pay",
        },
        "Ship": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 1,
            "ItemProcessor": {
                "StartAt": "One",
                "States": {
                    "One": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "One"}, "End": True}
                },
            },
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
        "Apologise": {"Type": "Fail", "Error": "Sorry", "Cause": "no stock"},
    },
}


@pytest.fixture(scope="session")
def saga():
    return load(SAGA)


def run(saga, **tasks):
    """The events of a run: two reminders, three items, one retry, unless *tasks* say otherwise."""
    order = {"paid": False, "items": [1, 2, 3], "reminders": 0}

    def remind(event):
        times = event["reminders"] + 1
        return {**event, "reminders": times, "paid": times == 2}

    answers = {
        "Validate": mock(order, latency=0.25, fail_first=1, error="Busy", cause="try later"),
        "Stock": mock({"left": 4}, latency=0.1),
        "Courier": mock({"ok": True}, latency=2),
        "Remind": mock(remind, latency=0.2),
        "One": mock({"tracking": "x"}, latency=1),
        **tasks,
    }
    functions = {name: answers.pop(name) for name in ("Validate", "Remind", "One")}
    local = Local(functions=functions, tasks=answers)
    execution = local.start_execution(StateMachine(saga, name="saga"), {})
    return execution.history.events


@pytest.fixture(scope="session")
def good(saga):
    return run(saga)


@pytest.fixture(scope="session")
def caught(saga):
    cause = json.dumps({"errorMessage": "none left", "stackTrace": ["a.py", "b.py"]})
    return run(saga, Stock=mock(error="OutOfStock", cause=cause, latency=0.1))


@pytest.fixture(scope="session")
def failed(saga):
    return run(saga, One=mock(error="Broken", cause="no tape"))


@pytest.fixture(scope="session")
def corpus(shared: Path) -> list[Path]:
    """Every collected definition."""
    files = sorted((shared / "corpus" / "asl").rglob("*.json"))
    assert files
    return files
