"""TestState, where the recordings do not reach: every stage, every refusal, and what people see of it."""

import json
import subprocess
import sys

import pytest

import sflab as sf
from sflab.asl.program import resource
from sflab.backends import mocks
from sflab.engine import teststate

CHARGE = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "InputPath": "$.order",
    "Parameters": {"FunctionName": "Charge", "Payload": {"id.$": "$.id"}},
    "ResultSelector": {"paid.$": "$.Payload.paid"},
    "ResultPath": "$.payment",
    "OutputPath": "$.payment",
    "Assign": {"code.$": "$.StatusCode"},
    "Retry": [{"ErrorEquals": ["Down"], "IntervalSeconds": 2, "MaxAttempts": 3, "MaxDelaySeconds": 5}],
    "Catch": [
        {"ErrorEquals": ["Other"], "Next": "Each"},
        {"ErrorEquals": ["States.ALL"], "Next": "Each", "ResultPath": "$.failure"},
    ],
    "Next": "Each",
}
EACH = {
    "Type": "Map",
    "ItemsPath": "$.items",
    "ItemSelector": {"v.$": "$$.Map.Item.Value", "n.$": "$$.Map.Item.Index", "who.$": "$.who"},
    "ToleratedFailurePercentage": 50,
    "MaxConcurrencyPath": "$.most",
    "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Keep",
        "States": {"Keep": {"Type": "Pass", "Result": "kept", "ResultPath": "$.r", "End": True}},
    },
    "Next": "Ask",
}
ASK = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Next": "Rest"}
ASK |= {"Parameters": {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}}}
MACHINE = {
    "StartAt": "Charge",
    "States": {
        "Charge": CHARGE,
        "Each": EACH,
        "Ask": ASK,
        "Rest": {"Type": "Wait", "SecondsPath": "$.s", "Next": "Done"},
        "Done": {"Type": "Succeed", "OutputPath": "$.x"},
    },
}
ORDER = {"order": {"id": 7}, "more": "kept"}
PAID = {"StatusCode": 200, "Payload": '{"paid": true}'}
ITEMS = {"items": [1, 2, 3], "who": "me", "most": 4}


@pytest.fixture(scope="module")
def machine():
    return sf.StateMachine.load(MACHINE, name="orders")


def ask(definition, input="{}", *, work=None, **more):
    """Test through the API's request, without any of its defaults."""
    request = {"definition": json.dumps(definition), "input": input, "inspectionLevel": "DEBUG", **more}
    return teststate.run(request, work=work or (lambda _: None), check=mocks.check)


def refusal(definition, **more):
    with pytest.raises(sf.ApiError) as caught:
        ask(definition, **more)
    return caught.value.code, str(caught.value)


# ── the data flow ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_shows_every_stage(machine):
    got = machine.test_state("Charge", ORDER, task=lambda event: {"paid": True, "id": event["id"]})
    assert (got.status, got.next_state, got.output) == ("SUCCEEDED", "Each", {"paid": True})
    seen = got.inspection
    assert seen["afterInputPath"] == {"id": 7}
    assert seen["afterParameters"] == {"FunctionName": "Charge", "Payload": {"id": 7}}
    assert seen["result"]["Payload"] == {"paid": True, "id": 7}
    assert seen["afterResultSelector"] == {"paid": True}
    assert seen["afterResultPath"] == {**ORDER, "payment": {"paid": True}}
    assert seen["variables"] == {"code": 200}
    assert [stage.name for stage in got.stages] == [
        "input", "InputPath", "Parameters", "result", "ResultSelector", "ResultPath", "OutputPath", "Assign", "output",
    ]  # fmt: skip


def test_it_agrees_with_running_the_machine():
    states = {**CHARGE, "Next": "End", "Catch": []}
    states = {"Charge": {k: v for k, v in states.items() if k != "Catch"}, "End": {"Type": "Succeed"}}
    machine = sf.StateMachine.load({"StartAt": "Charge", "States": states})
    run = sf.Local({"Charge": lambda _: {"paid": 1}}).start_execution(machine, ORDER)
    assert machine.test_state("Charge", ORDER, task=lambda _: {"paid": 1}).output == run.output


