"""The live graph, looked into: iterations, child executions, what is collapsed, found, linked, beside each other."""

import json

import pytest

import sflab as sf
from sflab.views import beside, widget

LAMBDA = "arn:aws:states:::lambda:invoke"
PACK = {
    "StartAt": "Pack",
    "States": {
        "Pack": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "Pack", "Payload.$": "$"},
                 "OutputPath": "$.Payload", "Retry": [{"ErrorEquals": ["Jam"]}], "Next": "Heavy?",
                 "Catch": [{"ErrorEquals": ["Lost"], "Next": "Skip"}]},
        "Heavy?": {"Type": "Choice", "Choices": [{"Variable": "$.kg", "NumericGreaterThan": 9, "Next": "Lift"}],
                   "Default": "Label"},
        "Lift": {"Type": "Pass", "End": True},
        "Label": {"Type": "Pass", "End": True},
        "Skip": {"Type": "Pass", "End": True},
    },
}  # fmt: skip
ORDERS = {
    "StartAt": "Read",
    "States": {
        "Read": {"Type": "Pass", "Parameters": {"n.$": "States.ArrayLength($.parcels)"}, "ResultPath": "$.read",
                 "Assign": {"count.$": "$.n"}, "Next": "Both"},
        "Both": {"Type": "Parallel", "ResultPath": None, "Next": "Tell", "Branches": [
            {"StartAt": "Each", "States": {"Each": {
                "Type": "Map", "ItemsPath": "$.parcels", "MaxConcurrency": 1, "ItemProcessor": PACK, "End": True}}},
            {"StartAt": "Rest", "States": {"Rest": {"Type": "Wait", "Seconds": 2, "End": True}}}]},
        "Tell": {"Type": "Pass", "Parameters": {"n.$": "$count"}, "End": True},
    },
}  # fmt: skip
MACHINE = sf.StateMachine.load(ORDERS, name="orders")


class JamError(Exception):
    pass


def run(parcels, machine=MACHINE):
    jams = []

    def pack(event, context):
        if event["sku"] == "gone":
            raise type("Lost", (Exception,), {})("nowhere")
        if event["sku"] == "lamp" and not jams:
            jams.append(1)
            raise type("Jam", (Exception,), {})("stuck")
        return {**event, "packed": True}

    return sf.Local(functions={"Pack": pack}).start_execution(machine, {"who": "Ann", "parcels": parcels})


@pytest.fixture(scope="module")
def good():
    return run([{"sku": "lamp", "kg": 2}, {"sku": "safe", "kg": 90}, {"sku": "gone", "kg": 1}])


@pytest.fixture(scope="module")
def scale():
    """A Distributed Map: three child executions whose histories are sent, and many that are not."""
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    each = {"Type": "Map", "ItemsPath": "$.parcels", "ItemProcessor": {**config, **PACK}, "End": True}
    machine = sf.StateMachine.load({"StartAt": "Each", "States": {"Each": each}}, name="scale")
    return run([{"sku": "gone" if n == 1 else "lamp", "kg": n} for n in range(150)], machine)


def name(run, text):
    """The state of that name."""
    return run.locator(".state", has=run.page.get_by_text(text, exact=True)).last


def click(run, text):
    run.page.locator(".state text").get_by_text(text, exact=True).or_(
        run.locator(".state text", has_text=text)
    ).first.click()


def status(run, text):
    return next(c for c in name(run, text).get_attribute("class").split() if c.startswith("s-"))


def test_one_iteration_of_all(good, show, page, seen, shoot) -> None:
    shown = show(good.show())
    inner = ("Pack", "Heavy?", "Lift", "Label", "Skip")
    all_of_them = [status(shown, n) for n in inner]
    assert all_of_them == ["s-caught", "s-succeeded", "s-succeeded", "s-succeeded", "s-succeeded"]
    click(shown, "Pack")
    panel = shown.locator(".panel")
    choice = panel.get_by_label("Which iteration of Each")
    assert choice.locator("option").all_inner_texts()[1:] == [
        f"iteration {n} of Each · succeeded" for n in range(3)
    ]  # a catcher took the error inside
    expected = {
        "0": ["s-succeeded", "s-succeeded", "s-idle", "s-succeeded", "s-idle"],
        "1": ["s-succeeded", "s-succeeded", "s-succeeded", "s-idle", "s-idle"],
        "2": ["s-caught", "s-idle", "s-idle", "s-idle", "s-succeeded"],
    }
    data = {"0": "lamp", "1": "safe", "2": "gone"}
    for index, colours in expected.items():
        choice.select_option(index)
        assert [status(shown, n) for n in inner] == colours, index
        assert data[index] in panel.locator("details", has_text="Input").locator("pre").first.inner_text()
        assert shown.locator(".only:visible").inner_html().count(f"iteration {index}") == 1
    assert "Lost" in panel.inner_text()
    shoot("inside-iteration")
    # The way taken, too, is this iteration's.
    lines = shown.locator(".edge.k-catch.taken")
    assert lines.count() == 1
    page.keyboard.press("[")
    assert shown.locator(".edge.k-catch.taken").count() == 0
    assert choice.input_value() == "1"
    page.keyboard.press("]")
    assert choice.input_value() == "2"
    choice.select_option("")
    assert [status(shown, n) for n in inner] == all_of_them
    assert not seen.errors + seen.beyond


