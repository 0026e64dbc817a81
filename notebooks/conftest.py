"""What nbval does not look at: a notebook is stored as it was run, and shows itself with no kernel behind it."""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

# Kernels inherit the environment: no live streaming, the same words and prices on every machine.
os.environ.update(SFLAB_HEADLESS="1", TZ="UTC", PYTHONHASHSEED="0", SFLAB_PRICES="")

WIDGET = "application/vnd.jupyter.widget-view+json"


def faults(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """What must not be stored, each with its cell: nbval would compare such a cell with nothing, or not at all."""
    if "widgets" in notebook.metadata:
        yield "metadata.widgets is stored; it is shown by nobody"
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if cell.source.strip() and cell.execution_count is None:
            yield f"cell {index} was never run"
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            yield f"cell {index} stores a widget; without its kernel it shows 'model not found'"
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed and "raises-exception" not in cell.metadata.get("tags", []):
            yield f"cell {index} stores an error and is not tagged raises-exception"


class Stored(pytest.Item):
    """One more test for a notebook: that it is stored as `make notebooks` stores it."""

    def runtest(self) -> None:
        """Fail with every fault found."""
        found = list(faults(nbformat.read(self.path, as_version=4)))
        if found:
            pytest.fail("\n".join([*found, "Run `make notebooks` and commit what it writes."]), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The heading of a failure."""
        return self.path, 0, f"{self.path.name} as stored"


class Form(pytest.File):
    """A notebook as a file, beside nbval's view of it as cells."""

    def collect(self) -> Iterator[Stored]:
        """The one test of this file."""
        yield Stored.from_parent(self, name="as stored")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Form | None:
    """Look at every notebook that nbval runs."""
    return Form.from_parent(parent, path=file_path) if file_path.suffix == ".ipynb" else None
