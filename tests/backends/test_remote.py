"""What is already on AWS: executions, machines, Map Runs, Express executions in their logs; and nothing left behind.

Two servers that others would call AWS: moto's, and our own over HTTP.
"""

import contextlib
import datetime as dt
import json
import logging
import time

import boto3
import pytest

import sflab as sf
from sflab.backends import express
from sflab.backends.serve import Server

ROLE = "arn:aws:iam::123456789012:role/runs"
HERE = "arn:aws:states:us-east-1:123456789012"
BRANCHES = {
    "StartAt": "Look",
    "States": {
        "Look": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericLessThan": 10, "Next": "Each"}],
            "Default": "Refuse",
        },
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {"StartAt": "Keep", "States": {"Keep": {"Type": "Pass", "End": True}}},
            "ResultPath": "$.kept",
            "Next": "Both",
        },
        "Both": {
            "Type": "Parallel",
            "End": True,
            "Branches": [
                {"StartAt": "Pause", "States": {"Pause": {"Type": "Wait", "Seconds": 1, "End": True}}},
                {"StartAt": "Say", "States": {"Say": {"Type": "Pass", "Result": {"a": 1}, "End": True}}},
            ],
        },
        "Refuse": {"Type": "Fail", "Error": "TooMany", "Cause": "n is above 10"},
    },
}
SCORE = {
    "StartAt": "Score all",
    "States": {
        "Score all": {
            "Type": "Map",
            "Label": "scores",
            "ToleratedFailureCount": 1,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Is it odd",
                "States": {
                    "Is it odd": {
                        "Type": "Choice",
                        "Choices": [{"Variable": "$", "NumericEquals": 3, "Next": "No"}],
                        "Default": "Yes",
                    },
                    "Yes": {"Type": "Pass", "End": True},
                    "No": {"Type": "Fail", "Error": "Three"},
                },
            },
            "End": True,
        }
    },
}
SLOW = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "not-to-be-seen")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)


@pytest.fixture
def local():
    return sf.Local(rate=1, histories="all")


@pytest.fixture
def server(local):
    with Server(local, 0) as server:
        yield server


@pytest.fixture
def aws(server):
    return sf.AWS(role_arn=ROLE, endpoint_url=server.url, region="us-east-1")


def done(run):
    """The execution, waited for."""
    deadline = time.monotonic() + 20
    while run.status == "RUNNING":
        assert time.monotonic() < deadline
        run._describing.hurry()
        time.sleep(0.02)
    return run


# ── the same cell, three homes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("given", [{"n": 3, "items": [1, 2, 3]}, {"n": 11, "items": []}], ids=["passes", "fails"])
def test_the_same_cell_does_the_same_here_over_http_and_on_another_implementation(moto, server, given):
    machine = sf.StateMachine.load(BRANCHES, name="branches")
    homes = [sf.AWS(role_arn=ROLE, endpoint_url=url, region="us-east-1") for url in (moto, server.url)]
    here = sf.Local().start_execution(machine, given)
    for home in homes:
        run = home.start_execution(machine, given).wait(30)
        assert (run.status, run.output, run.error, run.cause) == (here.status, here.output, here.error, here.cause)
        assert not here.history.diff(run.history), here.history.diff(run.history)
        assert list(run.visits.df["state"].astype(str)).count("Keep") == len(given["items"])


# ── what is there already ────────────────────────────────────────────────────────────────────────────────────────────


def test_attach_to_a_machine_shows_its_latest_executions(aws, server):
    machine = sf.StateMachine.load(BRANCHES, name="there")
    arn = aws.create(machine)
    runs = [done(aws.start_execution(arn, {"n": n, "items": []})) for n in (1, 11)]
    there = sf.attach(arn, endpoint_url=server.url)
    assert there.machine.definition.raw == BRANCHES
    assert [e.arn for e in there.executions] == [run.arn for run in reversed(runs)]
    table = there.executions.df
    assert list(table["status"]) == ["FAILED", "SUCCEEDED"]
    assert str(table["started"].dtype) == "datetime64[us, UTC]"
    assert table["seconds"].min() >= 0
    again = there.executions[0]
    assert (again.error, again.input) == ("TooMany", {"n": 11, "items": []})
    assert repr(there.executions) == "Executions(2: 1 FAILED, 1 SUCCEEDED)"
    shown = there._repr_mimebundle_()
    assert "<svg" in shown["text/html"]
    assert "FAILED" in shown["text/html"]
    assert [e.status for e in aws.executions(machine, status="FAILED")] == ["FAILED"]
    assert len(aws.executions(arn, limit=1)) == 1
    assert there.start_execution({"n": 1, "items": []}).machine.name == "there"


