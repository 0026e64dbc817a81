"""The magics in real JupyterLab: Tab inside an %%asl cell, an error at its line, a run that is shown as it is drawn."""

import itertools

import nbformat
from playwright.sync_api import expect

BODY = """\
{
  "StartAt": "Reserve",
  "States": {
    "Reserve": {"Type": "Pass", "Next": "Charge card"},
    "Charge card": {"Type": "Wait", "Seconds": 60, "Next": "Ship"},
    "Ship": {"Type": "Succeed"}
  }
}"""
BAD = "%%asl order\n" + BODY.replace('"Next": "Ship"', '"Next": "Shipp"')
CELLS = ["import sflab as sf\n%load_ext sflab", BAD, f'%%asl order --run {{"id": 42}}\n{BODY}', "%sfn visits"]
EDITED = """%%asl draft
{
  "StartAt": "Reserve",
  "States": {
    "Reserve": {
      "Type": "Pass",
      "Next": ""
    },
    "Charge card": {"Type": "Succeed"}
  }
}"""


def write(lab, name, *cells):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), lab.root / name)


def test_a_cell_points_at_its_error_and_shows_its_run(lab, page, seen, shoot):
    write(lab, "magics.ipynb", *CELLS)
    lab.open(page, "magics.ipynb")
    lab.run_all(page)  # which stops at the error
    error = page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea-output")
    expect(error).to_contain_text("the cell, line 6, column 52: ERROR")
    expect(error).to_contain_text('    6 |     "Charge card": {"Type": "Wait", "Seconds": 60, "Next": "Shipp"},')
    assert "Traceback" not in error.inner_text()
    lines = error.inner_text().split("\n")
    meant, mark = next((a, b) for a, b in itertools.pairwise(lines) if a.startswith("    6 | "))
    assert meant[mark.index("^") : mark.rindex("^") + 1] == '"Next"'
    shoot("magics-error")

    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-below')")
    run = page.locator(".jp-Cell").nth(2).locator(".sflab-run")
    expect(run.locator(".state.s-succeeded")).to_have_count(3)
    expect(run.locator(".top .pill")).to_have_text("succeeded")
    table = page.locator(".jp-Cell").nth(3).locator("table")
    expect(table).to_contain_text("Charge card")
    shoot("magics-run")
    assert not seen.errors + seen.beyond


def test_tab_completes_inside_the_cell(lab, page, seen, shoot):
    write(lab, "complete.ipynb", "import sflab as sf\n%load_ext sflab", EDITED)
    lab.open(page, "complete.ipynb")
    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    expect(page.locator(".jp-Cell").nth(0).locator(".jp-InputPrompt")).to_have_text("[1]:")
    page.locator(".jp-Cell").nth(1).locator(".cm-line", has_text='"Next"').click()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")  # between the quotes
    page.keyboard.press("Tab")
    offered = page.locator(".jp-Completer .jp-Completer-match")
    expect(offered).to_have_text(["Charge card", "Reserve"])  # its own name comes last
    expect(page.locator(".jp-Completer .jp-Completer-typeExtended").first).to_have_text("state")
    shoot("magics-completion")
    page.keyboard.press("Enter")
    source = "window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()"
    assert '"Next": "Charge card"\n' in page.evaluate(source)

    page.keyboard.press("End")
    page.keyboard.type(",")
    page.keyboard.press("Enter")
    page.keyboard.type('"Out')
    page.keyboard.press("Tab")
    expect(offered).to_have_text(["OutputPath"])
    page.keyboard.press("Enter")
    assert '"OutputPath\n' in page.evaluate(source)
    assert not seen.errors + seen.beyond
