"""Map Runs as people look at them: counts, tables, children's histories and what is kept of them, and the bill."""

import pickle
import threading
import time

import pytest

import sflab as sf
from sflab.backends.mapruns import Archive, histories
from sflab.engine.maprun import SAMPLE, Histories
from sflab.errors import SflabError

SAME = {"Same": {"Type": "Pass", "End": True}}


def machine(*, child="STANDARD", states=None, **fields):
    states = states or SAME
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": child},
        "StartAt": next(iter(states)),
        "States": states,
    }
    state = {"Type": "Map", "Label": "L", "ItemProcessor": processor, "End": True, **fields}
    return sf.StateMachine.load({"StartAt": "Each", "States": {"Each": state}}, name="m")


TASK = {"Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True, "OutputPath": "$.Payload",
                 "Parameters": {"FunctionName": "Work", "Payload.$": "$"}}}  # fmt: skip


def odd(item):
    if item % 2:
        raise ValueError(f"odd: {item}")
    return item


@pytest.fixture
def half():
    """A Map Run of four, two of which failed, a second each."""
    local = sf.Local(functions={"Work": sf.mock(odd, latency=1)})
    return local.start_execution(machine(states=TASK, ToleratedFailurePercentage=50, MaxConcurrency=2), [0, 1, 2, 3])


def test_it_answers_as_describe_map_run_does(half):
    (run,) = half.map_runs
    counts = {
        "pending": 0, "running": 0, "succeeded": 2, "failed": 2, "timedOut": 0, "aborted": 0, "total": 4,
        "resultsWritten": 4, "failuresNotRedrivable": 0, "pendingRedrive": 0,
    }  # fmt: skip
    assert run.describe() == {
        "mapRunArn": run.arn,
        "executionArn": half.arn,
        "status": "SUCCEEDED",
        "startDate": half.history[0]["timestamp"],
        "stopDate": half.history[-1]["timestamp"],
        "maxConcurrency": 2,
        "toleratedFailurePercentage": 50.0,
        "toleratedFailureCount": 0,
        "itemCounts": counts,
        "executionCounts": counts,
        "redriveCount": 0,
    }
    assert run.arn.startswith("arn:aws:states:us-east-1:123456789012:mapRun:m/L:")
    assert (run.seconds, run.state) == (2, "Each")


def test_the_table_has_a_row_for_each_child(half):
    (run,) = half.map_runs
    table = run.df
    assert list(table.columns) == ["name", "status", "items", "started", "stopped", "seconds", "error", "cause"]
    assert list(table.status) == ["SUCCEEDED", "FAILED", "SUCCEEDED", "FAILED"]
    assert list(table.seconds) == [1, 1, 1, 1]
    assert [str(e) for e in table.error[[1, 3]]] == ["ValueError", "ValueError"]
    assert list(table.name) == [child.name for child in run.executions]
    assert str(table.started.dtype) == "datetime64[us, UTC]"


def test_it_draws_itself_in_a_line_and_as_a_table(half):
    (run,) = half.map_runs
    assert repr(run) == "MapRun(Each SUCCEEDED, 4 items in 4 child executions: 2 succeeded, 2 failed)"
    drawn = run._repr_mimebundle_()
    head, *table = drawn["text/plain"].split("\n")
    assert head == repr(run)
    assert [line.split()[0] for line in table[5:]] == [child.name for child in run.executions]
    assert "child executions" in drawn["text/html"]
    assert "odd: 1" in drawn["text/html"]
    assert repr(run.executions) == "ChildExecutions(4 of Each)"


def test_a_child_is_an_execution(half):
    (run,) = half.map_runs
    child = run.executions[1]
    assert (child.status, child.error, child.input, child.output, child.seconds) == ("FAILED", "ValueError", 1, None, 1)
    assert [e["type"] for e in child.history][-1] == "ExecutionFailed"
    assert child.visits[0].pointer == "/States/Work"
    assert child.machine.type == "STANDARD"
    assert run.executions[-1].index == 3
    assert [c.index for c in run.executions[1:3]] == [1, 2]
    with pytest.raises(IndexError):
        run.executions[4]
    with pytest.raises(sf.ExecutionFailed, match="ValueError"):
        child.result()
    with pytest.raises(SflabError, match="cannot be stopped here"):
        child.stop()
    assert "image/svg+xml" in child._repr_mimebundle_() or "text/html" in child._repr_mimebundle_()


