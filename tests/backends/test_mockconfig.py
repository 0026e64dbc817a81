"""Mock configuration files: what they answer, and what is said of those that are wrong."""

import json

import pytest

import sflab as sf

FN = "arn:aws:states:::lambda:invoke"
SAGA = sf.StateMachine.load(
    {
        "StartAt": "Charge",
        "States": {
            "Charge": {
                "Type": "Task",
                "Resource": FN,
                "Parameters": {"FunctionName": "charge"},
                "Retry": [{"ErrorEquals": ["Busy"], "MaxAttempts": 5}],
                "Next": "Ship",
            },
            "Ship": {"Type": "Task", "Resource": FN, "Parameters": {"FunctionName": "ship"}, "End": True},
        },
    },
    name="Saga",
)
CONFIG = {
    "StateMachines": {"Saga": {"TestCases": {"Late": {"Charge": "Second"}, "Never": {"Charge": "Down"}, "None": {}}}},
    "MockedResponses": {
        "Second": {"0-1": {"Throw": {"Error": "Busy", "Cause": "later"}}, "2": {"Return": {"Payload": "paid"}}},
        "Down": {"0": {"Throw": {"Error": "Broken"}}},
    },
}


def test_a_state_is_answered_by_the_number_of_its_invocation(tmp_path):
    (tmp_path / "MockConfigFile.json").write_text(json.dumps(CONFIG))
    tasks = sf.mock_config(tmp_path / "MockConfigFile.json", "Saga", "Late")
    local = sf.Local({"ship": sf.mock("shipped")}, tasks)
    for _ in range(2):  # every execution counts for itself
        run = local.start_execution(SAGA)
        assert (run.status, run.output["Payload"], run.visits[0].attempts) == ("SUCCEEDED", "shipped", 3)
    failed = sf.Local({}, sf.mock_config(CONFIG, "Saga", "Never")).start_execution(SAGA)
    assert (failed.error, failed.cause) == ("Broken", None)
    assert sf.mock_config(CONFIG, "Saga", "None") == {}


def test_more_invocations_than_answers_say_which_is_missing():
    config = {**CONFIG, "MockedResponses": {"Second": {"0": {"Throw": {"Error": "Busy"}}}}}
    with pytest.raises(
        sf.TaskNotFoundError, match=r"'Charge' is invoked for the 2\. time, but .* 1 invocation\. Add \"1\""
    ):
        sf.Local(tasks=sf.mock_config(config, "Saga", "Late")).start_execution(SAGA)


def answers(**responses):
    return {**CONFIG, "MockedResponses": {"Second": responses, "Down": {"0": {"Return": 1}}}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "there is no 'StateMachines'; there is nothing"),
        ({**CONFIG, "StateMachines": {"Sagas": {}}}, "there is no 'Saga'; there is 'Sagas'"),
        ({**CONFIG, "StateMachines": {"Saga": {"TestCases": {"late": {}}}}}, "there is no 'Late'; there is 'late'"),
        ({**CONFIG, "MockedResponses": {}}, "there is no 'Second'; there is nothing"),
        (
            {**CONFIG, "StateMachines": {"Saga": {"TestCases": {"Late": []}}}},
            r"/Saga/TestCases/Late: must be an object",
        ),
        ({**CONFIG, "StateMachines": {"Saga": {"TestCases": {"Late": {"Charge": 1}}}}}, "must be the name of a mocked"),
        (answers(), "/MockedResponses/Second: invocation 0 has no answer"),
        (answers(**{"1": {"Return": 1}}), "invocation 0 has no answer"),
        (
            answers(**{"0-2": {"Return": 1}, "1": {"Return": 1}}),
            "/MockedResponses/Second/1: invocation 1 has an answer",
        ),
        (answers(one={"Return": 1}), "Second/one: a response is for an invocation"),
        (answers(**{"0": {}}), "Second/0: must have either Return or Throw, not nothing"),
        (answers(**{"0": {"Return": 1, "Throw": {}}}), "not Return, Throw"),
        (answers(**{"0": {"Throw": {"Cause": "x"}}}), "Second/0/Throw: must be"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(config, said):
    with pytest.raises(sf.DefinitionError, match=said):
        sf.mock_config(config, "Saga", "Late")


@pytest.mark.parametrize(("text", "said"), [(None, "No such file"), ("{", "not JSON"), ("[]", "must be an object")])
def test_a_file_that_cannot_be_read_says_so(tmp_path, text, said):
    path = tmp_path / "mocks.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(sf.DefinitionError, match=said):
        sf.mock_config(path, "Saga", "Late")
