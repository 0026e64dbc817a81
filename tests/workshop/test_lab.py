"""`sflab lab`: the workshop is found in a clone and in an installed package, and reset without losing anything."""

import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from sflab import cli
from sflab.errors import SflabError
from sflab.workshop import lab

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "notebooks" / lab.FIRST).read_bytes()
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture
def installed(tmp_path):
    """A package as a wheel lays it out: its notebooks and data inside."""
    home = tmp_path / "site" / "sflab"
    (home / "notebooks").mkdir(parents=True)
    for name in NAMES:
        shutil.copyfile(ROOT / "notebooks" / name, home / "notebooks" / name)
    shutil.copytree(ROOT / "data/histories", home / "data/histories")
    return home


@pytest.fixture
def clone(tmp_path):
    """A clone of two notebooks; returns the package's folder in it."""
    root = tmp_path / "clone"
    (root / "sflab").mkdir(parents=True)
    (root / "notebooks").mkdir()
    for name in NAMES[:2]:
        shutil.copyfile(ROOT / "notebooks" / name, root / "notebooks" / name)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Ship"]):
        subprocess.run([*git, *arguments], check=True)
    return root / "sflab"


def test_a_clone_is_used_where_it_stands(clone):
    found = lab.find(home=clone)
    assert (found.folder, found.package, found.names) == (clone.parent, None, NAMES[:2])
    assert lab.find().notebooks == ROOT / "notebooks"


def test_an_installed_workshop_is_copied_into_the_working_folder(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = lab.find(home=installed)
    assert found.folder == tmp_path / lab.FOLDER
    assert found.names == NAMES
    assert (found.notebooks / lab.FIRST).read_bytes() == TOUR
    assert (found.folder / "data/histories/incident.json").is_file()  # as the notebooks read it: ../data/histories/…


def test_what_is_in_a_copy_is_never_written_over(installed, tmp_path):
    found = lab.find(str(tmp_path / "mine"), home=installed)
    (found.notebooks / lab.FIRST).write_text("edited")
    (found.notebooks / NAMES[-1]).unlink()
    again = lab.find(str(tmp_path / "mine"), home=installed)
    assert (again.notebooks / lab.FIRST).read_text() == "edited"
    assert (again.notebooks / NAMES[-1]).is_file()


@pytest.mark.parametrize("asked", ["00", "00-tour", "00-tour.ipynb", "notebooks/00-tour.ipynb"])
@pytest.mark.parametrize("where", ["clone", "installed"])
def test_reset_puts_back_what_was_shipped_and_keeps_what_was_edited(where, asked, request, tmp_path):
    home = request.getfixturevalue(where)
    found = lab.find(None if where == "clone" else str(tmp_path / "mine"), home=home)
    path = found.notebooks / lab.FIRST
    for edit, kept in (("first", "mine-00-tour.ipynb"), ("second", "mine-00-tour-2.ipynb")):
        path.write_text(edit)
        assert lab.reset(found, asked) == (path, path.with_name(kept))
        assert path.read_bytes() == TOUR
        assert path.with_name(kept).read_text() == edit
    assert lab.reset(found, asked) == (path, None)  # nothing was edited: nothing to keep
    path.unlink()
    assert lab.reset(found, asked) == (path, None)  # it was deleted
    assert path.read_bytes() == TOUR
    assert lab.FIRST in found.names
    assert not any(name.startswith(lab.MINE) for name in found.names)


@pytest.mark.parametrize(("asked", "said"), [("9", "none"), ("", "none"), ("0", "more than one"), ("tour", "none")])
def test_a_notebook_that_is_not_meant_is_an_error_that_lists_them(asked, said, clone):
    (clone.parent / "notebooks/01-more.ipynb").write_text("{}")
    with pytest.raises(SflabError, match=f"{said} of the notebooks.*00-tour"):
        lab.reset(lab.find(home=clone), asked)


def test_without_git_or_a_commit_nothing_is_lost(clone, monkeypatch):
    found = lab.find(home=clone)
    path = found.notebooks / lab.FIRST
    path.write_text("edited")
    shutil.rmtree(clone.parent / ".git")
    with pytest.raises(SflabError, match="git does not have 00-tour"):
        lab.reset(found, "00")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SflabError, match="there is no git here"):
        lab.reset(found, "00")
    assert path.read_text() == "edited"


def test_without_notebooks_it_says_so(tmp_path):
    with pytest.raises(SflabError, match="install sflab anew"):
        lab.find(home=tmp_path / "sflab")


def test_the_command_line_resets(tmp_path, capsys):
    """From a clone into a folder of its own."""
    assert cli.main(["lab", "--folder", str(tmp_path / "w"), "--reset", "00"]) == 0
    (tmp_path / "w/notebooks" / lab.FIRST).write_text("edited")
    assert cli.main(["lab", "--folder", str(tmp_path / "w"), "--reset", "00"]) == 0
    assert capsys.readouterr().out.endswith("yours is mine-00-tour.ipynb\n")
    assert cli.main(["lab", "--folder", str(tmp_path / "w"), "--reset", "77"]) == 2
    assert "00-tour.ipynb" in capsys.readouterr().err
    assert not (tmp_path / "w/notebooks/conftest.py").exists()


@pytest.mark.slow
def test_it_opens_the_tour_in_a_real_jupyterlab(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "JUPYTER_TOKEN": "t", "PYTHONPATH": str(ROOT), "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    command = [sys.executable, "-m", "sflab.cli", "lab", "--folder", str(tmp_path / "w")]
    command += ["--no-browser", "--port", str(port)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            said = ask(f"http://127.0.0.1:{port}/api/contents/notebooks/{lab.FIRST}?content=0&token=t", process)
            assert '"type": "notebook"' in said or '"type":"notebook"' in said
        finally:
            ask(f"http://127.0.0.1:{port}/api/shutdown?token=t", process, method="POST")
            process.communicate(timeout=30)


def ask(url, process, *, method="GET", seconds=30):
    until = time.monotonic() + seconds
    request = urllib.request.Request(url, method=method, headers={"Authorization": "token t"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                process.terminate()
                raise
            time.sleep(0.2)


def test_the_workshop_is_in_the_wheel():
    """What `find` looks for in an installed package is among what a wheel holds."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {"/notebooks/*.ipynb", "/notebooks/GLOSSARY.md", "/data"} <= set(wheel["include"])
    assert wheel["sources"] == {"data": "sflab/data", "notebooks": "sflab/notebooks"}
