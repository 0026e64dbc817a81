"""The live graph, from the kernel's side: what is sent, and that patches add up to the whole."""

import json

import pytest

from sflab.asl.parse import load
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine
from sflab.views import widget, wire

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def sent(monkeypatch):
    """What widgets send."""
    import anywidget

    messages = []
    monkeypatch.setattr(anywidget.AnyWidget, "send", lambda _, message, _buffers=None: messages.append(message))
    return messages


def apply(run, patch):
    """What panel.js and widget.js do with a patch."""
    assert patch["from"] == len(run["steps"])
    run["steps"] += patch["steps"]
    for i, visit in patch["visits"].items():
        run["visits"][i : i + 1] = [visit]
    for pointer, (keep, rest) in patch["marks"].items():
        run["marks"][pointer] = run["marks"].get(pointer, [])[:keep] + rest
    run["moves"] = run["moves"][: patch["moves"][0]] + patch["moves"][1]
    run.update({k: patch[k] for k in ("status", "running", "execution", "begun")})
    keep, rest = patch["timeline"]["visits"]
    run["timeline"] = {**patch["timeline"], "visits": run["timeline"]["visits"][:keep] + rest}


def copy(value):
    return json.loads(json.dumps(value))


def test_what_a_browser_is_sent(saga, good) -> None:
    live = widget.live(saga, good, title="saga")
    run = copy(live.get_state()["run"])
    assert (run["title"], run["status"], run["running"]) == ("saga", "SUCCEEDED", False)
    assert len(run["steps"]) == len(good)
    assert run["steps"][1][1:3] == [0.0, "TaskStateEntered"]
    validate = run["visits"][0]
    assert [t["error"] for t in validate["tries"]] == ["Busy", None]
    assert json.loads(validate["output"])["items"] == [1, 2, 3]
    assert run["visits"][-1]["state"] == "Done"
    assert {p for p, _ in run["visits"][3]["path"]} == {"Reserve"}
    edges = live.drawing["edges"]
    assert [edges[e]["kind"] for _, e, _ in run["moves"][:2]] == ["start", "next"]
    assert "widget-view" not in repr(live)
    assert repr(live) == "Run(saga: SUCCEEDED)"


def test_patches_add_up(saga, good, caught, sent) -> None:
    for events in (good, caught):
        live = widget.live(saga, events[:1], running=True)
        run = copy(live.state)
        for n in (1, 5, 8, 20, len(events)):
            live.extend(events[:n])  # some of them are known already
        live.finish("SUCCEEDED")
        for message in sent:
            assert message["type"] == "patch"
            apply(run, copy_keys(message))
        sent.clear()
        assert run == copy(live.state)
        assert not run["running"]
        assert run["steps"] == copy(widget.live(saga, events).state["steps"])


def copy_keys(message):
    return {**copy(message), "visits": {int(i): v for i, v in copy(message["visits"]).items()}}


def test_a_status_the_history_does_not_tell(saga, good) -> None:
    live = widget.live(saga, good[:4], running=True)
    live.finish("TIMED_OUT")
    assert live.state["status"] == "TIMED_OUT"


def test_children_go_on_while_the_history_stands_still(sent) -> None:
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "I",
                 "States": {"I": {"Type": "Pass", "End": True}}}  # fmt: skip
    machine = StateMachine(load({"StartAt": "M", "States": {"M": {
        "Type": "Map", "ItemProcessor": processor, "End": True}}}), name="m")  # fmt: skip
    run = Local().start_execution(machine, [{"n": n} for n in range(80)])
    map_runs = []
    live = widget.live(machine.definition, run.history.events[:4], running=True, map_runs=lambda: map_runs)
    state = copy(live.state)
    live.refresh()
    assert not sent
    map_runs[:] = run.map_runs
    live.refresh()
    live.refresh()
    [patch] = sent
    assert patch["steps"] == patch["moves"][1] == []
    apply(state, copy_keys(patch))
    assert state == copy({k: v for k, v in live.state.items() if k != "children"}) | {"children": state["children"]}
    [told] = patch["children"].values()
    assert (told["statuses"], told["counts"]["succeeded"], len(told["sent"])) == ("S" * 80, 80, 60)
    child = told["sent"][59]
    assert child["visits"][0]["pointer"] == "/States/M/ItemProcessor/States/I"
    assert set(child["marks"]) == {"/States/M/ItemProcessor/States/I"}
    assert len(child["moves"]) == 2
    sent.clear()
    for asked in ([0, 79], [0, 80], [5, 0], "x", [0, -1], [True, None]):
        live.asked(live, {"type": "child", "child": asked}, [])
        live.asked(live, {"type": "text", "child": asked, "visit": 0, "field": "input"}, [])
        live.asked(live, {"type": "flow", "child": asked, "visit": 0}, [])
    assert [(m["type"], m["child"]) for m in sent] == [(t, [0, 79]) for t in ("child", "text", "flow")]
    assert sent[1]["text"] == '{"n":79}'


def test_a_child_whose_history_was_not_kept(sent) -> None:
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "I",
                 "States": {"I": {"Type": "Pass", "End": True}}}  # fmt: skip
    machine = StateMachine(load({"StartAt": "M", "States": {"M": {
        "Type": "Map", "ItemProcessor": processor, "End": True}}}), name="m")  # fmt: skip
    run = Local(histories="none").start_execution(machine, [1, 2])
    [told] = run.show().state["children"].values()
    assert told["sent"][1]["steps"] == []
    assert "was not kept" in told["sent"][1]["lost"]
    assert told["sent"][1]["execution"]["input"] == "2"


def test_a_long_text_is_sent_when_it_is_asked_for(saga, good, sent) -> None:
    long = json.dumps({"pad": "x" * 100_000})
    events = [dict(e) for e in good]
    events[1] = {**events[1], "stateEnteredEventDetails": {"name": "Validate", "input": long}}
    live = widget.live(saga, events)
    assert live.state["visits"][0]["input"] == {"text": long[: wire.LONGEST], "length": len(long)}
    live.asked(live, {"type": "text", "visit": 0, "field": "input"}, [])
    live.asked(live, {"type": "text", "visit": None, "field": "output"}, [])
    live.asked(live, {"type": "resync"}, [])
    for nonsense in (None, [], {"type": "text", "visit": 99, "field": "__class__"}, {"type": "?"}):
        live.asked(live, nonsense, [])
    assert [m["type"] for m in sent] == ["text", "text", "all"]
    assert sent[0]["text"] == long
    assert sent[1]["text"] == good[-1]["executionSucceededEventDetails"]["output"]
    assert sent[2]["run"] is live.state


def test_what_a_notebook_keeps(saga, good, monkeypatch) -> None:
    live = widget.live(saga, good, title="saga")
    monkeypatch.delenv("SFLAB_HEADLESS", raising=False)
    data, _ = live._repr_mimebundle_()
    assert {VIEW, "image/svg+xml", "text/plain"} <= set(data)
    assert data["text/plain"].startswith("saga, SUCCEEDED, ")
    monkeypatch.setenv("SFLAB_HEADLESS", "1")
    data, _ = live._repr_mimebundle_()
    assert set(data) == {"image/svg+xml", "text/plain"}


def test_many_texts_are_sent_in_brief(saga, good, monkeypatch) -> None:
    monkeypatch.setattr(wire, "MOST", 100)
    monkeypatch.setattr(wire, "BRIEF", 10)
    live = widget.live(saga, good)
    assert live.state["visits"][-1]["input"]["text"] == good[-3]["stateEnteredEventDetails"]["input"][:10]
