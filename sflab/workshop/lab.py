"""The workshop in JupyterLab: where its notebooks are, and how one is put back as it was shipped.

Theory of operation. In a clone the notebooks are used where they stand, and git has them as shipped. An installed
package holds them inside itself, where nobody should write: they are copied, with the data that they read, into a
folder of the user's. What is there already is never written over; `reset` keeps what it replaces under another name.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sflab.errors import SflabError

FIRST = "00-tour.ipynb"
FOLDER = "sflab-workshop"  # made in the working folder, where sflab is installed
MINE = "mine-"  # what an edited notebook is called after its reset


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder with ``notebooks/`` and the ``data/`` they read, and the package's own that it was copied from.

    In a clone, ``package`` is None: there git has what was shipped.
    """

    folder: Path
    package: Path | None

    @property
    def notebooks(self) -> Path:
        """The folder of the notebooks."""
        return self.folder / "notebooks"

    @property
    def names(self) -> list[str]:
        """The file names of the notebooks as shipped, in reading order."""
        where = (self.package or self.folder) / "notebooks"
        there = {path.name for path in where.glob("[0-9]*.ipynb")}
        if self.package is None:  # one that was deleted can be put back all the same
            listed = self._git("ls-tree", "--name-only", "HEAD", "./notebooks/")
            there |= {Path(line).name for line in listed.stdout.decode().splitlines() if line.endswith(".ipynb")}
        return sorted(there)

    def shipped(self, name: str) -> bytes:
        """Return a notebook as it was shipped. Raises SflabError in a clone whose git does not have it."""
        if self.package is not None:
            return (self.package / "notebooks" / name).read_bytes()
        done = self._git("show", f"HEAD:./notebooks/{name}")
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise SflabError(f"git does not have {name} as it was shipped: {said}")
        return done.stdout

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        git = shutil.which("git")
        if git is None:
            return subprocess.CompletedProcess([], 127, b"", b"there is no git here; install it")
        return subprocess.run([git, "-C", str(self.folder), *arguments], capture_output=True, check=False)


def find(folder: str | None = None, *, home: Path | None = None) -> Workshop:
    """Return the workshop: the clone's, or a copy in *folder* (default: ``sflab-workshop`` in the working folder).

    *home* is the package's folder. What a copy lacks is added; nothing in it is written over.
    """
    home = home or Path(__file__).parents[1]
    inside = (home / "notebooks").is_dir()
    if not inside and not (home.parent / "notebooks").is_dir():
        raise SflabError(f"the notebooks are neither in {home} nor beside it: install sflab anew, or clone it")
    if not inside and folder is None:
        return Workshop(home.parent, None)
    source = home if inside else home.parent
    there = Path(folder or FOLDER).resolve()
    for part in ("notebooks", "data"):
        for path in sorted((source / part).rglob("*")):
            target = there / path.relative_to(source)
            if path.is_file() and not target.exists() and _wanted(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    return Workshop(there, source)


def _wanted(path: Path) -> bool:
    """Whether a file is the learner's: not what tests the notebooks, nor what Python or Jupyter left."""
    left = {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)
    return not left and path.name not in ("conftest.py", "sanitize.cfg") and not path.name.startswith(MINE)


def reset(workshop: Workshop, notebook: str) -> tuple[Path, Path | None]:
    """Put a notebook back as it was shipped; return its path, and where what it replaced is kept, if it differed.

    *notebook* is a name, or how one begins (``03``). Raises SflabError where it is none, or more than one.
    """
    name = _named(workshop, notebook)
    path, shipped = workshop.notebooks / name, workshop.shipped(name)
    kept = None
    if path.exists() and path.read_bytes() != shipped:
        stem, number = f"{MINE}{path.stem}", 1
        kept = path.with_name(f"{stem}.ipynb")
        while kept.exists():
            number += 1
            kept = path.with_name(f"{stem}-{number}.ipynb")
        path.rename(kept)
    path.write_bytes(shipped)
    _trust([path])
    return path, kept


def _named(workshop: Workshop, notebook: str) -> str:
    asked = Path(notebook).name.removesuffix(".ipynb")
    names = workshop.names
    found = [name for name in names if name == f"{asked}.ipynb"] or [n for n in names if asked and n.startswith(asked)]
    if len(found) != 1:
        which = "more than one" if found else "none"
        raise SflabError(f"--reset {notebook}: {which} of the notebooks is called so: {', '.join(found or names)}")
    return found[0]


def _trust(paths: list[Path]) -> None:
    """Sign notebooks of ours as trusted, so that JupyterLab shows their pictures before they are run."""
    import nbformat
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()
    for path in paths:
        with contextlib.suppress(Exception):  # what is no notebook any more is for JupyterLab to say
            notary.sign(nbformat.read(path, as_version=4))


def command(workshop: Workshop, *, port: int | None = None, browser: bool = True, root: bool = False) -> list[str]:
    """Return the command that starts JupyterLab on the tour; *root* where it is started as that user."""
    options = [
        f"--ServerApp.root_dir={workshop.folder}",
        f"--LabApp.default_url=/lab/tree/notebooks/{FIRST}",
        # A learner is not asked about news, nor the network about updates.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *([f"--ServerApp.port={port}"] if port is not None else []),
        *([] if browser else ["--no-browser"]),
        *(["--allow-root"] if root else []),
    ]
    return [sys.executable, "-m", "jupyterlab", *options]


def start(workshop: Workshop, *, port: int | None, browser: bool, root: bool) -> int:
    """Run JupyterLab until somebody ends it; return its exit code."""
    _trust([path for name in workshop.names if (path := workshop.notebooks / name).is_file()])
    with subprocess.Popen(command(workshop, port=port, browser=browser, root=root)) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # JupyterLab has been told too, and asks whether it is meant
                continue
