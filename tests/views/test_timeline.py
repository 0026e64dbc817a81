"""Timelines: what a visit did with its time, what the execution waited for, and the picture of it."""

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.backends.execution import History
from sflab.backends.functions import mock
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine
from sflab.engine import history
from sflab.views import gantt, lanes, phases
from sflab.views.timeline import Timeline

LAMBDA = "arn:aws:states:::lambda:invoke"
SVG = "{http://www.w3.org/2000/svg}"


def task(name, **more):
    return {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": name}, **more}


def run(states, start, given=None, functions=None, tasks=None):
    machine = StateMachine.load({"StartAt": start, "States": states}, name="m")
    return Local(functions=functions or {}, tasks=tasks or {}).start_execution(machine, given or {})


def told(execution):
    """The phases of each visit: state -> [(kind, seconds, error)]."""
    seen = lanes.read(execution.history.events, execution.machine.definition)
    return {
        v.state: [(p.kind, round(p.end - p.start, 3), p.error) for p in found]
        for v, found in zip(seen.visits, seen.phases, strict=True)
    }


def test_what_each_kind_of_visit_did() -> None:
    queue = {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}}
    execution = run(
        {
            "Try": task("Try", Retry=[{"ErrorEquals": ["Busy"], "IntervalSeconds": 2, "BackoffRate": 3}], Next="Ask"),
            "Ask": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Next": "Job",
                    "Parameters": queue},
            "Job": {"Type": "Task", "Resource": "arn:aws:states:::glue:startJobRun.sync", "Next": "Rest",
                    "Parameters": {"JobName": "j"}},
            "Rest": {"Type": "Wait", "Seconds": 5, "Next": "Note"},
            "Note": {"Type": "Pass", "Next": "Break"},
            "Break": task("Break", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "End"}], End=True),
            "End": {"Type": "Fail", "Error": "Over"},
        },
        "Try",
        functions={"Try": mock({}, latency=0.5, fail_first=2, error="Busy"), "Break": mock(error="Bad", latency=1)},
        tasks={"Ask": mock({}, latency=3), "Job": mock({}, latency=4)},
    )  # fmt: skip
    assert told(execution) == {
        "Try": [("work", 0.5, "Busy"), ("backoff", 2, None), ("work", 0.5, "Busy"), ("backoff", 6, None),
                ("work", 0.5, None)],
        "Ask": [("callback", 3, None)],
        "Job": [("job", 4, None)],
        "Rest": [("wait", 5, None)],
        "Note": [("work", 0, None)],
        "Break": [("work", 1, "Bad")],
        "End": [("work", 0, "Over")],
    }  # fmt: skip


def test_an_activity_waits_for_a_worker() -> None:
    local = Local()
    arn = local.create_activity("pack")
    machine = StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": arn, "End": True}}})
    execution = local.start_execution(machine)
    [[phase]] = lanes.read(execution.history.events, machine.definition).phases
    assert phase.kind == "queued"


def test_a_redrive_comes_after_a_stop() -> None:
    execution = run({"A": task("A", End=True)}, "A", functions={"A": mock(error="Bad", latency=1)})
    later = execution.history[-1]["timestamp"].replace(day=3)
    execution.redrive(functions={"A": mock({}, latency=2)}, at=later)
    [found] = told(execution).values()
    assert [kind for kind, *_ in found] == ["work", "stopped", "work"]
    assert found[0][2] == "Bad"
    assert found[1][1] == 2 * 86400


def path(execution):
    events = execution.history.events
    known = history.visits(events, execution.machine.definition)
    return [known[i] for i in phases.critical(known, {e["id"]: e for e in events})]