def test_input_and_mock_stay_verbatim_and_what_is_built_is_compact():
    definition = {"Type": "Parallel", "ResultSelector": {"a.$": "$"}, "End": True}
    definition["Branches"] = [{"StartAt": "B", "States": {"B": {"Type": "Pass", "End": True}}}]
    got = ask(definition, '{ "in" : 1 }', mock={"result": "[ 1.50 ]"})
    assert got.response["inspectionData"] == {
        "input": '{ "in" : 1 }',
        "afterResultSelector": '{"a":[1.5]}',
        "afterResultPath": '{"a":[1.5]}',
    }
    del definition["ResultSelector"]
    assert ask(definition, mock={"result": "[ 1.50 ]"}).response["output"] == "[ 1.50 ]"


def test_levels_and_the_order_of_members():
    got = ask({"Type": "Pass", "Next": "X"}, inspectionLevel="INFO").response
    assert list(got.items()) == [("output", "{}"), ("nextState", "X"), ("status", "SUCCEEDED")]


def test_a_null_result_path_is_not_a_missing_one():
    got = ask({"Type": "Pass", "Result": 1, "ResultPath": None, "End": True}, '{"a": 1}')
    assert got.response["output"] == '{"a": 1}'
    assert [(s.given, s.field) for s in got.stages if s.name in ("InputPath", "ResultPath")] == [
        (False, None),
        (True, None),
    ]


def test_a_state_without_a_result_shows_its_input_only():
    for kind in ("Succeed", "Fail"):
        seen = ask({"Type": kind}, '{"a":1}').response["inspectionData"]
        assert seen == {"input": '{"a":1}', "afterInputPath": '{"a":1}'}
    assert ask({"Type": "Succeed", "QueryLanguage": "JSONata"}).response["inspectionData"] == {"input": "{}"}


@pytest.mark.parametrize(("seconds", "status"), [(300, "SUCCEEDED"), (301, "FAILED")])
def test_a_test_lasts_five_minutes(machine, seconds, status):
    got = machine.test_state("Rest", {"s": seconds})
    assert (got.status, got.error) == (status, None if status == "SUCCEEDED" else "States.Timeout")


# ── errors, retries, catchers ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("count", "seconds"), [(0, 2), (1, 4), (2, 5)])
def test_a_retrier_tells_when_it_would_try_again(machine, count, seconds):
    got = machine.test_state("Charge", ORDER, mock=sf.mock(error="Down", cause="why"), retry_count=count)
    assert (got.status, got.error, got.cause, got.output, got.next_state) == ("RETRIABLE", "Down", "why", None, None)
    assert got.inspection["errorDetails"] == {"retryIndex": 0, "retryBackoffIntervalSeconds": seconds}
    assert repr(got) == f"StateTest('Charge', RETRIABLE, Down, retried in {seconds} s)"


def test_an_exhausted_retrier_leaves_it_to_the_catchers(machine):
    got = machine.test_state("Charge", ORDER, mock={"errorOutput": {"error": "Down"}}, retry_count=3)
    assert (got.status, got.next_state) == ("CAUGHT_ERROR", "Each")
    assert got.output == {**ORDER, "failure": {"Error": "Down", "Cause": None}}
    assert got.inspection["errorDetails"] == {"retryIndex": 0, "catchIndex": 1}


def test_a_mock_that_fails_first_goes_by_the_retry_count(machine):
    mock = sf.mock(PAID, error="Down", fail_first=2)
    selector = {k: v for k, v in CHARGE.items() if k not in ("ResultSelector", "Assign")}
    plain = sf.StateMachine.load({**MACHINE, "States": {**MACHINE["States"], "Charge": selector}})
    assert plain.test_state("Charge", ORDER, mock=mock, retry_count=1).status == "RETRIABLE"
    assert plain.test_state("Charge", ORDER, mock=mock, retry_count=2).output == PAID


