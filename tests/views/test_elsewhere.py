"""What is shown where no widget and no server is: words for a terminal, pictures that need no style or script."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

import sflab as sf

INNER = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
DEFINITION = {
    "StartAt": "Check <order>",
    "States": {
        "Check <order>": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.total", "NumericGreaterThan": 0, "Next": "Charge"}],
            "Default": "Refuse",
        },
        "Charge": {
            "Type": "Task",
            "Resource": "arn:aws:lambda:us-east-1:123456789012:function:charge",
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Refuse"}],
            "Next": "Each",
        },
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.lines",
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **INNER},
            "End": True,
        },
        "Refuse": {"Type": "Fail", "Error": "Refused"},
    },
}


@pytest.fixture(scope="module")
def values():
    """One of each thing that a cell may end with: its value, and words that say what it is about."""
    machine = sf.StateMachine.load(DEFINITION, name="orders")
    local = sf.Local({"charge": lambda event: {"lines": [1, 2, 3]}})
    run = local.start_execution(machine, {"total": 9})
    failed = local.start_execution(machine, {"total": 0})
    wrong = sf.StateMachine.load("StartAt: A\nStates:\n  A:\n    Type: Succeed\n    Foo: 1")
    return {
        "machine": (
            machine,
            ["orders", "Check <order>: Choice", "$.total > 0 -> Charge", "catch States.ALL -> Refuse"],
        ),
        "run": (run, ["SUCCEEDED", "Check <order>: Choice, succeeded", "Refuse: Fail, Refused, skipped"]),
        "failed": (failed, ["FAILED", "Refused", "Refuse: Fail, Refused, failed", "Charge: Task"]),
        "history": (run.history, ["ExecutionStarted", "TaskStateEntered", "Check <order>"]),
        "visits": (run.visits, ["Check <order>", "SUCCEEDED", "Each"]),
        "test": (machine.test_state("Charge", {}, task=lambda event: 5), ["SUCCEEDED", "result", "5"]),
        "explained": (machine.explain("Check <order>", {"total": 3}), ["$.total", "3"]),
        "moment": (run.at(4), ["after event 4", "Charge: Task"]),
        "map run": (run.map_runs[0], ["Each", "child executions", "SUCCEEDED"]),
        "children": (run.map_runs[0].executions, ["SUCCEEDED"]),
        "bill": (run.cost(), ["transition", "usd"]),
        "compared": (sf.compare({"a": machine}, local, {"total": 9}, n=5), ["a", "p99", "per million"]),
        "findings": (wrong.validate(), ["ERROR", "Foo", "^^^"]),
        "latencies": (sf.measured(), ["lambda:invoke"]),
        "timeline": (run.timeline(), ["Charge", "Each"]),
    }


NAMES = ["machine", "run", "failed", "history", "visits", "test", "explained", "moment", "map run", "children", "bill",
         "compared", "findings", "latencies", "timeline"]  # fmt: skip


def bundle(value):
    """What a notebook stores of a value."""
    if hasattr(value, "_repr_mimebundle_"):
        made = value._repr_mimebundle_()
        return made[0] if isinstance(made, tuple) else made
    return {"text/plain": repr(value), **({"text/html": value._repr_html_()} if hasattr(value, "_repr_html_") else {})}


@pytest.mark.parametrize("name", NAMES)
def test_text_tells_what_the_picture_does(values, name):
    value, words = values[name]
    text = bundle(value)["text/plain"]
    assert not [word for word in words if word not in text], text
    assert " object at 0x" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), "nothing that a terminal would act on"
    assert max(map(len, text.split("\n"))) < 240


@pytest.mark.parametrize("name", NAMES)
def test_pictures_need_no_style_no_script_and_no_network(values, name):
    """As GitHub shows a notebook: <style>, <script> and inline SVG taken out of the HTML; the SVG is an image."""
    value, words = values[name]
    shown = bundle(value)
    for kind in ("text/html", "image/svg+xml"):
        content = shown.get(kind, "")
        assert "<script" not in content
        assert not re.search(r"""(?:src|href)=["'](?!#|data:)|url\((?!#)|@import""", content), kind
        assert not re.search(r"\son\w+=", content)
    if "text/html" in shown and "image/svg+xml" not in shown:
        said = Words(shown["text/html"]).said
        assert not [word for word in words if word not in said and word not in ("^^^", "after event 4")], said


@pytest.mark.parametrize("name", ["machine", "run", "failed", "moment", "timeline"])
def test_an_svg_is_coloured_without_its_style(values, name):
    picture = bundle(values[name][0])["image/svg+xml"]
    root = ET.fromstring(re.sub(r"<style.*?</style>", "", picture, flags=re.DOTALL))
    shapes = [e for e in root.iter() if e.tag.rpartition("}")[2] in ("rect", "path", "circle", "text", "polygon")]
    bare = [ET.tostring(e)[:200] for e in shapes if not inherited(root, e)]
    assert shapes
    assert not bare
    assert "<order>" in "".join(root.itertext())


def inherited(root, element):
    """Whether an element or one around it says how it is painted."""
    around = {child: parent for parent in root.iter() for child in parent}
    while element is not None:
        if any(name in element.attrib for name in ("fill", "stroke", "style")):
            return True
        element = around.get(element)
    return False


class Words(HTMLParser):
    """The text of a page that style, script and pictures were taken out of."""

    def __init__(self, page):
        super().__init__()
        self.said, self.inside = "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag in ("style", "script", "svg"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        self.said += "" if self.inside else data


SCRIPT = """
import sflab as sf
machine = sf.StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 5, "End": True}}}, name="m")
sf.Local().start_execution(machine).show()
run = sf.Local(rate=1).start_execution(machine)
run.show()
run.stop()
"""


def test_a_script_prints_what_a_notebook_shows():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "m, run-0001, SUCCEEDED, 4 events, 5 s\n  A: Wait, 5 s, succeeded\n    -> End\n" in done.stdout
    assert "RUNNING" in done.stdout
    assert "A: Wait, 5 s, running" in done.stdout
    assert done.stderr == ""