def test_the_slowest_branch_is_critical() -> None:
    branch = lambda name: {"StartAt": name, "States": {name: task(name, Next=f"{name}2"),  # noqa: E731
                                                      f"{name}2": {"Type": "Pass", "End": True}}}  # fmt: skip
    states = {"P": {"Type": "Parallel", "End": True, "Branches": [branch("Fast"), branch("Slow")]}}
    execution = run(states, "P", functions={"Fast": mock({}, latency=1), "Slow": mock({}, latency=2)})
    assert [v.state for v in path(execution)] == ["P", "Slow", "Slow2"]
    execution = run(states, "P", functions={"Fast": mock(error="Bad", latency=1), "Slow": mock({}, latency=2)})
    assert [v.state for v in path(execution)] == ["P", "Fast"]


def each(seconds, concurrency):
    """A Map of Waits."""
    waits = {"StartAt": "I", "States": {"I": {"Type": "Wait", "SecondsPath": "$", "End": True}}}
    states = {"Each": {"Type": "Map", "End": True, "ItemsPath": "$.items", "MaxConcurrency": concurrency,
                       "ItemProcessor": waits}}  # fmt: skip
    return run(states, "Each", {"items": seconds})


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 4))
def test_the_critical_path_is_as_long_as_the_execution(latencies, concurrency) -> None:
    """Iterations that wait for each other: those on the path follow one another without a gap and fill the Map."""
    execution = each(latencies, concurrency)
    inner = [v for v in path(execution) if v.path]
    assert sum(v.seconds for v in inner) == execution.seconds
    ordered = sorted(inner, key=lambda v: v.entered)
    assert all(a.exited == b.entered for a, b in pairwise(ordered))


