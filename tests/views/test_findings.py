"""What was found in a definition, as people read it."""

import itertools

import pytest

from sflab.backends.statemachine import StateMachine
from sflab.views.findings import Findings, pointed

LONG = '{"StartAt": "A", "Comment": "' + "x" * 300 + '", "Version": "2", "States": {"A": {"Type": "Succeed"}}}'


def machine(text):
    return StateMachine.load(text)


def marked(text, **options):
    """The lines and marks that are shown of a definition: [(line, what the mark is under)]."""
    shown = machine(text).validate().lines(**options).split("\n")
    out = []
    for above, below in itertools.pairwise(shown):
        if set(below.partition("| ")[2]) <= {" ", "^"} and "^" in below:
            out.append((above.partition(" | ")[0].strip(), above[below.index("^") : below.rindex("^") + 1]))
    return out


@pytest.mark.parametrize(
    ("text", "line", "under"),
    [
        ('{"StartAt": "B",\n "States": {"A": {"Type": "Succeed"}}}', "1", '"StartAt"'),
        ('{"StartAt": "A",\n\t"States": {"A": {"Type": "Sukceed"}}}', "2", '"Type"'),
        ("StartAt: A\nStates:\n  A:\n    Type: Succeed\n    Foo: 1", "5", "Foo"),
        ("StartAt: A\nStates:\n  A:\n    Type: Succeed\n    'F o': 1", "5", "'F"),
        (LONG, "1", '"Version"'),
    ],
)
def test_the_mark_stands_under_the_place(text, line, under):
    assert (line, under) in marked(text)


def test_lines_above_are_counted():
    text = "StartAt: A\nStates:\n  A:\n    Type: Succeed\n    Foo: 1"
    assert marked(text, shift=3) == [("8", "Foo")]
    assert machine(text).validate().lines(shift=1, where="the cell").startswith("the cell, line 6, column 5: ERROR")


def test_hostile_names_do_not_move_the_line():
    text = '{"StartAt": "A", "Com\u202ement": "\\u001b[31m<script>", "States": {"A": {"Type": "Succeed"}}}'
    bundle = machine(text).validate()._repr_mimebundle_()
    assert "\u202e" not in bundle["text/plain"] + bundle["text/html"]
    assert "<script" not in bundle["text/html"]


def test_it_is_a_list_and_says_how_many():
    found = machine("StartAt: A\nStates:\n  A:\n    Type: Succeed\n    Foo: 1").validate()
    assert found == list(found)
    assert found.summary == "1 error"
    assert found._repr_mimebundle_()["text/plain"].startswith("1 error\nline 5, column 5: ERROR /States/A: ")
    assert "Foo" in found._repr_mimebundle_()["text/html"]
    assert Findings()._repr_mimebundle_()["text/plain"] == "no errors, no warnings"


def test_without_a_text_there_is_no_line():
    found = StateMachine.load({"StartAt": "B", "States": {"A": {"Type": "Succeed"}}}).validate()
    assert "^" not in found.lines()
    assert found.lines(where="the cell").startswith("the cell: ERROR /StartAt: ")


def test_a_file_is_named(tmp_path):
    path = tmp_path / "m.asl.json"
    path.write_text('{"StartAt": "B", "States": {"A": {"Type": "Succeed"}}}')
    found = StateMachine.load(path).validate()
    assert pointed(found[0], path.read_text()).startswith(f"{path}:1:2: ERROR /StartAt: ")
