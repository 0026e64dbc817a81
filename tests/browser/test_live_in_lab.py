"""The live graph of a running execution in real JupyterLab; and what is left of it in a saved notebook."""

import re
import time

import nbformat
import pytest
from playwright.sync_api import expect

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
START = """
import asyncio, time
import sflab as sf
names = [f"Step {n}" for n in range(8)]
states = {name: {"Type": "Wait", "Seconds": 1, "Next": after} for name, after in zip(names, [*names[1:], "Each"])}
inner = {"StartAt": "Item", "States": {"Item": {"Type": "Pass", "End": True}}}
states["Each"] = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": inner, "End": True}
slow = sf.StateMachine.load({"StartAt": "Step 0", "States": states}, name="slow")
run = sf.Local(rate=RATE).start_execution(slow, {"items": [1, 2, 3]})
run.show()
"""
WAITS = {
    "a blocking cell": "while run.status == 'RUNNING':\n    time.sleep(0.2)",
    "an awaiting cell": "while run.status == 'RUNNING':\n    await asyncio.sleep(0.2)",
}


def notebook(lab, name, *cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells], metadata=KERNEL)
    nbformat.write(made, lab.root / name)


def busy(page):
    """Whether the second cell runs. The kernel's own status is no sign: what widgets send makes it idle in between."""
    return page.locator(".jp-CodeCell .jp-InputPrompt").nth(1).inner_text().startswith("[*]")


def colours(run):
    return tuple(run.locator("g.state").evaluate_all("gs => gs.map(g => g.getAttribute('class'))"))


@pytest.mark.parametrize("how", WAITS)
def test_colours_while_it_runs(lab, page, seen, shoot, how) -> None:
    name = how.split()[1]
    notebook(lab, f"live-{name}.ipynb", START.replace("RATE", "0.4"), WAITS[how])
    lab.open(page, f"live-{name}.ipynb")
    lab.start_all(page)
    run = page.locator(".sflab-run").first
    run.wait_for()
    expect(run.locator("g.state.s-running")).to_have_count(1)
    expect(page.locator(".jp-CodeCell .jp-InputPrompt").nth(1)).to_contain_text("[*]")
    # Colours change while the kernel is busy with the cell.
    shown = set()
    until = time.monotonic() + 15
    while len(shown) < 4 and time.monotonic() < until:
        assert busy(page)
        shown.add(colours(run))
        page.wait_for_timeout(100)
    assert len(shown) == 4, "the colours change while the cell runs"
    # A click is answered at once, so is the slider; to look back is not to be pulled on.
    run.locator("g.state", has_text="Step 0").click()
    expect(run.locator(".panel h3")).to_have_text("Step 0")
    expect(run.locator(".panel")).to_contain_text('"items"')
    assert busy(page)
    run.locator(".track input").evaluate("e => { e.value = 2; e.dispatchEvent(new Event('input')) }")
    expect(run.locator("g.state", has_text="Step 0")).to_have_class("state t-wait s-running current")
    page.wait_for_timeout(400)
    assert run.locator(".track input").input_value() == "2"
    shoot(f"lab-{name}")
    run.locator(".follow").click()
    lab.wait(page)
    expect(run.locator(".top .pill")).to_contain_text("succeeded", timeout=15_000)
    expect(run.locator("g.state", has_text="Step 7")).to_have_class("state t-wait s-succeeded")
    assert not seen.errors + seen.beyond


def test_dark(lab, page, seen, shoot) -> None:
    notebook(lab, "live-dark.ipynb", START.replace("RATE", "float('inf')"))
    lab.open(page, "live-dark.ipynb")
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    lab.run_all(page)
    run = page.locator(".sflab-run")
    page.wait_for_selector(".sflab-run[data-theme=dark]")
    run.locator("g.state", has_text="Each").first.locator("text").first.click()
    run.get_by_label("Which iteration of Each").select_option("1")
    page.keyboard.press("/")
    page.keyboard.type("item")
    page.keyboard.press("Enter")
    expect(run.locator(".panel h3")).to_have_text("Item")
    shoot("lab-dark")
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    page.wait_for_selector(".sflab-run[data-theme=light]")
    assert not seen.errors + seen.beyond


def test_saved_and_opened_again(lab, page, seen, shoot) -> None:
    """As notebooks are committed: nothing of the widget is in them, and the picture shows without a kernel's help."""
    headless = "import os; os.environ['SFLAB_HEADLESS'] = '1'\n"
    notebook(lab, "saved.ipynb", headless + START.replace("RATE", "float('inf')"), "run.show(beside=run)")
    lab.open(page, "saved.ipynb")
    lab.run_all(page)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(500)
    saved = nbformat.read(lab.root / "saved.ipynb", 4)
    assert "widgets" not in saved.metadata
    assert not [m for c in saved.cells for o in c.outputs for m in o.get("data", ()) if "widget" in m]
    lab.open(page, "saved.ipynb")
    pictures = page.locator(".jp-OutputArea-output[data-mime-type='image/svg+xml']")
    expect(pictures.first).to_be_visible()
    expect(pictures.nth(1)).to_be_attached()
    shoot("lab-reopened")
    assert not seen.errors + seen.beyond


def test_an_untrusted_notebook(lab, page, seen, shoot) -> None:
    """A fresh clone, not trusted: no picture is shown, and the text says what happened."""
    made = nbformat.v4.new_notebook(metadata=KERNEL)
    code = START.replace("RATE", "float('inf')")
    scope: dict = {}
    exec(code, scope)  # what the cell would give
    data, _ = scope["run"].show()._repr_mimebundle_()
    data = {k: v for k, v in data.items() if "widget" not in k}
    out = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
    made.cells = [nbformat.v4.new_code_cell(code, execution_count=1, outputs=[out])]
    nbformat.write(made, lab.root / "untrusted.ipynb")
    lab.open(page, "untrusted.ipynb")
    output = page.locator(".jp-OutputArea-output").first
    expect(output).to_contain_text("SUCCEEDED")
    expect(output).to_contain_text("Step 3: Wait, 1 s, succeeded")
    assert page.locator(".jp-OutputArea-output img, .jp-OutputArea-output svg").count() == 0
    shoot("lab-untrusted")
    assert not seen.errors + seen.beyond


SERVED = """
import os
os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
import sflab as sf
from sflab.backends.serve import Server
server = Server(sf.Local(rate=1), 0).__enter__()
states = {"Ask": {"Type": "Wait", "Seconds": 4, "Next": "Tell"}, "Tell": {"Type": "Pass", "End": True}}
aws = sf.AWS(region="us-east-1", role_arn="arn:aws:iam::123456789012:role/r", endpoint_url=server.url)
run = aws.start_execution(sf.StateMachine.load({"StartAt": "Ask", "States": states}, name="remote"))
run.show()
"""


def test_an_execution_that_is_read_over_the_api_comes_alive(lab, page, seen, shoot) -> None:
    notebook(lab, "live-aws.ipynb", SERVED)
    lab.open(page, "live-aws.ipynb")
    lab.start_all(page)
    run = page.locator(".sflab-run").first
    run.wait_for()
    expect(run.locator("g.state", has_text="Ask")).to_have_class(re.compile("s-running"))
    expect(run.locator(".top .pill")).to_contain_text("succeeded", timeout=20_000)
    expect(run.locator("g.state", has_text="Tell")).to_have_class(re.compile("s-succeeded"))
    shoot("lab-aws")
    assert not seen.errors + seen.beyond
