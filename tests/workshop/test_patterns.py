"""The pattern catalogue: its data and its files, every example, and what is said of them."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sflab as sf
from sflab.workshop.patterns import directory
from sflab.workshop.stages_calls import STAGES as CALLS
from sflab.workshop.stages_trouble import STAGES as TROUBLE

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT.parent / "shared" / "corpus" / "patterns.json"
EACH = pytest.mark.parametrize("pattern", list(sf.patterns), ids=lambda p: p.id)
DESIGNS = pytest.mark.parametrize(
    "design", [d for p in sf.patterns for d in (p, p.alternative)], ids=lambda d: f"{d.id}-{d.side}"
)


# ── the data ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_index_and_the_files_agree():
    named = {path for p in sf.patterns for d in (p, p.alternative) for path in d.files}
    assert all(path.is_file() for path in named)
    assert set(directory().glob("*.asl.*")) == named
    others = {path.name for path in directory().iterdir()} - {path.name for path in named}
    assert others == {"README.md", "index.json", "x2-mocked-integrations.mocks.json"}


def test_ids_slugs_and_names_are_each_ones_own():
    for what in ("id", "slug", "name", "problem", "lesson"):
        said = [getattr(p, what) for p in sf.patterns]
        assert len({*said}) == len(said) == 48, what
        assert all(said)


def test_every_stage_is_of_a_pattern():
    known = {(p.id, side) for p in sf.patterns for side in ("with", "without", "both")}
    assert {*CALLS, *TROUBLE} <= known
    assert not {*CALLS} & {*TROUBLE}
    for id_, side in {*CALLS, *TROUBLE}:  # `both` beside one of the sides would never be looked at
        assert side == "both" or (id_, "both") not in {*CALLS, *TROUBLE}


def test_no_figure_of_the_index_is_typed():
    """Money and seconds are computed: the words of the index hold none."""
    for p in sf.patterns:
        assert not {"$", "¢", "%"} & {*p.problem, *p.lesson, *p.name}, p.id


def test_the_catalogue_is_covered():
    if not CATALOGUE.is_file():
        pytest.skip(f"{CATALOGUE} is not here: the list of patterns to cover")
    wanted = {each["id"]: each["group"] for each in json.loads(CATALOGUE.read_text("utf-8"))}
    assert {p.id: p.group for p in sf.patterns} == wanted


# ── the examples ─────────────────────────────────────────────────────────────────────────────────────────────────────


@DESIGNS
def test_every_definition_validates(design):
    found = design.validate()
    expected = ["UNDEFINED_VARIABLE"] if (design.id, design.side) == ("X3", "without") else []
    assert [d.code for d in found] == expected
    assert design.machine.definition.raw["Comment"]


@DESIGNS
def test_every_example_ends_as_it_says_and_always_the_same(design):
    first, second = design.run(), design.run()
    assert first.status == design.ends, (first.error, first.cause)
    assert [e.history.events for e in first.local.executions] == [e.history.events for e in second.local.executions]


@EACH
def test_every_comparison_is_computed_and_nothing_fails_in_it(pattern):
    compared, again = pattern.compare(2), pattern.compare(2)
    assert [r.name for r in compared.results] == [pattern.label, pattern.alternative.label]
    assert compared == again
    assert all(r.failures == 0 and r.per_million > 0 and r.n == 2 for r in compared.results)


def test_an_example_that_does_not_end_as_said_is_counted():
    pattern = sf.patterns["F1"]
    assert pattern.alternative.ends == "FAILED"
    used, as_said = pattern.alternative.usage()
    assert as_said
    assert used.transitions == 2
    pattern.alternative.ends = "SUCCEEDED"
    try:
        assert [r.failures for r in pattern.compare(3).results] == [0, 3]
    finally:
        pattern.alternative.ends = "FAILED"


#: pattern -> what its lesson claims of it beside its alternative: cheaper, faster, or both
CLAIMS = {
    "T1": "cheaper", "T2": "cheaper faster", "T3": "cheaper", "T4": "cheaper", "C1": "cheaper", "C2": "cheaper",
    "C3": "cheaper faster", "C4": "cheaper faster", "C5": "cheaper", "C6": "cheaper faster", "C7": "cheaper",
    "E1": "cheaper", "E2": "cheaper", "E4": "cheaper", "E6": "cheaper faster", "F4": "faster", "F5": "cheaper faster",
    "F6": "cheaper faster", "F8": "faster", "F11": "faster", "S1": "faster", "S5": "cheaper faster",
    "S7": "cheaper faster", "S9": "cheaper", "M1": "faster", "M2": "cheaper faster", "M3": "cheaper",
    "M5": "cheaper", "X1": "cheaper faster",
}  # fmt: skip


@pytest.mark.parametrize(("id_", "claim"), CLAIMS.items())
def test_what_the_lessons_claim_is_so(id_, claim):
    ours, other = sf.patterns[id_].compare(5).results
    if "cheaper" in claim:
        assert ours.per_million < other.per_million
    if "faster" in claim:
        assert ours.quantile(0.5) < other.quantile(0.5)


def test_a_stream_counts_an_event_once_however_often_it_comes():
    for design in (sf.patterns["T3"], sf.patterns["T3"].alternative):
        table = design.run().local.session.resource("dynamodb").Table("counters")
        assert table.get_item(Key={"id": "roof"})["Item"]["readings"] == 1


def test_the_lock_charges_once_and_its_absence_twice():
    charged = []
    for design in (sf.patterns["F9"], sf.patterns["F9"].alternative):
        table = design.run().local.session.resource("dynamodb").Table("accounts")
        charged.append(int(table.get_item(Key={"id": "A-1"})["Item"]["charged"]))
    assert charged == [20, 40]


def test_the_saga_leaves_no_booking_and_its_absence_two():
    runs = [design.run() for design in (sf.patterns["F3"], sf.patterns["F3"].alternative)]
    assert [r.local.session.client("dynamodb").scan(TableName="bookings")["Count"] for r in runs] == [0, 2]


def test_the_semaphore_lets_two_in_and_is_given_back():
    run = sf.patterns["F10"].run()
    work = [v for v in run.visits if v.state == "Work"]
    together = max(sum(a.entered <= b.entered < a.exited for a in work) for b in work)
    assert together == 2
    held = run.local.session.resource("dynamodb").Table("semaphores").get_item(Key={"id": "licence"})["Item"]["held"]
    assert held == 0
    work = [v for v in sf.patterns["F10"].alternative.run().visits if v.state == "Work"]
    assert max(sum(a.entered <= b.entered < a.exited for a in work) for b in work) == 6


def test_the_circuit_is_asked_once_and_the_others_fail_at_once():
    runs = sf.patterns["F4"].run().local.executions
    assert [run.error for run in runs] == ["PartnerDown", "CircuitOpen", "CircuitOpen"]
    assert [sum(v.state == "AskPartner" for v in run.visits) for run in runs] == [1, 0, 0]


def test_the_dead_letter_is_the_input():
    sqs = sf.patterns["F7"].run().local.session.client("sqs")
    (message,) = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="dead")["QueueUrl"])["Messages"]
    assert json.loads(message["Body"])["input"] == {"device": "D-9"}


def test_a_checkpoint_is_not_done_again():
    run = sf.patterns["F6"].run()
    phases = [child.input["phase"] for child in run.nested]
    assert phases == ["collect", "render", "deliver", "deliver"]
    assert run.redrive_count == 1


def test_the_crud_workflow_does_all_verbs():
    pattern = sf.patterns["M1"]
    local = sf.Local()
    said = [
        pattern.run(local, input={"method": method, "id": "7", "body": {"text": "milk"}}).output
        for method in ("GET", "PUT", "GET", "DELETE", "GET", "PATCH")
    ]
    assert [each["status"] for each in said] == [404, 201, 200, 204, 404, 405]
    assert said[2]["text"] == "milk"


def test_the_tested_state_is_the_workflows_own():
    alone, whole = sf.patterns["X1"], sf.patterns["X1"].alternative
    assert whole.machine.test_state("Price", alone.input).output == alone.run().output
    mine = {k: v for k, v in alone.machine.definition.raw["States"]["Price"].items() if k != "End"}
    assert mine == {k: v for k, v in whole.machine.definition.raw["States"]["Price"].items() if k != "Next"}


def test_only_the_converted_workflow_can_be_express():
    with pytest.raises(sf.DefinitionError, match=r"\.sync"):
        sf.patterns["T4"].alternative.machine.as_express()


# ── bills of families ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bill_has_the_executions_that_were_started():
    run = sf.patterns["E3"].run()
    own = sf.bill(run.machine.definition, run.history.events)
    parts = [sf.bill(child.machine.definition, child.history.events) for child in run.nested]
    assert len(parts) == 2
    assert run.cost().exact == own.exact + sum(part.exact for part in parts)
    assert run.cost().title == "one Standard execution and its 2 nested"
    pattern = sf.patterns["C1"]
    local = sf.Local(pattern.stage().functions, machines=pattern.children)
    compared = sf.compare({"parent": pattern.machine}, local, pattern.input, n=1)
    quantities = compared.results[0].bill.lines
    lines = {item: sum(x.quantity for x in quantities if x.item == item) for item in ("transition", "express-request")}
    assert lines["transition"] == 4  # three states, and the start and end of the execution
    assert lines["express-request"] == 1
    assert compared.results[0].transitions == 4  # an Express child's states are none
    ours, other = pattern.compare(1).results
    assert (ours.transitions, other.transitions) == (4, 9)


def test_a_long_chain_of_executions_has_a_bill():
    machine = sf.patterns["S8"].machine
    local = sf.Local({"ReadPage": lambda event: {"cursor": (event["cursor"] + 1) if event["cursor"] < 4999 else None}})
    run = local.start_execution(machine, {"cursor": 0})
    assert len(local.executions) == 1250
    assert run.cost().usd > 0


# ── running them on one's own terms ──────────────────────────────────────────────────────────────────────────────────


def test_a_run_takes_another_input_functions_and_a_backend():
    pattern = sf.patterns["T1"]
    assert pattern.run(functions={"ConfirmOrder": lambda event: {"mine": True}}).output == {"mine": True}
    assert pattern.run(input={"basket": []}).input == {"basket": []}
    local = sf.Local(functions={"ConfirmOrder": sf.mock({"ours": True})})
    assert pattern.run(local).output == {"ours": True}
    assert pattern.run(local).output == {"ours": True}  # tables and mocks that are there stay
    assert len(local.executions) == 2
    with pytest.raises(sf.SflabError, match="seed: options make a backend"):
        pattern.run(local, seed=3)


@pytest.mark.parametrize("id_", ["E3", "F9", "S4", "F7", "X2"])
def test_an_example_runs_twice_on_one_backend(id_):
    local = sf.Local()
    for _ in range(2):
        assert sf.patterns[id_].run(local).status == sf.patterns[id_].ends


def test_an_input_is_a_copy():
    sf.patterns["T1"].input["basket"].clear()
    assert sf.patterns["T1"].input["basket"]


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pattern_is_found_by_id_slug_name_and_place():
    saga = sf.patterns["F3"]
    assert sf.patterns["f3"] is sf.patterns["saga"] is sf.patterns["Saga with compensations"] is saga
    assert sf.patterns[0].id == "T1"
    assert [p.id for p in sf.patterns[:2]] == ["T1", "T2"]
    assert saga in sf.patterns


@pytest.mark.parametrize(
    ("key", "said"), [("F33", "there is no pattern 'F33'"), ("sagas", "Did you mean F3"), ("zzz", "There are T1, T2")]
)
def test_what_is_not_there_is_said_with_what_is(key, said):
    with pytest.raises(sf.SflabError, match=said):
        sf.patterns[key]


def test_the_table_narrows_down():
    assert [p.id for p in sf.patterns.find("saga")] == ["F3"]
    assert {p.id for p in sf.patterns.find("polling callback")} == {"C2", "E4"}
    assert len(sf.patterns.find("no such words")) == 0
    assert len(sf.patterns.filter(group="cost")) == 7
    assert {p.id for p in sf.patterns.filter(group="failure", tag="redrive")} == {"F5", "F6"}
    assert all(p.notebook == "08" for p in sf.patterns.filter(notebook="08"))
    with pytest.raises(sf.SflabError, match="there is no group 'costs' here; there are cost"):
        sf.patterns.filter(group="costs")


def test_the_tables_have_a_row_each():
    assert list(sf.patterns.df.index) == [p.id for p in sf.patterns]
    assert sf.patterns.df.loc["F3", "group"] == "failure"
    assert sf.patterns.find("no such words").df.empty
    table = sf.patterns.find("saga").compare(2)
    assert list(table.index) == ["F3"]
    assert table.loc["F3", "transitions_with"] == 7
    assert "Saga with compensations" in sf.patterns._repr_html_()


@EACH
def test_each_draws_itself(pattern):
    bundle = pattern._repr_mimebundle_()
    assert "<svg" in bundle["image/svg+xml"]
    assert pattern.problem in bundle["text/plain"]
    assert pattern.name in repr(pattern)


def test_the_code_of_an_example_can_be_read():
    assert "put_item" in sf.patterns["C4"].code
    assert sf.patterns["T1"].code == ""


def test_the_patterns_are_in_the_wheel(tmp_path):
    """The files that the package reads are among those that a wheel holds."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "/data" in wheel["include"]
    package = tmp_path / "sflab"  # an installed package, as hatch lays it out
    shutil.copytree(ROOT / "sflab", package)
    for name in ("machines/patterns", "prices", "latency"):
        shutil.copytree(ROOT / "data" / name, package / "data" / name)
    code = "import sflab as sf; print(sf.__file__, sf.patterns['F3'].run().status)"
    where = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env=where, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(package / "__init__.py"), "FAILED"]