def test_what_a_function_raises_is_its_error(machine):
    def decline(_event):
        raise PermissionError("no")

    got = machine.test_state("Charge", ORDER, task=decline)
    assert (got.status, got.error) == ("CAUGHT_ERROR", "PermissionError")


def test_runtime_errors_are_bare_and_cannot_be_caught(machine):
    got = machine.test_state("Charge", {"order": 1}, mock=sf.mock(PAID))
    assert (got.status, got.error) == ("FAILED", "States.Runtime")
    assert not got.cause.startswith("An error occurred")
    assert list(got.inspection) == ["input", "afterInputPath"]


# ── Map and Parallel ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_map_shows_what_its_iterations_would_get(machine):
    seen = machine.test_state("Each", ITEMS, mock=sf.mock([7, 8, 9])).inspection
    assert seen["afterItemsPath"] == [1, 2, 3]
    assert seen["afterItemSelector"][2] == {"v": 3, "n": 2, "who": "me"}
    assert (seen["maxConcurrency"], seen["toleratedFailurePercentage"]) == (4, 50.0)
    assert "toleratedFailureCount" not in seen


def test_a_map_tolerates_what_it_says(machine):
    assert machine.test_state("Each", ITEMS, mock=sf.mock([1]), iteration_failures=1).status == "SUCCEEDED"
    got = machine.test_state("Each", ITEMS, mock=sf.mock([1]), iteration_failures=2)
    assert got.error == "States.ExceedToleratedFailureThreshold"
    with pytest.raises(sf.ApiError, match="less than or equal to the number of Map iterations"):
        machine.test_state("Each", ITEMS, mock=sf.mock([1]), iteration_failures=4)


def test_an_item_reader_is_given_its_file():
    processor = EACH["ItemProcessor"]
    reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "b", "Key": "k"}}
    reader["ReaderConfig"] = {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}
    state = {"Type": "Map", "ItemReader": reader, "ItemProcessor": processor, "ItemBatcher": {"MaxItemsPerBatch": 2}}
    machine = sf.StateMachine.load({"StartAt": "M", "States": {"M": {**state, "End": True}}})
    got = machine.test_state("M", mock=sf.mock([1]), item_reader_data="a,b\n1,2\n3,4\n5,6\n")
    items = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}, {"a": "5", "b": "6"}]
    assert got.inspection["afterItemBatcher"] == [{"Items": items[:2]}, {"Items": items[2:]}]
    assert machine.test_state("M", mock=sf.mock([1])).status == "SUCCEEDED"  # nobody knows the items


def test_a_nested_state_is_found_by_name(machine):
    got = machine.test_state("Keep", {"a": 1})
    assert (got.output, got.next_state) == ({"a": 1, "r": "kept"}, None)


def test_the_error_of_a_map_comes_from_a_state_inside(machine):
    mock = {"errorOutput": {"error": "E"}}
    assert machine.test_state("Each", ITEMS, mock=mock, error_caused_by="Keep").error == "E"
    with pytest.raises(sf.ApiError, match="State not found in definition"):
        machine.test_state("Each", ITEMS, mock=mock, error_caused_by="Charge")


# ── what expressions see ─────────────────────────────────────────────────────────────────────────────────────────────


def test_variables_and_context_are_the_requests():
    state = {"Type": "Task", "Resource": "arn:aws:states:::http:invoke", "QueryLanguage": "JSONata", "End": True}
    state |= {"Output": "{% {'v': $v, 'id': $states.context.Execution.Id} %}", "Assign": {"w": "{% $v + 1 %}"}}
    machine = sf.StateMachine.load({"StartAt": "T", "States": {"T": state}})
    context = {"Execution": {"Id": "mine"}}
    got = machine.test_state("T", variables={"v": 1}, context=context, mock=sf.mock({}))
    assert got.output == {"v": 1, "id": "mine"}
    assert got.inspection["variables"] == {"v": 1, "w": 2}


