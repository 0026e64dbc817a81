"""Two executions beside each other: what differs, in words and in the picture."""

import xml.etree.ElementTree as ET

import pytest

import sflab as sf
from sflab.asl.parse import load
from sflab.views.beside import Side, differences, live, svg, text

MAP = "/States/Ship"
ONE = f"{MAP}/ItemProcessor/States/One"


@pytest.fixture
def sides(saga, good, failed):
    return Side(saga, good, "good"), Side(saga, failed, "failed")


def test_what_differs(sides) -> None:
    here, there = differences(*sides)
    assert list(here) == list(there) == [MAP, "/States/Done", ONE]
    assert here[MAP] == [
        "succeeded here, failed there", "3/3 items here, 0/3 items there", "error none here, Broken there",
        "another output",
    ]  # fmt: skip
    assert there[MAP][:3] == [
        "failed here, succeeded there", "0/3 items here, 3/3 items there", "error Broken here, none there",
    ]  # fmt: skip
    assert here["/States/Done"] == ["succeeded here, skipped there"]
    assert here[ONE][:2] == ["succeeded here, failed there", "entered 3 times here, 1 time there"]


def test_a_run_and_itself(saga, good) -> None:
    side = Side(saga, good, "x")
    assert differences(side, side) == ({}, {})
    assert text(side, side).endswith("0 states differ")
    assert "≠" not in svg(side, side)


def test_two_versions_of_a_definition(saga, good) -> None:
    states = dict(saga.raw["States"])
    states["Pay"] = {**states["Pay"], "Seconds": 5, "Comment": "shorter"}
    states["Extra"] = {"Type": "Pass", "End": True}
    del states["Apologise"]
    states["Reserve"] = {k: v for k, v in states["Reserve"].items() if k != "Catch"}
    other = load({**saga.raw, "States": states})
    here, there = differences(Side(saga, good, "a"), Side(other, good, "b"))
    assert here == {
        "/States/Pay": ["defined differently: Seconds, Comment"],
        "/States/Reserve": ["defined differently: Catch"],
        "/States/Apologise": ["the other definition has no such state"],
    }
    assert there["/States/Extra"] == ["the other definition has no such state"]
    said = text(Side(saga, good, "a"), Side(other, good, "b"))
    assert said.splitlines()[-1] == "  Extra: only in the second definition"


def test_the_picture(sides) -> None:
    drawn = svg(*sides)
    root = ET.fromstring(drawn)
    marks = [e for e in root.iter() if e.get("class") == "differs"]
    assert len(marks) == 6  # three in each
    assert float(root.get("width")) <= 760
    assert drawn == svg(*sides)
    assert root[0].text == "good beside failed: 3 states differ"


def test_the_words_have_an_end(sides) -> None:
    assert text(*sides).splitlines()[0].startswith("good: SUCCEEDED, ")
    assert len(text(*sides, lines=5).splitlines()) == 5
    assert text(*sides, lines=5).endswith("... and 2 more")


def test_the_widget(sides, monkeypatch) -> None:
    both = live(*sides)
    assert repr(both) == "Runs(good beside failed: 3 states differ)"
    state = both.get_state()["sides"]
    assert [s["run"]["status"] for s in state] == ["SUCCEEDED", "FAILED"]
    assert set(state[0]["drawing"]["differs"]) == {MAP, "/States/Done", ONE}
    said = []
    monkeypatch.setattr(type(both), "send", lambda _, message, _buffers=None: said.append(message))
    both._asked(both, {"type": "text", "visit": None, "field": "cause", "side": 1}, [])
    for nonsense in (
        None,
        {"type": "text"},
        {"type": "text", "side": 7},
        {"type": "child", "child": [0, 0], "side": 0},
    ):
        both._asked(both, nonsense, [])
    assert said == [{"type": "text", "visit": None, "child": None, "field": "cause", "text": "no tape", "side": 1}]
    monkeypatch.setenv("SFLAB_HEADLESS", "1")
    assert set(both._repr_mimebundle_()[0]) == {"text/plain", "image/svg+xml"}


def test_executions_show_it() -> None:
    machine = sf.StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}, name="m")
    a, b = (sf.Local().start_execution(machine, n) for n in (1, 2))
    assert "A: another input; another output" in text(a._side(), b._side())
    assert repr(a.show(beside=b)).endswith("1 state differ)")
