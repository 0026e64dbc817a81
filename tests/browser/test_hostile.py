"""A definition and data that would like to be markup, script, or another text: drawn right, and nothing runs."""

import json

import pytest

import sflab as sf

LAMBDA = "arn:aws:states:::lambda:invoke"
SCRIPT = "<script>window.hurt=1</script>"
IMAGE = "\"><img src=x onerror='window.hurt=2'>"
NAMES = {
    "script": SCRIPT,
    "image": IMAGE,
    "quotes": '"\';--`${window.hurt=3}`\\"',
    "right to left": "safe\u202egnp.exe\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🧨" * 4,
    "wide": "受注処理倉庫出荷確認顧客通知" * 5 + "終了しました確認済み",
    "prototype": "__proto__",
    "selector": "#e1, .state > *",
    "end": "]]></svg><!--",
}
assert len(NAMES["wide"]) == 80  # what AWS allows
LONG = {"text": SCRIPT + "x" * 1_000_000, SCRIPT: IMAGE}


@pytest.fixture(scope="module")
def hostile():
    order = list(NAMES.values())
    states = {
        name: {
            "Type": "Task", "Resource": LAMBDA, "Comment": SCRIPT,
            "Parameters": {"FunctionName": "f" if name != order[-1] else "g", "Payload": {IMAGE: SCRIPT}},
            "ResultPath": "$.last", "Next": after,
            "Catch": [{"ErrorEquals": [SCRIPT], "Next": order[0]}],
        }
        for name, after in zip(order, [*order[1:], "Choose"], strict=True)
    }  # fmt: skip
    rules = [{"Variable": "$.text", "StringEquals": f"{IMAGE}\u202e{SCRIPT}", "Next": order[0]}]
    states["Choose"] = {"Type": "Choice", "Choices": rules, "Default": "Each"}
    inner = {"StartAt": SCRIPT + "*", "States": {SCRIPT + "*": {"Type": "Pass", "Result": IMAGE, "End": True}}}
    items = [SCRIPT, IMAGE, {"__proto__": 1}]
    states["List"] = {"Type": "Pass", "Result": items, "ResultPath": "$.items", "Next": order[0]}
    states["Each"] = {"Type": "Map", "ItemsPath": "$.items", "Iterator": inner, "ResultPath": None, "Next": "Fail"}
    states["Fail"] = {"Type": "Fail", "Error": SCRIPT, "Cause": json.dumps({"errorMessage": IMAGE, "b": [SCRIPT]})}
    machine = sf.StateMachine.load({"StartAt": "List", "States": states}, name="hostile")
    local = sf.Local(functions={"f": lambda _: {IMAGE: SCRIPT}, "g": sf.mock({"x": "\u2028</script>"})})
    text = json.dumps({"pad": "y" * 200_000, "text": "", **{k: v for k, v in LONG.items() if k != "text"}})
    return machine, local.start_execution(machine, json.loads(text))


def test_the_live_graph(hostile, show, page, seen, shoot) -> None:
    run = hostile[1]
    live = run.show(beside=run)  # both halves, and all that one alone does
    shown = show(live).first
    states = shown.locator(".state")
    assert states.count() == len(NAMES) + 5
    for g in states.all():
        g.focus()
        page.keyboard.press("Enter")
        assert shown.locator(".panel h3").inner_text()
    for more in shown.locator("select[aria-label^=Which] option").all_inner_texts():
        assert "iteration" in more
    shown.locator("input[type=search]").fill(SCRIPT)
    page.keyboard.press("Enter")
    assert shown.locator(".panel h3").inner_text() in (SCRIPT, SCRIPT + "*")
    shown.locator("input[type=search]").fill("__proto__")
    page.keyboard.press("Enter")
    assert shown.locator(".panel h3").inner_text() == "__proto__"
    page.keyboard.press("Escape")
    shoot("hostile-live")
    assert page.evaluate("window.hurt") is None
    assert page.evaluate("({}).hurt === undefined && Object.prototype.state === undefined")
    assert page.locator("script, img, iframe, [onerror], [onload], [onclick]").count() == 0
    assert not seen.errors + seen.beyond


def test_names_fit_their_boxes_and_read_as_what_they_are(hostile, show, page) -> None:
    shown = show(hostile[1].show())
    shown.get_by_label("Show all (0)").click()
    outside = shown.locator("g.state").evaluate_all("""gs => gs.flatMap(g => {
        const body = g.querySelector(':scope > .body').getBoundingClientRect();
        const texts = [...g.querySelectorAll(':scope > text.f-name, :scope > text.f-sub')];
        return texts.filter(t => t.getBoundingClientRect().right > body.right + 1).map(t => t.textContent);
    })""")
    assert outside == []
    drawn = shown.locator("g.state text").all_text_contents()
    assert not any(c in text for text in drawn for c in "\u202e\u202c\u2066")  # nothing turns what is around it


@pytest.mark.parametrize("what", ["machine", "run", "beside"])
def test_the_saved_picture(hostile, page, seen, shoot, what) -> None:
    machine, run = hostile
    bundle = {
        "machine": machine._repr_mimebundle_,
        "run": run._repr_mimebundle_,
        "beside": lambda: run.show(beside=run)._repr_mimebundle_()[0],
    }[what]()
    page.set_content(f"<!doctype html><body>{bundle['image/svg+xml']}</body>")  # as nbconvert puts it into a page
    assert page.evaluate("window.hurt") is None
    assert page.locator("script, img, iframe, [onerror], [onload]").count() == 0
    assert page.locator("svg").count() == 1, "no name ends the picture"
    assert SCRIPT in page.locator("svg").text_content()
    shoot(f"hostile-{what}")
    assert not seen.errors + seen.beyond


def test_a_megabyte_is_fetched_and_shown(show, page, seen) -> None:
    machine = sf.StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    run = sf.Local().start_execution(machine, {"n": 1})
    events = [dict(e) for e in run.history.events]
    text = json.dumps(LONG)
    events[1] = {**events[1], "stateEnteredEventDetails": {"name": "A", "input": text}}
    from sflab.views import widget

    live = widget.live(machine.definition, events)
    assert len(json.dumps(live.state)) < 100_000
    shown = show(live)
    page.locator(".state").first.click()
    shown.locator(".more").click()
    answers = []
    live.send = answers.append
    live.asked(live, page.evaluate("window.sent.at(-1)"), [])
    page.evaluate("m => window.told(m)", json.loads(json.dumps(answers[0])))
    pre = shown.locator(".panel pre").first
    assert pre.inner_text().startswith('{"text": "' + SCRIPT)
    assert "copy for all of it" in pre.inner_text()
    assert page.evaluate("window.hurt") is None
    assert not seen.errors + seen.beyond
