"""The committed notebooks: stored as they were run, with no widget in them; and the check that says so can fail."""

import importlib.util
import json
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def faults():
    """What `make cells` finds wrong with a notebook as it is stored."""
    spec = importlib.util.spec_from_file_location("notebooks_conftest", ROOT / "notebooks/conftest.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:  # it sets the kernels' environment
        for name in ("SFLAB_HEADLESS", "TZ", "PYTHONHASHSEED"):
            patch.setenv(name, "")
        spec.loader.exec_module(module)
    return lambda notebook: list(module.faults(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_widgets(path, faults):
    assert faults(nbformat.read(path, as_version=4)) == []
    assert "vnd.jupyter.widget" not in path.read_text("utf-8")


def test_there_are_notebooks():
    assert NOTEBOOKS


def stored():
    shown = nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=1)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", execution_count=1, outputs=[shown])])


def with_view(notebook):
    notebook.cells[0].outputs[0].data[VIEW] = {"model_id": "1"}


def with_state(notebook):
    notebook.metadata["widgets"] = {}


def never_run(notebook):
    notebook.cells[0].execution_count = None


def with_error(notebook):
    notebook.cells[0].outputs = [nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[])]


@pytest.mark.parametrize("change", [with_view, with_state, never_run, with_error])
def test_what_must_not_be_stored_is_found(change, faults):
    notebook = stored()
    assert faults(notebook) == []
    change(notebook)
    assert len(faults(notebook)) == 1


def test_a_stored_picture_comes_with_words():
    """What a fresh clone sees before it is trusted."""
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "image/svg+xml" in data or "text/html" in data:
                    words = "".join(data.get("text/plain", ""))
                    assert words
                    assert " object at 0x" not in words
