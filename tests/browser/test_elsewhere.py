"""Notebooks where no kernel is: as HTML that nbconvert made, opened from disk, and not trusted in JupyterLab."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
CELLS = [
    """import sflab as sf
%load_ext sflab""",
    """%%asl order --run {"total": 9, "lines": [1, 2]}
StartAt: Check
States:
  Check:
    Type: Choice
    Choices:
      - Variable: $.total
        NumericGreaterThan: 0
        Next: Each
    Default: Refuse
  Each:
    Type: Map
    ItemsPath: $.lines
    ItemProcessor:
      StartAt: Pack
      States:
        Pack: {Type: Pass, End: true}
    End: true
  Refuse:
    Type: Fail
    Error: Refused
""",
    "order",
    "%%teststate order.Check\ntotal: 3",
    "%sfn history",
    "%sfn timeline",
    "%sfn cost",
    "sf.compare({'order': order}, sf.Local(), {'total': 9, 'lines': []}, n=20)",
]


@pytest.fixture(scope="module")
def executed():
    """The cells above, run as `make notebooks` runs them: no widget is stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFLAB_HEADLESS", "1")
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS], metadata=kernel)
        NotebookClient(notebook, timeout=60).execute()
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / ".ci/notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return nbformat.reads(module.store(notebook), as_version=4)


def test_as_html_from_disk(executed, page, seen, tmp_path, shoot):
    # The template's own scripts (MathJax, require.js) come from a CDN; nothing of ours needs one.
    exporter = HTMLExporter(require_js_url="", mathjax_url="", mermaid_js_url="", jquery_url="")
    html, _ = exporter.from_notebook_node(executed)
    file = tmp_path / "order.html"
    file.write_text(html, "utf-8")
    page.goto(file.as_uri())
    pictures = page.locator(".jp-RenderedSVG img, .jp-RenderedImage img, img[src^='data:image/svg']")
    assert pictures.count() == 4  # the run, the machine, the timeline, the comparison
    assert pictures.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 100)")
    expect(page.locator("svg text", has_text="Check: SUCCEEDED").first).to_be_visible()  # of the tested state
    expect(page.locator("table", has_text="ExecutionStarted")).to_be_visible()
    expect(page.locator("table", has_text="transition").first).to_be_visible()
    assert page.locator("text=Error displaying widget").count() == 0
    shoot("elsewhere-html-top")
    page.locator("table", has_text="ExecutionStarted").scroll_into_view_if_needed()
    shoot("elsewhere-html-table")
    assert not seen.beyond


def test_not_trusted_in_jupyterlab(executed, lab, page, seen, shoot):
    """A fresh clone: HTML and SVG are held back, and the words tell the same."""
    nbformat.write(executed, lab.root / "untrusted.ipynb")
    lab.open(page, "untrusted.ipynb")
    run = page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea-output")
    expect(run).to_contain_text("Check: Choice, succeeded")
    expect(run).to_contain_text("Refuse: Fail, Refused, skipped")
    expect(page.locator(".jp-Cell").nth(2).locator(".jp-OutputArea-output")).to_contain_text("$.total > 0 -> Each")
    shoot("elsewhere-untrusted")
    lab.trust("untrusted.ipynb")
    page.reload()
    page.wait_for_selector(".jp-Cell:nth-child(2) .jp-RenderedSVG")
    shoot("elsewhere-trusted")
    assert not seen.errors + seen.beyond
