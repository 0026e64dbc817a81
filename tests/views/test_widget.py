"""The live graph, from the kernel's side: what is sent, and that patches add up to the whole."""

import json

import pytest

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
