"""AWS's own diagnostics, exactly: what users report that CreateStateMachine and ValidateStateMachineDefinition answer.

`tests/conformance` has those AWS was recorded to give; these are the others of which code, message and location are known.
"""

# ruff: noqa: E501 - tables of cases read best with a case on a line

import pytest

from sflab.asl.parse import load, loads
from sflab.asl.validate import refusal, validate

SCHEMA, TARGET = "SCHEMA_VALIDATION_FAILED", "MISSING_TRANSITION_TARGET"
INVALID, UNSUPPORTED = "INVALID_JSONATA_EXPRESSION", "UNSUPPORTED_JSONATA_EXPRESSION"
LAMBDA = "arn:aws:states:::lambda:invoke"
END = {"Type": "Pass", "End": True}
ALL = [{"ErrorEquals": ["States.ALL"], "Next": "Z"}]


def machine(language=None, **states):
    top = {"StartAt": next(iter(states)), "States": states}
    return {"QueryLanguage": language, **top} if language else top


def output(expression, where="v"):
    return machine("JSONata", E={"Type": "Pass", "Output": {where: f"{{% {expression} %}}"}, "End": True})


def mapped(inner, **more):
    return {"Type": "Map", "ItemProcessor": inner, "End": True, **more}


def task(**more):
    return {"Type": "Task", "Resource": LAMBDA, "End": True, **more}


def refused(raw, type="STANDARD"):
    return [(d.code, d.message, d.location) for d in validate(load(raw), type) if d.severity == "ERROR"]


def missing(name, where):
    return (TARGET, f"Missing 'Next' target: {name}", where)


def unreachable(name, where):
    return (TARGET, f'State "{name}" is not reachable.', where)


def unsupported(name, where):
    return (SCHEMA, f"Field '{name}' is not supported", where)


def only(name, language, other, where):
    said = f"The QueryLanguage is set to '{language}', but field '{name}' is only supported for the '{other}' QueryLanguage"
    return (SCHEMA, said, where)


def at_top_level(name, where):
    return (UNSUPPORTED, f"Reference to '{name}' at the top level is not supported.", where)


NO_END = ("MISSING_END_STATE", "Workflow has no terminal state", "")
MIXED = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
LANGUAGES = "Value should be one of the following: [JSONPath, JSONata]"
LONELY = "States.ALL must appear alone and at end of list"
LOOP = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}
GHOST = {"StartAt": "W", "States": {"W": END, "Ghost": END}}

