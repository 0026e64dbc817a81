"""The picture: everything is on it, nothing breaks it, it is the same every time."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sflab.asl.model import STATE_TYPES, walk
from sflab.asl.parse import load
from sflab.errors import DefinitionError, SflabError
from sflab.views import graph, place, words
from sflab.views.paint import LIGHT
from sflab.views.sketch import GAP, INSET, INSETS, NAME, SUB, TILE, Sketch

NS = "{http://www.w3.org/2000/svg}"


def drawn(definition, *args, **kwargs):
    return ET.fromstring(graph.svg(definition, *args, **kwargs))


def classes(root, name):
    return [g for g in root.iter(f"{NS}g") if name in g.get("class", "").split()]


def texts(root):
    return [t.text for t in root.iter(f"{NS}text")]


def state(root, name):
    """The group of the state with this name."""
    return next(g for g in classes(root, "state") if name in [t.text for t in g.iter(f"{NS}text")])


def test_what_is_on_it(saga) -> None:
    root = drawn(saga)
    kinds = {c for g in classes(root, "state") for c in g.get("class").split() if c.startswith("t-")}
    assert kinds == {f"t-{t.lower()}" for t in STATE_TYPES}
    said = texts(root)
    for text in ("lambda: Validate", "${Stock}", "callback", "3 days", "each of $.items · 1 at once", "Start", "End"):
        assert text in said
    assert {"$.paid = true", "otherwise", "OutOfStock"} <= set(said)
    [catch] = [g for g in classes(root, "edge") if "k-catch" in g.get("class")]
    assert catch.find(f"{NS}path").get("stroke-dasharray")
    assert [t.text for g in classes(root, "retries") for t in g.iter(f"{NS}text")] == ["3"]
    assert not classes(root, "badge")
    assert not classes(root, "missing")


def test_each_type_has_its_own_shape_and_symbol() -> None:
    shapes, symbols = set(), set()
    for kind in STATE_TYPES:
        g = state(drawn({"StartAt": "S", "States": {"S": {"Type": kind, "End": True}}}), "S")
        paths = [p.get("d") for p in g.findall(f"{NS}path")]
        symbols.add(paths[-1])
        shapes.add((re.sub(r"[\d.-]+", "", paths[0]), len(paths), len(g.findall(f"{NS}rect"))))
    assert len(symbols) == len(STATE_TYPES)
    assert len(shapes) >= 6  # Wait and Succeed, Map and Parallel differ by more than their outline


def test_it_fits_the_page_and_is_opaque(saga) -> None:
    root = drawn(saga, width=400)
    box = [float(v) for v in root.get("viewBox").split()]
    assert float(root.get("width")) <= 400
    assert float(root.get("height")) / float(root.get("width")) == pytest.approx(box[3] / box[2], rel=0.01)
    paper = root.find(f"{NS}rect")
    assert paper.get("fill").startswith("#")
    assert float(paper.get("width")) >= box[2] - 2
    assert "prefers-color-scheme:dark" in root.find(f"{NS}style").text


def test_the_same_bytes_in_another_process(saga, good) -> None:
    here = graph.svg(saga, good, title="saga")
    assert here == graph.svg(saga, good, title="saga")
    program = (
        "import json,sys; from sflab.asl.parse import load; from sflab.views import graph;"
        "raw, events = json.load(sys.stdin);"
        "sys.stdout.buffer.write(graph.svg(load(raw), events, title='saga').encode())"
    )
    sent = json.dumps([saga.raw, good], default=str)
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=sent.encode(),
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "PATH": "", "TZ": "Asia/Kolkata", "LC_ALL": "C"},
            check=True,
        )
        assert done.stdout.decode() == here


def test_colours_follow_the_events(saga, good, caught) -> None:
    before = drawn(saga, good[:3])
    assert "s-running" in state(before, "Validate").get("class")
    assert "s-idle" in state(before, "Pay").get("class")
    after = drawn(saga, good)
    for name, look in (("Validate", "SUCCEEDED"), ("Apologise", "IDLE")):
        g = state(after, name)
        assert f"s-{look.lower()}" in g.get("class")
        assert g.find(f"{NS}path").get("fill") == LIGHT[look].fill
    assert "1/3" in [t.text for t in state(after, "Validate").iter(f"{NS}text")]
    assert "×3" in [t.text for t in state(after, "Pay").iter(f"{NS}text")]
    assert "3/3" in [t.text for t in state(after, "Ship").iter(f"{NS}text")]
    wrong = drawn(saga, caught)
    assert {g.get("class").split()[-1] for g in classes(wrong, "state")} == {
        f"s-{s}" for s in ("succeeded", "caught", "failed", "cancelled", "idle")
    }
    symbols = {
        g.get("class").split()[-1]: [p.get("d") for p in g.iter(f"{NS}path") if p.get("class") == "sign"]
        for g in classes(wrong, "state")
    }
    assert symbols.pop("s-idle") == []
    assert len({tuple(s) for s in symbols.values()}) == len(symbols)  # a second signal beside the colour


def test_the_path_taken_is_emphasised(saga, caught) -> None:
    root = drawn(saga, caught)
    wires = {
        g.find(f"{NS}title").text.split("\n")[0]: float(g.find(f"{NS}path").get("stroke-width"))
        for g in classes(root, "edge")
    }
    assert wires["Reserve → Apologise: OutOfStock"] > wires["Reserve → Pay"]
    assert wires["Start → Validate"] > wires["Done → End"]


def test_a_banner_says_how_it_ended(saga, good) -> None:
    said = texts(drawn(saga, good, title="Order <saga>"))
    assert {"Order <saga>", "succeeded"} <= set(said)
    assert "Order <saga>" not in graph.svg(saga, title="Order <saga>").split("<style>")[0]


HOSTILE = [
    "<script>alert(1)</script>",
    "\"&'><b>",
    "]]>",
    "\u202etxt.exe",
    "a\x00b\ud800",
    "工作流" * 30,
    "🎉" * 40,
    "",
    "x" * 500,
]


def hostile(text) -> dict:
    return {
        "Comment": text,
        "StartAt": text,
        "States": {
            text: {
                "Type": "Task",
                "Resource": text,
                "Comment": text,
                "Next": f"{text}!",
                "Catch": [{"ErrorEquals": [text], "Next": text}],
            },
            f"{text}!": {
                "Type": "Choice",
                "Choices": [{"Variable": text, "StringEquals": text, "Next": text}],
                "Default": text,
            },
            f"{text}?": {"Type": text, "End": True},
            f"{text} ": {"Type": "Fail", "Error": text},
        },
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_definition_is_markup(text) -> None:
    said = graph.svg(hostile(text), title=text)
    root = ET.fromstring(said)
    assert said.encode()
    assert {e.tag for e in root.iter()} == {NS + t for t in ("svg", "title", "style", "rect", "g", "path", "text")}
    assert not [k for e in root.iter() for k in e.attrib if k.startswith("on") or "href" in k]
    assert "\u202e" not in said
    assert graph.text(hostile(text), title=text)
    json.dumps(graph.layout(hostile(text)).tree)


@pytest.mark.parametrize(
    ("raw", "missing"),
    [
        ({}, ["StartAt?"]),
        ({"StartAt": "A"}, ["A?"]),
        ({"States": {"A": {"Type": "Succeed"}}}, ["StartAt?"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Shipp"}}}, ["Shipp?"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass"}}}, ["Next?"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Map", "End": True}}}, ["ItemProcessor?"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Parallel", "Branches": [], "End": True}}}, ["Branches?"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Parallel", "Branches": [{}, {}], "End": True}}}, ["StartAt?"] * 2),
        (
            {"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{"Next": "B"}], "Default": "B"}}},
            ["B?"],
        ),
        ({"StartAt": 1, "States": [1]}, ["1?"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Task", "End": True, "Catch": [{}]}}}, ["Next?"]),
    ],
)
def test_what_is_missing_is_drawn_as_missing(raw, missing) -> None:
    assert [t for g in classes(drawn(raw), "missing") for t in texts(g)] == missing


def test_an_unknown_type_is_said() -> None:
    root = drawn({"StartAt": "A", "States": {"A": {"Type": "Wat", "End": True}, "B": {"End": True}}})
    assert {"Type Wat?", "no Type"} <= set(texts(root))


@pytest.mark.parametrize("raw", [None, [], "x", 3])
def test_what_is_no_definition(raw) -> None:
    with pytest.raises(DefinitionError, match="a definition is a JSON object"):
        graph.svg(raw)


def test_no_engine(saga, monkeypatch) -> None:
    def none(name):
        raise place.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.delenv("SFLAB_DOT", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(place.importlib.metadata, "files", none)
    with pytest.raises(SflabError, match=r"pip install graphviz-pure.*SFLAB_DOT"):
        graph.svg(saga)
    bundle = graph.mimebundle(saga)
    assert list(bundle) == ["text/plain"]
    assert "graphviz-pure" in bundle["text/plain"]


@pytest.mark.parametrize("program", ["/no/such/dot", sys.executable])
def test_a_broken_engine(saga, monkeypatch, program) -> None:
    monkeypatch.setenv("SFLAB_DOT", program)
    with pytest.raises(SflabError, match=re.escape(program)):
        graph.svg(saga)


def fits(raw) -> None:
    plan = place.place(Sketch(raw))
    for node in plan.nodes():
        if node.kind != "state":
            continue
        if node.lanes:
            used = 38 + words.width(node.lines[0], NAME, bold=True) + 10 + words.width(node.sub, SUB)
            assert used <= node.w, node.name
            for lane in node.lanes:
                inner = plan.scopes[lane]
                assert node.x <= inner.x
                assert inner.x + inner.w <= node.x + node.w + 0.01
                assert inner.y + inner.h <= node.y + node.h + 0.01
            continue
        left, right = INSETS.get(node.type, INSET)
        room = node.w - left - TILE - GAP - right
        assert max(words.width(line, NAME, bold=True) for line in node.lines) <= room, node.name
        assert words.width(node.sub, SUB) <= room, node.sub


def test_text_fits(saga) -> None:
    fits(saga.raw)
    for text in HOSTILE:
        fits(hostile(text))


def test_all_collected_definitions_draw(corpus) -> None:
    for file in corpus:
        definition = load(file)
        root = drawn(definition)
        assert len(classes(root, "state")) == sum(1 for _ in walk(definition.raw)), file
        assert float(root.get("width")) <= 760
        fits(definition.raw)
        assert graph.text(definition)


def test_five_hundred_states() -> None:
    states = {f"S{i}": {"Type": "Pass", "Next": f"S{i + 1}"} for i in range(499)}
    states |= {
        f"S{i}": {"Type": "Choice", "Choices": [{"Condition": "{% $x %}", "Next": f"S{i + 9}"}], "Default": f"S{i + 1}"}
        for i in range(0, 480, 20)
    }
    root = drawn({"StartAt": "S0", "States": {**states, "S499": {"Type": "Succeed"}}})
    assert len(classes(root, "state")) == 500


def test_deep_nesting() -> None:
    inner = {"StartAt": "X", "States": {"X": {"Type": "Pass", "End": True}}}
    for i in range(60):
        kind = {"Type": "Map", "Iterator": inner} if i % 2 else {"Type": "Parallel", "Branches": [inner]}
        inner = {"StartAt": "X", "States": {"X": {**kind, "End": True}}}
    assert len(classes(drawn(inner), "state")) == 61


def test_the_outline(saga, good) -> None:
    said = graph.text(saga).splitlines()
    assert said[0] == "workflow: 12 states"
    assert "  Validate: Task, lambda: Validate, retried 3 times at most" in said
    assert "    catch OutOfStock -> Apologise" in said
    assert "    $.paid = true -> Ship" in said
    assert said.index("    Stock: Task, ${Stock}") > said.index("  Reserve: Parallel, 2 branches")
    assert said.index("    Label: Pass") < said.index("  Pay: Wait, 3 days")
    assert "\n".join(said).isascii()
    ran = graph.text(saga, good, title="saga")
    assert ran.startswith("saga, SUCCEEDED, ")
    assert "  Pay: Wait, 3 days, succeeded x3" in ran.splitlines()
    assert graph.text(saga, lines=6).endswith("more states")


def test_the_bundle(saga, good) -> None:
    bundle = graph.mimebundle(saga, iter(good), title="saga")
    assert list(bundle) == ["text/plain", "image/svg+xml"]
    assert bundle["image/svg+xml"] == graph.svg(saga, good, title="saga")


def test_the_layout_for_the_widget(saga) -> None:
    layout = graph.layout(saga)
    assert list(layout.states) == [p.pointer for p in sorted(walk(saga.raw), key=lambda p: p.pointer.count("/States/"))]
    ids = {e.get("id") for e in ET.fromstring(layout.svg).iter() if e.get("id")}
    assert all(re.fullmatch(r"\w+", i) for i in ids)
    assert {s["id"] for s in layout.states.values()} | set(layout.edges) <= ids
    assert {"source": "/States/Reserve", "target": "Apologise", "kind": "catch"} in layout.edges.values()
    assert layout.tree[0] == "g"
    for s in layout.states.values():
        assert 0 <= s["x"] <= layout.width
        assert s["x"] + s["w"] <= layout.width + 1


# Any JSON at all, and JSON that looks like a definition from a distance.

FIELDS = ["Type", "Next", "End", "StartAt", "States", "Choices", "Default", "Catch", "Retry", "Branches", "Iterator",
          "ItemProcessor", "Resource", "Seconds", "Variable", "And", "Not", "Or", "Condition", "ErrorEquals",
          "MaxAttempts", "Comment", "Parameters", "FunctionName", "Assign", "ItemsPath", "Error"]  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
scalars |= st.sampled_from(
    [*STATE_TYPES, "A", "B", "C", "$.x", "{% $x %}", "arn:aws:states:::lambda:invoke.sync", "${T}"]
)
names = st.sampled_from([*FIELDS, "A", "B", "C", "IsNull", "StringEquals", ""]) | st.text(max_size=4)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5), max_leaves=25
)
almost = st.deferred(
    lambda: st.dictionaries(st.sampled_from(FIELDS), anything | scopes | st.lists(scopes, max_size=2), max_size=7)
)
scopes = st.fixed_dictionaries(
    {"StartAt": anything, "States": st.dictionaries(st.sampled_from(["A", "B", "C", "<&>"]), almost, max_size=3)}
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(anything | almost | scopes)
def test_any_json_draws_or_is_no_definition(raw) -> None:
    try:
        root = drawn(raw)
        said = graph.text(raw)
    except DefinitionError:
        assert not isinstance(raw, dict)
        return
    assert said
    assert len(classes(root, "state")) == sum(1 for _ in walk(raw))
