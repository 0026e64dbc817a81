"""Run notebooks and store them in one form: `python .ci/notebooks.py [--check] FILE.ipynb...`.

The form is the same bytes for the same outputs: cells are numbered, widgets, timings and versions are left out, and
an error that a lesson makes on purpose keeps its words but not its traceback. With --check nothing is written, and
the exit code is 1 if a file would change.
"""

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook, run from top to bottom in its own folder. Raises CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # how output was cut into messages is chance
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": path.parent}},
    )
    client.execute()
    return notebook


def store(notebook: nbformat.NotebookNode) -> str:
    """The text to keep of a notebook that was run."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)
            if output.output_type == "error":
                output.traceback = [f"{output.ename}: {output.evalue}"]
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data") != {}]
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    """Exit code 0 if all is well, 1 if a notebook failed or, with --check, would change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")
    options = parser.parse_args()
    os.environ.update(SFLAB_HEADLESS="1", TZ="UTC", PYTHONHASHSEED="0")
    bad = 0
    for path in options.files:
        before = path.read_text(encoding="utf-8")
        try:
            after = store(execute(path))
        except CellExecutionError as error:
            print(f"{path}: failed\n{error}", file=sys.stderr)
            bad += 1
            continue
        changed = before != after
        if changed and not options.check:
            path.write_text(after, encoding="utf-8")
        bad += changed and options.check
        print(f"{path}: {'changed' if changed else 'as it was'}")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
