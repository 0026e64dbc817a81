"""The warnings: what AWS takes and a person would want to know, and as much of what must not be warned of."""

# ruff: noqa: E501 - tables of cases read best with a case on a line

import itertools

import pytest

from sflab.asl import fields
from sflab.asl.advice import LIMIT, events
from sflab.asl.parse import load
from sflab.asl.program import compile_program
from sflab.asl.validate import validate
from sflab.backends.drivers import drive
from sflab.engine.machine import Machine

FN = "arn:aws:lambda:us-east-1:123456789012:function:f"
END = {"Type": "Pass", "End": True}
CONSTANT = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Result": 1, "End": True}}}
PATHS = {"StartAt": "I", "States": {"I": {"Type": "Pass", "InputPath": "$.a", "End": True}}}
TASK = {"StartAt": "I", "States": {"I": {"Type": "Task", "Resource": FN, "End": True}}}
FAILS = {"StartAt": "I", "States": {"I": {"Type": "Fail", "Error": "Boom"}}}
FAILS_WITH_WHAT_IT_HAS = {"StartAt": "I", "States": {"I": {"Type": "Fail", "ErrorPath": "$.e"}}}


def machine(**states):
    return {"StartAt": next(iter(states)), "States": states}


def one(**state):
    return machine(A={"End": True, **state})


def task(**more):
    return one(**{"Type": "Task", "Resource": FN, **more})


def retried(*names, **more):
    return task(Retry=[{"ErrorEquals": list(each)} for each in names], **more)


def caught(scope, *names):
    catch = [{"ErrorEquals": list(names), "Next": "B"}]
    return machine(A={"Type": "Parallel", "Branches": [scope], "Catch": catch, "End": True}, B=END)


def token(field, value, resource="arn:aws:states:::sqs:sendMessage.waitForTaskToken"):
    language = "JSONata" if field == "Arguments" else "JSONPath"
    return {"QueryLanguage": language, **one(Type="Task", Resource=resource, **{field: value})}


def jsonata(**state):
    return {"QueryLanguage": "JSONata", **one(Type="Pass", **state)}


def steps(count, **last):
    names = [f"S{n}" for n in range(count)]
    each = {n: {"Type": "Pass", "Next": m} for n, m in itertools.pairwise(names)}
    return {"StartAt": names[0], "States": {**each, names[-1]: {"Type": "Pass", "End": True, **last}}}


def mapped(scope, **more):
    return {"Type": "Map", "ItemProcessor": scope, "End": True, **more}


def loop(wait=None, out=False, kind="Task"):
    """A → B → A; *wait*: a Wait state between them; *out*: a rule leaves it."""
    first = {"Type": kind, "Resource": FN, "Next": "B"} if kind == "Task" else {"Type": kind, "Next": "B"}
    pause = {"Type": "Wait", "Seconds": wait, "Next": "C"} if wait is not None else {"Type": "Pass", "Next": "C"}
    rules = [{"Variable": "$.done", "BooleanEquals": True, "Next": "Z"}]
    turn = {"Type": "Choice", "Choices": rules, "Default": "A"} if out else {"Type": "Pass", "Next": "A"}
    return machine(
        S={"Type": "Choice", "Choices": rules, "Default": "A"}, A=first, B=pause, C=turn, Z={"Type": "Succeed"}
    )


def warned(raw, type="STANDARD"):
    found = validate(load(raw), type)
    assert [d for d in found if d.severity == "ERROR"] == []
    return [(d.code, d.pointer.removeprefix("/States/A/"), d.message) for d in found]


