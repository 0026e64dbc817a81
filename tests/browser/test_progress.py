"""Long work in real JupyterLab: a bar under the cell, the stop button, and what is left of it; the timeline beside."""

import nbformat
from playwright.sync_api import expect

SETUP = """
import sys
import sflab as sf
task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "F"}}
retry = [{"ErrorEquals": ["Busy"], "IntervalSeconds": 1}]
states = {"Call": {**task, "Retry": retry, "Next": "Rest"}, "Rest": {"Type": "Wait", "Seconds": 3, "End": True}}
machine = sf.StateMachine.load({"StartAt": "Call", "States": states}, name="m")
local = sf.Local({"F": sf.mock({}, latency=0.5, fail_first=1, error="Busy")})
run = local.start_execution(machine)
"""
CELLS = [
    SETUP,
    "run.timeline()",
    "run.show()",
    "local.executions",
    'sf.compare({"long": machine}, local, {}, n=1_000_000)',
    "len(sys.last_value.partial.results[0].durations) > 10, type(sys.last_value).__name__",
]


def test_the_stop_button(lab, page, seen, shoot) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.root / "progress.ipynb")
    lab.open(page, "progress.ipynb")
    lab.start_all(page)
    bar = page.locator(".jp-OutputArea-output .widget-hbox", has_text="comparing:")
    expect(bar).to_contain_text("of 1,000,000 executions", timeout=60_000)
    expect(bar.locator(".progress-bar, .widget-progress").first).to_be_visible()
    first = bar.inner_text()
    page.wait_for_function("(t) => !document.body.innerText.includes(t)", arg=first)  # it moves
    bar.scroll_into_view_if_needed()
    shoot("progress")
    page.locator(
        'jp-button[data-command="notebook:interrupt-kernel"], button[data-command="notebook:interrupt-kernel"]'
    ).first.click()
    lab.wait(page)
    error = page.locator(".jp-OutputArea-output", has_text="What was done is kept")
    expect(error).to_contain_text("Interrupted")
    expect(page.locator(".jp-OutputArea-output", has_text="stopped: comparing:")).to_be_visible()  # in the bar's place
    expect(bar).to_have_count(0)
    error.scroll_into_view_if_needed()
    shoot("progress-stopped")

    # "Run all" ended at what was stopped; the next cell has what was done.
    page.locator(".jp-CodeCell").last.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("(True, 'Interrupted')")

    picture = page.locator('.jp-OutputArea-output[data-mime-type="image/svg+xml"] img, .jp-OutputArea-output svg').first
    picture.scroll_into_view_if_needed()
    live = page.locator(".sflab-timeline")
    expect(live.locator(".visit")).to_have_count(2)
    live.scroll_into_view_if_needed()
    shoot("timeline-lab")
    live.locator(".visit").nth(1).click()
    expect(page.locator(".sflab-run .panel h3")).to_have_text("Rest")
    table = page.locator(".jp-OutputArea-output table.dataframe").first
    expect(table).to_contain_text("run-0001")
    assert not seen.errors + seen.beyond
