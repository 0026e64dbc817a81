"""The workshop as a learner goes through it: every notebook, from top to bottom, in a real JupyterLab."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_a_notebook_runs_through(lab, page, seen, shoot, path) -> None:
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    meant = sum(any(o["output_type"] == "error" for o in cell["outputs"]) for cell in cells)
    lab.open(page, f"notebooks/{path.name}")
    lab.start_all(page)
    lab.wait(page)
    said = page.evaluate(
        """() => {
            const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells];
            const failed = c => c.outputs.toJSON().filter(o => o.output_type === "error").map(o => o.evalue);
            return cells.filter(c => c.type === "code").map(c => [c.executionCount, failed(c)]);
        }"""
    )
    assert [count for count, _ in said] == list(range(1, len(cells) + 1))
    assert sum(bool(errors) for _, errors in said) == meant, [errors for _, errors in said if errors]
    shoot(f"workshop-{path.stem}")
    assert not seen.errors + seen.beyond
