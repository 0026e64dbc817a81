"""The live graph in a page of its own, with no kernel behind it: all it does, it does in the browser."""

import json

import pytest

from sflab.asl.parse import load
from sflab.backends.functions import mock
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine
from sflab.views import widget

LAMBDA = "arn:aws:states:::lambda:invoke"
BAD = "<img src=x onerror=window.hurt=1>"
ORDER = {
    "StartAt": "Check",
    "States": {
        "Check": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "Check"}, "Next": "Each",
                  "OutputPath": "$.Payload", "Retry": [{"ErrorEquals": ["Busy"]}]},
        "Each": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 1, "ResultPath": None, "Next": "Pause",
                 "Iterator": {"StartAt": "Item", "States": {"Item": {"Type": "Pass", "End": True}}}},
        "Pause": {"Type": "Wait", "Seconds": 259200, "Next": BAD},
        BAD: {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": BAD}, "End": True,
              "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Give up"}]},
        "Give up": {"Type": "Fail", "Error": "GaveUp", "Cause": BAD},
    },
}  # fmt: skip
CAUSE = json.dumps({"errorMessage": json.dumps({"why": BAD, "id": 12345678901234567890}), "trace": "one\ntwo"})


@pytest.fixture(scope="module")
def order():
    check = mock({"items": [1, 2, 3], "long": "z" * 30_000}, fail_first=1, error="Busy", latency=0.5)
    local = Local(functions={"Check": check}, tasks={BAD: mock(error="Broken", cause=CAUSE, latency=0.5)})
    execution = local.start_execution(StateMachine(load(ORDER), name="order"), {"order": BAD})
    return execution.machine.definition, execution.history.events


def state(run, name):
    return run.locator(".state", has=run.page.get_by_text(name, exact=True)).last


def scrub(run, position):
    run.locator("input[type=range]").evaluate(
        "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')) }", position
    )


def status(run, name):
    return next(c for c in state(run, name).get_attribute("class").split() if c.startswith("s-"))


def test_colours_at_every_position(order, show, page, seen, shoot) -> None:
    definition, events = order
    live = widget.live(definition, events, title="order")
    run = show(live)
    names = {s["name"]: p for p, s in live.drawing["states"].items() if s["name"] != BAD}
    for position in range(len(events), -1, -1):
        scrub(run, position)
        for name, pointer in names.items():
            marks = [m for m in live.state["marks"].get(pointer, []) if m[0] <= position]
            assert status(run, name) == f"s-{marks[-1][1].lower() if marks else 'idle'}", (name, position)
    assert not run.locator(".edge.taken").count()
    scrub(run, len(events))
    assert run.locator(".edge.taken").count() == 7
    assert run.locator(".top .pill").inner_text() == "failed"
    assert state(run, "Each").locator(".badge text").text_content() == "3/3"
    shoot("live-graph")
    assert not seen.errors + seen.beyond


def test_a_click_shows_what_is_known(order, show, page, seen, shoot) -> None:
    run = show(widget.live(*order))
    panel = run.locator(".panel")
    assert "GaveUp" in panel.inner_text()
    run.locator(".state.s-caught").click()
    assert panel.locator("h3").inner_text() == BAD
    said = panel.inner_text()
    assert "Broken" in said
    assert "12345678901234567890" in said  # not through a double
    assert '"why": "<img src=x onerror=window.hurt=1>"' in said  # JSON inside a string is unfolded
    shoot("live-graph-error")
    state(run, "Check").click()
    assert panel.locator("tbody tr").all_inner_texts() == ["1\t+0 ms\t500 ms\tBusy", "2\t+1.5 s\t500 ms\tsuccess"]
    scrub(run, 4)
    assert "still running" in panel.inner_text()
    assert panel.locator("summary", has_text="Output").count() == 0
    assert page.evaluate("window.hurt") is None
    assert not seen.errors + seen.beyond


def test_one_of_several_visits(order, show) -> None:
    run = show(widget.live(*order))
    state(run, "Item").click()
    chooser = run.locator(".visits select")
    assert chooser.locator("option").all_inner_texts()[0] == "1 of 3 · Each[0] · succeeded"
    assert run.locator(".panel pre").first.inner_text() == "3"
    run.get_by_label("Previous visit").click()
    assert run.locator(".panel pre").first.inner_text() == "2"
    chooser.select_option("0")
    assert run.locator(".panel pre").first.inner_text() == "1"


def test_a_long_text_is_fetched(order, show, page) -> None:
    run = show(widget.live(*order))
    state(run, "Check").click()
    run.locator(".more").click()
    [asked] = page.evaluate("window.sent")
    assert asked == {"type": "text", "visit": 0, "field": "output"}
    page.evaluate("(m) => window.told(m)", {**asked, "text": '{"whole": true}'})
    assert '"whole": true' in run.locator(".panel").inner_text()


def test_play_takes_seconds_not_days(order, show, page) -> None:
    run = show(widget.live(*order))
    page.evaluate("""() => {
        const slider = document.querySelector('.sflab-run input[type=range]');
        window.passed = new Set();
        const look = () => { window.passed.add(Number(slider.value)); requestAnimationFrame(look); };
        look();
    }""")
    run.get_by_label("Speed").select_option("2")
    run.get_by_label("Play (space)").click()
    run.get_by_label("Pause (space)").wait_for()
    run.get_by_label("Play (space)").wait_for(timeout=10_000)
    assert len(page.evaluate("[...window.passed]")) > len(order[1]) / 2


