"""What cells show beside the live graph, in real JupyterLab: a state's data flow, moments, redrives, Map Runs."""

import nbformat
from playwright.sync_api import expect

LOAD = """
import sflab as sf
work = "arn:aws:lambda:us-east-1:123456789012:function:work"
charge = {"Type": "Task", "Resource": work, "InputPath": "$.order", "ResultPath": "$.paid", "End": True}
saga = sf.StateMachine.load({"StartAt": "Charge", "States": {"Charge": charge}}, name="saga")
config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
each = {"Type": "Map", "ItemProcessor": {**config, **inner}, "End": True}
scale = sf.StateMachine.load({"StartAt": "Each", "States": {"Each": each}})
def broken(event):
    raise ValueError("<b>no</b>")
run = sf.Local({"work": broken}).start_execution(saga, {"order": {"id": 42}})
"""
CELLS = [
    LOAD,
    'saga.test_state("Charge", {"order": {"id": 42}, "who": "<i>Ann</i>"}, task=lambda event: {"receipt": "C-1"})',
    "run.at(3)",
    'run.redrive(functions={"work": lambda event: 1})',
    "sf.Local().start_execution(scale, [1, 2, 3]).map_runs[0]",
]


def test_cells_show_pictures_and_tables(lab, page, seen, shoot):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, lab.root / "outputs.ipynb")
    lab.open(page, "outputs.ipynb")
    lab.run_all(page)
    assert page.locator(".jp-OutputArea-output[data-mime-type*=stderr]").count() == 0
    shown = page.locator(".jp-OutputArea-output")

    flow = shown.filter(has=page.locator("svg.sflab-graph")).filter(has_text="Charge: SUCCEEDED").first
    flow.scroll_into_view_if_needed()
    expect(flow.locator("svg text", has_text="the state's input")).to_be_visible()
    expect(flow.locator("svg text", has_text='"paid": {"receipt": "C-1"}').first).to_be_visible()
    expect(flow.locator("table")).to_contain_text("writes the result into the input at $.paid")
    assert flow.locator("i").count() == 0, "data is text"
    shoot("outputs-flow")

    runs = shown.filter(has_text="child executions").last
    runs.scroll_into_view_if_needed()
    expect(runs.locator("table").last.locator("tbody tr")).to_have_count(3)
    shoot("outputs-map-run")
    assert not seen.errors + seen.beyond