def test_an_execution_comes_with_the_definition_that_really_ran(aws, server):
    first = sf.StateMachine.load({"StartAt": "Old", "States": {"Old": {"Type": "Pass", "End": True}}}, name="moving")
    run = done(aws.start_execution(first))
    aws.create(sf.StateMachine.load({"StartAt": "New", "States": {"New": {"Type": "Succeed"}}}, name="moving"))
    assert sf.attach(run.arn, endpoint_url=server.url).machine.states == ("Old",)


def test_a_listing_asks_for_nothing_more_until_one_looks(aws, monkeypatch):
    arn = aws.create(sf.StateMachine.load(BRANCHES, name="there"))
    for n in (1, 2, 11):
        done(aws.start_execution(arn, {"n": n, "items": []}))
    asked, call = [], aws.call
    monkeypatch.setattr(aws, "call", lambda operation, **given: (asked.append(operation), call(operation, **given))[1])
    listed = aws.executions(arn)
    assert [run.status for run in listed] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert asked == ["list_executions"]
    assert listed[0].error == "TooMany"
    assert [v.state for v in listed[0].visits] == ["Look", "Refuse"]


def test_map_runs_and_their_child_executions(aws, server):
    machine = sf.StateMachine.load(SCORE, name="scores")
    run = done(aws.start_execution(machine, [1, 2, 3, 4]))
    here = sf.Local(histories="all").start_execution(machine, [1, 2, 3, 4])
    assert run.output == here.output
    assert not here.history.diff(run.history), here.history.diff(run.history)
    (map_run,) = run.map_runs
    assert (map_run.state, map_run.status, map_run.tolerated_failure_count) == ("Score all", "SUCCEEDED", 1)
    assert map_run.item_counts == here.map_runs[0].item_counts
    assert repr(map_run) == "MapRun(Score all SUCCEEDED, 4 items: 3 succeeded, 1 failed)"
    assert map_run.seconds >= 0
    assert sorted(map_run.df["status"]) == ["FAILED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
    (failed,) = (child for child in map_run.executions if child.status == "FAILED")
    assert (failed.input, failed.error) == (3, "Three")
    assert [v.state for v in failed.visits] == ["Is it odd", "No"]
    assert failed.visits[0].pointer == "/States/Is it odd"
    assert "Score all" in map_run._repr_mimebundle_()["text/html"]
    attached = sf.attach(map_run.arn, endpoint_url=server.url)
    assert (attached.state, len(attached.executions)) == ("Score all", 4)
    assert run.cost().usd == here.cost().usd


@pytest.mark.parametrize("forbidden", ["list_map_runs", "list_executions", "describe_map_run"])
def test_the_graph_shows_without_what_one_may_not_list(aws, forbidden, monkeypatch):
    run = done(aws.start_execution(sf.StateMachine.load(SCORE, name="scores"), [1, 2]))
    call = aws.call

    def refusing(operation, **given):
        if operation == forbidden:
            raise sf.BackendError(f"{operation}: not authorized.")
        return call(operation, **given)

    monkeypatch.setattr(aws, "call", refusing)
    assert run.show().drawing
    with pytest.raises(sf.BackendError, match="not authorized"):
        run.cost()


@pytest.mark.parametrize(
    ("arn", "words"),
    [
        ("order", "nothing to attach to"),
        ("arn:aws:sqs:us-east-1:123456789012:queue", "nothing to attach to"),
        (f"{HERE}:activity:pack", "nothing to attach to"),
        (f"{HERE}:stateMachine:none", "Check the ARN"),
        (f"{HERE}:execution:none:e", "Check the ARN"),
        (f"{HERE}:mapRun:none/x:e", "describe_map_run|DescribeMapRun"),
    ],
)
def test_what_cannot_be_attached_to_is_told(server, arn, words):
    with pytest.raises(sf.BackendError, match=words):
        sf.attach(arn, endpoint_url=server.url, region="us-east-1")


def test_an_arn_of_another_region_is_told_before_aws_is_asked():
    with pytest.raises(sf.BackendError, match=r"is in eu-west-1.*sf\.AWS\(region='eu-west-1'\)"):
        sf.AWS(region="us-east-1").attach("arn:aws:states:eu-west-1:123456789012:execution:m:e")


# ── deployed for a while ─────────────────────────────────────────────────────────────────────────────────────────────


def names(aws):
    return [m["name"] for m in aws.call("list_state_machines")["stateMachines"]]


def test_deployed_leaves_nothing_behind(aws):
    machine = sf.StateMachine.load(SLOW, name="slow")
    mine = aws.create(machine)
    with aws.deployed(machine) as arn:
        assert arn != mine
        run = aws.start_execution(arn)
        assert run.status == "RUNNING"
    assert names(aws) == ["slow"]
    run._describing.hurry()
    assert run.status == "ABORTED"


def test_deployed_cleans_up_when_the_cell_fails_or_is_interrupted(aws):
    for broken in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(broken), aws.deployed(sf.StateMachine.load(SLOW, name="slow")):
            raise broken
    assert names(aws) == []


def test_deployed_cleans_up_when_it_is_stopped_before_aws_has_answered(aws, monkeypatch):
    call = aws.call

    def stopped(operation, **given):
        said = call(operation, **given)
        if operation == "create_state_machine":
            raise KeyboardInterrupt
        return said

    monkeypatch.setattr(aws, "call", stopped)
    with pytest.raises(KeyboardInterrupt), aws.deployed(sf.StateMachine.load(SLOW, name="slow")):
        pass
    assert names(aws) == []
    refused = sf.StateMachine.load({"StartAt": "none", "States": {"A": {"Type": "Succeed"}}}, name="refused")
    with pytest.raises(sf.BackendError, match="InvalidDefinition") as caught, aws.deployed(refused):
        pass
    assert not hasattr(caught.value, "__notes__")


def test_what_could_not_be_cleaned_up_is_told_with_the_first_error(aws, server):
    aws.call = refuse(aws.call)
    made = []

    def cell():
        with aws.deployed(sf.StateMachine.load(SLOW, name="slow")) as arn:
            made.append(arn)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        cell()
    assert made[0] in caught.value.__notes__[0]
    assert "delete-state-machine" in caught.value.__notes__[0]
    with (
        pytest.raises(sf.BackendError, match="could not be cleaned up"),
        aws.deployed(sf.StateMachine.load(SLOW, name="slow")),
    ):
        pass


def refuse(call):
    """A role that may do everything but delete."""

    def refusing(operation, **given):
        if operation == "delete_state_machine":
            raise sf.BackendError("DeleteStateMachine: not authorized.")
        return call(operation, **given)

    return refusing


def test_a_name_that_is_taken_is_not_deployed_over(aws):
    machine = sf.StateMachine.load(SLOW, name="slow")
    aws.create(machine)
    with pytest.raises(sf.BackendError, match="'slow' in us-east-1 already"), aws.deployed(machine, name="slow"):
        pass
    assert names(aws) == ["slow"]


# ── Express executions, in their logs ────────────────────────────────────────────────────────────────────────────────


EXPRESS = f"{HERE}:express:quick:e1:6b4e0f0e-0000-4000-8000-000000000001"
GROUP = "/aws/vendedlogs/states/quick"


@pytest.fixture
def logged(moto):
    """An Express machine on moto whose log has two executions, one event of each a stream; and what ran."""
    given = {"endpoint_url": moto, "region_name": "us-east-1"}
    states, logs = boto3.client("stepfunctions", **given), boto3.client("logs", **given)
    machine = sf.StateMachine.load(BRANCHES, name="quick", type="EXPRESS")
    logs.create_log_group(logGroupName=GROUP)
    states.create_state_machine(
        name="quick",
        roleArn=ROLE,
        type="EXPRESS",
        definition=json.dumps(BRANCHES),
        loggingConfiguration={
            "level": "ALL",
            "includeExecutionData": True,
            "destinations": [
                {"cloudWatchLogsLogGroup": {"logGroupArn": f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:*"}}
            ],
        },
    )
    local = sf.Local(start=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5))
    runs = [local.start_execution(machine, {"n": n, "items": [1]}) for n in (3, 11)]
    for run, arn in zip(runs, (EXPRESS, EXPRESS[:-1] + "2"), strict=True):
        for turn, message in enumerate(run.logs()):
            message["execution_arn"] = arn
            stream = f"states/quick/{arn[-1]}/{turn % 2}"
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
            event = {"timestamp": int(message["event_timestamp"]), "message": json.dumps(message)}
            logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=[event])
    yield runs
    states.delete_state_machine(stateMachineArn=f"{HERE}:stateMachine:quick")
    logs.delete_log_group(logGroupName=GROUP)


def test_an_express_execution_is_read_from_its_log(moto, logged):
    run = sf.attach(EXPRESS, endpoint_url=moto)
    assert (run.status, run.output, run.input) == (logged[0].status, logged[0].output, logged[0].input)
    assert not logged[0].history.diff(run.history)
    assert [e["previousEventId"] for e in run.history] == [e["previousEventId"] for e in logged[0].history]
    assert run.cost().usd == logged[0].cost().usd
    assert run.seconds == logged[0].seconds
    assert run._repr_mimebundle_()["image/svg+xml"]
    failed = sf.attach(EXPRESS[:-1] + "2", endpoint_url=moto)
    assert (failed.status, failed.error) == ("FAILED", "TooMany")
    with pytest.raises(sf.ExecutionFailed, match="TooMany"):
        failed.result()
    with pytest.raises(sf.BackendError, match=r"has nothing of .*e1.*since="):
        sf.attach(EXPRESS[:-1] + "3", endpoint_url=moto)
    assert sf.attach(EXPRESS, endpoint_url=moto, mask="items").input == {"n": 3, "items": "***"}


def test_an_export_of_its_log_opens_as_a_history(logged, moto, tmp_path):
    logs = boto3.client("logs", endpoint_url=moto, region_name="us-east-1")
    for name, pattern in (("one", f'"{EXPRESS}"'), ("both", "")):
        said = logs.filter_log_events(logGroupName=GROUP, filterPattern=pattern)
        (tmp_path / f"{name}.json").write_text(json.dumps(said["events"]), "utf-8")
    assert not sf.History.load(tmp_path / "one.json").diff(logged[0].history)
    with pytest.raises(sf.DefinitionError, match="2 executions: filter them"):
        sf.History.load(tmp_path / "both.json")


def test_a_log_that_comes_late_is_waited_for(logged, moto, monkeypatch):
    aws = sf.AWS(endpoint_url=moto, region="us-east-1")
    events = [{"message": json.dumps({**m, "execution_arn": EXPRESS})} for m in logged[0].logs()]
    shown = iter([events[:3], events[:3], events])
    call = aws.call
    aws.call = lambda operation, **given: (
        {"events": next(shown)} if operation == "filter_log_events" else call(operation, **given)
    )
    said = {
        "status": "SUCCEEDED",
        "output": "{}",
        "startDate": dt.datetime.now(dt.UTC),
        "stopDate": dt.datetime.now(dt.UTC),
    }
    machine = logged[0].machine
    run = express.ExpressExecution(machine, aws, arn=EXPRESS, input="{}", said=said)
    assert len(run.history) == len(events)
    monkeypatch.setattr(express, "LATE", 0.0)
    aws.call = lambda operation, **given: (
        {"events": []} if operation == "filter_log_events" else call(operation, **given)
    )
    late = express.ExpressExecution(machine, aws, arn=EXPRESS, input="{}", said=said)
    with pytest.raises(sf.BackendError, match="has 0 events and not the last one"):
        _ = late.history


# ── what nobody shall see ────────────────────────────────────────────────────────────────────────────────────────────


def test_masked_fields_are_never_shown_or_saved(aws, server, tmp_path):
    secret = "4111-1111"
    machine = sf.StateMachine.load(
        {
            "StartAt": "Keep",
            "States": {
                "Keep": {
                    "Type": "Pass", "Parameters": {"body.$": "States.JsonToString($)", "card.$": "$.card"}, "Next": "No"
                },
                "No": {"Type": "Fail", "Error": "E", "CausePath": "States.Format('refused {}', $.body)"},
            },
        },
        name="masked",
    )  # fmt: skip
    run = done(aws.start_execution(machine, {"card": {"number": secret}, "total": 7}))
    assert secret in str(run.history.events)
    masking = sf.AWS(role_arn=ROLE, endpoint_url=server.url, region="us-east-1", mask=["card.number"])
    hidden = masking.attach(run.arn)
    hidden.history.save(tmp_path / "h.json")
    latest = masking.attach(run.machine_arn).executions[0]
    hidden.history.save(tmp_path / "h.json")
    shown = [
        str(hidden.input),
        str(hidden.cause),
        repr(hidden.history.events),
        hidden.history.df.to_csv(),
        str(hidden.logs()),
        (tmp_path / "h.json").read_text("utf-8"),
        json.dumps(hidden._repr_mimebundle_()),
        str(hidden.history._repr_mimebundle_()),
        str(latest.input),
    ]
    assert [text.count(secret) for text in shown] == [0] * len(shown)
    assert hidden.input == {"card": {"number": "***"}, "total": 7}
    assert "***" in hidden.cause


def test_credentials_are_nowhere_to_be_seen(aws, tmp_path):
    run = done(aws.start_execution(sf.StateMachine.load(BRANCHES, name="b"), {"n": 1, "items": []}))
    run.history.save(tmp_path / "h.json")
    texts = [repr(aws), repr(run), str(run._repr_mimebundle_()), (tmp_path / "h.json").read_text(), str(vars(aws))]
    with pytest.raises(sf.BackendError) as caught:
        aws.execution(f"{HERE}:execution:none:e")
    texts += [str(caught.value), str(caught.value.__cause__), repr(caught.value.__cause__.response)]
    assert not [text for text in texts if "not-to-be-seen" in text]