def test_a_context_of_its_own_is_deterministic(machine):
    got = [machine.test_state("Ask", mock=sf.mock("done")).response for _ in range(2)]
    assert got[0] == got[1]
    assert len(json.loads(got[0]["inspectionData"]["afterParameters"])["MessageBody"]["token"]) == 128


TASK = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
MOCK = {"result": "{}"}


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"Map": {}}, "'Map' field is not supported when mocking a Context object"),
        ({"Execution": {"Nope": 1}}, "Field 'Nope' is not allowed"),
        ({"State": {"RetryCount": True}}, "State.RetryCount must be an integer"),
        ({"StateMachine": []}, "StateMachine must be an object"),
        (1, "it must be a JSON object"),
    ],
)
def test_a_context_that_is_none(context, said):
    message = refusal(TASK, mock=MOCK, context=json.dumps(context))[1]
    assert message == f"Invalid Context object provided: {said}"


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ({"stateName": ""}, "ParamValidationError", "Invalid length for parameter stateName, value: 0"),
        (
            {"stateConfiguration": {"retrierRetryCount": -1}},
            "ParamValidationError",
            "Invalid value for parameter stateConfiguration.retrierRetryCount, value: -1, valid min value: 0",
        ),
        ({"inspectionLevel": "ALL"}, "ValidationException", "enum value set: [INFO, DEBUG, TRACE]"),
        ({"mock": {}}, "ValidationException", "exactly one of the following fields"),
        ({"context": "{}"}, "ValidationException", "does not support Context when a mock is not specified"),
        ({"input": "{'a'}", "mock": MOCK}, "InvalidExecutionInput", "was expecting double-quote to start field name"),
        ({"variables": "[]", "mock": MOCK}, "ValidationException", "variables must be a valid JSON object"),
        ({"mock": {"result": "{"}}, "ValidationException", "Mocked result must be valid JSON"),
        ({"roleArn": ""}, "ValidationException", "RoleArn must be specified when testing a Task state"),
    ],
)
def test_requests_that_are_refused(more, code, said):
    got = refusal(TASK, **more)
    assert got[0] == code
    assert said in got[1]


def test_a_definition_that_is_none():
    code, said = refusal({"Type": "Nope"})
    assert (code, said.count("/States/StateName/Type")) == ("InvalidDefinition", 1)
    with pytest.raises(sf.ApiError, match="Invalid State Machine Definition: '"):
        teststate.run({"definition": "{"}, work=lambda _: None, check=mocks.check)


def test_a_state_alone_may_name_states_that_are_not_there_but_its_branches_may_not():
    alone = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Next": "Elsewhere"}
    alone["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": "There"}]
    assert ask(alone, mock={"result": "{}", "fieldValidationMode": "NONE"}).response["nextState"] == "Elsewhere"
    branch = {"StartAt": "B", "States": {"B": {"Type": "Pass", "Next": "Elsewhere"}}}
    code, said = refusal({"Type": "Parallel", "Branches": [branch], "End": True}, mock={"result": "[1]"})
    assert code == "InvalidDefinition"
    assert "/States/StateName/Branches[0]/States/B/Next" in said


def test_what_needs_a_mock_says_so_and_how(machine):
    for name in ("Each", "Ask"):
        with pytest.raises(sf.ApiError) as caught:
            machine.test_state(name, ITEMS, task=lambda _: 1)
        assert "mock=sf.mock(" in caught.value.__notes__[0]
    with pytest.raises(sf.TaskNotFoundError, match="task=lambda event"):
        machine.test_state("Charge", ORDER)
    with pytest.raises(sf.ApiError, match="State not found in definition") as caught:
        machine.test_state("Chargee")
    assert caught.value.__notes__ == ["Did you mean 'Charge'?"]
    with pytest.raises(TypeError, match="errorOutput"):
        machine.test_state("Charge", ORDER, mock=3)
    with pytest.raises(TypeError, match="task="):
        machine.test_state("Charge", ORDER, mock=sf.mock(lambda event: event))