def test_map_runs_inside_children_are_the_childrens():
    inner = machine(child="STANDARD").definition.raw["States"]["Each"] | {"Label": "Inner"}
    run = sf.Local().start_execution(machine(states={"In": inner}), [[1, 2], [3]])
    assert run.output == [[1, 2], [3]]
    (outer,) = run.map_runs
    assert [len(child.map_runs[0].executions) for child in outer.executions] == [2, 1]
    assert outer.executions[0].map_runs[0].executions[1].input == 2


def test_a_map_run_can_be_looked_at_while_it_runs():
    gate = threading.Event()

    def work(item):
        if item:
            gate.wait(10)
        return item

    local = sf.Local(functions={"Work": work}, rate=1)
    run = local.start_execution(machine(states=TASK, MaxConcurrency=1), [0, 1, 2])
    try:
        for _ in range(400):
            if run.map_runs and run.map_runs[0].execution_counts["succeeded"]:
                break
            time.sleep(0.01)
        (map_run,) = run.map_runs
        counts = map_run.execution_counts
        assert (counts["succeeded"], counts["running"], counts["pending"]) == (1, 1, 1)
        assert (map_run.status, map_run.stop_date, map_run.seconds) == ("RUNNING", None, None)
        assert "stopDate" not in map_run.describe()
        assert list(map_run.df.status) == ["SUCCEEDED", "RUNNING", "PENDING"]
        assert [e["type"] for e in map_run.executions[1].history][-1] in ("TaskScheduled", "TaskStarted")
        assert list(map_run.executions[2].history) == []
    finally:
        gate.set()
    assert run.wait(10).status == "SUCCEEDED"


# ── which histories stay ─────────────────────────────────────────────────────────────────────────────────────────────


def kept(policy, failing=(), items=3_000):
    states = {
        "Which": {
            "Type": "Choice",
            "Choices": [{"Variable": "$", "NumericEquals": i, "Next": "No"} for i in failing]
            or [{"Variable": "$", "NumericEquals": -1, "Next": "No"}],
            "Default": "Yes",
        },
        "No": {"Type": "Fail", "Error": "E"},
        "Yes": {"Type": "Succeed"},
    }
    saga = machine(child="EXPRESS", states=states, ToleratedFailurePercentage=100, ResultPath=None)
    run = sf.Local(histories=policy).start_execution(saga, list(range(items)))
    (map_run,) = run.map_runs
    assert map_run.execution_counts["failed"] == len(failing)
    return map_run


@pytest.mark.parametrize(
    ("policy", "number"), [("all", 3_000), ("none", 0), ("failed", 2), (Histories(first=1, spread=0, failed=1), 2)]
)
def test_policies(policy, number):
    map_run = kept(policy, failing=(7, 2_999))
    assert sum(child.kept for child in map_run.executions) == number
    assert len(map_run.record.kept) == number


def test_the_default_keeps_the_first_a_spread_and_the_failed():
    map_run = kept("sample", failing=(1_001, 2_999))
    indexes = set(map_run.record.kept)
    assert set(range(100)) | {1_001, 2_999} <= indexes
    assert len(indexes) <= 1_002
    assert len([i for i in indexes if i >= 2_000]) > 200
    assert len(kept("sample", items=900).record.kept) == 900


def test_memory_stays_bounded_when_everything_fails():
    small = Histories(first=2, spread=5, failed=10)
    assert len(kept(small, failing=range(40), items=60).record.kept) <= 17


