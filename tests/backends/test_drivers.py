"""Time: virtual time jumps from moment to moment, a finite rate sleeps, and stop() reaches a driver wherever it is."""

import threading
import time

import pytest

from sflab.asl.parse import load
from sflab.asl.program import compile_program
from sflab.backends.drivers import EPOCH, Drive, drive
from sflab.engine.machine import Machine
from sflab.engine.messages import TaskFailed, TaskSucceeded

TASK = {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:f"}


def machine(**states):
    return Machine(compile_program(load({"StartAt": next(iter(states)), "States": states}).raw))


def waits(*seconds):
    names = [f"W{n}" for n in range(len(seconds))]
    states = {
        n: {"Type": "Wait", "Seconds": s, "Next": f"W{i + 1}"}
        for i, (n, s) in enumerate(zip(names, seconds, strict=True))
    }
    return machine(**states, **{f"W{len(seconds)}": {"Type": "Succeed"}})


def nobody(command):
    return ()


def at_once(command):
    yield 0, TaskSucceeded(command.token, {})


def moments(m):
    return [e["timestamp"].timestamp() - EPOCH for e in m.log.events()]


def test_virtual_time_waits_three_days_in_no_time():
    m, begun = waits(259_200), time.perf_counter()
    drive(m, "{}", nobody)
    assert time.perf_counter() - begun < 30
    assert (m.status, moments(m)[-1]) == ("SUCCEEDED", 259_200)


def test_virtual_time_begins_where_it_is_told_to():
    m = waits(5)
    drive(m, "{}", nobody, start=1_000_000)
    assert [e["timestamp"].timestamp() for e in m.log.events()][::2] == [1_000_000, 1_000_005, 1_000_005]


def test_replies_are_given_in_the_order_of_their_time_and_then_of_their_making():
    m = machine(
        A={
            "Type": "Parallel",
            "Branches": [{"StartAt": n, "States": {n: {**TASK, "End": True}}} for n in "PQR"],
            "End": True,
        }
    )
    delays = {"P": 2, "Q": 1, "R": 1}
    drive(m, "{}", lambda command: [(delays[command.state], TaskSucceeded(command.token, command.state))])
    ended = [
        e["lambdaFunctionSucceededEventDetails"]["output"]
        for e in m.log.events()
        if e["type"] == "LambdaFunctionSucceeded"
    ]
    assert ended == ['"Q"', '"R"', '"P"']


def test_a_run_can_stop_at_a_moment_and_go_on_from_there():
    m = waits(10, 10)
    d = Drive(m, nobody)
    d.run("{}", until=EPOCH + 9)
    assert (m.status, len(m.log)) == ("RUNNING", 2)
    d.proceed(until=EPOCH + 10)
    assert (m.status, len(m.log)) == ("RUNNING", 4)
    d.proceed()
    assert (m.status, moments(m)[-1]) == ("SUCCEEDED", 20)


def test_when_nothing_can_happen_any_more_the_run_returns_and_the_execution_is_still_running():
    m = machine(A={**TASK, "End": True})
    drive(m, "{}", nobody)
    assert m.status == "RUNNING"


def test_what_is_progress_is_told_after_every_moment():
    m, seen = waits(1, 2), []
    Drive(m, nobody, on_progress=lambda: seen.append(len(m.log))).run("{}")
    assert seen == [4, 8]


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_is_above_nothing(rate):
    with pytest.raises(ValueError, match="rate must be above 0"):
        Drive(waits(1), nobody, rate=rate)


def test_a_workers_exception_is_the_callers():
    def broken(command):
        raise LookupError("nothing is bound")

    with pytest.raises(LookupError, match="nothing is bound"):
        drive(machine(A={**TASK, "End": True}), "{}", broken)


def test_a_finite_rate_sleeps_and_the_history_is_that_of_virtual_time():
    slow, fast = waits(40, 60), waits(40, 60)
    begun = time.perf_counter()
    drive(slow, "{}", nobody, rate=1000)
    took = time.perf_counter() - begun
    drive(fast, "{}", nobody)
    assert 0.09 < took < 30
    assert slow.log.events() == fast.log.events()


def test_a_finite_rate_does_not_drift():
    d = Drive(waits(*[1] * 40), nobody, rate=100, on_progress=lambda: time.sleep(0.008))
    begun = time.perf_counter()
    d.run("{}")
    took = time.perf_counter() - begun
    assert 0.39 < took < 30, "sleeps are counted from the start: what happens between two moments does not add up"


@pytest.mark.parametrize("rate", [1, float("inf")])
def test_stop_from_within_ends_at_the_moment_it_is_called_in(rate):
    m = machine(A={**TASK, "Next": "B"}, B={"Type": "Wait", "Seconds": 100, "End": True})
    d = Drive(m, at_once, rate=rate)
    d.on_progress = lambda: d.stop("Enough", "said so")
    d.run("{}")
    assert (m.status, m.error, m.cause) == ("ABORTED", "Enough", "said so")
    assert m.log.events()[-1]["type"] == "ExecutionAborted"
    assert moments(m)[-1] < 50


def test_stop_from_another_thread_wakes_a_driver_that_sleeps():
    m = waits(10_000)
    d = Drive(m, nobody, rate=100)
    thread = threading.Thread(target=d.run, args=("{}",))
    thread.start()
    while len(m.log) < 2:
        time.sleep(0.001)
    begun = time.perf_counter()
    d.stop()
    thread.join(5)
    assert time.perf_counter() - begun < 30
    assert not thread.is_alive()
    assert m.status == "ABORTED"
    assert 0 <= moments(m)[-1] < 10_000, "the moment the rate had reached"
    assert not m.waits


def test_replies_to_what_was_given_up_are_never_waited_for():
    """A failed branch's sibling would have answered in a year: a finite rate does not sleep until then."""
    m = machine(
        A={
            "Type": "Parallel",
            "Branches": [{"StartAt": n, "States": {n: {**TASK, "End": True}}} for n in "PQ"],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}],
            "End": True,
        },
        B={**TASK, "End": True},
    )

    def worker(command):
        if command.state == "P":
            yield 0.01, TaskFailed(command.token, "E")
        if command.state == "Q":
            yield 3e7, TaskSucceeded(command.token, 1)

    begun = time.perf_counter()
    drive(m, "{}", worker, rate=1)
    assert time.perf_counter() - begun < 30
    assert m.status == "RUNNING", "B is never answered"


def test_many_timers_that_are_never_due_cost_little():
    m = machine(
        A={
            "Type": "Map",
            "ItemProcessor": {"StartAt": "I", "States": {"I": {**TASK, "TimeoutSeconds": 99, "End": True}}},
            "End": True,
        }
    )
    begun = time.perf_counter()
    drive(m, str(list(range(2_000))), at_once)
    assert (m.status, time.perf_counter() - begun < 30) == ("SUCCEEDED", True)
