"""The notebooks' links: to words of the glossary that are there, and to files that are there."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
GLOSSARY = (NOTEBOOKS / "GLOSSARY.md").read_text("utf-8")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text):
    """Where headings are found: GitHub writes them in lower case, JupyterLab as they stand, both with - for a space."""
    return {line.lstrip("#").strip().replace(" ", "-") for line in text.splitlines() if line.startswith("#")}


def links(text):
    return [link for link in LINK.findall(text) if not link.startswith("http")]


def broken(link):
    file, _, anchor = link.partition("#")
    if file and not (NOTEBOOKS / file).exists():
        return f"there is no {file}"
    return f"the glossary has no {anchor}" if anchor and anchor not in anchors(GLOSSARY) else None


def test_words_are_in_lower_case_and_found_by_both_kinds_of_anchor():
    words = [line[3:] for line in GLOSSARY.splitlines() if line.startswith("## ")]
    assert words == [word.lower() for word in words]
    assert all(re.fullmatch(r"[a-z]+(?:[ -][a-z]+)*", word) for word in words)
    assert len(words) == len(set(words))


def test_the_glossary_links_to_words_of_its_own():
    assert [(link, why) for link in links(GLOSSARY) if (why := broken(link))] == []


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_links_to_what_is_there(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert [(link, why) for link in links(text) if (why := broken(link))] == []


def test_a_broken_link_is_found():
    assert broken("GLOSSARY.md#state-visit") is None
    assert broken("GLOSSARY.md#sate-visit")
    assert broken("99-nothing.ipynb")
