"""The pattern catalogue: each a definition beside its alternative, that draws, runs, and is weighed.

Theory of operation. ``data/machines/patterns/index.json`` says what a pattern is: its problem, the definition that
solves it (``with``), one that does without (``without``), what both are run on, and how that ends. What needs code
(tables to make, functions that keep count, somebody who acts from outside) is a `Stage` in one of the ``stages_…``
modules. Every run has a stage and an account of its own, so that nothing of one is left for the next; what it cost is
read from the histories of all executions that came of it.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON
from sflab.backends.functions import mock
from sflab.backends.local import Local, LocalExecution
from sflab.backends.statemachine import StateMachine
from sflab.costs.compare import Comparison, measure
from sflab.costs.latency import measured
from sflab.costs.prices import data_directory, html_table, load
from sflab.costs.usage import Meter, Usage
from sflab.errors import SflabError
from sflab.workshop.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from sflab.asl.model import Diagnostic


def directory() -> Path:
    """Return the folder of the patterns' definitions, in a checkout or an installed package."""
    return data_directory("machines") / "patterns"


@functools.cache
def _stages() -> dict[tuple[str, str], Callable[[], Stage]]:
    """The stages that need code, by pattern and side."""
    from sflab.workshop import stages_calls, stages_trouble

    return {**stages_calls.STAGES, **stages_trouble.STAGES}


class Design:
    """One way to build it: a definition, what it is run with, and how that ends. As a cell's value it draws itself.

    ``machine`` is the state machine, ``children`` those it starts, ``input`` what it is run on, ``ends`` the status it
    comes to; ``label`` says what it is in a few words, ``files`` where its definitions are.
    """

    def __init__(self, pattern_id: str, side: str, about: Mapping[str, Any]) -> None:
        self.id, self.side, self._about = pattern_id, side, about
        self.label: str = about["label"]
        self.ends: str = about.get("ends", "SUCCEEDED")

    @property
    def files(self) -> tuple[Path, ...]:
        """The definitions' files: its own first, then its children's."""
        children = [child["machine"] for child in self._about.get("children", ())]
        return tuple(directory() / name for name in (self._about["machine"], *children))

    @functools.cached_property
    def machine(self) -> StateMachine:
        """The state machine."""
        return self._load(self._about)

    @functools.cached_property
    def children(self) -> tuple[StateMachine, ...]:
        """The state machines that it starts."""
        return tuple(self._load(child) for child in self._about.get("children", ()))

    def _load(self, about: Mapping[str, Any]) -> StateMachine:
        return StateMachine.load(
            directory() / about["machine"],
            type=about.get("type", "STANDARD"),
            substitutions=about.get("substitutions"),
        )

    @property
    def input(self) -> JSON:
        """What it is run on: a copy, yours to change."""
        return json.loads(json.dumps(self._about.get("input", {})))

    def validate(self) -> list[Diagnostic]:
        """What validation finds in the definition and in those of its children."""
        return [found for machine in (self.machine, *self.children) for found in machine.validate()]

    def stage(self) -> Stage:
        """Return a fresh stage: mocks from the index, code from the stage modules."""
        made = _stages().get((self.id, self.side)) or _stages().get((self.id, "both")) or Stage
        stage = made()
        for name, bound in self._about.get("functions", {}).items():
            stage.functions.setdefault(name, mock(**bound))
        for name, bound in self._about.get("tasks", {}).items():
            stage.tasks.setdefault(name, mock(**bound))
        return stage

    def run(self, local: Local | None = None, *, input: JSON = ..., **options: Any) -> LocalExecution:
        """Run the example and return the execution.

        *input* replaces the example's. *options* are those of `sflab.Local` (``functions``, ``tasks`` and ``objects``
        are laid over the example's). With a *local* of yours, it runs there: what that binds wins, what is missing is
        bound, and the tables and queues the example needs are made in its session.
        """
        if local is not None and options:
            given = ", ".join(options)
            raise SflabError(f"{given}: options make a backend; a backend was given too. Give one of the two.")
        stage = self.stage()
        if local is None:
            for name in ("functions", "tasks", "objects"):
                options[name] = {**getattr(stage, name), **(options.get(name) or {})}
            local = Local(machines=(*self.children, *options.pop("machines", ())), **options)
        else:
            for name in ("functions", "tasks", "objects"):
                ours: dict[str, Any] = getattr(local, name)
                ours |= {**getattr(stage, name), **ours}
            local.machines |= {machine.name: machine for machine in self.children} | local.machines
        if stage.prepare is not None:
            stage.prepare(local)
        given = self.input if input is ... else input
        return stage.act(local, self.machine, given) if stage.act else local.start_execution(self.machine, given)

    def usage(self, *, seed: int = 0) -> tuple[Usage, bool]:
        """Run once with measured latencies; return what all executions together used, and whether it ended as said."""
        local = Local(seed=seed, latency=measured(), histories="all")
        run = self.run(local)
        total = Usage()
        logging = self._about.get("logging", {})
        about = {"logging": logging.get("level", "OFF"), **{k: v for k, v in logging.items() if k != "level"}}
        for execution in local.executions:
            if execution.parent is None:  # those that it started are billed with it
                told = execution.billed()
                total += Meter(told.definition, told.type, **about).read(told.events, told.children, told.nested)
        for item, (quantity, counted) in self._about.get("also", {}).items():
            total.add(item, counted, quantity)
        if "unbilled" in self._about:
            total.notes[self._about["unbilled"]] = None
        total.seconds = sum(_took(execution) for execution in local.executions if execution.parent is None)
        return total, run.status == self.ends

    def __repr__(self) -> str:
        return f"Design({self.label!r}: {self.machine!r})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {**self.machine._repr_mimebundle_(), "text/plain": repr(self)}


