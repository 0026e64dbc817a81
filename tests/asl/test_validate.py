"""What is wrong with a definition: each fault with its severity, code, location and words; and all of them at once."""

# ruff: noqa: E501 - tables of cases read best with a case on a line

import copy
import itertools
import json
import time

import pytest

import sflab as sf
from sflab.asl import fields
from sflab.asl.choice import RULE_FIELDS
from sflab.asl.kinds import KINDS
from sflab.asl.model import STATE_TYPES
from sflab.asl.parse import load, loads
from sflab.asl.validate import UNRESOLVED, validate

SCHEMA, TARGET = "SCHEMA_VALIDATION_FAILED", "MISSING_TRANSITION_TARGET"
FN = "arn:aws:lambda:us-east-1:123456789012:function:f"
END = {"Type": "Pass", "End": True}
SCOPE = {"StartAt": "I", "States": {"I": END}}


def machine(**states):
    """A definition that begins at its first state."""
    return {"StartAt": next(iter(states)), "States": states}


def one(**state):
    return machine(A={"End": True, **state})


def task(**more):
    return one(Type="Task", Resource=FN, **more)


def choice(*rules, **more):
    return machine(A={"Type": "Choice", "Choices": list(rules), "Default": "B", **more}, B=END)


def found(raw, type="STANDARD"):
    return [(d.severity, d.code, d.pointer, d.said or d.message) for d in validate(load(raw), type)]