GRAPHS = [
    (machine(**LOOP), [NO_END]),
    (machine(**LOOP, Unused={"Type": "Pass", "Next": "A"}), [NO_END]),  # which says nothing more of what is reachable
    (machine(A={"Type": "Pass", "Next": "NOPE"}), [missing("NOPE", "/States/A/Next"), NO_END]),
    (machine(**LOOP, C=END), [unreachable("C", "/States/C")]),
    (machine(M=mapped(machine(**LOOP))), []),  # the top level alone is asked for its end
    (machine(pass1={"Type": "Pass", "Next": "pass3"}, pass2=END), [missing("pass3", "/States/pass1/Next"), unreachable("pass2", "/States/pass2")]),
    (machine(A=task(Next="Ghost", End=False, Catch=ALL), Z=END), [missing("Ghost", "/States/A/Next")]),
    (machine(C={"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": True, "Next": "Ghost"}], "Default": "Z"}, Z=END),
     [missing("Ghost", "/States/C/Choices[0]/Next")]),
    (machine(A={"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": True, "Next": "Z"}], "Default": "Ghost"}, Z=END),
     [missing("Ghost", "/States/A/Default")]),
    (machine(T=task(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Ghost"}])), [missing("Ghost", "/States/T/Catch[0]/Next")]),
    (machine(M=mapped(GHOST)), [unreachable("Ghost", "/States/M/ItemProcessor/States/Ghost")]),
    (machine(P={"Type": "Parallel", "Branches": [GHOST], "End": True}), [unreachable("Ghost", "/States/P/Branches[0]/States/Ghost")]),
    (machine(Start=END, **{"a/b": END}), [unreachable("a/b", "/States/a/b")]),
    ({**machine(A=END), "StartAt": "Nope"}, [missing("Nope", "/StartAt"), unreachable("A", "/States/A")]),
    # "Success" is named by a state, if an unreachable one: AWS names "Pass One" alone
    ({"StartAt": "Not sure", "States": {"Pass One": {"Type": "Pass", "Next": "Success"}, "Success": {"Type": "Succeed"}}},
     [missing("Not sure", "/StartAt"), unreachable("Pass One", "/States/Pass One")]),
    (machine(M=mapped({**machine(A=END), "StartAt": "Nope"})),
     [missing("Nope", "/States/M/ItemProcessor/StartAt"), unreachable("A", "/States/M/ItemProcessor/States/A")]),
    (machine(P={"Type": "Parallel", "Branches": [machine(B=END), machine(B=END)], "End": True}),
     [("DUPLICATE_STATE_NAME", "Duplicate State name: B", "/States/P/Branches[1]/States/B")]),
    (machine(M=mapped(machine(A=END), Label="L", Next="N", End=False), N=mapped(machine(B=END), Label="L")),
     [("DUPLICATE_LABEL_NAME", "Duplicate Label name: L", "/States/N/Label")]),
]  # fmt: skip

FIELDS = [
    (machine(M=mapped(machine(W=END), TimeoutSeconds=5)), [unsupported("TimeoutSeconds", "/States/M")]),
    (machine(P={"Type": "Parallel", "TimeoutSeconds": 5, "Branches": [machine(W=END)], "End": True}), [unsupported("TimeoutSeconds", "/States/P")]),
    (machine(X={"Type": "Pass", "Catch": [], "End": True}), [unsupported("Catch", "/States/X")]),
    (machine("JSONata", X={"Type": "Pass", "Catch": [], "End": True}), [unsupported("Catch", "/States/X")]),
    (machine(X={"Type": "Wait", "Seconds": 1, "Retry": [], "End": True}), [unsupported("Retry", "/States/X")]),
    (machine(X={"Type": "Wait", "Seconds": 1, "ResultPath": None, "End": True}), [unsupported("ResultPath", "/States/X")]),
    (machine(T=task(Arguments={"payload": "literal"})), [only("Arguments", "JSONPath", "JSONata", "/States/T")]),
    (machine(M=mapped(machine(P=END), Items=[1])), [only("Items", "JSONPath", "JSONata", "/States/M")]),
    (machine(X={"Type": "Pass", "Assign": {"counter": 1}, "End": True}), []),
    (machine("JSONata", X={"Type": "Pass", "InputPath": "$.a", "OutputPath": "$.b", "End": True}),
     [only("InputPath", "JSONata", "JSONPath", "/States/X"), only("OutputPath", "JSONata", "JSONPath", "/States/X")]),
    # a state's language is its own; those inside have the state machine's
    (machine(M=mapped(machine(P={**END, "Output": 1}), QueryLanguage="JSONata")), [only("Output", "JSONPath", "JSONata", "/States/M/ItemProcessor/States/P")]),
    (machine("JSONPath", P={"Type": "Parallel", "QueryLanguage": "JSONata", "Branches": [machine(I={**END, "Output": 1})], "End": True}),
     [only("Output", "JSONPath", "JSONata", "/States/P/Branches[0]/States/I")]),
    (machine(M=mapped(machine(P=END), QueryLanguage="JSONata", Items="{% [1, 2] %}", Output="{% $count($states.result) %}")), []),
    (machine("JSONata", M=mapped(machine(P={**END, "Output": "{% $states.input * 2 %}"}))), []),
    (machine("JSONata", X={**END, "QueryLanguage": "JSONPath", "Output": "{% 1 %}"}), [(SCHEMA, MIXED, "/States/X")]),  # and no more
    (machine("JSONata", M=mapped(machine(P=END), QueryLanguage="JSONPath", MaxConcurrency=-1)),
     [(SCHEMA, MIXED, "/States/M"), (SCHEMA, "Minimum value is 0", "/States/M/MaxConcurrency")]),
    (machine(M=mapped({"QueryLanguage": "JSONata", **machine(P=END)})), [unsupported("QueryLanguage", "/States/M/ItemProcessor")]),
    (machine(M={"Type": "Map", "Iterator": {"QueryLanguage": "JSONata", **machine(P=END)}, "End": True}), [unsupported("QueryLanguage", "/States/M/Iterator")]),
    (machine(P={"Type": "Parallel", "Branches": [{"QueryLanguage": "JSONata", **machine(I=END)}], "End": True}), [unsupported("QueryLanguage", "/States/P/Branches[0]")]),
    # what is not exactly JSONPath is JSONata, and said beside
    (machine(X={**END, "QueryLanguage": "jsonata", "Output": 1}), [(SCHEMA, LANGUAGES, "/States/X/QueryLanguage")]),
    (machine("JSONata", X={**END, "QueryLanguage": "jsonpath"}), [(SCHEMA, LANGUAGES, "/States/X/QueryLanguage")]),
    (machine("jsonpath", X={**END, "InputPath": "$.a"}), [(SCHEMA, LANGUAGES, "/QueryLanguage"), only("InputPath", "JSONata", "JSONPath", "/States/X")]),
    ({"QueryLanguage": 5, **machine(X=END)}, [(SCHEMA, "Expected value of type [STRING]", "/QueryLanguage")]),
    ({"Version": "2.0", **machine(X=END)}, [(SCHEMA, "Value should be one of the following: [1.0]", "/Version")]),
    ({"TimeoutSeconds": 0, **machine(X=END)}, []),
    (machine(X={"Type": "Pass", "Next": "X", "End": True}), [(SCHEMA, "There should only be one of the following fields: [Next, End]", "/States/X")]),
    (machine(X={"Type": "Pass", "Next": "Y"}, Y={"Type": "Pass"}),
     [(SCHEMA, "This object should have only one of the following fields: [Next, End]", "/States/Y"), NO_END]),
    (machine(M={"Type": "Map", "End": True}), [(SCHEMA, "This object should have only one of the following fields: [ItemProcessor, Iterator]", "/States/M")]),
    (machine(W={"Type": "Wait", "Seconds": 1, "Timestamp": "2024-01-01T00:00:00Z", "End": True}),
     [(SCHEMA, "There should only be one of the following fields: [SecondsPath, Seconds, TimestampPath, Timestamp]", "/States/W")]),
    (machine(W={"Type": "Wait", "Seconds": 10_000_000_000_000_000, "End": True}), [(SCHEMA, "Maximum value is 99999999", "/States/W/Seconds")]),
    (machine(T=task(TimeoutSeconds=0)), [(SCHEMA, "Minimum value is 1", "/States/T/TimeoutSeconds")]),
    (machine(T=task(HeartbeatSeconds="5")), [(SCHEMA, "Expected value of type Integer", "/States/T/HeartbeatSeconds")]),
    (machine(T=task(Retry=[{"ErrorEquals": ["A"], "IntervalSeconds": 0}])), []),
    (machine(T=task(Retry=[{"ErrorEquals": ["A"], "MaxDelaySeconds": 31622401}])), [(SCHEMA, "Maximum value is 31622400", "/States/T/Retry[0]/MaxDelaySeconds")]),
    (machine(T=task(Retry=[{"ErrorEquals": ["A"], "JitterStrategy": "half"}])), [(SCHEMA, "Value should be one of the following: [NONE, FULL]", "/States/T/Retry[0]/JitterStrategy")]),
    (machine(T=task(Retry=[{"ErrorEquals": ["States.ALL", "A"]}])), [(SCHEMA, LONELY, "/States/T/Retry[0]/ErrorEquals")]),
    (machine(T=task(Catch=[*ALL, {"ErrorEquals": ["A"], "Next": "Z"}]), Z=END), [(SCHEMA, LONELY, "/States/T/Catch[0]/ErrorEquals")]),
    (machine(M=mapped(machine(P=END), MaxConcurrency=9223372036854775807)), []),
    (machine(T={"Type": "Task", "Resource": "createToken", "End": True}), [(SCHEMA, "Value is not a valid resource ARN", "/States/T/Resource")]),
    (machine(T=task(Resource="arn:aws:states:us-east-1:111122223333:activity:a", Credentials={"RoleArn": "r"})),
     [(SCHEMA, "The field 'Credentials' is not supported for activities", "/States/T/Credentials")]),
    (machine(C={"Type": "Choice", "Choices": [{"Variable": "Test", "StringMatches": "Test", "Next": "S"}], "Default": "S"}, S={"Type": "Succeed"}),
     [(SCHEMA, "Value is not a Reference Path: Reference path didn't start with '$'", "/States/C/Choices[0]/Variable")]),
    (machine(C={"Type": "Choice", "Choices": [{"Variable": "$", "StringMatches": "Test"}], "Default": "S"}, S={"Type": "Succeed"}),
     [(SCHEMA, "These fields are required: [Next]", "/States/C/Choices[0]")]),
    (machine(C={"Type": "Choice", "Choices": [{"Condition": "{% true %}", "Next": "S"}], "Default": "S"}, S={"Type": "Succeed"}),
     [only("Condition", "JSONPath", "JSONata", "/States/C/Choices[0]")]),
    (machine(C={"Type": "Choice", "Choices": [{"Next": "S"}], "Default": "S"}, S={"Type": "Succeed"}),
     [(SCHEMA, "The object must have only one of the following fields, [And, Or, Not, Variable, Condition]", "/States/C/Choices[0]")]),
    (machine(X={**END, "InputPath": "a"}), [(SCHEMA, "Value must be a valid JSONPath.", "/States/X/InputPath")]),
    (machine(X={**END, "Assign": {"states": 1}}), [("RESERVED_VARIABLE_NAME", "Cannot assign to reserved variable '$states'.", "/States/X/Assign/states")]),
    (machine(X={**END, "Assign": {"a-b": 1}}),
     [("INVALID_VARIABLE_NAME", "Invalid variable name 'a-b': the variable name contains invalid characters.", "/States/X/Assign/a-b")]),
]  # fmt: skip

JSONATA = [
    (output("a[1,2)"), [(INVALID, 'Expected "]", got ","', "/States/E/Output/v")]),
    (output('"unterminated'), [(INVALID, "String literal must be terminated by a matching quote", "/States/E/Output/v")]),
    (output("1 +"), [(INVALID, "Unexpected end of expression", "/States/E/Output/v")]),
    (output('{"a":}'), [(INVALID, 'The symbol "}" cannot be used as a unary operator', "/States/E/Output/v")]),
    (output("$x :="), [(INVALID, "Unexpected end of expression", "/States/E/Output/v")]),
    (output('$match("a", /abc'), [(INVALID, "No terminating / in regular expression", "/States/E/Output/v")]),
    (output("phone %.other"), [(INVALID, 'The symbol "." cannot be used as a unary operator', "/States/E/Output/v")]),
    (output(""), [(INVALID, "Unexpected end of expression", "/States/E/Output/v")]),
    (output("$$"), [(UNSUPPORTED, "Reference to '$$' is not supported.", "/States/E/Output/v")]),
    (output("$.phone"), [at_top_level("$", "/States/E/Output/v")]),
    (output("phone[0]"), [at_top_level("phone", "/States/E/Output/v")]),
    (output("aaa + bbb"), [at_top_level("aaa", "/States/E/Output/v"), at_top_level("bbb", "/States/E/Output/v")]),
    (output("$states.errorOutput"), [(UNSUPPORTED, "Field '$states.errorOutput' does not exist.", "/States/E/Output/v")]),
    (machine("JSONata", E={**END, "Output": {"a": {"b": ["{% phone %}"]}}}), [at_top_level("phone", "/States/E/Output/a/b[0]")]),
    (machine("JSONata", E={**END, "Assign": {"Next": "{% phone %}"}}), [at_top_level("phone", "/States/E/Assign/Next")]),
    (machine("JSONata", E={"Type": "Wait", "Seconds": "{% phone %}", "End": True}), [at_top_level("phone", "/States/E/Seconds")]),
    (machine("JSONata", E={"Type": "Fail", "Cause": "{% phone %}"}), [at_top_level("phone", "/States/E/Cause")]),
    (machine("JSONata", C={"Type": "Choice", "Choices": [{"Condition": "{% phone = 1 %}", "Next": "E"}], "Default": "E"}, E=END),
     [at_top_level("phone", "/States/C/Choices[0]/Condition")]),
    (machine("JSONata", M=mapped(machine(I=END), Items="{% phone %}")), [at_top_level("phone", "/States/M/Items")]),
    (machine("JSONata", M=mapped(machine(I=END), ItemSelector={"Next": "{% phone %}"})), [at_top_level("phone", "/States/M/ItemSelector/Next")]),
    (machine("JSONata", E=task(Arguments={"Payload": {"Comment": "{% phone %}"}})), [at_top_level("phone", "/States/E/Arguments/Payload/Comment")]),
    (machine("JSONata", E=task(Catch=[{"ErrorEquals": ["States.ALL"], "Output": {"v": "{% phone %}"}, "Next": "F"}]), F=END),
     [at_top_level("phone", "/States/E/Catch[0]/Output/v")]),
    (machine("JSONata", E={**END, "Output": "{% 10 %"}), [(SCHEMA, "JSONata string must start with {% and end with %}", "/States/E/Output")]),
    # what AWS takes
    (output("$states.input.items[phone > 3]"), []),
    (output("$map($states.input.a, function($x){ $x.phone })"), []),
    (output("$phone"), []),
    (machine(E={**END, "Parameters": {"v": "{% phone %}"}}), []),
    (machine("JSONata", E={**END, "Comment": "{% phone %}"}), []),
    (machine("JSONata", E=task(Retry=[{"ErrorEquals": ["{% phone %}"]}])), []),
    (machine("JSONata", E=task(Catch=[{"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput %}", "Assign": {"x": "{% $states.errorOutput %}"}, "Next": "F"}]), F=END), []),
]  # fmt: skip

SERVICES = [  # (resource, AWS has it)
    ("states:startExecution.sync:2", True), ("states:startExecution.sync", True), ("ecs:runTask.sync", True),
    ("sqs:sendMessage.waitForTaskToken", True), ("aws-sdk:s3:listBuckets.waitForTaskToken", True), ("glue:startJobRun.sync", True),
    ("lambda:invoke.sync", False), ("aws-sdk:s3:listBuckets.sync", False), ("athena:startQueryExecution.waitForTaskToken", False),
    ("ecs:runTask.sync:2", False), ("dynamodb:query", False), ("sqs:sendMessage.later", False),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), [*GRAPHS, *FIELDS, *JSONATA])
def test_what_aws_says(raw, expected):
    assert sorted(refused(raw)) == sorted(expected)


@pytest.mark.parametrize(("name", "known"), SERVICES)
def test_which_integrations_there_are(name, known):
    found = refused(machine(T=task(Resource=f"arn:aws:states:::{name}")))
    said = f"The resource provided arn:aws:states:::{name} is not recognized."
    assert (found == []) if known else found[0][1].startswith(said)


def test_express_has_no_distributed_map():
    inner = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, **machine(P=END)}
    said = "The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' state machines"
    assert refused(machine(M=mapped(inner)), "EXPRESS") == [
        (SCHEMA, said, "/States/M/ItemProcessor/ProcessorConfig/Mode")
    ]
    assert refused(machine(M=mapped(inner))) == []


