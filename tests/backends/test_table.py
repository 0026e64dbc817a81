"""Tables over many executions: `sf.table`, ``local.executions``, ``run.map_runs``, and what a visit costs."""

import json
import time

import pytest

import sflab as sf

LAMBDA = "arn:aws:states:::lambda:invoke"


def task(name, **more):
    return {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": name, "Payload.$": "$"}, **more}


ORDER = sf.StateMachine.load(
    {
        "StartAt": "Charge",
        "States": {
            "Charge": task("Charge", Next="Each", OutputPath="$.Payload",
                           Retry=[{"ErrorEquals": ["Busy"], "IntervalSeconds": 2}]),
            "Each": {
                "Type": "Map",
                "ItemsPath": "$.items",
                "Next": "Pause",
                "ResultPath": None,
                "ItemProcessor": {"StartAt": "Pack", "States": {"Pack": task("Pack", End=True)}},
                "Catch": [{"ErrorEquals": ["Torn"], "Next": "Sorry", "ResultPath": None}],
            },
            "Pause": {"Type": "Wait", "Seconds": 60, "Next": "Done"},
            "Done": {"Type": "Succeed"},
            "Sorry": {"Type": "Fail", "Error": "Sorry", "Cause": "torn"},
        },
    },
    name="order",
)  # fmt: skip


def pack(event):
    if event == "bad":
        raise Torn("it is torn")
    return event


class Torn(Exception):  # noqa: N818 - the name is the error's
    pass


def backend():
    charge = sf.mock(lambda event: event, latency=0.5, fail_first=1, error="Busy", cause="try later")
    return sf.Local(functions={"Charge": charge, "Pack": sf.mock(pack, latency=1)})


@pytest.fixture(scope="module")
def local():
    local = backend()
    for items in (["a", "b"], ["a", "bad"], []):
        local.start_execution(ORDER, {"items": items})
    return local


def test_a_row_per_visit(local) -> None:
    run = local.executions[0]
    frame = run.visits.df.set_index("state")
    assert frame.waiting["Charge"] == 2  # of 3: half a second, two of back-off, half a second
    assert frame.seconds["Charge"] == 3
    assert frame.waiting["Pause"] == frame.seconds["Pause"] == 60
    assert frame.iteration["Pack"].tolist() == [0, 1]
    assert frame.iteration.isna()["Charge"]
    assert frame.input_bytes["Charge"] == len('{"items": ["a", "b"]}')


def test_the_costs_of_visits_add_up(local) -> None:
    transition = 0.000025
    for run in local.executions:
        whole = run.cost().usd - transition  # start and end
        assert run.visits.df.cost.sum() == pytest.approx(whole, abs=1e-12)
        assert run.visits.df.set_index("state").cost["Charge"] > 2 * transition  # two attempts
    express = sf.Local(functions={"Charge": sf.mock(lambda e: e), "Pack": sf.mock({})}).start_execution(
        ORDER.as_express(), {"items": [1]}
    )
    bill = express.cost()
    of_calls = sum(line.usd for line in bill.lines if line.service == "lambda")
    assert express.visits.df.cost.sum() == pytest.approx(float(of_calls), abs=1e-15)


def test_executions_show_themselves_as_a_table(local) -> None:
    frame = local.executions.df
    assert frame.name.tolist() == ["run-0001", "run-0002", "run-0003"]
    assert frame.status.tolist() == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert frame.retries.tolist() == [1, 1, 1]
    assert frame.failed_state[1] == "Sorry"
    assert frame.error[1] == "Sorry"
    assert frame.cost.tolist() == pytest.approx([run.cost().usd for run in local.executions])
    assert frame.groupby("status", observed=True).seconds.max().to_dict()["SUCCEEDED"] == 64
    assert "<table" in local.executions._repr_html_()
    assert repr(local.executions).startswith("Executions(3: order · run-0001 SUCCEEDED, ")
    assert repr(sf.Local().executions) == "Executions(none)"
    assert local.executions[-2:].df.name.tolist() == ["run-0002", "run-0003"]
    assert sf.Local().executions.df.empty
    many = type(local.executions)(local.executions * 30)
    assert "90 executions; the last 60 of them" in many._repr_html_()


def test_errors_over_executions(local) -> None:
    frame = local.executions.errors.set_index("error")
    assert frame.times.to_dict() == {"Busy": 3, "Sorry": 1, "Torn": 1}
    assert frame.loc["Busy", ["retried", "caught", "ended", "executions"]].tolist() == [3, 0, 0, 3]
    assert frame.loc["Busy", "cause"] == "try later"
    assert frame.states["Torn"] == "Pack (1)"  # not the Map as well, which failed with it
    assert "it is torn" in frame.cause["Torn"]
    assert frame.example["Torn"] == "run-0002"
    assert frame.ended.to_dict() == {"Busy": 0, "Sorry": 1, "Torn": 0}


def test_errors_without_a_state() -> None:
    machine = sf.StateMachine.load(
        {"StartAt": "W", "TimeoutSeconds": 5, "States": {"W": {"Type": "Wait", "Seconds": 9, "End": True}}}
    )
    local = sf.Local()
    local.start_execution(machine)
    [row] = local.executions.errors.itertuples()
    assert (row.error, row.times, row.ended, row.states) == ("States.Timeout", 1, 1, "")
    assert local.executions.df.status.tolist() == ["TIMED_OUT"]


def test_a_caught_error_is_counted_as_caught() -> None:
    states = {
        "A": task("A", End=True, Catch=[{"ErrorEquals": ["Bad"], "Next": "B"}]),
        "B": {"Type": "Pass", "End": True},
    }
    local = sf.Local(functions={"A": sf.mock(error="Bad")})
    local.start_execution(sf.StateMachine.load({"StartAt": "A", "States": states}))
    [row] = local.executions.errors.itertuples()
    assert (row.error, row.times, row.caught, row.retried, row.ended) == ("Bad", 1, 1, 0, 0)


def test_a_table_of_many_histories(local, tmp_path) -> None:
    runs = local.executions
    frame = sf.table(runs)
    assert frame.columns[:3].tolist() == ["machine", "execution", "state"]
    assert len(frame) == sum(len(run.visits) for run in runs)
    assert frame.groupby("state", observed=True).seconds.max()["Pause"] == 60
    assert str(frame.machine.dtype) == "category"
    files = [tmp_path / f"{run.name}.json" for run in runs]
    for run, file in zip(runs, files, strict=True):
        run.history.save(file)
    saved = sf.table(files)
    assert saved.execution.unique().tolist() == ["run-0001", "run-0002", "run-0003"]
    same = ["state", "status", "entered", "exited", "seconds", "waiting", "attempts", "path", "iteration"]
    for column in same:
        assert saved[column].astype(str).tolist() == frame[column].astype(str).tolist(), column
    assert sf.table(tmp_path).equals(saved)  # a folder of files
    assert sf.table(run.history for run in runs).cost.tolist() == frame.cost.tolist()
    assert len(sf.table(runs[0])) == len(runs[0].visits)
    assert len(sf.table(runs[0].history.events)) == len(runs[0].visits)
    assert len(sf.table([json.loads(files[0].read_text())])) == len(runs[0].visits)
    assert sf.table([]).columns.tolist() == frame.columns.tolist()


def test_other_rows(local) -> None:
    runs = local.executions
    events = sf.table(runs, "events")
    assert len(events) == sum(len(run.history) for run in runs)
    assert events.groupby("execution", observed=True).seconds.min().tolist() == [0, 0, 0]
    assert sf.table(runs, "executions").equals(runs.df)
    assert sf.table(runs, "errors").equals(runs.errors)
    with pytest.raises(ValueError, match="rows is one of 'visits', 'executions'"):
        sf.table(runs, "states")


def test_what_is_no_history_is_named(tmp_path, local) -> None:
    with pytest.raises(sf.DefinitionError, match=r"the 2\. of the histories: this is not"):
        sf.table([local.executions[0], [{"x": 1}]])
    (tmp_path / "x.json").write_text("{}")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(sf.DefinitionError, match="not an execution history"):
        sf.table(tmp_path)
    with pytest.raises(sf.DefinitionError, match=r"no \.json file in this folder"):
        sf.table(empty)
    with pytest.raises(sf.DefinitionError, match="no such file"):
        sf.table(["missing.json"])


def test_map_runs_show_themselves_as_a_table() -> None:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Pack",
        "States": {"Pack": task("Pack", End=True)},
    }
    state = {"Type": "Map", "ItemProcessor": processor, "End": True, "ToleratedFailurePercentage": 50}
    machine = sf.StateMachine.load({"StartAt": "Each", "States": {"Each": state}}, name="m")
    local = backend()
    run = local.start_execution(machine, ["a", "bad", "c"])
    [row] = run.map_runs.df.itertuples()
    assert (row.state, row.status, row.items, row.succeeded, row.failed, row.unfinished) == (
        "Each", "SUCCEEDED", 3, 2, 1, 0,
    )  # fmt: skip
    assert "<table" in run.map_runs._repr_html_()
    assert local.executions.df.cost[0] == pytest.approx(run.cost().usd)
    assert sf.replay(machine, run.history).map_runs.df.empty


def test_hundreds_of_histories_take_about_a_second() -> None:
    local = backend()
    for _ in range(300):
        local.start_execution(ORDER, {"items": ["a", "b", "c"]})
    start = time.perf_counter()
    assert len(sf.table(local.executions)) == 300 * 7
    assert time.perf_counter() - start < 8  # a guard against quadratic work: it takes well under a second alone


def test_executions_that_were_forgotten_are_not_found() -> None:
    local = sf.Local()
    machine = sf.StateMachine.load({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    run = local.start_execution(machine, name="one")
    assert local.executions.find(run.arn) is run
    local.executions.clear()
    assert local.executions.find(run.arn) is None