SOUND = {
    "one state": machine(A=END),
    "succeed": machine(A={"Type": "Succeed", "Comment": "x"}),
    "fail with nothing": machine(A={"Type": "Fail"}),
    "fail with paths": machine(A={"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('{}', $.c)"}),
    "every wait": {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Wait", "Seconds": 0, "Next": "B"},
            "B": {"Type": "Wait", "SecondsPath": "$.s", "Next": "C"},
            "C": {"Type": "Wait", "Timestamp": "2024-01-01T00:00:00Z", "Next": "D"},
            "D": {"Type": "Wait", "TimestampPath": "$.t", "End": True},
        },
    },
    "a task with everything": task(
        InputPath="$.a", Parameters={"x.$": "$.b", "y": 1}, ResultSelector={"z.$": "$"}, ResultPath="$.r", OutputPath="$",
        TimeoutSeconds=10, HeartbeatSeconds=5, Comment="x", Credentials={"RoleArn": "arn:aws:iam::1:role/x"},
        Retry=[{"ErrorEquals": ["A"], "IntervalSeconds": 1, "MaxAttempts": 0, "BackoffRate": 1, "MaxDelaySeconds": 2,
                "JitterStrategy": "FULL"}, {"ErrorEquals": ["States.ALL"]}],
        Catch=[{"ErrorEquals": ["States.ALL"], "Next": "A", "ResultPath": None}],
    ),
    "null paths": task(InputPath=None, OutputPath=None, ResultPath=None),
    "context paths": task(InputPath="$$.Execution", Parameters={"x.$": "$$.State.Name"}),
    "choice": choice(
        {"And": [{"Variable": "$.a", "IsPresent": True}, {"Not": {"Variable": "$.a", "NumericLessThan": 1.5}}], "Next": "B"},
        {"Variable": "$.t", "TimestampLessThanPath": "$$.Execution.StartTime", "Next": "A"},
        {"Variable": "$.t", "TimestampEquals": "2024-01-01T00:00:00Z", "Next": "A"},
    ),
    "parallel": one(Type="Parallel", Branches=[SCOPE, {"StartAt": "J", "States": {"J": END}}], ResultSelector={}),
    "map": one(Type="Map", ItemProcessor={**SCOPE, "ProcessorConfig": {"Mode": "INLINE"}}, MaxConcurrency=0,
               ItemsPath="$.a[0]", ItemSelector={"x.$": "$$.Map.Item.Value"}),
    "old map": one(Type="Map", Iterator=SCOPE, Parameters={"x.$": "$$.Map.Item.Index"}),
    "variables": machine(A={"Type": "Pass", "Assign": {"x.$": "$.a", "y": 1}, "Next": "B"},
                         B={"Type": "Pass", "InputPath": "$x", "End": True}),
    "jsonata": {"QueryLanguage": "JSONata", **one(Type="Pass", Output="{% $states.input %}", Assign={"x": "{% 1 %}"})},
    "jsonata in one state": one(Type="Pass", QueryLanguage="JSONata", Output={"a": ["{% 1 + 1 %}"]}),
    "service integrations": machine(
        A={"Type": "Task", "Resource": "arn:aws:states:::dynamodb:putItem", "Next": "B"},
        B={"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "Next": "C"},
        C={"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "Next": "D"},
        D={"Type": "Task", "Resource": "arn:aws-cn:states:::sqs:sendMessage.waitForTaskToken", "Parameters": {"a.$": "$$.Task.Token"}, "Next": "E"},
        E={"Type": "Task", "Resource": "arn:aws:states:us-east-1:123456789012:activity:a", "End": True},
    ),
    "the top level's own fields": {**machine(A=END), "Comment": "c", "Version": "1.0", "TimeoutSeconds": 5},
    "a loop that can end": machine(
        A={"Type": "Choice", "Choices": [{"Variable": "$.x", "IsNull": True, "Next": "A"}], "Default": "B"}, B=END
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_definition_has_nothing_to_say_of_it(name):
    before = copy.deepcopy(SOUND[name])
    assert found(SOUND[name]) == []
    assert SOUND[name] == before


ERRORS = [
    # the top level
    ({}, "", SCHEMA, "These fields are required: [States, StartAt]"),  # recorded
    ({"StartAt": "A"}, "", SCHEMA, "These fields are required: [States]"),  # recorded
    ({"States": {"A": END}}, "", SCHEMA, "These fields are required: [StartAt]"),  # recorded
    ({**machine(A=END), "StartAt": "B"}, "/StartAt", TARGET, "Missing 'Next' target: B"),
    ({**machine(A=END), "StartAt": []}, "/StartAt", SCHEMA, "Expected value of type String"),
    ({"StartAt": "A", "States": {}}, "/States", SCHEMA, "Value cannot be empty"),
    ({"StartAt": "A", "States": []}, "/States", SCHEMA, "Expected value of type Object"),
    ({"StartAt": "A", "States": {"A": 1}}, "/States/A", SCHEMA, "Expected value of type Object"),
    ({**machine(A=END), "Foo": 1}, "/Foo", SCHEMA, "Field 'Foo' is not supported"),
    ({**machine(A=END), "Startat": 1}, "/Startat", SCHEMA, "did you mean 'StartAt'?"),
    ({**machine(A=END), "TimeoutSeconds": -1}, "/TimeoutSeconds", SCHEMA, "Minimum value is 0, not -1"),
    ({**machine(A=END), "QueryLanguage": "XPath"}, "/QueryLanguage", SCHEMA, "[JSONPath, JSONata]"),
    # any state
    (machine(A={"End": True}), "/States/A", SCHEMA, "These fields are required: [Type]"),
    (machine(A={"Type": "Nap", "End": True}), "/States/A/Type", SCHEMA,
     "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]"),  # recorded
    (machine(A={"Type": ["Pass"], "End": True}), "/States/A/Type", SCHEMA, "should have one of these values"),
    (machine(A={"Type": "Pass", "Next": "Z"}), "/States/A/Next", TARGET, "Missing 'Next' target: Z"),
    (machine(Start={"Type": "Pass", "Next": "Finnish"}, Finish=END), "/States/Start/Next", TARGET, "did you mean 'Finish'?"),
    (machine(A={"Type": "Pass"}, B=END), "/States/A", SCHEMA, "This object should have only one of the following fields: [Next, End]"),
    (machine(A={"Type": "Pass", "Next": "A", "End": True}), "/States/A", SCHEMA, "There should only be one of the following fields: [Next, End]"),
    (machine(A={"Type": "Pass", "End": False}), "/States/A", SCHEMA, "This object should have only one of the following fields: [Next, End]"),
    (one(Type="Pass", End="true"), "/States/A/End", SCHEMA, "Expected value of type Boolean"),
    (one(Type="Pass", Comment=1), "/States/A/Comment", SCHEMA, "Expected value of type String"),
    (one(Type="Pass", Resource=FN), "/States/A/Resource", SCHEMA, "Field 'Resource' is not supported"),
    (one(Type="Pass", Rezult=1), "/States/A/Rezult", SCHEMA, "did you mean 'Result'?"),
    (machine(A={"Type": "Pass", "Next": "A"}), "/States", "MISSING_END_STATE", "Workflow has no terminal state"),
    (machine(A={"Type": "Map", "Iterator": machine(A=END), "End": True}), "/States/A/Iterator/States/A", "DUPLICATE_STATE_NAME", "Duplicate State name: A"),
    (machine(**{"a/b~": {"Type": "Pass", "Next": "Z"}}, B=END), "/States/a~1b~0/Next", TARGET, "Missing 'Next' target"),
    # paths and templates
    (one(Type="Pass", InputPath="x"), "/States/A/InputPath", SCHEMA, "Value must be a valid JSONPath. a path begins with $"),
    (one(Type="Pass", OutputPath="$["), "/States/A/OutputPath", SCHEMA, "Value must be a valid JSONPath."),
    (one(Type="Pass", InputPath=1), "/States/A/InputPath", SCHEMA, "Expected value of type String"),
    (one(Type="Pass", ResultPath="$.a[*]"), "/States/A/ResultPath", SCHEMA, "Value is not a Reference Path"),
    (one(Type="Pass", ResultPath="$$.a"), "/States/A/ResultPath", SCHEMA, "Value is not a Reference Path"),
    (one(Type="Pass", Parameters={"a.$": "b"}), "/States/A/Parameters", SCHEMA,
     "The value for the field 'a.$' must be a valid JSONPath or a valid intrinsic function call"),  # recorded
    (one(Type="Pass", Parameters={"x": [{"a.$": 1}]}), "/States/A/Parameters", SCHEMA, "The value for the field 'a.$'"),
    (one(Type="Pass", Parameters={"a.$": "States.Nope(1)"}), "/States/A/Parameters", SCHEMA, "The value for the field 'a.$'"),
    (one(Type="Pass", Parameters={"a.$": "States.Format('a\\n')"}), "/States/A/Parameters", SCHEMA, "valid intrinsic"),
    (one(Type="Pass", Parameters={"a.$": "$.b", "a": 1}), "/States/A/Parameters", SCHEMA, "would both become 'a'"),
    (one(Type="Pass", Parameters={"a.$": "$[?(@.x =~ /(/)]"}), "/States/A/Parameters", SCHEMA, "valid JSONPath"),
    (one(Type="Pass", Assign={"states": 1}), "/States/A/Assign/states", "RESERVED_VARIABLE_NAME", "Cannot assign to reserved variable '$states'."),
    (one(Type="Pass", Assign={"1a": 1}), "/States/A/Assign/1a", "INVALID_VARIABLE_NAME", "Invalid variable name '1a': the variable name contains invalid characters."),
    (one(Type="Pass", Assign=[]), "/States/A/Assign", SCHEMA, "Expected value of type Object"),
    # tasks
    (one(Type="Task"), "/States/A", SCHEMA, "These fields are required: [Resource]"),
    (one(Type="Task", Resource=1), "/States/A/Resource", SCHEMA, "Expected value of type String"),
    (one(Type="Task", Resource="f"), "/States/A/Resource", SCHEMA, "Value is not a valid resource ARN"),
    (one(Type="Task", Resource="arn:aws:states:::sqs:sendMessages"), "/States/A/Resource", SCHEMA, "is not recognized"),
    (one(Type="Task", Resource="arn:aws:states:::nothing:do"), "/States/A/Resource", SCHEMA, "is not recognized"),
    (task(TimeoutSeconds=1.5), "/States/A/TimeoutSeconds", SCHEMA, "Expected value of type Integer"),
    (task(TimeoutSeconds=True), "/States/A/TimeoutSeconds", SCHEMA, "Expected value of type Integer"),
    (task(TimeoutSeconds=100_000_000), "/States/A/TimeoutSeconds", SCHEMA, "Maximum value is 99999999"),
    (task(TimeoutSeconds=1, TimeoutSecondsPath="$.t"), "/States/A", SCHEMA, "There should only be one of the following fields"),
    (task(HeartbeatSeconds=1, HeartbeatSecondsPath="$.t"), "/States/A", SCHEMA, "There should only be one of the following fields"),
    (task(Credentials={}), "/States/A/Credentials", SCHEMA, "The field 'RoleArn' is required but was missing"),  # recorded
    (task(Credentials="x"), "/States/A/Credentials", SCHEMA, "Expected value of type Object"),
    # retriers and catchers
    (task(Retry={}), "/States/A/Retry", SCHEMA, "Expected value of type Array"),
    (task(Retry=[1]), "/States/A/Retry/0", SCHEMA, "Expected value of type Object"),
    (task(Retry=[{}]), "/States/A/Retry/0", SCHEMA, "These fields are required: [ErrorEquals]"),
    (task(Retry=[{"ErrorEquals": []}]), "/States/A/Retry/0/ErrorEquals", SCHEMA, "Value cannot be empty"),
    (task(Retry=[{"ErrorEquals": "A"}]), "/States/A/Retry/0/ErrorEquals", SCHEMA, "Expected value of type Array"),
    (task(Retry=[{"ErrorEquals": [1]}]), "/States/A/Retry/0/ErrorEquals/0", SCHEMA, "Expected value of type String"),
    (task(Retry=[{"ErrorEquals": ["A"], "IntervalSeconds": -1}]), "/States/A/Retry/0/IntervalSeconds", SCHEMA, "Minimum value is 0"),
    (task(Retry=[{"ErrorEquals": ["A"], "MaxAttempts": -1}]), "/States/A/Retry/0/MaxAttempts", SCHEMA, "Minimum value is 0"),
    (task(Retry=[{"ErrorEquals": ["A"], "BackoffRate": 0.5}]), "/States/A/Retry/0/BackoffRate", SCHEMA, "Minimum value is 1"),
    (task(Retry=[{"ErrorEquals": ["A"], "JitterStrategy": "HALF"}]), "/States/A/Retry/0/JitterStrategy", SCHEMA, "[NONE, FULL]"),
    (task(Retry=[{"ErrorEquals": ["A"], "Next": "A"}]), "/States/A/Retry/0/Next", SCHEMA, "Field 'Next' is not supported"),
    (task(Catch=[{"ErrorEquals": ["A"]}]), "/States/A/Catch/0", SCHEMA, "These fields are required: [Next]"),
    (task(Catch=[{"ErrorEquals": ["A"], "Next": "Z"}]), "/States/A/Catch/0/Next", TARGET, "Missing 'Next' target: Z"),
    (task(Catch=[{"ErrorEquals": ["A"], "Next": "A", "ResultPath": "$.a[*]"}]), "/States/A/Catch/0/ResultPath", SCHEMA,
     "Value is not a Reference Path"),
    # choices
    (machine(A={"Type": "Choice"}), "/States/A", SCHEMA, "These fields are required: [Choices]"),
    (choice(), "/States/A/Choices", SCHEMA, "Value cannot be empty"),
    (choice(1), "/States/A/Choices/0", SCHEMA, "Expected value of type Object"),
    (choice({"Variable": "$.a", "IsNull": True}), "/States/A/Choices/0", SCHEMA, "These fields are required: [Next]"),
    (choice({"IsNull": True, "Next": "B"}), "/States/A/Choices/0", SCHEMA, "The object must have only one of the following fields, [And, Or, Not, Variable, Condition]"),
    (choice({"Variable": "$.a", "Next": "B"}), "/States/A/Choices/0", SCHEMA, "There should only be one of the following fields: ["),
    (choice({"Variable": "$.a", "IsNull": True, "IsString": True, "Next": "B"}), "/States/A/Choices/0", SCHEMA, "There should only be one of the following fields: [IsNull, IsString]"),
    (choice({"Variable": "$.a", "StringEqual": "x", "Next": "B"}), "/States/A/Choices/0/StringEqual", SCHEMA,
     "did you mean 'StringEquals'?"),
    (choice({"Variable": "$.a", "StringEquals": 1, "Next": "B"}), "/States/A/Choices/0/StringEquals", SCHEMA, "type String"),
    (choice({"Variable": "$.a", "NumericEquals": "1", "Next": "B"}), "/States/A/Choices/0/NumericEquals", SCHEMA, "type Number"),
    (choice({"Variable": "$.a", "NumericEquals": True, "Next": "B"}), "/States/A/Choices/0/NumericEquals", SCHEMA, "type Number"),
    (choice({"Variable": "$.a", "IsNull": 1, "Next": "B"}), "/States/A/Choices/0/IsNull", SCHEMA, "type Boolean"),
    (choice({"Variable": "$.a", "TimestampEquals": "now", "Next": "B"}), "/States/A/Choices/0/TimestampEquals", SCHEMA,
     "String does not match RFC3339 timestamp"),  # recorded
    (choice({"Variable": "a", "IsNull": True, "Next": "B"}), "/States/A/Choices/0/Variable", SCHEMA, "Value is not a Reference Path: Reference path didn't start with '$'"),
    (choice({"Variable": "$.a", "StringEqualsPath": "b", "Next": "B"}), "/States/A/Choices/0/StringEqualsPath", SCHEMA,
     "Value is not a Reference Path: Reference path didn't start with '$'"),
    (choice({"And": [], "Next": "B"}), "/States/A/Choices/0/And", SCHEMA, "Expected value of type Array, not empty"),
    (choice({"Not": [], "Next": "B"}), "/States/A/Choices/0/Not", SCHEMA, "Expected value of type Object"),
    (choice({"Or": [{"Variable": "$.a", "IsNull": True, "Next": "B"}], "Next": "B"}), "/States/A/Choices/0/Or/0/Next", SCHEMA,
     "Field 'Next' is not supported inside And, Or and Not"),
    (choice({"Variable": "$.a", "IsNull": True, "Next": "Z"}), "/States/A/Choices/0/Next", TARGET, "Missing 'Next' target"),
    ({**choice({"Variable": "$.a", "IsNull": True, "Next": "B"}, Default="Z")}, "/States/A/Default", TARGET,
     "Missing 'Next' target: Z"),
    (choice({"Variable": "$.a", "IsNull": True, "Next": "B"}, Next="B"), "/States/A/Next", SCHEMA, "not supported"),
    # waits
    (one(Type="Wait"), "/States/A", SCHEMA, "This object should have only one of the following fields: [SecondsPath, Seconds, TimestampPath, Timestamp]"),
    (one(Type="Wait", Seconds=1, SecondsPath="$.s"), "/States/A", SCHEMA, "There should only be one of the following fields"),
    (one(Type="Wait", Seconds=-1), "/States/A/Seconds", SCHEMA, "Minimum value is 0"),
    (one(Type="Wait", Seconds=1.5), "/States/A/Seconds", SCHEMA, "Expected value of type Integer"),
    (one(Type="Wait", Timestamp="2024-01-01"), "/States/A/Timestamp", SCHEMA, "String does not match RFC3339 timestamp"),
    # fail
    (machine(A={"Type": "Fail", "Error": "a", "ErrorPath": "$.e"}), "/States/A", SCHEMA, "There should only be one of the following fields"),
    (machine(A={"Type": "Fail", "Error": 1}), "/States/A/Error", SCHEMA, "Expected value of type String"),
    (machine(A={"Type": "Fail", "CausePath": "x"}), "/States/A/CausePath", SCHEMA, "valid JSONPath or a valid intrinsic"),
    (machine(A={"Type": "Fail", "Next": "A"}), "/States/A/Next", SCHEMA, "Field 'Next' is not supported"),
    # parallels and maps
    (one(Type="Parallel"), "/States/A", SCHEMA, "These fields are required: [Branches]"),
    (one(Type="Parallel", Branches=[]), "/States/A/Branches", SCHEMA, "Value cannot be empty"),  # recorded
    (one(Type="Parallel", Branches=[1]), "/States/A/Branches/0", SCHEMA, "Expected value of type Object"),
    (one(Type="Parallel", Branches=[{"StartAt": "I"}]), "/States/A/Branches/0", SCHEMA, "These fields are required: [States]"),
    (one(Type="Parallel", Branches=[{"StartAt": "I", "States": {"I": {"Type": "Pass", "Next": "A"}}}]),
     "/States/A/Branches/0/States/I/Next", TARGET, "it stands in another branch, which no transition can enter or leave"),
    (one(Type="Map"), "/States/A", SCHEMA, "This object should have only one of the following fields: [ItemProcessor, Iterator]"),
    (one(Type="Map", Iterator=SCOPE, ItemProcessor=SCOPE), "/States/A", SCHEMA, "There should only be one of the following fields"),
    (one(Type="Map", Iterator={"StartAt": "X", "States": {"I": END}}), "/States/A/Iterator/StartAt", TARGET, "Missing 'Next' target: X"),
    (one(Type="Map", Iterator=SCOPE, MaxConcurrency=-1), "/States/A/MaxConcurrency", SCHEMA, "Minimum value is 0"),
    (one(Type="Map", Iterator=SCOPE, ToleratedFailurePercentage=101), "/States/A/ToleratedFailurePercentage", SCHEMA, "100"),
    (one(Type="Map", Iterator=SCOPE, ItemSelector={"a.$": "b"}), "/States/A/ItemSelector", SCHEMA, "'a.$'"),
    # two languages
    (one(Type="Pass", Output=1), "/States/A/Output", SCHEMA, "The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage"),
    ({"QueryLanguage": "JSONata", **one(Type="Pass", InputPath="$")}, "/States/A/InputPath", SCHEMA,
     "The QueryLanguage is set to 'JSONata', but field 'InputPath' is only supported for the 'JSONPath' QueryLanguage"),
    ({"QueryLanguage": "JSONata", **one(Type="Pass", QueryLanguage="JSONPath")}, "/States/A", SCHEMA,
     "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"),  # recorded
    ({"QueryLanguage": "JSONata", **one(Type="Pass", Output="{% ( %}")}, "/States/A/Output", "INVALID_JSONATA_EXPRESSION", 'Expected ")" before end of expression'),
    ({"QueryLanguage": "JSONata", **one(Type="Pass", Output="a {% 1 %}")}, "/States/A/Output", SCHEMA, "JSONata string must start with {% and end with %}"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "location", "code", "words"), ERRORS, ids=lambda v: v if isinstance(v, str) else "")
def test_what_aws_refuses_is_an_error(raw, location, code, words):
    errors = [d for d in found(raw) if d[0] == "ERROR"]
    assert any(d[1:3] == (code, location) and words in d[3] for d in errors), errors


EXPRESS = [
    (one(Type="Task", Resource="arn:aws:states:us-east-1:1:activity:a"), "does not support Activity ARN"),
    (one(Type="Task", Resource="arn:aws:states:::ecs:runTask.sync"), "does not support '.sync' service integration"),
    (one(Type="Task", Resource="arn:aws:states:::sqs:sendMessage.waitForTaskToken", Parameters={"t.$": "$$.Task.Token"}),
     "does not support '.waitForTaskToken' service integration "),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "words"), EXPRESS, ids=lambda v: v if isinstance(v, str) else "")
def test_what_express_does_not_have_is_an_error_there_and_only_there(raw, words):
    said = f"Express state machine {words}"  # recorded
    assert ("ERROR", SCHEMA, "/States/A/Resource", said) in found(raw, "EXPRESS")
    assert found(raw) == []


WARNINGS = [
    (choice({"Variable": "$.a", "IsNull": True, "Next": "B"}), "NO_DEFAULT", "/States/A", "States.NoChoiceMatched", "Default"),
    (machine(A=END, B={"Type": "Pass", "Next": "C"}, C={"Type": "Pass", "Next": "B"}), "UNREACHABLE_STATE", "/States/B",
     "no way from StartAt leads to 'B'", None),
    (task(Retry=[{"ErrorEquals": ["States.Nope"]}]), "UNKNOWN_ERROR_NAME", "/States/A/Retry/0/ErrorEquals/0", "States.Nope", None),
    (task(TimeoutSeconds=5, HeartbeatSeconds=5), "HEARTBEAT_NOT_BELOW_TIMEOUT", "/States/A", "never matters", None),
    (one(Type="Task", Resource="${Fn.Arn}"), "UNRESOLVED_SUBSTITUTION", "/States/A/Resource", "${Fn.Arn}", None),
    (one(Type="Wait", Seconds="${Delay}"), UNRESOLVED, "/States/A/Seconds", "${Delay}", None),
    (machine(**{"x" * 81: END}), "LONG_STATE_NAME", "/States/" + "x" * 81, "81 characters; 80 is the documented limit", None),
    (one(Type="Pass", InputPath="$nobody"), "UNDEFINED_VARIABLE", "/States/A", "$nobody", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "code", "location", "words", "drop"), WARNINGS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_what_aws_takes_and_a_person_would_want_to_know_is_a_warning(raw, code, location, words, drop):
    if drop:
        raw["States"]["A"].pop(drop, None)
    every = found(raw)
    assert [d for d in every if d[0] == "ERROR"] == []
    assert any(d[:3] == ("WARNING", code, location) and words in d[3] for d in every), every


def test_every_fault_is_found_at_once_in_the_order_of_the_text():
    text = """\
{
  "States": {
    "A": {"Type": "Wait", "Seconds": -1, "Foo": 1, "Next": "Nowhere"},
    "M": {"Type": "Map", "End": true, "Iterator": {"StartAt": "I", "States": {
      "I": {"Type": "Pass", "InputPath": "x"}}}},
    "C": {"Type": "Choice", "Choices": [{"Next": "Gone"}]}
  }
}
"""
    found = validate(loads(text, "m.json"))
    assert [(d.pointer, d.line) for d in found if d.severity == "ERROR"] == [
        ("", 1),
        ("/States/A/Seconds", 3),
        ("/States/A/Foo", 3),
        ("/States/A/Next", 3),
        ("/States/M/Iterator/States/I", 5),
        ("/States/M/Iterator/States/I/InputPath", 5),
        ("/States/C/Choices/0", 6),
        ("/States/C/Choices/0/Next", 6),
    ]
    assert str(found[1]).startswith("m.json:3:27: ERROR /States/A/Seconds: Minimum value is 0, not -1 [")


def test_a_yaml_definition_has_its_faults_placed_too():
    text = "StartAt: A\nStates:\n  A:\n    Type: Pass\n    Next: B\n"
    (missing,) = [d for d in validate(loads(text)) if d.code == TARGET]
    assert (missing.location, missing.line, missing.column) == ("/States/A/Next", 5, 5)


@pytest.mark.parametrize("token", ["${A}", "x-${A}", "${A::B}"])
def test_an_unresolved_token_fits_everywhere_and_is_no_error(token):
    raw = machine(
        A={"Type": "Task", "Resource": token, "TimeoutSeconds": token, "Next": token},
        B={"Type": "Choice", "Choices": [{"Variable": token, "NumericEquals": token, "Next": token}], "Default": token},
        C={"Type": token},
    )
    raw["StartAt"] = token
    assert {d[0] for d in found(raw)} == {"WARNING"}


def test_the_order_of_required_fields_is_the_one_aws_gives():
    assert found({})[0][3] == "These fields are required: [States, StartAt]"  # a HashMap's, recorded


# ── the tables themselves ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_state_type_has_its_fields_and_every_kind_of_field_its_check():
    assert set(fields.STATES) == set(STATE_TYPES)
    parts = {"ReaderConfig": fields.READER_CONFIG, "ItemBatcher": fields.ITEM_BATCHER}
    more = [fields.ITEM_READER, fields.RESULT_WRITER, fields.WRITER_CONFIG, fields.PROCESSOR, fields.ITEM_PROCESSOR]
    tables = [fields.TOP_LEVEL, fields.RETRIER, fields.CATCHER, *fields.STATES.values(), *parts.values(), *more]
    assert {f.kind for table in tables for f in table.values()} <= set(KINDS)
    for kind, groups in fields.EXCLUSIVE.items():
        assert {name for group in groups for name in group} <= set((fields.STATES | parts)[kind])


@pytest.mark.parametrize("wrong", [None, 1, -1.5, "x", "", [], {}, True, [[]], [{}], {"a": 1}])
@pytest.mark.parametrize("kind", STATE_TYPES)
def test_any_value_in_any_field_of_any_state_is_judged_and_never_a_crash(kind, wrong):
    for name in fields.STATES[kind]:
        if name != "Type":
            state = {"Type": kind, name: wrong}
            assert isinstance(found(machine(A=state)), list), name
            json.dumps(found({"QueryLanguage": "JSONata", **machine(A=state)}))


@pytest.mark.parametrize("wrong", [None, 1, "x", [], {}, True])
@pytest.mark.parametrize("name", [*RULE_FIELDS, "And", "Or", "Not", "Variable", "Condition"])
def test_any_value_in_any_field_of_a_choice_rule_is_judged(name, wrong):
    for rule in ({name: wrong}, {"Variable": "$.a", name: wrong, "Next": "B"}, {"Not": {name: wrong}, "Next": "B"}):
        assert found(choice(rule)) or isinstance(wrong, str | bool | int)


def test_a_definition_of_thousands_of_states_is_judged_in_a_moment():
    names = [f"S{n}" for n in range(3_000)]
    states = {n: {"Type": "Pass", "Next": m} for n, m in itertools.pairwise(names)}
    raw = {"StartAt": names[0], "States": {**states, names[-1]: END}}
    begun = time.perf_counter()
    assert found(raw) == []
    assert len(found({**raw, "States": {**raw["States"], names[0]: {"Type": "Pass", "Next": "S2999x"}}})) > 0
    assert time.perf_counter() - begun < 30


def test_deeply_nested_scopes_and_rules_are_judged():
    scope = SCOPE
    for n in range(40):
        scope = {"StartAt": f"N{n}", "States": {f"N{n}": {"Type": "Map", "Iterator": scope, "End": True}}}
    assert found(scope) == []
    rule = {"Variable": "$.a", "IsNull": True}
    for _ in range(150):
        rule = {"Not": rule}
    assert found(choice({**rule, "Next": "B"})) == []


# ── Distributed Maps ─────────────────────────────────────────────────────────────────────────────────────────────────


def distributed(**more):
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **SCOPE}
    return {"Type": "Map", "ItemProcessor": processor, "End": True, **more}


def read(**config):
    given = {"Bucket": "b", "Key": "k"}
    return {"ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "Parameters": given, "ReaderConfig": config}}


@pytest.mark.parametrize(
    ("more", "location", "message"),
    [
        ({"Label": "a b"}, "Label", "A label cannot contain ' '"),
        ({"Label": "a/b"}, "Label", "A label cannot contain '/'"),
        (read(InputType="XML"), "InputType", "Value should be one of the following: [CSV, JSON, JSONL, MANIFEST, PARQUET]"),
        (read(InputType="CSV", CSVHeaderLocation="FIRST_ROW", CSVDelimiter=";"), "CSVDelimiter",
         "Value should be one of the following: [COMMA, PIPE, SEMICOLON, SPACE, TAB]"),
        (read(InputType="CSV", CSVHeaderLocation="GIVEN"), "ReaderConfig", "These fields are required: [CSVHeaders]"),
        (read(Transformation="LOAD_AND_FLATTEN"), "ReaderConfig", "These fields are required: [InputType]"),
        (read(ManifestType="ATHENA_DATA"), "ReaderConfig", "These fields are required: [InputType]"),
        (read(ManifestType="S3_INVENTORY", InputType="CSV", CSVHeaderLocation="FIRST_ROW"), "InputType", "Field 'InputType' is not supported"),
        (read(InputType="JSON", MaxItems=1, MaxItemsPath="$.n"), "ReaderConfig",
         "There should only be one of the following fields: [MaxItems, MaxItemsPath]"),
        ({"ItemBatcher": {"MaxItemsPerBatch": 1, "MaxItemsPerBatchPath": "$.n"}}, "ItemBatcher",
         "There should only be one of the following fields: [MaxItemsPerBatch, MaxItemsPerBatchPath]"),
        ({"ResultWriter": {"WriterConfig": {"Transformation": "NONE", "OutputType": "CSV"}}}, "OutputType",
         "Value should be one of the following: [JSON, JSONL]"),
    ],
)  # fmt: skip
def test_what_a_distributed_map_may_not_say(more, location, message):
    (error,) = [f for f in found(machine(A=distributed(**more))) if f[0] == "ERROR"]
    assert error[3].startswith(message)
    assert location in error[2]


@pytest.mark.parametrize(
    "more",
    [
        {"Label": "Überprüfung_1.a-b()"},
        {"Label": "${Stage} label that is longer than forty characters"},
        read(InputType="PARQUET"),
        read(InputType="${Type}"),
        read(Transformation="LOAD_AND_FLATTEN", InputType="JSONL"),
        {"ResultWriter": {"WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSONL"}}},
    ],
)
def test_what_a_distributed_map_may_say(more):
    assert not [f for f in found(machine(A=distributed(**more))) if f[0] == "ERROR"]


@pytest.mark.parametrize("runs", [True, False])
def test_a_token_in_an_expression_has_to_become_a_value_where_it_does_not_parse_without(runs):
    text = "{% '${Name}' = 'x' %}" if runs else "{% ${Enabled} = true %}"
    raw = {"QueryLanguage": "JSONata", **machine(A={"Type": "Pass", "Output": text, "End": True})}
    saga = sf.StateMachine.load(raw)
    assert ("UNRESOLVED_VALUE" in {d.code for d in saga.validate()}) != runs
    if runs:
        assert sf.Local().start_execution(saga).output is False
    else:
        with pytest.raises(sf.DefinitionError, match=r"\$\{Enabled\} has to become a value before this can run"):
            sf.Local().start_execution(saga)


@pytest.mark.parametrize(
    ("raw", "location"),
    [
        ({"StartAt": "${First}", "States": {"A": {"Type": "Succeed"}}}, "/StartAt"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "${Then}"}}}, "/States/A/Next"),
        ({"StartAt": "A", "States": {"A": {"Type": "${Kind}"}}}, "/States/A/Type"),
    ],
)
def test_a_token_a_run_cannot_do_without_is_said_before_it_runs(raw, location):
    machine = sf.StateMachine.load(raw)
    found = [d.location for d in machine.validate() if d.code == "UNRESOLVED_VALUE"]
    assert found == [location]
    assert all(d.severity == "WARNING" for d in machine.validate())
    with pytest.raises(sf.DefinitionError, match="before this can run"):
        machine.check()