def test_a_map_says_how_far_it_is(good, show) -> None:
    shown = show(good.show())
    click(shown, "Each")
    slider = shown.locator("input[type=range]")
    passed = []
    for position in range(len(good.history) + 1):
        slider.evaluate("(e, to) => { e.value = to; e.dispatchEvent(new Event('input')) }", position)
        said = shown.locator(".counts").get_attribute("aria-label") if shown.locator(".counts").count() else ""
        if said and said not in passed:
            passed.append(said)
    assert passed == [
        "Progress: 3 pending", "Progress: 1 running, 2 pending", "Progress: 1 succeeded, 2 pending",
        "Progress: 1 succeeded, 1 running, 1 pending", "Progress: 2 succeeded, 1 pending",
        "Progress: 2 succeeded, 1 running", "Progress: 3 succeeded",
    ]  # fmt: skip


def test_a_child_execution(scale, show, page, seen, shoot) -> None:
    shown = show(scale.show())
    assert name(shown, "Each").locator(".badge text").first.text_content() == "150/150"
    assert status(shown, "Pack") == "s-idle"  # a history does not tell of child executions
    click(shown, "Each")
    choice = shown.get_by_label("Which child execution of Each")
    choice.select_option("1")
    assert [status(shown, n) for n in ("Pack", "Skip", "Label")] == ["s-caught", "s-succeeded", "s-idle"]
    child = shown.locator("section.child")
    assert child.locator("pre").first.inner_text().replace("\n", "").replace(" ", "") == '{"sku":"gone","kg":1}'
    click(shown, "Pack")
    assert "Lost" in shown.locator(".panel").inner_text()
    assert '"sku": "gone"' in shown.locator(".panel").inner_text()
    shoot("inside-child")
    # One that was not sent is asked for, and shown when it comes.
    choice.select_option("149")
    assert "Asking the kernel" in shown.locator(".panel").inner_text()
    asked = page.evaluate("window.sent.at(-1)")
    assert asked == {"type": "child", "child": [0, 149]}
    live = scale.show()
    answers = []
    live.send = answers.append
    live.asked(live, asked, [])
    page.evaluate("m => window.told(m)", json.loads(json.dumps(answers[0])))
    assert status(shown, "Lift") == "s-succeeded"
    assert '"kg": 149' in shown.locator(".panel").inner_text()
    assert not seen.errors + seen.beyond


def test_collapse_and_expand(good, show, page, seen, shoot) -> None:
    shown = show(good.show())
    tell = name(shown, "Tell")
    before = page.evaluate("document.querySelector('.stage > svg').getBBox().height")
    name(shown, "Pack").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+C")
    assert not name(shown, "Pack").is_visible()
    assert not name(shown, "Each").is_visible()
    assert name(shown, "Both").get_attribute("aria-expanded") == "false"
    assert shown.locator(".toggle text:visible").all_text_contents() == ["7 states"]
    after = page.evaluate("document.querySelector('.stage > svg').getBBox().height")
    assert after < before * 0.6
    both, below = name(shown, "Both").bounding_box(), tell.bounding_box()
    assert both["y"] + both["height"] <= below["y"] + 1
    shoot("inside-collapsed")
    # Arrow keys pass over what is hidden.
    name(shown, "Both").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Tell")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("c")
    assert name(shown, "Both").get_attribute("aria-expanded") == "true"
    assert not name(shown, "Pack").is_visible()  # its Map is still collapsed
    # A click expands; then everything is where it was.
    name(shown, "Each").locator(".toggle rect").click()
    assert name(shown, "Pack").is_visible()
    assert abs(page.evaluate("document.querySelector('.stage > svg').getBBox().height") - before) < 1
    assert not seen.errors


def test_finding_a_state(good, show, page, seen) -> None:
    shown = show(good.show())
    shown.locator(".state[tabindex='0']").focus()
    page.keyboard.press("Shift+C")
    page.keyboard.press("/")
    page.keyboard.type("L")
    assert shown.locator(".hits").inner_text() == "1 of 3"  # Tell, Lift, Label
    page.keyboard.type("abel")
    assert shown.locator(".hits").inner_text() == "1 of 1"
    assert name(shown, "Label").is_visible()  # it was inside something collapsed
    stage, box = shown.locator(".stage").bounding_box(), name(shown, "Label").bounding_box()
    assert stage["y"] < box["y"] < stage["y"] + stage["height"]
    page.keyboard.press("Enter")
    assert shown.locator(".panel h3").inner_text() == "Label"
    page.keyboard.press("Escape")
    assert shown.locator(".hits").inner_text() == ""
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Label")
    page.keyboard.press("?")
    assert shown.locator(".legend").is_visible()
    page.keyboard.press("Escape")
    assert not shown.locator(".legend").is_visible()
    assert not seen.errors


