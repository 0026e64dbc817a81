"""The Step Functions API in this process: a real boto3 client whose requests the local backend answers."""

import json
import math
import re
import threading
from pathlib import Path

import botocore.exceptions
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sflab as sf
from sflab.backends import api
from sflab.backends.requests import page, service

HERE = "arn:aws:states:us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/runs"


def definition(**states):
    raw = {"StartAt": next(iter(states)), "States": {n: {"End": True, **s} for n, s in states.items()}}
    for state in raw["States"].values():
        if "Next" in state or state["Type"] in ("Succeed", "Fail"):
            del state["End"]
    return json.dumps(raw)


PASS = definition(A={"Type": "Pass"})
PASS2 = definition(A={"Type": "Pass", "Result": 2})
FAIL = definition(No={"Type": "Fail", "Error": "Boom", "Cause": "no luck"})
WAITS = definition(
    Ask={
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}},
    }
)
TWICE = definition(
    A={"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Pass", "Next": "X"}}}], "Next": "C"},
    C={"Type": "Pass", "Next": "Y"},
)
CHARGE = definition(Charge={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:charge"})


@pytest.fixture
def local():
    return sf.Local({"charge": lambda event, context: {"paid": event}})


@pytest.fixture
def client(local):
    return local.client()


def create(client, name="m", text=PASS, **given):
    return client.create_state_machine(name=name, definition=text, roleArn=ROLE, **given)["stateMachineArn"]


def told(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def refused(client, op, **params):
    """(AWS's error code, its message) of a call that must fail."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(client, op)(**params)
    error = caught.value.response["Error"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Code"], error["Message"]


def test_every_operation_of_the_service_is_there():
    assert set(api.OPERATIONS) == set(service().operation_names)


def test_every_answer_is_what_the_model_says(local, client):
    """What is answered is in botocore's model, so that no SDK drops it."""
    create(client, publish=True)
    for name, request in [
        ("DescribeStateMachine", {"stateMachineArn": f"{HERE}:stateMachine:m"}),
        ("ListStateMachines", {}),
        ("ListStateMachineVersions", {"stateMachineArn": f"{HERE}:stateMachine:m"}),
        ("StartExecution", {"stateMachineArn": f"{HERE}:stateMachine:m", "name": "one"}),
        ("DescribeExecution", {"executionArn": f"{HERE}:execution:m:one"}),
        ("DescribeStateMachineForExecution", {"executionArn": f"{HERE}:execution:m:one"}),
        ("GetExecutionHistory", {"executionArn": f"{HERE}:execution:m:one"}),
        ("ListExecutions", {"stateMachineArn": f"{HERE}:stateMachine:m"}),
        ("ValidateStateMachineDefinition", {"definition": PASS}),
    ]:
        status, body = api.respond(local, f"AWSStepFunctions.{name}", json.dumps(request).encode())
        shape = service().operation_model(name).output_shape
        answer = json.loads(body)
        assert status == 200
        assert set(answer) <= set(shape.members), name
        assert set(shape.required_members) <= set(answer), name


# ── state machines ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_state_machine_is_created_described_listed_and_deleted(local, client):
    arn = create(client, tags=[{"key": "team", "value": "a"}])
    assert arn == f"{HERE}:stateMachine:m"
    said = told(client.describe_state_machine(stateMachineArn=arn))
    assert said.pop("creationDate").timestamp() == local.start
    assert said == {
        "stateMachineArn": arn,
        "name": "m",
        "status": "ACTIVE",
        "definition": PASS,
        "roleArn": ROLE,
        "type": "STANDARD",
        "loggingConfiguration": {"includeExecutionData": False, "level": "OFF"},
        "tracingConfiguration": {"enabled": False},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
    }
    assert client.describe_state_machine(stateMachineArn=arn, includedData="METADATA_ONLY")["definition"] == "{}"
    assert [m["name"] for m in client.list_state_machines()["stateMachines"]] == ["m"]
    assert local.machines["m"].role_arn == ROLE
    client.delete_state_machine(stateMachineArn=arn)
    client.delete_state_machine(stateMachineArn=arn)
    assert client.list_state_machines()["stateMachines"] == []
    assert local.machines == {}


def test_creation_is_idempotent_but_for_role_and_tags(client):
    first = client.create_state_machine(name="m", definition=PASS, roleArn=ROLE)
    again = client.create_state_machine(
        name="m", definition=PASS, roleArn=ROLE + "2", tags=[{"key": "a", "value": "b"}]
    )
    assert told(first) == told(again)
    for other in ({"definition": PASS2}, {"definition": " " + PASS}, {"type": "EXPRESS"}, {"publish": True}):
        said = refused(client, "create_state_machine", **{"name": "m", "definition": PASS, "roleArn": ROLE, **other})
        assert said == ("StateMachineAlreadyExists", f"State Machine Already Exists: '{HERE}:stateMachine:m'")


def test_an_update_that_changes_something_makes_a_revision(client):
    arn = create(client)
    same = client.update_state_machine(stateMachineArn=arn, definition=PASS)
    assert "revisionId" not in same
    first = client.update_state_machine(stateMachineArn=arn, definition=PASS2)["revisionId"]
    assert client.update_state_machine(stateMachineArn=arn, definition=PASS2)["revisionId"] == first
    second = client.update_state_machine(stateMachineArn=arn, roleArn=ROLE + "2")["revisionId"]
    third = client.update_state_machine(stateMachineArn=arn, tracingConfiguration={"enabled": True})["revisionId"]
    assert len({first, second, third}) == 3
    said = client.describe_state_machine(stateMachineArn=arn)
    assert (said["definition"], said["roleArn"], said["revisionId"]) == (PASS2, ROLE + "2", third)
    assert said["tracingConfiguration"] == {"enabled": True}


def test_state_machines_of_the_backend_are_there_too(local, client):
    machine = sf.StateMachine.load(json.loads(PASS), name="mine")
    run = local.start_execution(machine, {"a": 1}, name="one")
    arn = f"{HERE}:stateMachine:mine"
    assert json.loads(client.describe_state_machine(stateMachineArn=arn)["definition"]) == machine.definition.raw
    assert [e["executionArn"] for e in client.list_executions(stateMachineArn=arn)["executions"]] == [run.arn]
    assert client.describe_execution(executionArn=run.arn)["output"] == '{"a": 1}'


def test_what_is_created_can_be_started_by_other_executions(local, client):
    create(client, "child", CHARGE)
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": f"{HERE}:stateMachine:child", "Input": {"a": 1}},
        "OutputPath": "$.Output",
    }
    arn = client.start_execution(stateMachineArn=create(client, "parent", definition(Start=start)))["executionArn"]
    assert json.loads(client.describe_execution(executionArn=arn)["output"]) == {"paid": {"a": 1}}
    (child,) = client.list_executions(stateMachineArn=f"{HERE}:stateMachine:child")["executions"]
    assert client.describe_state_machine_for_execution(executionArn=child["executionArn"])["roleArn"] == ROLE
    assert (
        client.get_execution_history(executionArn=child["executionArn"])["events"][0]["executionStartedEventDetails"][
            "roleArn"
        ]
        == ROLE
    )


BAD = "1 validation error detected: "
CONSTRAINT = "failed to satisfy constraint: Member must"
REFUSED = "Invalid State Machine Definition: '"
BAD_MACHINES = [
    ({"name": "a b"}, "InvalidName", "Invalid Name: 'a b'"),
    (
        {"name": "x" * 81},
        "ValidationException",
        f"{BAD}Value '{'x' * 81}' at 'name' {CONSTRAINT} have length less than or equal to 80",
    ),
    (
        {"definition": "{"},
        "InvalidDefinition",
        "Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: Unexpected end-of-input",
    ),
    (
        {"definition": "StartAt: A"},
        "InvalidDefinition",
        "Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: Unrecognized token 'StartAt'",
    ),
    (
        {"definition": "{}"},
        "InvalidDefinition",
        REFUSED + "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /'",
    ),
    (
        {"definition": TWICE},
        "InvalidDefinition",
        REFUSED
        + "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/A/Branches[0]/States/B/Next, "
        + "MISSING_TRANSITION_TARGET: Missing 'Next' target: Y at /States/C/Next, ",
    ),
    (
        {"definition": definition(A={"Type": "Wait", "Seconds": "${Delay}"})},
        "InvalidDefinition",
        "Invalid State Machine Definition: 'UNRESOLVED_VALUE: ${Delay}",
    ),
    (
        {"type": "QUICK"},
        "ValidationException",
        f"{BAD}Value 'QUICK' at 'type' {CONSTRAINT} satisfy enum value set: [STANDARD, EXPRESS]",
    ),
    ({"roleArn": "me"}, "InvalidArn", "Invalid Role Arn: 'me'"),
    ({"versionDescription": "v"}, "ValidationException", "Version description can only be set when publish is true"),
    (
        {"versionDescription": "v" * 257, "publish": True},
        "ValidationException",
        f"{BAD}Value at 'versionDescription' {CONSTRAINT} have length less than or equal to 256",
    ),
    (
        {"loggingConfiguration": {"level": "ALL"}},
        "InvalidLoggingConfiguration",
        "Invalid Logging Configuration: Must specify exactly one Log Destination.",
    ),
    (
        {"encryptionConfiguration": {"type": "CUSTOMER_MANAGED_KMS_KEY"}},
        "InvalidEncryptionConfiguration",
        "Invalid Encryption Configuration: kmsKeyId",
    ),
    ({"tags": [{"key": str(i), "value": ""} for i in range(51)]}, "TooManyTags", "A resource can have at most 50 tags"),
    ({"name": "x" * 81, "roleArn": "r" * 257}, "ValidationException", "2 validation errors detected: Value '"),
]


@pytest.mark.parametrize(("change", "code", "message"), BAD_MACHINES)
def test_a_state_machine_that_cannot_be_is_refused(client, change, code, message):
    said = refused(client, "create_state_machine", **{"name": "m", "definition": PASS, "roleArn": ROLE, **change})
    assert said[0] == code
    assert said[1].startswith(message)
    assert client.list_state_machines()["stateMachines"] == []


@pytest.mark.parametrize("char", [*' \t<>{}[]?*"#%\\^|~`$&,;:/\x00\x1f\x7f\x85', "\ufffe", "\U0010ffff"])
def test_names_have_no_such_characters(client, char):
    for op, more in (("create_activity", {}), ("create_state_machine", {"definition": PASS, "roleArn": ROLE})):
        assert refused(client, op, name=f"a{char}b", **more) == ("InvalidName", f"Invalid Name: 'a{char}b'")


@pytest.mark.parametrize("name", ["a.b", "a-b_c", "ä", "a'b", "(a)", "a=b+c@d!", "日本"])
def test_other_characters_may_be_in_names(client, name):
    assert client.create_activity(name=name)["activityArn"] == f"{HERE}:activity:{name}"


MISSING = f"{HERE}:stateMachine:none"
NOT_THERE = [
    (
        "describe_state_machine",
        {"stateMachineArn": MISSING},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{MISSING}'",
    ),
    (
        "update_state_machine",
        {"stateMachineArn": MISSING, "roleArn": ROLE},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{MISSING}'",
    ),
    (
        "start_execution",
        {"stateMachineArn": MISSING},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{MISSING}'",
    ),
    (
        "start_execution",
        {"stateMachineArn": f"{HERE}:stateMachine:m:7"},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{HERE}:stateMachine:m:7'",
    ),
    (
        "start_execution",
        {"stateMachineArn": f"{HERE}:stateMachine:m:live"},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{HERE}:stateMachine:m:live'",
    ),
    (
        "start_execution",
        {"stateMachineArn": f"{HERE}:stateMachine:m/label"},
        "ValidationException",
        "A Distributed Map state's ARN cannot be started",
    ),
    ("start_execution", {"stateMachineArn": "m"}, "InvalidArn", "Invalid Arn: 'Invalid ARN prefix: m'"),
    (
        "start_execution",
        {"stateMachineArn": f"{HERE}:activity:m"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: activity'",
    ),
    (
        "list_executions",
        {"stateMachineArn": MISSING},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{MISSING}'",
    ),
    ("list_executions", {}, "ValidationException", "Either a state machine ARN or a map run ARN must be specified"),
    (
        "list_executions",
        {"stateMachineArn": f"{HERE}:stateMachine:m", "statusFilter": "PENDING_REDRIVE"},
        "ValidationException",
        "A map run ARN must be specified",
    ),
    (
        "describe_execution",
        {"executionArn": f"{HERE}:execution:m:none"},
        "ExecutionDoesNotExist",
        f"Execution Does Not Exist: '{HERE}:execution:m:none'",
    ),
    (
        "describe_execution",
        {"executionArn": f"{HERE}:express:m:e:f"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: express'",
    ),
    (
        "stop_execution",
        {"executionArn": f"{HERE}:execution:m:none"},
        "ExecutionDoesNotExist",
        "Execution Does Not Exist",
    ),
    (
        "get_execution_history",
        {"executionArn": f"{HERE}:execution:m/l:none"},
        "ExecutionDoesNotExist",
        "Execution Does Not Exist",
    ),
    (
        "redrive_execution",
        {"executionArn": f"{HERE}:execution:m:none"},
        "ExecutionDoesNotExist",
        "Execution Does Not Exist",
    ),
    (
        "list_map_runs",
        {"executionArn": f"{HERE}:execution:m:none"},
        "ExecutionDoesNotExist",
        "Execution Does Not Exist",
    ),
    ("describe_map_run", {"mapRunArn": f"{HERE}:mapRun:m/l:none"}, "ResourceNotFound", "Resource not found"),
    (
        "update_map_run",
        {"mapRunArn": f"{HERE}:mapRun:m/l:none", "maxConcurrency": 1},
        "ResourceNotFound",
        "Resource not found",
    ),
    (
        "describe_activity",
        {"activityArn": f"{HERE}:activity:none"},
        "ActivityDoesNotExist",
        f"Activity Does Not Exist: '{HERE}:activity:none'",
    ),
    (
        "get_activity_task",
        {"activityArn": f"{HERE}:activity:none"},
        "ActivityDoesNotExist",
        f"Activity Does Not Exist: '{HERE}:activity:none'",
    ),
    ("tag_resource", {"resourceArn": MISSING, "tags": []}, "ResourceNotFound", f"Resource not found: '{MISSING}'"),
    (
        "untag_resource",
        {"resourceArn": f"{HERE}:activity:none", "tagKeys": []},
        "ResourceNotFound",
        "Resource not found",
    ),
    (
        "list_tags_for_resource",
        {"resourceArn": f"{HERE}:execution:m:e"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid",
    ),
    (
        "describe_state_machine_alias",
        {"stateMachineAliasArn": f"{HERE}:stateMachine:m:live"},
        "ResourceNotFound",
        "Request references a resource that does not exist.",
    ),
    (
        "update_state_machine_alias",
        {"stateMachineAliasArn": f"{HERE}:stateMachine:m:live", "description": "x"},
        "ResourceNotFound",
        "Request references",
    ),
    (
        "delete_state_machine_alias",
        {"stateMachineAliasArn": f"{HERE}:stateMachine:m:live"},
        "ResourceNotFound",
        "Request references",
    ),
    (
        "delete_state_machine",
        {"stateMachineArn": f"{HERE}:stateMachine:m:1"},
        "ValidationException",
        "State machine ARN must not be qualified",
    ),
    ("send_task_success", {"taskToken": "x", "output": "{}"}, "InvalidToken", "Invalid Token: 'Invalid token'"),
    (
        "send_task_success",
        {"taskToken": "x", "output": "{"},
        "InvalidOutput",
        "Invalid Output: 'Unexpected end-of-input",
    ),
    ("send_task_failure", {"taskToken": "x"}, "InvalidToken", "Invalid Token: 'Invalid token'"),
    (
        "send_task_heartbeat",
        {"taskToken": "f" * 128},
        "TaskTimedOut",
        "Task Timed Out: 'Provided task does not exist anymore'",
    ),
    (
        "update_state_machine",
        {"stateMachineArn": f"{HERE}:stateMachine:m"},
        "MissingRequiredParameter",
        "Either the definition, the role ARN,",
    ),
    ("test_state", {"definition": "{}"}, "InvalidDefinition", "Invalid State Machine Definition"),
]


@pytest.mark.parametrize(("op", "params", "code", "message"), NOT_THERE)
def test_what_is_not_there_or_does_not_fit_is_refused(client, op, params, code, message):
    create(client)
    said = refused(client, op, **params)
    assert said[0] == code
    assert said[1].startswith(message)


def test_requests_that_boto3_lets_nobody_make_are_refused_too(local):
    def post(target, body):
        status, answer = api.respond(local, target, body)
        said = json.loads(answer)
        return status, said["__type"], said.get("message", "")

    name = "AWSStepFunctions.ListStateMachines"
    assert post("AWSStepFunctions.Nothing", b"{}") == (400, "UnknownOperationException", "")
    assert post("DynamoDB_20120810.ListTables", b"{}") == (400, "UnknownOperationException", "")
    assert post(None, b"") == (400, "UnknownOperationException", "")
    for body in (b"{", b"\xff", b"[1]", b"[" * 100_000, b"NaN"):
        assert post(name, body)[:2] == (400, "SerializationException")
    assert post(name, json.dumps({"maxResults": "5"}).encode())[1:] == (
        "SerializationException",
        "STRING_VALUE cannot be converted to Integer",
    )
    assert post(name, b'{"maxResults": -1}')[2].endswith("Member must have value greater than or equal to 0")
    assert post(name, b'{"nextToken": ""}')[2].endswith("Member must have length greater than or equal to 1")
    assert post("AWSStepFunctions.CreateActivity", b'{"name": null, "more": 1}')[2] == (
        "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"
    )
    assert post(name, b" " * (api.MAX_REQUEST + 1))[:2] == (413, "RequestEntityTooLargeException")
    assert api.respond(local, name, b"") == (200, b'{"stateMachines": []}')


ARNS = [
    f"{HERE}:{rest}"
    for rest in (
        "stateMachine:m", "stateMachine:m:1", "stateMachine:m:live", "stateMachine:m:²", "stateMachine:m/each",
        "stateMachine:", "execution:m:one", "execution:m/each:x", "express:m:one:x", "activity:pack", "mapRun:m/each:x",
    )
]  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.sampled_from(ARNS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def fitting(shape, depth=0):
    """Values that a shape of the model allows, and some that it does not."""
    kind = shape.type_name
    if depth > 3:
        return JSON
    if kind == "structure":
        members = {name: fitting(inner, depth + 1) for name, inner in shape.members.items()}
        needed = {name: members.pop(name) for name in shape.required_members}
        return st.fixed_dictionaries(needed, optional=members)
    if kind == "list":
        return st.lists(fitting(shape.member, depth + 1), max_size=3)
    if kind == "string":
        words = st.sampled_from([*getattr(shape, "enum", ()), *ARNS, "m", "1", PASS, "{}", ROLE])
        return words | st.text(max_size=20)
    return st.booleans() if kind == "boolean" else st.integers(-1, 1001) | st.floats(0, 100)


@pytest.mark.parametrize("operation", sorted(api.OPERATIONS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_asked_is_answered_in_the_protocol(operation, data):
    local = sf.Local({"charge": lambda event: event})
    client = local.client()
    arn = create(client, publish=True)
    route = [{"stateMachineVersionArn": f"{arn}:1", "weight": 100}]
    client.create_state_machine_alias(name="live", routingConfiguration=route)
    client.create_activity(name="pack")
    client.start_execution(stateMachineArn=arn, name="one")
    request = data.draw(fitting(service().operation_model(operation).input_shape) | JSON)
    status, body = api.respond(local, f"AWSStepFunctions.{operation}", json.dumps(request).encode())
    answer = json.loads(body)
    assert status in (200, 400)
    assert isinstance(answer, dict)
    assert ("__type" in answer) == (status == 400)


@given(total=st.integers(0, 40), sizes=st.lists(st.integers(1, 9), min_size=50, max_size=50))
def test_pages_give_everything_once_and_in_order(total, sizes):
    items, seen, token = list(range(total)), [], None
    for size in sizes:
        given_token = {"nextToken": token} if token else {}
        part, token = page("ListThings", {"maxResults": size, "filter": "x", **given_token}, items, lambda item: item)
        seen += part
        if token is None:
            break
    assert seen == items


# ── versions and aliases ─────────────────────────────────────────────────────────────────────────────────────────────


def test_versions_are_published_listed_and_started(client):
    arn = create(client, publish=True)
    assert client.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"] == f"{arn}:1"
    revision = client.update_state_machine(stateMachineArn=arn, definition=PASS2)["revisionId"]
    said = refused(client, "publish_state_machine_version", stateMachineArn=arn, revisionId="INITIAL")
    assert said == (
        "ConflictException",
        (
            f"Failed to publish the State Machine version for revision INITIAL. "
            f"The current State Machine revision is {revision}."
        ),
    )
    made = client.publish_state_machine_version(stateMachineArn=arn, revisionId=revision, description="two")
    assert made["stateMachineVersionArn"] == f"{arn}:2"
    listed = client.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert [v["stateMachineVersionArn"] for v in listed] == [f"{arn}:2", f"{arn}:1"]
    one, two = (client.describe_state_machine(stateMachineArn=f"{arn}:{n}") for n in (1, 2))
    assert (one["definition"], two["definition"], two["description"]) == (PASS, PASS2, "two")
    run = client.start_execution(stateMachineArn=f"{arn}:1", input="1")["executionArn"]
    said = client.describe_execution(executionArn=run)
    assert (said["output"], said["stateMachineArn"], said["stateMachineVersionArn"]) == ("1", arn, f"{arn}:1")
    assert "stateMachineAliasArn" not in said
    assert client.describe_state_machine_for_execution(executionArn=run)["definition"] == PASS
    client.start_execution(stateMachineArn=arn)
    assert len(client.list_executions(stateMachineArn=f"{arn}:1")["executions"]) == 1
    assert len(client.list_executions(stateMachineArn=arn)["executions"]) == 2
    client.delete_state_machine_version(stateMachineVersionArn=f"{arn}:2")
    assert client.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"] == f"{arn}:3"


def test_an_alias_draws_between_versions_as_the_seed_decides():
    def drawn(seed):
        client = sf.Local(seed=seed).client()
        arn = create(client, publish=True)
        client.update_state_machine(stateMachineArn=arn, definition=PASS2, publish=True)
        routes = [{"stateMachineVersionArn": f"{arn}:{n}", "weight": w} for n, w in ((1, 20), (2, 80))]
        alias = client.create_state_machine_alias(name="live", routingConfiguration=routes)["stateMachineAliasArn"]
        for number in range(100):
            client.start_execution(stateMachineArn=alias, name=f"e{number}")
        listed = client.list_executions(stateMachineArn=alias)["executions"]
        assert {each["stateMachineAliasArn"] for each in listed} == {alias}
        return [each["stateMachineVersionArn"][-1] for each in listed]

    first = drawn(0)
    assert first == drawn(0) != drawn(1)
    assert 8 <= first.count("1") <= 34
    assert len(first) == 100


def test_aliases_live(client):
    arn = create(client, publish=True)
    route = [{"stateMachineVersionArn": f"{arn}:1", "weight": 100}]
    for name in ("live", "test"):
        client.create_state_machine_alias(name=name, description="d", routingConfiguration=route)
    client.update_state_machine_alias(stateMachineAliasArn=f"{arn}:live", description="new")
    said = client.describe_state_machine_alias(stateMachineAliasArn=f"{arn}:live")
    assert (said["description"], said["routingConfiguration"]) == ("new", route)
    listed = client.list_state_machine_aliases(stateMachineArn=f"{arn}:1")["stateMachineAliases"]
    assert [a["stateMachineAliasArn"] for a in listed] == [f"{arn}:live", f"{arn}:test"]
    assert refused(client, "delete_state_machine_version", stateMachineVersionArn=f"{arn}:1") == (
        "ConflictException",
        (
            "Version to be deleted must not be referenced by an alias. "
            "Current list of aliases referencing this version: [live, test]"
        ),
    )
    for name in ("live", "test"):
        client.delete_state_machine_alias(stateMachineAliasArn=f"{arn}:{name}")
    client.delete_state_machine_version(stateMachineVersionArn=f"{arn}:1")
    assert client.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []


BAD_ROUTES = [
    ([("m:1", 50), ("m:1", 50)], "Routing configuration must contain distinct state machine version ARNs. Received: ["),
    ([("m:live", 100)], "Routing configuration must contain state machine version ARNs. Received: ["),
    ([("m:1", 60), ("other:1", 40)], "Routing configuration must contain versions of one state machine. Received: ["),
    ([("m:1", 70), ("m:2", 31)], "Sum of routing configuration weights must equal 100. Received: [70, 31]"),
    ([("m:1", 101)], "1 validation error detected: Value '101' at 'routingConfiguration.1.member.weight' failed"),
]


@pytest.mark.parametrize(("routes", "message"), BAD_ROUTES)
def test_routes_that_cannot_be_are_refused(client, routes, message):
    create(client, publish=True)
    made = [{"stateMachineVersionArn": f"{HERE}:stateMachine:{to}", "weight": weight} for to, weight in routes]
    said = refused(client, "create_state_machine_alias", name="live", routingConfiguration=made)
    assert said[0] == "ValidationException"
    assert said[1].startswith(message)


# ── executions ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_execution_is_described(client):
    arn = create(client, text=FAIL)
    run = client.start_execution(stateMachineArn=arn, name="one", input='{"a": 1}', traceHeader="t")["executionArn"]
    said = told(client.describe_execution(executionArn=run))
    assert said.pop("startDate") <= said.pop("stopDate")
    assert said == {
        "executionArn": f"{HERE}:execution:m:one",
        "stateMachineArn": arn,
        "name": "one",
        "status": "FAILED",
        "input": '{"a": 1}',
        "inputDetails": {"included": True},
        "error": "Boom",
        "cause": "no luck",
        "traceHeader": "t",
        "redriveCount": 0,
        "redriveStatus": "REDRIVABLE",
    }
    told_less = client.describe_execution(executionArn=run, includedData="METADATA_ONLY")
    assert not {"input", "error", "cause"} & set(told_less)


def test_names_of_executions_are_used_once_and_starting_is_idempotent(local, client):
    tokens = []
    local.functions["ask"] = lambda event, context: tokens.append(event["token"])
    arn = create(client, text=WAITS)
    start = {"stateMachineArn": arn, "name": "one", "input": "{}"}
    first = told(client.start_execution(**start))
    assert told(client.start_execution(**start)) == first
    assert len(tokens) == 1
    taken = ("ExecutionAlreadyExists", f"Execution Already Exists: '{first['executionArn']}'")
    assert refused(client, "start_execution", **{**start, "input": '{"b": 1}'}) == taken
    client.send_task_success(taskToken=tokens[0], output="1")
    assert refused(client, "start_execution", **start) == taken
    names = {client.start_execution(stateMachineArn=arn)["executionArn"].split(":")[-1] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", n) for n in names)


INPUTS = [
    ("", "Invalid execution input."),
    ("not json", "Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or token"),
    ("{'a'", "Unexpected character (''' (code 39)): was expecting double-quote to start field name"),
    ('{"a": NaN}', "Non-standard token 'NaN'"),
    ("[" * 2000 + "]" * 2000, "The input is nested deeper than"),
]


@pytest.mark.parametrize(("text", "message"), INPUTS)
def test_inputs_that_are_no_json_are_refused(client, text, message):
    said = refused(client, "start_execution", stateMachineArn=create(client), input=text)
    assert said[0] == "InvalidExecutionInput"
    assert said[1].startswith(f"Invalid State Machine Execution Input: '{message}")


def test_an_input_that_is_too_large_is_refused_without_being_repeated(client):
    code, said = refused(client, "start_execution", stateMachineArn=create(client), input=json.dumps("x" * 262_144))
    assert (code, said) == (
        "ValidationException",
        (
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            "Member must have length less than or equal to 262144"
        ),
    )
    code, said = refused(
        client, "start_execution", stateMachineArn=f"{HERE}:stateMachine:m", input='"' + "é" * 150_000 + '"'
    )
    assert (code, said) == (
        "InvalidExecutionInput",
        "Invalid State Machine Execution Input: 'The input is larger than 262144 bytes'",
    )


def test_histories_come_in_pages_both_ways_and_without_data(client):
    text = definition(A={"Type": "Pass", "Next": "B"}, B={"Type": "Pass", "Next": "C"}, C={"Type": "Pass"})
    run = client.start_execution(stateMachineArn=create(client, text=text))["executionArn"]
    reader = client.get_paginator("get_execution_history")
    pages = list(reader.paginate(executionArn=run, PaginationConfig={"PageSize": 3}))
    assert [len(page["events"]) for page in pages] == [3, 3, 2]
    assert [e["id"] for page in pages for e in page["events"]] == list(range(1, 9))
    back = client.get_execution_history(executionArn=run, reverseOrder=True, maxResults=2)
    assert [e["id"] for e in back["events"]] == [8, 7]
    more = client.get_execution_history(executionArn=run, reverseOrder=True, nextToken=back["nextToken"])
    assert [e["id"] for e in more["events"]] == [6, 5, 4, 3, 2, 1]
    bare = client.get_execution_history(executionArn=run, includeExecutionData=False)["events"]
    assert bare[1]["stateEnteredEventDetails"] == {"name": "A"}
    assert bare[0]["executionStartedEventDetails"] == {"roleArn": ROLE}
    assert refused(client, "get_execution_history", executionArn=run, nextToken=back["nextToken"]) == (
        "InvalidToken",
        "Invalid Token: 'Invalid token'",
    )


@pytest.mark.parametrize("token", ["x", "AAAA", "é", "e30=", "A" * 1024])
def test_tokens_nobody_was_given_are_refused(client, token):
    create(client)
    said = refused(client, "list_state_machines", nextToken=token)
    assert said == ("InvalidToken", "Invalid Token: 'Invalid token'")


def test_executions_are_listed_newest_first_and_filtered(client):
    arn, bad = create(client), create(client, "bad", FAIL)
    for number in range(7):
        client.start_execution(stateMachineArn=arn, name=f"e{number}")
    client.start_execution(stateMachineArn=bad, name="no")
    first = client.list_executions(stateMachineArn=arn, maxResults=3)
    client.start_execution(stateMachineArn=arn, name="later")  # it shifts no page
    rest = client.list_executions(stateMachineArn=arn, nextToken=first["nextToken"])
    assert [e["name"] for e in first["executions"] + rest["executions"]] == [f"e{n}" for n in range(6, -1, -1)]
    assert "nextToken" not in rest

    def count(**given):
        return len(client.list_executions(stateMachineArn=arn, **given)["executions"])

    assert (count(statusFilter="SUCCEEDED"), count(statusFilter="FAILED")) == (8, 0)
    assert (count(redriveFilter="REDRIVEN"), count(redriveFilter="NOT_REDRIVEN")) == (0, 8)


def test_an_execution_is_stopped(local, client):
    local.functions["ask"] = lambda event, context: None
    run = client.start_execution(stateMachineArn=create(client, text=WAITS))["executionArn"]
    client.stop_execution(executionArn=run, error="Enough", cause="tired")
    said = client.describe_execution(executionArn=run)
    assert (said["status"], said["error"], said["cause"]) == ("ABORTED", "Enough", "tired")
    assert told(client.stop_execution(executionArn=run)) == {"stopDate": said["stopDate"]}
    assert client.describe_execution(executionArn=run)["error"] == "Enough"


def test_deleting_a_state_machine_ends_what_runs(local, client):
    local.functions["ask"] = lambda event, context: None
    arn = create(client, text=WAITS)
    run = client.start_execution(stateMachineArn=arn)["executionArn"]
    client.delete_state_machine(stateMachineArn=arn)
    assert client.describe_execution(executionArn=run)["status"] == "ABORTED"
    assert refused(client, "list_executions", stateMachineArn=arn)[0] == "StateMachineDoesNotExist"


def test_an_express_execution_is_started_synchronously(client):
    arn = create(
        client, text=definition(A={"Type": "Wait", "Seconds": 1, "Next": "B"}, B={"Type": "Pass"}), type="EXPRESS"
    )
    said = told(client.start_sync_execution(stateMachineArn=arn, name="one", input='{"a": 1}'))
    assert (said["stopDate"] - said["startDate"]).total_seconds() == 1
    assert said["billingDetails"] == {"billedDurationInMilliseconds": 1000, "billedMemoryUsedInMB": 64}
    assert (said["status"], said["output"], said["name"]) == ("SUCCEEDED", '{"a": 1}', "one")
    again = client.start_execution(stateMachineArn=arn, name="one")["executionArn"]  # a name may be used again
    assert again != said["executionArn"]
    assert again.startswith(f"{HERE}:express:m:one:")
    wrong = ("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
    assert refused(client, "list_executions", stateMachineArn=arn) == wrong
    assert refused(client, "start_sync_execution", stateMachineArn=create(client, "standard")) == wrong


def test_a_task_that_nothing_is_bound_to_is_told_of(client):
    text = definition(A={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:nobody"})
    arn = create(client, text=text)
    with pytest.raises(sf.TaskNotFoundError, match="nothing is bound to the task 'A'"):
        client.start_execution(stateMachineArn=arn)


def test_in_real_time_an_execution_that_cannot_go_on_says_why():
    local = sf.Local(rate=1)
    client = local.client()
    text = definition(A={"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:nobody"})
    arn = create(client, text=text)
    run = client.start_execution(stateMachineArn=arn)["executionArn"]
    said = client.describe_execution(executionArn=run)
    assert (said["status"], said["error"]) == ("FAILED", "TaskNotFoundError")
    assert said["cause"].startswith("nothing is bound to the task 'A'")
    assert client.list_executions(stateMachineArn=arn)["executions"][0]["status"] == "FAILED"


def test_later_executions_start_later_in_real_time():
    local = sf.Local(rate=1000)
    client = local.client()
    arn = create(client)
    first, second = (client.start_execution(stateMachineArn=arn)["startDate"] for _ in range(2))
    assert first.timestamp() >= local.start
    assert second > first


def test_a_function_may_use_the_client_itself(local, client):
    def start(event, context):
        return client.describe_state_machine(stateMachineArn=f"{HERE}:stateMachine:m")["name"]

    local.functions["charge"] = start
    run = client.start_execution(stateMachineArn=create(client, text=CHARGE))["executionArn"]
    assert client.describe_execution(executionArn=run)["output"] == '"m"'


def test_many_threads_create_and_start_at_once(client):
    def work(number):
        arn = create(client, f"m{number % 4}")
        for each in range(5):
            client.start_execution(stateMachineArn=arn, name=f"e{number}-{each}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [len(client.list_executions(stateMachineArn=f"{HERE}:stateMachine:m{n}")["executions"]) for n in range(4)]
    assert counts == [20] * 4


# ── Map Runs, tasks that wait, definitions ───────────────────────────────────────────────────────────────────────────


def test_map_runs_and_their_child_executions(client):
    state = {
        "Type": "Map",
        "Label": "each",
        "MaxConcurrency": 2,
        "ToleratedFailurePercentage": 50,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Odd",
            "States": {
                "Odd": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "No"}],
                    "Default": "Yes",
                },
                "No": {"Type": "Fail", "Error": "Two"},
                "Yes": {"Type": "Succeed"},
            },
        },
    }
    run = client.start_execution(stateMachineArn=create(client, text=definition(Each=state)), input="[1, 2, 3]")
    (listed,) = client.list_map_runs(executionArn=run["executionArn"])["mapRuns"]
    assert listed["stateMachineArn"] == f"{HERE}:stateMachine:m/each"
    said = client.describe_map_run(mapRunArn=listed["mapRunArn"])
    assert (said["status"], said["maxConcurrency"], said["toleratedFailurePercentage"]) == ("SUCCEEDED", 2, 50.0)
    counts = said["executionCounts"]
    assert (counts["total"], counts["succeeded"], counts["failed"], counts["pending"]) == (3, 2, 1, 0)
    assert said["itemCounts"] == counts
    children = client.list_executions(mapRunArn=listed["mapRunArn"])["executions"]
    assert sorted(each["status"] for each in children) == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert {each["itemCount"] for each in children} == {1}
    (failed,) = client.list_executions(mapRunArn=listed["mapRunArn"], statusFilter="FAILED")["executions"]
    child = client.describe_execution(executionArn=failed["executionArn"])
    assert (child["error"], child["input"], child["mapRunArn"]) == ("Two", "2", listed["mapRunArn"])
    assert child["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
    events = client.get_execution_history(executionArn=failed["executionArn"])["events"]
    assert [e["type"] for e in events][-1] == "ExecutionFailed"
    assert client.describe_state_machine_for_execution(executionArn=failed["executionArn"])["label"] == "each"
    labelled = client.describe_state_machine(stateMachineArn=f"{HERE}:stateMachine:m/each")
    assert labelled["label"] == "each"
    said = refused(client, "update_map_run", mapRunArn=listed["mapRunArn"], toleratedFailureCount=3)
    assert said == ("ValidationException", "The map run is SUCCEEDED and cannot be updated")


def test_an_activity_and_its_worker(client):
    arn = client.create_activity(name="pack", tags=[{"key": "a", "value": "b"}])["activityArn"]
    assert client.create_activity(name="pack")["activityArn"] == arn
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "a", "value": "b"}]
    assert "taskToken" not in client.get_activity_task(activityArn=arn)
    machine = create(client, text=definition(Pack={"Type": "Task", "Resource": arn}))
    runs = [client.start_execution(stateMachineArn=machine, input=f'{{"n": {n}}}')["executionArn"] for n in range(2)]
    task = client.get_activity_task(activityArn=arn, workerName="w")
    assert json.loads(task["input"]) == {"n": 0}
    client.send_task_heartbeat(taskToken=task["taskToken"])
    client.send_task_success(taskToken=task["taskToken"], output='"done"')
    other = client.get_activity_task(activityArn=arn)
    client.send_task_failure(taskToken=other["taskToken"], error="Torn", cause="box")
    said = [client.describe_execution(executionArn=run) for run in runs]
    assert [each["status"] for each in said] == ["SUCCEEDED", "FAILED"]
    assert (said[1]["error"], said[1]["cause"]) == ("Torn", "box")
    assert [a["name"] for a in client.list_activities()["activities"]] == ["pack"]
    client.delete_activity(activityArn=arn)
    client.delete_activity(activityArn=arn)
    assert client.list_activities()["activities"] == []
    late = client.describe_execution(executionArn=client.start_execution(stateMachineArn=machine)["executionArn"])
    assert (late["status"], late["error"]) == ("FAILED", "States.Runtime")
    assert late["cause"].endswith(f"The activity {arn} does not exist.")
    client.create_activity(name="pack")
    again = client.start_execution(stateMachineArn=machine)["executionArn"]
    assert client.describe_execution(executionArn=again)["status"] == "RUNNING"


def test_tags(client):
    arn = create(client, tags=[{"key": "a", "value": "1"}])
    client.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}, {"key": "a", "value": "3"}])
    client.untag_resource(resourceArn=arn, tagKeys=["b", "none"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "a", "value": "3"}]
    many = [{"key": f"k{n}", "value": ""} for n in range(50)]
    assert refused(client, "tag_resource", resourceArn=arn, tags=many)[0] == "TooManyTags"


@pytest.mark.parametrize(
    ("text", "type_", "result", "codes"),
    [
        (PASS, "STANDARD", "OK", []),
        ("{", "STANDARD", "FAIL", ["INVALID_JSON_DESCRIPTION"]),
        ("A: 1", "STANDARD", "FAIL", ["INVALID_JSON_DESCRIPTION"]),
        (WAITS, "STANDARD", "OK", []),
        (WAITS, "EXPRESS", "FAIL", ["SCHEMA_VALIDATION_FAILED"]),
    ],
)
def test_definitions_are_validated(client, text, type_, result, codes):
    said = client.validate_state_machine_definition(definition=text, type=type_)
    assert (said["result"], [d["code"] for d in said["diagnostics"]], said["truncated"]) == (result, codes, False)


def test_warnings_are_told_of_where_asked(client):
    text = definition(A={"Type": "Pass", "Parameters": {"a": "$.b"}})
    assert client.validate_state_machine_definition(definition=text)["diagnostics"] == []
    said = client.validate_state_machine_definition(definition=text, severity="WARNING")
    assert said["result"] == "OK"
    assert [(d["severity"], d["location"]) for d in said["diagnostics"]] == [("WARNING", "/States/A/Parameters/a")]


def test_diagnostics_are_cut_off_where_asked(client):
    text = definition(**{f"S{n}": {"Type": "Pass", "Next": "None"} for n in range(5)})
    said = client.validate_state_machine_definition(definition=text, maxResults=3)
    assert (len(said["diagnostics"]), said["truncated"]) == (3, True)


def test_a_state_is_tested(client):
    state = json.dumps({"Type": "Pass", "Result": {"a": 1}, "End": True})
    said = client.test_state(definition=state, roleArn=ROLE, inspectionLevel="DEBUG")
    assert (said["status"], said["output"]) == ("SUCCEEDED", '{"a":1}')
    task = json.dumps({"Type": "Task", "Resource": f"{HERE.replace('states', 'lambda')}:function:charge", "End": True})
    said = client.test_state(definition=task, roleArn=ROLE, input='{"n": 1}')
    assert json.loads(said["output"]) == {"paid": {"n": 1}}
    with pytest.raises(sf.TaskNotFoundError):
        client.test_state(definition=task.replace("charge", "nobody"), roleArn=ROLE)
    code, _ = refused(client, "test_state", definition=state, input="{")
    assert code == "InvalidExecutionInput"


def test_what_cannot_be_redriven(client):
    run = client.start_execution(stateMachineArn=create(client))["executionArn"]
    assert refused(client, "redrive_execution", executionArn=run) == (
        "ExecutionNotRedrivable",
        f"Execution {run} invalid for redrive as: Execution is SUCCEEDED and cannot be redriven",
    )


# ── logs, the client, reproducibility ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("level", "types"),
    [
        ("ALL", ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"]),
        ("ERROR", ["FailStateEntered", "ExecutionFailed"]),
        ("FATAL", ["ExecutionFailed"]),
        ("OFF", []),
    ],
)
def test_logs_have_what_their_level_has(level, types):
    run = sf.Local().start_execution(sf.StateMachine.load(json.loads(FAIL), type="EXPRESS"), {"a": 1})
    logs = run.logs(level, include_execution_data=False)
    assert [event["type"] for event in logs] == types
    assert all("input" not in event["details"] for event in logs)
    assert all(isinstance(event["id"], str) and event["execution_arn"] == run.arn for event in logs)


def test_a_level_that_is_none_is_refused():
    run = sf.Local().start_execution(sf.StateMachine.load(json.loads(PASS)))
    with pytest.raises(sf.DefinitionError, match="level must be one of ALL, ERROR, FATAL, OFF, not 'all'"):
        run.logs("all")


def test_the_same_seed_gives_the_same_answers():
    def answers(seed):
        client = sf.Local(seed=seed).client()
        arn = create(client, publish=True)
        revision = client.update_state_machine(stateMachineArn=arn, definition=PASS2)["revisionId"]
        run = client.start_execution(stateMachineArn=arn)["executionArn"]
        return revision, run, told(client.get_execution_history(executionArn=run))

    assert answers(0) == answers(0)
    assert answers(0)[:2] != answers(1)[:2]


def test_the_client_needs_nothing_of_this_computer(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.setenv(name, "is-not-there")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    west, east = sf.Local(region="eu-west-1"), sf.Local()
    assert create(west.client()).startswith("arn:aws:states:eu-west-1:")
    assert east.client().list_state_machines()["stateMachines"] == []  # each client is its own backend's
    assert east.rate == math.inf


def test_the_readme_s_example_does_what_it_says():
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(import json, sflab as sf\n.*?)```", text, re.DOTALL)
    code = code.replace("local.executions[-1].show()", "")
    said = {}
    exec(code.replace("client.describe_execution(", "said = client.describe_execution("), said)
    assert said["said"] == '{"paid":9.5}'
    assert "all 37 operations" in text
    assert len(api.OPERATIONS) == 37
