"""The house rules, read from the syntax tree of every file: who may import whom, and where the world comes in."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "sflab"

# What a part of the package may import of the package. Down only, and not sideways.
BELOW = {
    "errors": set(),
    "asl": {"asl", "errors"},
    "engine": {"engine", "asl", "errors"},
    "views": {"views", "engine", "asl", "errors"},
    "costs": {"costs", "engine", "asl", "errors"},
    "iac": {"iac", "engine", "asl", "errors"},
    "backends": {"backends", "iac", "costs", "views", "engine", "asl", "errors"},
    "workshop": {"workshop", "backends", "iac", "costs", "views", "engine", "asl", "errors"},
}
TOP = {*BELOW, ""}  # cli, magics and the package itself; "" is `import sflab`
# asl and engine import the standard library, and the expression libraries each in its one place.
PURE = {"asl", "engine"}
ADMITTED = {"asl/parse.py": {"yaml"}, "asl/jsonata.py": {"jlens"}}
# The world: in backends only. A name stands for itself and all that is inside it.
WORLD = {
    "time", "threading", "socket", "asyncio", "sched", "signal", "boto3", "botocore", "secrets", "random", "os.urandom",
    "numpy.random", "uuid.uuid1", "uuid.uuid4", "datetime.datetime.now", "datetime.datetime.utcnow",
    "datetime.datetime.today", "datetime.date.today", "pandas.Timestamp.now", "pandas.Timestamp.today",
}  # fmt: skip
SEEDED = {"random.Random", "numpy.random.default_rng", "numpy.random.Generator"}
MODULES = {"random", "numpy.random"}  # importing these does nothing yet: their use is looked at
VAGUE = {"utils", "helpers", "base", "factory", "manager", "common", "misc"}
HEAVY = (
    "boto3", "botocore", "pandas", "numpy", "moto", "matplotlib", "IPython", "ipywidgets", "anywidget", "graphviz",
    "pyarrow",
)  # fmt: skip


class Import(NamedTuple):
    """One imported name: `local` is what the file calls it, `means` the dotted name that this stands for."""

    line: int
    name: str
    local: str
    means: str


def imports(tree: ast.AST, package: list[str]) -> Iterator[Import]:
    """Every import, also inside functions; relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]  # `import os.path` binds os
                yield Import(node.lineno, alias.name, alias.asname or top, alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                name = f"{module}.{alias.name}"
                yield Import(node.lineno, name, alias.asname or alias.name, name)


def dotted(node: ast.AST, names: dict[str, str]) -> str | None:
    """`dt.now` as "datetime.datetime.now", for what was imported; None for any other expression."""
    match node:
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(value=value, attr=attr):
            stem = dotted(value, names)
            return stem and f"{stem}.{attr}"
    return None


def within(name: str, group: set[str]) -> bool:
    """Whether a dotted name is in a group or inside something that is."""
    return any(name == member or name.startswith(member + ".") for member in group)


def layering(part: str, path: str, found: list[Import]) -> Iterator[tuple[int, str]]:
    """Imports that go up, sideways, or from the pure parts outwards."""
    for line, name, *_ in found:
        root, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if root == "sflab":
            # `from sflab import __version__` names the package itself, not a part of it
            target = target if target in TOP or target in {"cli", "magics"} else ""
            if target not in BELOW.get(part, TOP):
                yield line, f"{part or 'sflab'} imports {name}: imports go down only"
        elif part in PURE and root not in sys.stdlib_module_names and root not in ADMITTED.get(path, set()):
            yield line, f"{part} imports {name}: only the standard library may be imported here"


def world(tree: ast.AST, found: list[Import]) -> Iterator[tuple[int, str]]:
    """Clocks, threads, sockets, AWS and chance without a seed."""
    names = {each.local: each.means for each in found}
    for line, name, *_ in found:
        if within(name, WORLD) and not within(name, SEEDED) and name not in MODULES:
            yield line, f"{name}: clocks, threads, sockets and chance belong in backends"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = dotted(node, names)
            if name and within(name, WORLD) and not within(name, SEEDED) and name not in MODULES:
                yield node.lineno, f"{name}: clocks, threads, sockets and chance belong in backends"
        elif isinstance(node, ast.Call) and dotted(node.func, names) in SEEDED and not (node.args or node.keywords):
            yield node.lineno, f"{dotted(node.func, names)}(): give it a seed"


def shape(path: str, lines: int) -> Iterator[tuple[int, str]]:
    """Files too small, too large, too deep or vaguely named."""
    name = Path(path)
    if name.name != "__init__.py" and not 40 <= lines <= 650:
        yield 1, f"{lines} lines: a file has 40 to 650"
    if len(name.parts) > 2:
        yield 1, "folders are one level deep"
    if name.stem in VAGUE:
        yield 1, "the name says nothing of what is inside"


def violations(path: str, source: str) -> list[str]:
    """Every broken rule in a file: `path` is relative to the package, as "asl/parse.py"."""
    tree, parts = ast.parse(source), Path(path).parts
    part = parts[0] if len(parts) > 1 else "errors" if path == "errors.py" else ""
    found = list(imports(tree, ["sflab", *parts[:-1]]))
    broken = [*shape(path, len(source.splitlines())), *layering(part, path, found)]
    if part != "backends":
        broken += world(tree, found)
    return [f"sflab/{path}:{line}: {what}" for line, what in sorted(set(broken))]


def test_the_house_rules() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert files
    broken = [
        line for file in files for line in violations(file.relative_to(PACKAGE).as_posix(), file.read_text("utf-8"))
    ]
    assert not broken, "\n" + "\n".join(broken)


RUN = """
machine = sflab.StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
assert sflab.Local().start_execution(machine, {"n": 1}).output == {"n": 1}
"""


@pytest.mark.parametrize("use", ["", RUN], ids=["import", "run"])
def test_import_is_light(use: str) -> None:
    """`import sflab`, and a run of a machine in a process of its own, loads nothing that takes long."""
    code = f"import sflab, sys\n{use}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.split()


def test_the_light_import_test_can_fail() -> None:
    code = f"import pandas, sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["pandas", "numpy"]


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("asl/a.py", "from sflab.engine import machine", "imports go down only"),
        ("asl/a.py", "def f():\n    from sflab import views", "imports go down only"),
        ("asl/a.py", "from ..engine import machine", "imports go down only"),
        ("asl/a.py", "import sflab", "imports go down only"),
        ("asl/a.py", "from sflab import StateMachine", "imports go down only"),
        ("views/a.py", "from sflab.costs.prices import load", "imports go down only"),
        ("costs/a.py", "import sflab.backends.local", "imports go down only"),
        ("backends/a.py", "from sflab import cli", "imports go down only"),
        ("backends/a.py", "from sflab.workshop import patterns", "imports go down only"),
        ("workshop/a.py", "from sflab import cli", "imports go down only"),
        ("errors.py", "from sflab.asl import model", "imports go down only"),
        ("asl/a.py", "import yaml", "only the standard library"),
        ("engine/a.py", "import jlens", "only the standard library"),
        ("engine/a.py", "if True:\n    import pandas as pd", "only the standard library"),
        ("engine/a.py", "import time", "time: clocks"),
        ("views/a.py", "from threading import Lock", "threading.Lock: clocks"),
        ("costs/a.py", "def f():\n    import boto3", "boto3: clocks"),
        ("cli.py", "from datetime import datetime as dt\ndt.now()", "datetime.datetime.now: clocks"),
        ("cli.py", "from datetime import datetime\ndatetime.now()", "datetime.datetime.now: clocks"),
        ("asl/a.py", "import datetime\ndatetime.datetime.now(datetime.UTC)", "datetime.datetime.now: clocks"),
        ("asl/a.py", "import random as r\nr.choice([1])", "random.choice: clocks"),
        ("asl/a.py", "from random import shuffle", "random.shuffle: clocks"),
        ("costs/a.py", "import numpy as np\nnp.random.normal()", "numpy.random.normal: clocks"),
        ("asl/a.py", "import random\nrandom.Random()", "give it a seed"),
        ("asl/a.py", "from uuid import uuid4", "uuid.uuid4: clocks"),
        ("asl/a.py", "pass", "1 lines: a file has 40 to 650"),
        ("asl/a.py", "pass\n" * 651, "651 lines: a file has 40 to 650"),
        ("asl/deep/a.py", "pass", "one level deep"),
        ("asl/utils.py", "pass", "says nothing"),
    ],
)
def test_every_rule_can_fail(path: str, source: str, expected: str) -> None:
    assert any(expected in line for line in violations(path, source)), violations(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "asl/parse.py",
            "import json\nimport yaml\nfrom sflab.errors import DefinitionError\nfrom sflab.asl.model import walk",
        ),
        ("asl/jsonata.py", "import jlens"),
        (
            "engine/a.py",
            "from ..asl import model\nfrom . import messages\nimport datetime\ndatetime.datetime.fromtimestamp(0)",
        ),
        ("engine/a.py", "import random\nrandom.Random(7).random()\nfrom random import Random\nRandom(x=1)"),
        ("costs/a.py", "import pandas as pd\nfrom sflab.engine import history"),
        ("backends/a.py", "import time\nimport boto3\nimport random\nrandom.Random()\nfrom sflab.costs import prices"),
        ("cli.py", "import sflab\nfrom sflab.backends import local\nfrom sflab import views, StateMachine"),
        ("__init__.py", ""),
    ],
)
def test_what_is_allowed_is_not_reported(path: str, source: str) -> None:
    padded = source if path == "__init__.py" else source + "\n#" * 40
    assert violations(path, padded) == []