NEITHER = (
    """MISSING_TRANSITION_TARGET: Missing 'Next' target: pass3 at /States/pass1/Next, """
    """MISSING_TRANSITION_TARGET: State "pass2" is not reachable. at /States/pass2"""
)
PHONE = f"{UNSUPPORTED}: Reference to 'phone' at the top level is not supported. at /States/E/Output/v"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (machine(**LOOP), "MISSING_END_STATE: Workflow has no terminal state at null"),
        (machine(pass1={"Type": "Pass", "Next": "pass3"}, pass2=END), NEITHER),
        (output("phone[0]"), PHONE),
    ],
)
def test_create_state_machine_lists_every_error(raw, said):
    assert refusal(validate(load(raw))) == f"Invalid State Machine Definition: '{said}'"


TWICE = '{"StartAt": "A", "States": {\n "A": {"Type": "Pass", "Next": "B", "Comment": "1", "Comment": "2"},\n "B": {"Type": "Pass", "End": true},\n "B": {"Type": "Succeed"}}}'
TWICE_IN_YAML = "StartAt: A\nStates:\n  A: {Type: Pass, Next: B, Comment: '1', Comment: '2'}\n  B: {Type: Pass, End: true}\n  B: {Type: Succeed}\n"


@pytest.mark.parametrize("text", [TWICE, TWICE_IN_YAML])
def test_a_member_that_stands_twice(text):
    found = [(d.severity, d.code, d.location) for d in validate(loads(text))]
    assert found == [
        ("WARNING", "DUPLICATE_FIELD", "/States/A/Comment"),
        ("ERROR", "DUPLICATE_STATE_NAME", "/States/B"),
    ]


def test_the_line_is_the_fields_where_aws_points_at_its_state():
    for text in (
        '{"StartAt": "A", "States": {"A": {"Type": "Pass",\n "Oputput": 1, "End": true}}}',
        "StartAt: A\nStates: {A: {Type: Pass, End: true,\n  Oputput: 1}}",
    ):
        (found,) = validate(loads(text, "m.asl.json" if text[0] == "{" else "m.yaml"))
        assert (found.location, found.pointer) == ("/States/A", "/States/A/Oputput")
        assert found.line == text.count("\n", 0, text.index("Oputput")) + 1
        assert "did you mean 'Output" in str(found)
        assert f"{found.source}:{found.line}:{found.column}: ERROR /States/A: Field 'Oputput' is not supported" in str(
            found
        )
