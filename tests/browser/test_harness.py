"""The harness itself: a plain notebook runs in JupyterLab, and what a page does wrong is seen."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CELLS = ["from IPython.display import HTML\n6 * 7", "HTML('<b id=\"mark\">shown</b>')"]


def write(lab, name, *cells) -> None:
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(new_notebook(cells=list(cells), metadata=python), lab.root / name)


def test_a_notebook_runs(lab, page, seen, shoot) -> None:
    write(lab, "harness.ipynb", new_markdown_cell("# Harness"), *map(new_code_cell, CELLS))
    lab.open(page, "harness.ipynb")
    lab.run_all(page)
    assert page.locator(".jp-OutputArea-output").first.inner_text().strip() == "42"
    assert page.locator("#mark").inner_text() == "shown"
    assert shoot("harness").stat().st_size > 10_000
    assert not seen.errors + seen.beyond


def test_what_a_page_does_wrong_is_seen(page, seen) -> None:
    page.evaluate("() => { console.error('oh'); return fetch('http://beyond.invalid/x').catch(() => 0) }")
    assert "oh" in seen.errors
    assert seen.beyond == ["http://beyond.invalid/x"]


def test_a_trusted_notebook_shows_what_it_stores(lab, page) -> None:
    drawing = new_output("display_data", {"text/html": "<i id='drawn'>drawn</i>", "text/plain": "words"})
    write(lab, "stored.ipynb", new_code_cell("1", execution_count=1, outputs=[drawing]))
    lab.trust("stored.ipynb")
    lab.open(page, "stored.ipynb")
    assert page.locator("#drawn").inner_text() == "drawn"