# ── what services can answer ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("action", "result", "said"),
    [
        ("lambda:invoke", {"Payload": {"a": 1}}, "Field 'Payload' must be a string"),
        ("lambda:invoke", {"StatusCode": True}, "Field 'StatusCode' must be a number"),
        ("lambda:invoke", [], "Mocked result must be a JSON object."),
        ("dynamodb:getItem", {"Item": {"id": {"S": 1}}}, "Field 'S' must be a string"),
        ("dynamodb:getItem", {"Item": {"id": {"BOOL": "yes"}}}, "Field 'BOOL' must be a boolean"),
        ("dynamodb:getItem", {"Item": []}, "Field 'Item' must be an object"),
        ("aws-sdk:rds:describeDBClusters", {"DbClusters": {}}, "Field 'DbClusters' must be an array"),
        ("aws-sdk:rds:describeDBClusters", {"DBClusters": {}}, "Field 'DBClusters' must be an array"),
        ("aws-sdk:sfn:startExecution", {"ExecutionArn": "a"}, "Required field 'StartDate' is missing"),
        ("states:startExecution", {"ExecutionArn": "", "StartDate": ""}, "'ExecutionArn' is smaller than the minimum"),
    ],
)
def test_answers_a_service_could_not_give(action, result, said):
    with pytest.raises(sf.ApiError) as caught:
        mocks.check(resource(f"arn:aws:states:::{action}"), result, "STRICT")
    assert said in str(caught.value)
    mocks.check(resource(f"arn:aws:states:::{action}"), result, "NONE")


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:states:::http:invoke",
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "arn:aws:states:::states:startExecution.sync:2",
        "arn:aws:states:::aws-sdk:nosuchservice:do",
        "arn:aws:lambda:us-east-1:123456789012:function:F",
    ],
)
def test_answers_that_have_no_model(text):
    mocks.check(resource(text), ["anything"], "STRICT")


# ── what people see ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_says_which_stage_changed_what(machine):
    shown = machine.test_state("Charge", ORDER, task=lambda _: {"paid": True})._repr_mimebundle_()
    lines = shown["text/plain"].splitlines()
    assert lines[0] == "StateTest('Charge', SUCCEEDED, next 'Each')"
    line = next(line for line in lines if "ResultPath" in line)
    assert line.startswith("→ ResultPath")
    assert line.endswith("writes the result into the input at $.payment")
    assert "<b>&quot;payment&quot;: {&quot;paid&quot;: true}</b>" in shown["text/html"]
    assert "same" in machine.test_state("Keep", {"a": 1})._repr_mimebundle_()["text/plain"]


def test_the_table_is_escaped():
    bad = "<script>alert(1)</script>"
    machine = sf.StateMachine.load({"StartAt": bad, "States": {bad: {"Type": "Pass", "Result": bad, "End": True}}})
    shown = machine.test_state(bad, {bad: bad})._repr_mimebundle_()["text/html"]
    assert "<script" not in shown


def test_every_stage_has_words():
    jsonata = {"QueryLanguage": "JSONata", "Type": "Map", "Items": "{% $states.input.a %}", "Output": 1, "End": True}
    jsonata["ItemProcessor"] = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    machine = sf.StateMachine.load({"StartAt": "M", "States": {"M": jsonata}})
    said = machine.test_state("M", {"a": [1, 2]}, mock=sf.mock([3, 4]))._repr_mimebundle_()["text/plain"]
    assert "2 items" in said
    assert "builds the output" in said


def test_botocore_is_loaded_for_a_mocked_service_only():
    code = (
        "import sys, sflab as sf\n"
        "m = sf.StateMachine.load({'StartAt': 'A', 'States': {'A': {'Type': 'Pass', 'End': True}}})\n"
        "m.test_state('A')\n"
        "sys.exit('botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
