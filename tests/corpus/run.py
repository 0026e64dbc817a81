"""Load, validate and draw every definition under a folder: ``python tests/corpus/run.py [DIR] [--report FILE.json]``.

DIR (default: ``../shared/corpus/asl`` beside the checkout) is searched for JSON and YAML files. Prints how many there
are of each outcome and, for each that could not be loaded, checked or drawn, its first problem; exits 0 only when every
one could. What the validator says against a definition is counted and reported, and is no failure: some were collected
broken.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from sflab.asl.parse import load
from sflab.asl.validate import validate
from sflab.errors import SflabError
from sflab.views.graph import svg

HOME = Path(__file__).resolve().parents[2].parent / "shared" / "corpus" / "asl"
KINDS = (".json", ".yaml", ".yml", ".asl")


def judge(path: Path) -> dict[str, Any]:
    """Return what became of one file: ``outcome`` is drawn, or the step that failed."""
    row: dict[str, Any] = {"outcome": "not loaded", "errors": [], "warnings": [], "problem": None}
    try:
        definition = load(path)
        row["outcome"] = "not validated"
        for d in validate(definition):
            row["errors" if d.severity == "ERROR" else "warnings"].append(
                f"{d.location or '/'}: {d.message} [{d.code}]"
            )
        row["outcome"] = "not drawn"
        shapes = [e.get("class", "") for e in ET.fromstring(svg(definition)).iter()]
        states, drawn = len(list(definition.places())), sum(name.startswith("state ") for name in shapes)
        if drawn != states:
            raise SflabError(f"{drawn} of {states} states are in the drawing")
        row["outcome"] = "drawn"
    except SflabError as e:
        row["problem"] = str(e).splitlines()[0]
    except Exception as e:  # noqa: BLE001 - one file must not hide the others
        row["problem"] = f"a fault of sflab: {type(e).__name__}: {e}"
    return row


def run(root: Path) -> list[dict[str, Any]]:
    """Judge every definition under *root*; a row for each, as the report has them."""
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.suffix in KINDS)
    base = root.parent if root.is_file() else root
    return [{"file": p.relative_to(base).as_posix(), **judge(p)} for p in files]


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the counts by outcome, the commonest errors, and the failures."""
    outcomes = collections.Counter(row["outcome"] for row in rows)
    lines = [f"{outcome}: {number}" for outcome, number in outcomes.most_common()]
    sound = sum(row["outcome"] == "drawn" and not row["errors"] for row in rows)
    lines.append(f"without errors: {sound}; with errors: {sum(bool(row['errors']) for row in rows)}")
    lines += [f"FAILED {row['file']}: {row['problem']}" for row in rows if row["problem"]]
    return "\n".join([*lines, f"{outcomes['drawn']} passed, {len(rows) - outcomes['drawn']} failed"])


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; 0 when every definition was loaded, checked and drawn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path, default=HOME, help=f"the definitions (default: {HOME})")
    parser.add_argument("--report", type=Path, help="write a JSON report there")
    options = parser.parse_args(argv)
    if not options.dir.exists():
        print(f"{options.dir}: no such folder; nothing was run", file=sys.stderr)
        return 2
    rows = run(options.dir)
    if options.report:
        options.report.write_text(json.dumps({"definitions": rows}, indent=1) + "\n", "utf-8")
    print(summary(rows))
    return int(not rows or any(row["outcome"] != "drawn" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
