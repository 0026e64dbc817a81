"""What passes against AWS's recordings goes on passing.

`passing.txt` lists the ids of the cases that pass, one a line; to renew it:
``python tests/conformance/run.py --report /tmp/r.json`` and take the ids whose ``passed`` is true.
"""

from pathlib import Path

import pytest

from tests.conformance.run import run, summary

LISTED = Path(__file__).with_name("passing.txt")


def test_every_case_that_passed_still_passes(shared):
    folder = shared / "conformance"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    rows = run(folder)
    print(summary(rows, verbose=False))
    listed = set(LISTED.read_text().splitlines())
    passed = {row["id"] for row in rows if row["passed"]}
    known = {row["id"] for row in rows}
    failing = {row["id"]: row["difference"] for row in rows if row["id"] in listed - passed}
    assert not failing, failing
    assert len(listed & known) == len(listed), "a listed case is not among the recordings any more"
    print("\n".join(["pass now, and are not listed yet:", *sorted(passed - listed)]))


def test_a_difference_is_noticed(shared):
    from tests.conformance import run as runner

    compare = runner.load_compare(shared / "conformance")
    path = next((shared / "conformance" / "cases" / "base").glob("*.json"))
    case = runner.json.loads(path.read_text())
    case["expect"]["history"] = [{**e, "type": "Nothing"} for e in case["expect"].get("history", [{}])]
    assert runner.judge({**case, "kind": "history"}, compare)[0] is False