def test_a_history_that_was_not_kept_says_how_to_keep_it():
    map_run = kept("none", items=3)
    child = map_run.executions[1]
    with pytest.raises(SflabError, match=r'child execution 1 of Each was not kept.*histories="all"'):
        _ = child.history
    assert (child.status, child.input, child.output) == ("SUCCEEDED", 1, 1)
    assert "ChildExecution(Each[1] SUCCEEDED, 1 item)" in child._repr_mimebundle_()["text/plain"]


def test_histories_in_a_folder(tmp_path):
    map_run = kept(tmp_path / "runs", failing=(3,), items=1_500)
    assert map_run.record.kept == {}
    assert [e["type"] for e in map_run.executions[3].history][-1] == "ExecutionFailed"
    assert [e["id"] for e in map_run.executions[1_499].history] == [1, 2, 3, 4, 5, 6]
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["child-histories.sqlite"]
    here = sf.Local(histories="all").start_execution(map_run.machine, list(range(1_500))).map_runs[0]
    assert list(here.executions[5].history) == list(map_run.executions[5].history)
    again = pickle.loads(pickle.dumps(map_run.record.histories.sink))
    assert again.get(map_run.record, 3) == list(map_run.executions[3].history)
    assert again.get(map_run.record, 9_999) is None


def test_a_policy_is_one_of_four_or_a_folder(tmp_path):
    assert histories("sample") is SAMPLE
    assert isinstance(histories(str(tmp_path)).sink, Archive)
    with pytest.raises(ValueError, match=r"histories is one of 'sample', 'all', 'failed', 'none', or a folder"):
        sf.Local(histories="everything")


# ── the bill ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def quantities(bill):
    return {(line.item, line.assumption.partition(":")[0]): float(line.quantity) for line in bill.lines}


def test_the_bill_has_the_children_in_lines_of_their_own():
    local = sf.Local(functions={"Work": sf.mock(lambda item: item, latency=0.25)})
    run = local.start_execution(machine(states=TASK), [1, 2, 3])
    bill = run.cost()
    assert bill.title == "one Standard execution and its 3 child executions"
    told = quantities(bill)
    assert told["transition", "each child execution a distributed Map starts"] == 3
    assert told["transition", "child executions of Each"] == 3
    assert told["request", "child executions of Each"] == 3
    assert told["gb-second-x86_64", "child executions of Each"] == pytest.approx(3 * 0.25 * 0.125)
    assert not [note for note in bill.notes if "child" in note]
    one = sf.bill(run.map_runs[0].processor.definition, run.map_runs[0].executions[0].history.events, start_end=0)
    alone = sf.bill(run.machine.definition, run.history.events, child_executions=3)
    assert bill.usd == pytest.approx(alone.usd + 3 * one.usd)


def test_express_children_are_billed_by_request_and_duration():
    local = sf.Local(functions={"Work": sf.mock(lambda item: item, latency=1)})
    told = quantities(local.start_execution(machine(child="EXPRESS", states=TASK), [1, 2]).cost())
    assert told["express-request", "child executions of Each"] == 2
    assert told["express-gb-second", "child executions of Each"] == pytest.approx(2 * 64 / 1024)
    assert ("transition", "child executions of Each") not in told


def test_children_whose_histories_are_gone_are_billed_as_the_average_of_the_others():
    whole = sf.Local(histories="all").start_execution(machine(), list(range(50))).cost()
    some = sf.Local(histories=Histories(first=5, spread=0)).start_execution(machine(), list(range(50))).cost()
    assert some.exact == whole.exact
    note = "45 of 50 child executions of Each are billed as the average of those whose histories were kept"
    assert note in some.notes
    none = sf.Local(histories="none").start_execution(machine(), [1, 2]).cost()
    assert "no history of the child executions of Each was kept: they are not in the bill" in none.notes


def test_a_comparison_counts_the_children():
    saga = machine(states=TASK)
    flat = sf.StateMachine.load({"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}, name="flat")
    local = sf.Local(functions={"Work": sf.mock(lambda item: item, latency=0.1)})
    table = sf.compare({"map": saga, "flat": flat}, local, [1, 2, 3], n=20).df
    assert table.shape[0] >= 2