@given(st.integers(1, 60), st.integers(0, 3))
def test_phases_fill_their_visit(failing, concurrency) -> None:
    execution = each([failing % 7 + 1] * (failing % 9 + 1), concurrency)
    for n in (1, 3, len(execution.history) // 2 + 1, len(execution.history)):
        seen = lanes.read(execution.history.events[:n], execution.machine.definition)
        for v, found in zip(seen.visits, seen.phases, strict=True):
            assert found[0].start == v.entered
            assert found[-1].end == seen.end(v)
            assert all(a.end == b.start for a, b in pairwise(found))


# ── the picture ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("which", ["good", "caught", "failed"])
def test_the_picture_has_every_visit(which, saga, request) -> None:
    events = request.getfixturevalue(which)
    shown = History(events, saga).timeline(title="<b>saga</b>")
    tree = ET.fromstring(shown.svg)
    assert float(tree.get("width")) <= 760
    assert tree.find(f"{SVG}rect").get("fill") == "#ffffff"  # opaque
    texts = [t.text for t in tree.iter(f"{SVG}text")]
    assert "<b>saga</b>" in texts
    for v in shown.reading.visits:
        assert any(v.state in text for text in texts), v.state
        assert v.state in shown.text
    assert shown.svg == Timeline(events, saga, title="<b>saga</b>").svg
    for place in re.findall(r'(?:\bx|cx)="(-?[\d.]+)"', shown.svg):
        assert -1 <= float(place) <= 760
    assert repr(shown).startswith("Timeline(<b>saga</b>, ")


def test_a_long_wait_is_drawn_short(saga, good) -> None:
    seen = lanes.read(good, saga)
    assert len(seen.idle) == 3
    assert all(b - a == pytest.approx(259200) for a, b in seen.idle)
    axis = lanes.Axis(seen, 400)
    places = [axis(t) for t in sorted({v.entered for v in seen.visits})]
    assert places == sorted(places)
    assert axis(seen.ended) == 400
    assert "9 days in which everything waited are drawn short" in History(good, saga).timeline().text


def test_waiting_that_leaves_room_is_drawn_as_it_is() -> None:
    execution = run({"A": task("A", Next="W"), "W": {"Type": "Wait", "Seconds": 2, "End": True}}, "A",
                    functions={"A": mock({}, latency=1)})  # fmt: skip
    assert execution.timeline().reading.idle == ()
    alone = run({"W": {"Type": "Wait", "Seconds": 2, "End": True}}, "W")
    assert alone.timeline().reading.idle == ()


def test_the_text_is_ascii_but_for_names(saga, caught) -> None:
    text = History(caught, saga).timeline(title="saga").text
    assert text.isascii()
    lines = text.splitlines()
    assert lines[0] == "saga, FAILED, 1.6 s, 5 visits"
    assert re.match(r"\* +\[0\] Stock +\| +#*x\| +1.5 s +100 ms +OutOfStock$", lines[3])
    assert lines[4].startswith("  ")  # the other branch is not on the critical path


def test_one_visit_and_none() -> None:
    one = run({"P": {"Type": "Pass", "End": True}}, "P").timeline()
    assert "1 visit" in one.text
    ET.fromstring(one.svg)
    nothing = History([]).timeline(title="nothing")
    assert nothing.text == "nothing, not started, 0 ms, 0 visits"
    ET.fromstring(nothing.svg)


def test_a_history_that_stops_anywhere(saga, good) -> None:
    for n in range(1, len(good) + 1):
        shown = History(good[:n], saga).timeline()
        ET.fromstring(shown.svg)
        assert shown.text
    assert "RUNNING" in History(good[:5], saga).timeline().text


def test_many_visits_are_cut_and_that_is_said() -> None:
    inner = {"StartAt": "One", "States": {"One": {"Type": "Pass", "Next": "Two"}, "Two": {"Type": "Wait", "Seconds": 1,
                                                                                        "End": True}}}  # fmt: skip
    states = {
        "Each": {"Type": "Map", "End": True, "ItemsPath": "$.items", "MaxConcurrency": 40, "ItemProcessor": inner}
    }
    few = run(states, "Each", {"items": list(range(50))}).timeline()
    found = lanes.rows(few.reading)
    assert [row.label for row in found[1:3]] == ["[0] One → Two", "[1] One → Two"]
    assert sum(len(row.visits) for row in found) == 101  # an iteration has one row, all are there
    assert not any(row.more for row in found)
    many = run(states, "Each", {"items": list(range(2000))}).timeline()
    found = lanes.rows(many.reading)
    assert len(found) <= lanes.MOST + 10
    assert sum(len(row.visits) for row in found) == 4001
    assert "visits are not shown one by one; run.visits.df has all" in many.text
    assert len(many.svg) < 60_000


def test_what_went_wrong_is_not_cut() -> None:
    def odd(item):
        if item == 777:
            raise ValueError("odd")
        return item

    inner = {"StartAt": "I", "States": {"I": task("I", End=True, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "J"}]),
                                        "J": {"Type": "Pass", "End": True}}}  # fmt: skip
    inner["States"]["I"]["Parameters"]["Payload.$"] = "$"
    states = {"Each": {"Type": "Map", "End": True, "ItemsPath": "$.items", "ItemProcessor": inner}}
    execution = run(states, "Each", {"items": list(range(1500))}, functions={"I": odd})
    assert "[777] I → J" in [row.label for row in lanes.rows(execution.timeline().reading)]


def test_the_legend_tells_only_of_what_is_there(saga, good) -> None:
    words = lambda shown: {t.text for t in ET.fromstring(shown.svg).iter(f"{SVG}text")}  # noqa: E731
    assert {"working", "waiting", "waiting to retry", "waiting for its token", "critical path", "error"} <= words(
        History(good, saga).timeline()
    )
    plain = words(run({"W": {"Type": "Wait", "Seconds": 2, "End": True}}, "W").timeline())
    assert "waiting" in plain
    assert not {"working", "error", "job running"} & plain


@pytest.mark.parametrize("seconds", [1e-3, 0.25, 3, 59, 3600, 90_000, 3e7])
def test_the_axis_has_few_round_ticks(seconds) -> None:
    seen = lanes.Reading([], [], frozenset(), 100.0, 100.0 + seconds, "SUCCEEDED", ())
    ticks = list(lanes.Axis(seen, 480).ticks(70))
    assert 2 <= len(ticks) <= 8
    assert ticks[0] == (0.0, "0 ms")
    assert len({text for _, text in ticks}) == len(ticks)
    assert gantt.svg(seen, title="t")