def test_what_each_field_did(good, show, page, seen, shoot) -> None:
    shown = show(good.show())
    click(shown, "Read")
    panel = shown.locator(".panel")
    stages = panel.locator(".flow")
    assert [s.split("\n")[0] for s in stages.locator("b").all_inner_texts()] == ["Parameters", "ResultPath", "Assign"]
    stages.nth(1).locator("summary").click()
    assert stages.nth(1).locator(".fresh").all_inner_texts() == ['"read"']
    shoot("inside-flow")
    click(shown, "Tell")
    said = panel.locator("details", has_text="Variables").locator("pre").first.inner_text()
    assert json.loads(said) == {"count": 3}
    click(shown, "Pack")
    panel.get_by_label("Which iteration of Each").select_option("0")
    assert "selects $.Payload of that" in panel.inner_text()
    assert not seen.errors


def test_a_flow_that_was_not_sent_is_asked_for(good, show, page, monkeypatch) -> None:
    monkeypatch.setattr("sflab.views.wire.FLOWS", 0)
    live = good.show()
    shown = show(live)
    click(shown, "Read")
    asked = page.evaluate("window.sent")
    assert asked == [{"type": "flow", "visit": 0, "child": None}]
    answers = []
    live.send = answers.append
    live.asked(live, asked[0], [])
    page.evaluate("m => window.told(m)", json.loads(json.dumps(answers[0])))
    assert shown.locator(".flow").count() == 3


def test_what_else_shows_the_run_is_linked(good, show, page) -> None:
    shown = show(good.show())
    page.evaluate("""() => {
        window.heard = [];
        const root = document.querySelector('.sflab-run');
        for (const name of ['select', 'seek', 'hover'])
            root.addEventListener(`sflab:${name}`, (e) => window.heard.push([name, e.detail]));
        window.tell = (name, detail) => root.dispatchEvent(new CustomEvent(`sflab:${name}`, {detail}));
    }""")
    click(shown, "Read")
    heard = page.evaluate("window.heard")
    assert ["select", {"state": "/States/Read", "visit": 2, "source": "graph"}] in heard
    page.evaluate("window.heard = []; window.tell('seek', {event: 3, source: 'timeline'})")
    assert shown.locator("input[type=range]").input_value() == "3"
    page.evaluate("window.tell('select', {state: '/States/Both', visit: null, source: 'timeline'})")
    assert shown.locator(".panel h3").inner_text() == "Both"
    page.evaluate("window.tell('hover', {state: '/States/Tell', visit: null, source: 'timeline'})")
    assert name(shown, "Tell").get_attribute("class").split().count("hovered") == 1
    page.evaluate("window.tell('select', {state: '/nonsense'}); window.tell('seek', {event: '<'})")
    assert shown.locator(".panel h3").inner_text() == "Execution"
    assert [n for n, d in page.evaluate("window.heard") if d.get("source") == "graph"] == []
    page.keyboard.press("End")
    assert page.evaluate("window.heard.at(-1)[1].event") == len(good.history)
    assert shown.locator(".sflab-timeline").count() == 1


def test_two_executions_beside_each_other(good, show, page, seen, shoot) -> None:
    other = run([{"sku": "lamp", "kg": 2}, {"sku": "box", "kg": 1}])
    shown = show(good.show(beside=other))
    assert shown.count() == 2
    left, right = shown.nth(0), shown.nth(1)
    marks = left.locator(".state:has(.differs)")
    labels = {label.split(",")[0]: label for label in marks.evaluate_all("gs => gs.map(g => g.ariaLabel)")}
    assert "error caught here, succeeded there; entered 3 times here, 2 times there" in labels["Pack"]
    assert left.locator(".next-difference").inner_text() == f"≠ {marks.count()} states"
    left.locator(".next-difference").click()
    assert left.locator(".panel h3").inner_text() == right.locator(".panel h3").inner_text() == "Read"
    assert "another input" in right.locator(".differing").inner_text()
    page.keyboard.press("d")
    shoot("beside")
    # One is scrubbed, the other follows by time; the end of one is the end of both.
    for position, expected in ((0, "0"), (len(good.history), str(len(other.history)))):
        left.locator("input[type=range]").evaluate(
            "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')) }", position
        )
        assert right.locator("input[type=range]").input_value() == expected
    # What is asked for, is asked of the right one.
    page.evaluate(
        "window.told({type: 'all', side: 1, run: {steps: [], visits: [], marks: {}, moves: [], execution: {}}})"
    )
    assert right.locator(".now").inner_text().startswith("0")
    assert not left.locator(".now").inner_text().startswith("0 ")
    page.evaluate("document.body.style.background = '#111'")
    page.wait_for_selector(".sflab-run[data-theme=dark]")
    assert not seen.errors + seen.beyond


def test_two_sides_of_one_are_alike(good) -> None:
    assert beside.differences(good._side(), good._side()) == ({}, {})
    assert isinstance(widget.live(MACHINE.definition, good.history.events).drawing, dict)
