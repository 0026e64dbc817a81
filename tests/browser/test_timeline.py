"""The timeline in a page of its own: in the live graph, linked with it; and the picture a saved notebook has."""

import pytest

from sflab.backends.functions import mock
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine
from sflab.costs.latency import lognormal
from sflab.views import widget

LAMBDA = "arn:aws:states:::lambda:invoke"
BAD = "<img src=x onerror=window.hurt=1>\u202e漢字"
LISTEN = """() => {
    window.heard = [];
    const root = document.querySelector('.sflab-run');
    for (const name of ['select', 'seek', 'hover'])
        root.addEventListener(`sflab:${name}`, (e) => window.heard.push([name, e.detail]));
}"""


def task(name, **more):
    return {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": name}, **more}


MACHINE = {
    "StartAt": "Charge",
    "States": {
        "Charge": task("Charge", Retry=[{"ErrorEquals": ["Busy"], "IntervalSeconds": 1}], Next="Both"),
        "Both": {
            "Type": "Parallel",
            "Next": "Wait",
            "Branches": [
                {"StartAt": BAD, "States": {BAD: task("Pack", End=True)}},
                {
                    "StartAt": "Each",
                    "States": {
                        "Each": {
                            "Type": "Map",
                            "End": True,
                            "MaxConcurrency": 5,
                            "ItemsPath": "$.Payload.items",
                            "ItemProcessor": {"StartAt": "Item", "States": {"Item": task("Item", End=True)}},
                        }
                    },
                },
            ],
        },
        "Wait": {"Type": "Wait", "Seconds": 259200, "Next": "Ship"},
        "Ship": task("Ship", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Sorry"}], Next="Done"),
        "Done": {"Type": "Succeed"},
        "Sorry": {"Type": "Fail", "Error": "GaveUp"},
    },
}


def run(items=50, **functions):
    given = {
        "Charge": mock({"items": list(range(items))}, latency=0.7, fail_first=2, error="Busy"),
        "Pack": mock({}, latency=3),
        "Item": mock({}, latency=lognormal(p50=0.4, p99=1.5)),
        "Ship": mock(error="Broken", latency=0.5),
        **functions,
    }
    return Local(functions=given).start_execution(StateMachine.load(MACHINE, name="order"), {})


@pytest.fixture(scope="module")
def order():
    return run()


@pytest.fixture
def run_shown(page, show):
    """Show an execution's live graph on a page that has room for the timeline, too, and hear what it tells."""

    def run_shown(execution):
        page.set_viewport_size({"width": 1200, "height": 1300})
        root = show(widget.live(execution.machine.definition, execution.history.events, title=str(execution)))
        page.evaluate(LISTEN)
        return root

    return run_shown


def heard(page, name):
    return [detail for what, detail in page.evaluate("window.heard") if what == name]


def test_a_row_for_each_visit(order, run_shown, page, seen, shoot) -> None:
    root = run_shown(order)
    timeline = root.locator(".sflab-timeline")
    critical = len(order.timeline().critical)
    assert timeline.locator(".said").inner_text() == f"57 visits, {critical} visits on the critical path (●)"
    charge = timeline.locator(".visit").first
    assert charge.get_attribute("aria-label").startswith("Charge, succeeded, from 0 ms, took 5.1 s, 3 attempts")
    assert charge.locator("rect.mark").count() == 3  # attempts
    assert charge.locator("path.gap").count() == 2  # back-off between them
    assert charge.locator(".s-failed circle").count() == 2
    assert timeline.locator(".visit").count() < 25  # only what is in view
    shoot("timeline-live")
    page.evaluate("document.body.style.background = '#111'")
    page.wait_for_selector(".sflab-run[data-theme=dark]")
    root.locator(".sflab-timeline .rows").evaluate("e => { e.scrollTop = 1e6; }")
    page.wait_for_function("document.querySelector('.sflab-timeline .lanes').textContent.includes('Sorry')")
    failed = timeline.locator(".visit", has_text="Sorry").last
    assert "failed" in failed.get_attribute("aria-label")
    shoot("timeline-live-dark")
    assert page.evaluate("window.hurt") is None
    assert not seen.errors + seen.beyond


def test_it_is_linked_with_the_graph(order, run_shown, page, seen) -> None:
    root = run_shown(order)
    timeline = root.locator(".sflab-timeline")
    timeline.locator(".visit", has_text="Both").first.click(position={"x": 60, "y": 8})
    assert root.locator(".panel h3").inner_text() == "Both"
    [told] = heard(page, "select")
    assert (told["state"], told["source"]) == ("/States/Both", "timeline")
    root.locator(".state", has=page.get_by_text("Charge", exact=True)).last.click()
    assert "Charge" in timeline.locator(".visit.chosen").get_attribute("aria-label")
    timeline.locator(".visit", has_text="Both").first.hover()
    assert root.locator(".state.hovered").count() == 1
    # the slider moves the hand
    hand = lambda: timeline.locator(".lanes .hand").get_attribute("d")  # noqa: E731
    before = hand()
    root.locator("input[type=range]").evaluate("e => { e.value = 3; e.dispatchEvent(new Event('input')) }")
    assert hand() != before
    assert "running" in timeline.locator(".visit").first.get_attribute("aria-label")
    # the axis moves the slider
    box = timeline.locator(".axis").bounding_box()
    page.mouse.move(box["x"] + 320, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 20)
    page.mouse.up()
    assert int(root.locator("input[type=range]").input_value()) > 3
    assert heard(page, "seek")[-1]["event"] == int(root.locator("input[type=range]").input_value())
    assert not seen.errors


def test_the_keyboard(order, run_shown, page, seen) -> None:
    root = run_shown(order)
    rows = root.locator(".sflab-timeline .rows")
    rows.focus()
    page.keyboard.press("ArrowDown")
    active = lambda: page.evaluate(  # noqa: E731
        "document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).getAttribute('aria-label')"
    )
    assert active().startswith("Both")
    page.keyboard.press("Enter")
    assert root.locator(".panel h3").inner_text() == "Both"
    page.keyboard.press("ArrowLeft")
    assert root.locator(".sflab-timeline .visit[aria-expanded=false]").count() == 1
    page.keyboard.press("ArrowDown")
    assert active().startswith("Wait")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert "漢字" in active()
    root.locator(".sflab-timeline .unfold").click()
    assert not rows.is_visible()
    root.locator(".sflab-timeline .unfold").click()
    assert rows.is_visible()
    assert not seen.errors


def test_many_visits(run_shown, page, seen) -> None:
    execution = run(items=3000, Ship=mock({}))
    assert len(execution.history) > 20_000
    root = run_shown(execution)
    timeline = root.locator(".sflab-timeline")
    assert timeline.locator(".visit[aria-expanded=false]").count() >= 1  # the iterations are folded at first
    took = page.evaluate("""() => {
        const root = document.querySelector('.sflab-run'), times = [];
        for (let i = 1; i <= 20; i += 1) {
            const start = performance.now();
            root.dispatchEvent(new CustomEvent('sflab:seek', {detail: {event: i * 1000, source: 'test'}}));
            times.push(performance.now() - start);
        }
        return times.sort((a, b) => a - b)[10];
    }""")
    print(f"a scrub step at {len(execution.history)} events: {took:.1f} ms")
    timeline.locator(".visit[aria-expanded=false] .fold").first.click()
    timeline.locator(".rows").evaluate("e => { e.scrollTop = 30000; }")
    page.wait_for_function(
        "[...document.querySelectorAll('.sflab-timeline .name')].some((e) => e.textContent.includes('[14'))"
    )
    assert timeline.locator(".visit").count() < 25
    assert not seen.errors


@pytest.mark.parametrize("dark", [False, True])
def test_the_saved_picture(order, page, shoot, seen, dark) -> None:
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.set_content(f"<body style='margin:8px'>{order.timeline().svg}</body>")
    picture = page.locator("svg")
    box = picture.bounding_box()
    assert box["width"] <= 760
    inside = page.evaluate("""() => [...document.querySelectorAll('svg text')].every((t) => {
        const a = t.getBoundingClientRect(), b = document.querySelector('svg').getBoundingClientRect();
        return a.left >= b.left - 1 && a.right <= b.right + 1 && a.bottom <= b.bottom + 1;
    })""")
    assert inside
    shoot(f"timeline-saved-{'dark' if dark else 'light'}")
    assert page.evaluate("window.hurt") is None
    assert not seen.errors + seen.beyond
