"""What calls of services come to, in the units the services charge for, from what a history shows of them."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.costs.charges import Call, charges, item_bytes
from sflab.costs.estimate import bill

ONE = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "x", "End": True}}}


def charged(service, action, parameters, output=None, **about):
    call = Call(service, action, parameters, json.dumps(parameters), output or {}, **about)
    return [(item, float(quantity)) for item, _, quantity in charges(call)]


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({}, 0),
        ({"id": {"S": "abc"}}, 5),
        ({"ü": {"S": "ü"}}, 4),
        ({"n": {"N": "0"}}, 2),
        ({"n": {"N": "12345"}}, 5),
        ({"n": {"N": "-120000"}}, 3),
        ({"b": {"BOOL": True}}, 2),
        ({"b": {"NULL": True}}, 2),
        ({"b": {"B": "AAECAw=="}}, 5),
        ({"s": {"SS": ["ab", "c"]}}, 4),
        ({"l": {"L": [{"S": "ab"}, {"BOOL": False}]}}, 1 + 3 + 3 + 2),
        ({"m": {"M": {"k": {"S": "v"}}}}, 1 + 3 + 2 + 1),
        ("no item", 0),
    ],
)
def test_how_large_dynamodb_counts_an_item(item, size):
    assert item_bytes(item) == size


def of(size):
    """An item of so many bytes."""
    return {"id": {"S": "x" * (size - 2)}}


@pytest.mark.parametrize(
    ("action", "parameters", "output", "units"),
    [
        ("putItem", {"Item": of(1024)}, {}, 1),
        ("putItem", {"Item": of(1025)}, {}, 2),
        ("putItem", {"Item": of(10)}, {"ConsumedCapacity": {"CapacityUnits": 3.0}}, 3),
        ("updateItem", {"Key": of(10)}, {}, 1),
        ("updateItem", {"Key": of(10), "ExpressionAttributeValues": {":v": {"S": "x" * 3000}}}, {}, 3),
        ("updateItem", {"Key": of(10)}, {"Attributes": of(5000)}, 5),
        ("deleteItem", {"Key": of(10)}, {"Attributes": of(2048)}, 2),
        ("batchWriteItem", {"RequestItems": {"t": [{"PutRequest": {"Item": of(2000)}}, {"DeleteRequest": {}}]}}, {}, 3),
        ("transactWriteItems", {"TransactItems": [{"Put": {"Item": of(1500)}}, {"Delete": {}}]}, {}, 6),
        (
            "transactWriteItems",
            {"TransactItems": [{}, {}]},
            {"ConsumedCapacity": [{"CapacityUnits": 4}, {"CapacityUnits": 2}]},
            6,
        ),
    ],
)
def test_write_units(action, parameters, output, units):
    found = charged("dynamodb", action, parameters, output)
    assert {item for item, _ in found} == {"dynamodb.write-unit"}
    assert sum(quantity for _, quantity in found) == units


@pytest.mark.parametrize(
    ("action", "parameters", "output", "units"),
    [
        ("getItem", {}, {}, 0.5),
        ("getItem", {}, {"Item": of(4096)}, 0.5),
        ("getItem", {}, {"Item": of(4097)}, 1),
        ("getItem", {"ConsistentRead": True}, {"Item": of(8193)}, 3),
        ("query", {}, {"Items": [of(3000), of(3000)]}, 1),
        ("query", {"ConsistentRead": True}, {"Items": [of(3000), of(3000)]}, 2),
        ("scan", {}, {}, 0.5),
        ("batchGetItem", {"RequestItems": {"t": {"Keys": [1, 2, 3]}}}, {"Responses": {"t": [of(5000)]}}, 2),
        ("transactGetItems", {"TransactItems": [{}, {}]}, {"Responses": [{"Item": of(5000)}, {"Item": of(1)}]}, 6),
        ("getItem", {}, {"Item": of(9000), "ConsumedCapacity": {"CapacityUnits": 1.5}}, 1.5),
    ],
)
def test_read_units(action, parameters, output, units):
    found = charged("dynamodb", action, parameters, output)
    assert {item for item, _ in found} == {"dynamodb.read-unit"}
    assert sum(quantity for _, quantity in found) == units


def test_messages():
    fifo = charged("sns", "publish", {"TopicArn": "t.fifo", "Message": "x" * 100_000})
    assert fifo == [("sns.fifo-request", 1), ("sns.fifo-payload", pytest.approx(100_000 / 2**30, rel=1e-3))]
    assert charged("sns", "publish", {"TopicArn": "t.fifo", "Message": "x"})[1][1] == 1024 / 2**30
    assert charged("apigateway", "invoke", {"RequestBody": "x" * 600_000}, api_type="HTTP") == [
        ("apigateway.http-request", 2)
    ]
    assert charged("s3", "deleteObject", {}) == []
    assert charges(Call("bedrock", "invokeModel", {}, "{}", {})) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(
    ("Item", "Items", "Key", "RequestItems", "TransactItems", "Responses", "ConsumedCapacity", "Attributes", "Entries")
)


CALLS = (
    "dynamodb:putItem", "dynamodb:updateItem", "dynamodb:query", "dynamodb:batchGetItem", "dynamodb:getItem",
    "dynamodb:batchWriteItem", "dynamodb:transactGetItems", "sns:publishBatch", "events:putEvents", "sqs:sendMessage",
)  # fmt: skip


@given(st.sampled_from(CALLS), st.dictionaries(NAMES, JSON), st.dictionaries(NAMES, JSON))
def test_whatever_a_history_holds_comes_to_something(what, parameters, output):
    service, action = what.split(":")
    for _, _, quantity in charges(Call(service, action, parameters, json.dumps(parameters), output)):
        assert quantity > 0


# ── from histories ───────────────────────────────────────────────────────────────────────────────────────────────────


def items(one):
    return {line.item: float(line.quantity) for line in one.lines if line.service != "stepfunctions"}


def test_what_came_back_is_measured(write):
    write("ExecutionStarted")
    write.task("dynamodb", "getItem", parameters={"Key": {}}, output=json.dumps({"Item": of(9000)}))
    assert items(bill(ONE, write.events)) == {"read-unit": 1.5}


def test_a_function_s_own_report_is_taken_where_there_is_one(write):
    tail = base64.b64encode(b"START\nREPORT RequestId: 1 Duration: 12.3 ms Billed Duration: 40 ms Memory Size: 128 MB")
    write("ExecutionStarted")
    write.task("lambda", "invoke", seconds=2, output=json.dumps({"LogResult": tail.decode()}))
    one = bill(ONE, write.events, memory_mb=1024)
    assert items(one) == {"request": 1, "gb-second-x86_64": 0.04}
    assert "as Lambda reported it" in one.lines[-1].assumption


def test_a_function_that_is_not_waited_for_has_no_time_in_the_history(write):
    write("ExecutionStarted")
    write.task("lambda", "invoke", seconds=2, parameters={"FunctionName": "f", "InvocationType": "Event"})
    write.task("lambda", "invoke", seconds=2, parameters={"FunctionName": "f", "InvocationType": "DryRun"})
    one = bill(ONE, write.events)
    assert items(one) == {"request": 1}
    assert "invoked as Event" in one.notes[0]


def test_a_nested_express_execution_tells_what_it_was_billed(write):
    said = {"BillingDetails": {"BilledDurationInMilliseconds": 2000, "BilledMemoryUsedInMB": 128}, "ExecutionArn": "a"}
    write("ExecutionStarted")
    write.task("aws-sdk:sfn", "startSyncExecution", seconds=2, output=json.dumps(said))
    one = bill(ONE, write.events)
    lines = {line.item: line for line in one.lines}
    assert lines["express-request"].quantity == 1
    assert lines["express-gb-second"].quantity == 2 / 8
    assert "as StartSyncExecution told" in lines["express-gb-second"].assumption
    assert one.notes == ()


def test_a_start_that_was_refused_started_nothing(write):
    write("ExecutionStarted")
    write.task("states", "startExecution", outcome="TaskFailed", error="StepFunctions.AccessDeniedException")
    assert bill(ONE, write.events).notes == ()


def test_an_http_task_has_no_price_of_its_own(write):
    write("ExecutionStarted")
    write.task("http", "invoke", parameters={"ApiEndpoint": "https://example.com"})
    write.task("bedrock", "invokeModel")
    assert bill(ONE, write.events).notes == (
        "http:invoke and its connection have no price of their own; what is called there may have one",
        "bedrock:invokeModel is not in the price data",
    )


def test_logs_are_what_their_level_writes(write):
    write("ExecutionStarted", input="x" * 1000)
    write("PassStateEntered", name="A", input="x" * 1000)
    write("ExecutionFailed", error="E", cause="c")
    sizes = {
        (level, data): items(bill(ONE, write.events, type="EXPRESS", logging=level, include_execution_data=data))
        for level in ("ALL", "ERROR", "OFF")
        for data in (True, False)
    }
    every = {key: found.get("logs-ingested", 0) * 2**30 for key, found in sizes.items()}
    assert every["OFF", True] == every["OFF", False] == 0
    assert every["ALL", True] == pytest.approx(every["ALL", False] + 2000, abs=40)
    assert every["ERROR", True] == every["ERROR", False] == pytest.approx(300, abs=100)
    with pytest.raises(ValueError, match="logging is ALL, ERROR, FATAL or OFF, not 'all'"):
        bill(ONE, write.events, logging="all")


READER = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {}}
LISTING = {"Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": {}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {}),
        ({"ItemReader": READER}, {"read-request": 1}),
        ({"ItemReader": LISTING}, {"write-request": 3}),
        ({"ItemReader": READER, "ResultWriter": {"Resource": "x"}}, {"read-request": 1, "write-request": 2}),
    ],
)
def test_a_distributed_map_s_files(write, more, expected):
    write("ExecutionStarted")
    write("MapStateEntered", name="M")
    write("MapStateStarted", length=2500)
    write("MapRunStarted", mapRunArn="arn")
    state = {"Type": "Map", "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "States": {}}, **more}
    assert items(bill({"States": {"M": state}}, write.events)) == expected