def test_the_keyboard_does_it_all(order, show, page, seen) -> None:
    run = show(widget.live(*order))
    page.evaluate("() => { window.leaked = 0; document.addEventListener('keydown', () => { window.leaked += 1; }) }")
    run.locator(".state[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "Each, Map, succeeded, 3/3 items"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "Item, Pass, succeeded, 3 visits"
    page.keyboard.press("Enter")
    assert run.locator(".panel h3").inner_text() == "Item"
    assert state(run, "Item").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert run.locator(".panel h3").inner_text() == "Execution"
    page.keyboard.press("Home")
    page.keyboard.press(".")
    page.keyboard.press(".")
    slider = run.locator("input[type=range]")
    assert slider.get_attribute("aria-valuetext") == f"2 of {len(order[1])}: TaskStateEntered, Check, after 0 ms"
    page.keyboard.press(",")
    assert slider.input_value() == "1"
    page.keyboard.press("End")
    assert slider.input_value() == str(len(order[1]))
    assert page.evaluate("window.leaked") == 0
    assert not seen.errors


def test_patches_arrive(order, show, page, monkeypatch) -> None:
    definition, events = order
    live = widget.live(definition, events[:1], running=True)
    run = show(live)
    assert page.evaluate("window.sent") == [{"type": "resync"}]
    assert run.locator(".follow").is_visible()
    patches = []
    monkeypatch.setattr(type(live), "send", lambda _, message, _buffers=None: patches.append(message))
    for n in range(1, len(events), 3):
        live.extend(events[n : n + 3])
    live.finish("FAILED")
    lost = patches.pop(3)
    for patch in patches[:3]:
        page.evaluate("(m) => window.told(m)", json.loads(json.dumps(patch)))
    assert run.locator("input[type=range]").input_value() == "10"
    page.evaluate("(m) => window.told(m)", json.loads(json.dumps(patches[3])))
    assert page.evaluate("window.sent.length") == 2  # it noticed that one is missing, and asked
    assert lost["from"] == 10
    page.evaluate("(m) => window.told(m)", {"type": "all", "run": json.loads(json.dumps(live.state))})
    assert run.locator("input[type=range]").input_value() == str(len(events))
    assert run.locator(".top .pill").inner_text() == "failed"
    assert run.locator(".edge.taken").count() == 7
    assert not run.locator(".follow").is_visible()


def test_dark_and_narrow(order, show, page, shoot) -> None:
    run = show(widget.live(*order, title="order"))
    assert run.get_attribute("data-theme") == "light"
    page.evaluate("document.body.style.background = '#111'")
    page.wait_for_selector(".sflab-run[data-theme=dark]")
    page.set_viewport_size({"width": 480, "height": 1000})
    box, panel = run.locator(".stage").bounding_box(), run.locator(".panel").bounding_box()
    assert panel["y"] >= box["y"] + box["height"]
    assert run.evaluate("e => e.scrollWidth <= e.clientWidth")
    shoot("live-graph-dark-narrow")


def test_zoom_and_pan(order, show, page) -> None:
    run = show(widget.live(*order))
    box = lambda: [float(v) for v in run.locator(".stage > svg").get_attribute("viewBox").split()]  # noqa: E731
    before = box()
    run.get_by_label("Zoom in (+)").click()
    assert box()[2] < before[2]
    run.get_by_label("Show all (0)").click()
    whole = box()
    stage = run.locator(".stage").bounding_box()
    page.mouse.move(stage["x"] + 20, stage["y"] + 20)
    page.mouse.down()
    page.mouse.move(stage["x"] + 120, stage["y"] + 60, steps=4)
    page.mouse.up()
    assert box()[0] < whole[0]
    assert box()[1] < whole[1]
    assert run.locator(".panel h3").inner_text() == "Execution"  # a drag is not a click
    page.mouse.wheel(0, 300)
    assert box()[2] == whole[2]  # the wheel alone scrolls the notebook
    page.keyboard.down("Control")
    page.mouse.wheel(0, 300)
    page.keyboard.up("Control")
    page.wait_for_function(
        "w => Number(document.querySelector('.stage > svg').getAttribute('viewBox').split(' ')[2]) > w", arg=whole[2]
    )


def test_shown_only_later(order, show, page) -> None:
    run = show(widget.live(*order))
    page.evaluate("""() => {
        window.dispose();
        const old = document.querySelector('.sflab-run');
        const hidden = old.parentElement;
        old.remove();
        hidden.style.display = 'none';
        window.again(hidden);
    }""")
    page.evaluate("document.querySelector('.sflab-run').parentElement.style.display = 'block'")
    page.wait_for_function("() => document.querySelector('.stage > svg').getAttribute('viewBox')")
    stage, last = run.locator(".stage").bounding_box(), state(run, "Give up").bounding_box()
    assert stage["y"] < last["y"]
    assert last["y"] + last["height"] < stage["y"] + stage["height"]