def _took(execution: LocalExecution) -> float:
    """Seconds until the last of an execution and all it started had ended."""
    family, latest = [execution], execution.history.events[-1]["timestamp"]
    while family:
        one = family.pop()
        latest = max(latest, one.history.events[-1]["timestamp"])
        family += one.nested
    return float((latest - execution.history.events[0]["timestamp"]).total_seconds())


class Pattern(Design):
    """A pattern: what it solves, the definition that does, and the alternative it is weighed against.

    ``machine`` draws (the pattern as a cell's value does too), ``run()`` runs the example, ``alternative`` is the other
    design with the same verbs, ``compare(n=…)`` runs both and says what they cost and how long they take.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        shared = {name: about[name] for name in ("input", "functions") if name in about}
        super().__init__(about["id"], "with", {**shared, **about["with"]})
        self.alternative = Design(self.id, "without", {**shared, **about["without"]})
        self.slug: str = about["slug"]
        self.name: str = about["name"]
        self.group: str = about["group"]
        self.problem: str = about["problem"]
        self.lesson: str = about["lesson"]
        self.tags: tuple[str, ...] = tuple(about["tags"])
        self.notebook: str = about["notebook"]

    @property
    def code(self) -> str:
        """The Python source of what the example needs beside mocks: tables, functions, somebody who acts."""
        import inspect

        made = [_stages().get((self.id, side)) for side in ("both", "with", "without")]
        return "\n\n".join(inspect.getsource(stage) for stage in dict.fromkeys(made) if stage is not None)

    def compare(self, n: int = 30, *, seed: int = 0) -> Comparison:
        """Run the example and its alternative *n* times each, with latencies as measured on AWS, and compare.

        What a run costs and how long it takes is that of all executions which come of it. A run that does not end as
        its design says (``ends``) counts as failed.
        """
        if n < 1:
            raise ValueError(f"n is the number of runs, 1 or more, not {n!r}")
        prices, results = load(), []
        for design in (self, self.alternative):
            used = ((usage, not as_said) for usage, as_said in (design.usage(seed=seed + i) for i in range(n)))
            results.append(measure(design.label, design.machine.type, used, prices))
        return Comparison(tuple(results), n, seed)

    def __repr__(self) -> str:
        return f"Pattern({self.id} {self.name}: {self.problem})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        picture = self.machine._repr_mimebundle_()
        return {**picture, "text/plain": f"{self!r}\n{self.lesson}\n\n{picture['text/plain']}"}

    def _ipython_display_(self) -> None:
        """Show the words and the picture as two outputs: of one bundle, a front end would show one of them."""
        from IPython.display import display

        words = f"<b>{escape(f'{self.id} · {self.name}')}</b><br>{escape(self.problem)}<br><i>{escape(self.lesson)}</i>"
        said = {"text/html": f"<div>{words}</div>", "text/plain": f"{self!r}\n{self.lesson}"}
        display(said, raw=True)  # type: ignore[no-untyped-call]
        display(self.machine._repr_mimebundle_(), raw=True)  # type: ignore[no-untyped-call]


class Catalogue(Sequence[Pattern]):
    """Patterns, as a table that can be narrowed down: ``patterns["T1"]``, ``.find("saga")``, ``.filter(group="cost")``.

    ``df`` has a row for each; ``compare()`` runs them all and tells what each costs beside its alternative.
    """

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = tuple(patterns)

    @functools.cached_property
    def _keys(self) -> dict[str, Pattern]:
        keys: dict[str, Pattern] = {}
        for pattern in self._patterns:
            keys |= dict.fromkeys((pattern.id.lower(), pattern.slug, pattern.name.lower()), pattern)
        return keys

    def __getitem__(self, key: Any) -> Any:
        """Return a pattern by its id, its slug, its name or its place; patterns by a slice."""
        if isinstance(key, slice):
            return Catalogue(self._patterns[key])
        if not isinstance(key, str):
            return self._patterns[key]
        if (found := self._keys.get(key.lower())) is not None:
            return found
        near = difflib.get_close_matches(key.lower(), self._keys, n=1, cutoff=0.5)
        hint = f"Did you mean {self._keys[near[0]].id} ({self._keys[near[0]].name})? " if near else ""
        ids = ", ".join(pattern.id for pattern in self._patterns)
        raise SflabError(f"there is no pattern {key!r}. {hint}There are {ids}.")

    def __len__(self) -> int:
        return len(self._patterns)

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self._patterns)

    def _ipython_key_completions_(self) -> list[str]:
        return [pattern.id for pattern in self._patterns]

    def find(self, text: str) -> Catalogue:
        """Return the patterns in whose words (id, name, problem, lesson, tags, alternative) all words of *text* are."""
        words = text.lower().split()

        def said(p: Pattern) -> str:
            return " ".join((p.id, p.slug, p.name, p.group, p.problem, p.lesson, *p.tags, p.alternative.label)).lower()

        return Catalogue(p for p in self._patterns if all(word in said(p) for word in words))

    def filter(self, *, group: str | None = None, tag: str | None = None, notebook: str | None = None) -> Catalogue:
        """Return the patterns of a group, with a tag, of a notebook (``"06"``); all that is given must hold.

        Raises SflabError where no pattern has such a group, tag or notebook.
        """
        out = self._patterns
        for what, wanted, of in (
            ("group", group, lambda p: (p.group,)),
            ("tag", tag, lambda p: p.tags),
            ("notebook", notebook, lambda p: (p.notebook,)),
        ):
            known = dict.fromkeys(each for p in self._patterns for each in of(p))
            if wanted is not None and wanted not in known:
                raise SflabError(f"there is no {what} {wanted!r} here; there are {', '.join(sorted(known))}")
            out = tuple(p for p in out if wanted is None or wanted in of(p))
        return Catalogue(out)

    @property
    def df(self) -> pd.DataFrame:
        """A row per pattern, by id: group, name, problem, alternative, states, notebook, tags."""
        import pandas as pd

        rows = [
            {
                "id": p.id,
                "group": p.group,
                "name": p.name,
                "problem": p.problem,
                "alternative": p.alternative.label,
                "states": len(p.machine.states),
                "notebook": p.notebook,
                "tags": ", ".join(p.tags),
            }
            for p in self._patterns
        ]
        columns = ["id", "group", "name", "problem", "alternative", "states", "notebook", "tags"]
        return pd.DataFrame(rows, columns=columns).set_index("id")

    def compare(self, n: int = 5, *, seed: int = 0) -> pd.DataFrame:
        """Run each pattern and its alternative *n* times and return what they cost and take, a row per pattern.

        Dollars per million runs, rounded to cents; medians in seconds, rounded to ms; transitions as Standard counts
        them, without those of nested Express executions.
        """
        import pandas as pd

        rows = []
        for p in self._patterns:
            row: dict[str, Any] = {"id": p.id, "name": p.name}
            for side, result in zip(("with", "without"), p.compare(n, seed=seed).results, strict=True):
                row[f"usd_per_million_{side}"] = round(result.per_million, 2)
                row[f"p50_s_{side}"] = round(result.quantile(0.5) / 1000, 3)
                row[f"transitions_{side}"] = round(result.transitions, 2)
            rows.append(row)
        sides = [
            f"{name}_{side}" for name in ("usd_per_million", "p50_s", "transitions") for side in ("with", "without")
        ]
        return pd.DataFrame(rows, columns=["id", "name", *sides]).set_index("id")

    def __repr__(self) -> str:
        return f"Catalogue({len(self)} patterns: {', '.join(p.id for p in self._patterns)})"

    def _repr_html_(self) -> str:
        head = ("id", "name", "problem", "beside", "group", "notebook")
        rows = [(p.id, p.name, p.problem, p.alternative.label, p.group, p.notebook) for p in self._patterns]
        return html_table(head, rows)


def _read() -> Catalogue:
    path = directory() / "index.json"
    try:
        return Catalogue(Pattern(about) for about in json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise SflabError(f"{path}: the patterns are missing; install sflab again, or clone it whole") from None


#: All patterns.
patterns: Catalogue = _read()