NEVER, EVENTS = "NEVER_MATCHES", "EVENT_LIMIT_RISK"
AROUND = {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "B"}], "Default": "D"}
WARNED = [
    # fields
    (one(Type="Pass", Result="$.a"), "PASS_RESULT_IS_STATIC", "Result", "Parameters reads paths"),
    (one(Type="Pass", Result={"a": ["States.UUID()"]}), "PASS_RESULT_IS_STATIC", "Result/a/0", "as it stands"),
    (one(Type="Pass", Parameters={"a": {"b": "$.c"}}), "NO_DOLLAR", "Parameters/a/b", "'b.$'"),
    (task(ResultSelector={"a": "States.Format('{}', $.a)"}), "NO_DOLLAR", "ResultSelector/a", "'a.$'"),
    (machine(A={"Type": "Choice", "Choices": [{"Variable": "$.a", "StringEquals": "$.b", "Next": "B"}], "Default": "B"}, B=END),
     "NO_PATH", "Choices/0/StringEquals", "StringEqualsPath compares"),
    (machine(A={"Type": "Fail", "Error": "$.error"}), "NO_PATH", "Error", "ErrorPath reads it"),
    (task(TimeoutSeconds=5, HeartbeatSeconds=5), "HEARTBEAT_NOT_BELOW_TIMEOUT", "/States/A", "(5)"),
    (token("Parameters", {"QueueUrl": "q", "MessageBody": "x"}), "TASK_TOKEN_NOT_SENT", "/States/A", "$$.Task.Token"),
    (token("Arguments", {"QueueUrl": "q"}), "TASK_TOKEN_NOT_SENT", "/States/A", "$states.context.Task.Token"),
    (task(Resource="arn:aws::lambda:us-east-1:111122223333:function:f"), "MALFORMED_ARN", "Resource", "names its service"),
    (one(**mapped(CONSTANT, Label="x" * 41)), "LONG_LABEL", "Label", "41 characters; 40"),
    (one(**mapped(CONSTANT, ItemReader={"Resource": "arn:aws:states:::s3:getObject"})), "DISTRIBUTED_ONLY", "ItemReader", "Distributed Map only"),
    (one(**mapped(CONSTANT, ItemBatcher={})), "NO_BATCH_LIMIT", "ItemBatcher", "MaxItemsPerBatch"),
    (machine(A={"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "B"}]}, B=END), "NO_DEFAULT", "/States/A", "NoChoiceMatched"),
    # reachability beyond AWS's
    (machine(A=END, B={"Type": "Pass", "Next": "C"}, C={"Type": "Pass", "Next": "B"}), "UNREACHABLE_STATE", "/States/B", "no way from StartAt"),
    (one(**mapped({"StartAt": "I", "States": {"I": {"Type": "Pass", "Next": "I"}}})), "NO_END", "ItemProcessor/States", "never ends"),
    (machine(A={"Type": "Pass", "Next": "A"}, B={"Type": "Pass", "Next": "C"}, C=AROUND, D=END), "NO_END", "/States", "no way from 'A'"),
    # JSONata
    (jsonata(Output=" {% 1 %} "), "NOT_EVALUATED", "Output", "this is text"),
    (jsonata(Output={"a.$": "$"}), "NOT_EVALUATED", "Output/a.$", "a name like any other"),
    (jsonata(Output="{% $states.result %}"), "NO_SUCH_INPUT", "Output", "$states.result is not there"),
    (jsonata(Output="{% $states.inputs.a %}"), "NO_SUCH_INPUT", "Output", "$states.inputs"),
    (jsonata(Assign={"sum": 1}), "HIDES_FUNCTION", "Assign/sum", "not the function"),
    (jsonata(Output="{% $nobody %}"), "UNDEFINED_VARIABLE", "/States/A", "$nobody"),
    # errors
    (retried(["A"], ["A"]), NEVER, "Retry/1/ErrorEquals", "others before it"),
    (retried(["States.TaskFailed"], ["A", "B"]), NEVER, "Retry/1/ErrorEquals", "others before it"),
    (retried(["States.Runtime"]), NEVER, "Retry/0/ErrorEquals", "never caught"),
    (retried(["States.HeartbeatTimeout"]), NEVER, "Retry/0/ErrorEquals", "no heartbeat"),
    (retried(["States.NoChoiceMatched"]), NEVER, "Retry/0/ErrorEquals", "no task raises"),
    (retried(["States.Nope"]), "UNKNOWN_ERROR_NAME", "Retry/0/ErrorEquals/0", "States.Nope"),
    (caught(CONSTANT, "States.ALL"), NEVER, "Catch/0/ErrorEquals", "nothing in this state can fail"),
    (caught(PATHS, "Boom"), NEVER, "Catch/0/ErrorEquals", "no state inside raises Boom"),
    (caught(PATHS, "States.Timeout"), NEVER, "Catch/0/ErrorEquals", "no state inside raises"),
    (caught(FAILS, "Bang"), NEVER, "Catch/0/ErrorEquals", "no state inside raises Bang"),
    # events
    (loop(), EVENTS, "/States/A", "nothing ends the loop A, B, C: at 9 events a pass, 2,777 passes fill the history"),
    (loop(60), EVENTS, "/States/A", "2,777 passes, 46 hours fill"),
    (loop(1, out=True), EVENTS, "/States/A", "waits 1 s: at 9 events a pass, 2,777 passes, 46 minutes fill"),
    (loop(kind="Pass"), EVENTS, "/States/A", "at 6 events a pass"),
    (one(**mapped(steps(15))), EVENTS, "/States/A", "an item takes 32 events: more than 781 items"),
    (one(**mapped({"StartAt": "I", "States": {"I": mapped(steps(6))}})), EVENTS, "ItemProcessor/States/I", "the Map around it: more than 1,785 items in all"),
    ({"QueryLanguage": "JSONata", **one(**mapped(steps(2), Items=[0] * 5_000))}, EVENTS, "/States/A", "5,000 items of 6 events"),
    (task(Retry=[{"ErrorEquals": ["A"], "MaxAttempts": 10_000}]), EVENTS, "Retry/0/MaxAttempts", "10,000 attempts of 3 events"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "code", "pointer", "words"), WARNED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_warned_of(raw, code, pointer, words):
    every = warned(raw)
    assert any(found[:2] == (code, pointer) and words in found[2] for found in every), every


QUIET = [
    one(Type="Pass", Result={"a": "$ 5", "b": "a $.b", "c": "States are many"}),
    one(Type="Pass", Parameters={"a.$": "$.a", "b": "text", "c": {"d.$": "States.UUID()"}}),
    task(TimeoutSeconds=5, HeartbeatSeconds=4),
    token("Parameters", {"MessageBody": {"t.$": "$$.Task.Token"}}),
    token("Parameters", {"MessageBody.$": "States.Format('{}', $$.Task.Token)"}),
    token("Parameters", {"MessageBody.$": "$$"}),
    token("Arguments", {"MessageBody": "{% $states.context.Task.Token %}"}),
    token("Arguments", "{% {'t': $states.context.Task.Token} %}"),
    retried(["A"], ["States.TaskFailed"], ["States.Timeout"], ["States.ALL"]),
    retried(["States.HeartbeatTimeout"], HeartbeatSeconds=5),
    caught(PATHS, "States.ALL"),
    caught(PATHS, "States.ParameterPathFailure"),
    caught(TASK, "Boom"),
    caught(TASK, "States.ALL"),
    caught(FAILS, "Boom"),
    caught(FAILS, "States.TaskFailed"),
    caught(FAILS_WITH_WHAT_IT_HAS, "Bang"),
    loop(30, out=True),  # polled: nine hours and more
    loop(out=True),  # a counter may end it
    one(**mapped(steps(3))),
    one(**mapped({"StartAt": "I", "States": {"I": mapped(steps(2))}})),
    task(Retry=[{"ErrorEquals": ["A"], "MaxAttempts": 100}]),
    jsonata(Output="{% $states.input.a %}", Assign={"x": "{% $states.context.Execution.Id %}"}),
]


@pytest.mark.parametrize("raw", QUIET)
def test_what_is_not_warned_of(raw):
    assert warned(raw) == []


def test_an_express_execution_has_no_history_to_fill():
    for raw in (loop(), one(**mapped(steps(15))), task(Retry=[{"ErrorEquals": ["A"], "MaxAttempts": 10_000}])):
        assert EVENTS in [code for code, *_ in warned(raw)]
        assert warned(raw, "EXPRESS") == []
    inner = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, **loop()}
    assert warned(machine(M=mapped(inner))) == []


def test_a_visit_writes_as_many_events_as_a_run_does():
    wait = machine(W={"Type": "Wait", "Seconds": 1, "End": True})
    scope = one(Type="Parallel", Branches=[steps(3), wait])
    run = Machine(compile_program(load(scope).raw))
    drive(run, "{}", lambda _: ())
    assert len(run.log.events()) - 2 == events(scope["States"]["A"])  # but the execution's own two
    assert LIMIT == 25_000


# ── variables ────────────────────────────────────────────────────────────────────────────────────────────────────────


def sets(name, **more):
    return {"Type": "Pass", "Assign": {name: 1}, **more}


def reads(name, **more):
    return {"Type": "Pass", "InputPath": f"${name}", **more}


def both(inner, **more):
    return {"Type": "Parallel", "Branches": [inner], **more}


VARIABLES = [
    (machine(A=sets("x", Next="B"), B=reads("x", End=True)), None),
    (machine(A=reads("x", Next="B"), B=sets("x", End=True)), ("READ_BEFORE_ASSIGNED", "/States/A")),
    (machine(A=reads("x", Assign={"x": 1}, End=True)), ("READ_BEFORE_ASSIGNED", "/States/A")),  # a state reads the old values
    (machine(A={"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "B", "Assign": {"x": 1}}], "Default": "C"},
             B=reads("x", End=True), C=reads("x", End=True)), ("READ_BEFORE_ASSIGNED", "/States/C")),
    (machine(A=sets("x", Next="B"), B=reads("x", Next="C"), C={"Type": "Choice", "Choices": [{"Variable": "$x", "IsNull": True, "Next": "A"}], "Default": "D"}, D=END), None),
    (machine(A={"Type": "Task", "Resource": FN, "Next": "B", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C", "Assign": {"why": 1}}]},
             B=reads("why", End=True), C=reads("why", End=True)), ("READ_BEFORE_ASSIGNED", "/States/B")),
    (machine(A=both(machine(I=sets("x", End=True)), Next="B"), B=reads("x", End=True)), ("OUT_OF_SCOPE", "/States/B")),
    (machine(A=sets("x", Next="B"), B=both(machine(I=reads("x", End=True)), End=True)), None),
    (machine(A=both(machine(I=reads("x", End=True)), Next="B"), B=sets("x", End=True)), ("READ_BEFORE_ASSIGNED", "/States/A/Branches/0/States/I")),
    (machine(A=sets("x", Next="B"), B={"Type": "Map", "End": True, "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **machine(I=reads("x", End=True))}}),
     ("OUT_OF_SCOPE", "/States/B/ItemProcessor/States/I")),
    (machine(A=sets("x", Next="B"), B=both(machine(I=sets("x", End=True)), End=True)), ("HIDES_VARIABLE", "/States/B/Branches/0/States/I")),
    (machine(A=reads("x", End=True)), ("UNDEFINED_VARIABLE", "/States/A")),
    (machine(A={"Type": "Pass", "Next": "${Then}"}, B=sets("x", Next="C"), C=reads("x", End=True)), None),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), VARIABLES)
def test_variables(raw, expected):
    found = [
        (d.code, d.pointer)
        for d in validate(load(raw))
        if "VARIABLE" in d.code or "SCOPE" in d.code or "READ" in d.code
    ]
    assert found == ([expected] if expected else [])


def test_every_error_that_is_predefined_can_be_caught_somewhere():
    quiet = {code for name in fields.PREDEFINED_ERRORS for code, *_ in warned(caught(TASK, name))}
    assert quiet == {NEVER}  # States.Runtime alone
