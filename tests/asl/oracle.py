"""The JSONata oracle: inputs made up for an expression, and what the adapter and `jsonata2py` make of it.

An outcome is ("value", v), ("nothing",) where it is undefined, ("function",), or ("error", code).
"""

import json
import math
import random
import re

import jlens
import jsonata2py
from jsonata2py.runtime.values import MISSING

from sflab.asl import jsonata
from sflab.asl.model import StatesError

VARIANTS = ("likely", "arrays", "texts", "any", "sparse")
SCALARS = (0, 1, 7, -3, 2.5, "a", "", "42", "2024-05-01T10:00:00Z", "x,y", True, False, None)
NUMBERS = ("count", "size", "index", "total", "number", "price", "amount", "quantity", "length", "attempt", "seconds")


def leaf(name, variant, chance):
    """A value for a field of that name."""
    few = [chance.choice((3, 1, 2)) for _ in range(3)]
    match variant:
        case "likely":
            low = name.lower()
            if any(word in low for word in NUMBERS):
                return chance.randrange(10)
            if low.endswith("at") or "time" in low or "date" in low:
                return "2024-05-01T10:00:00.000Z"
            return few if low.endswith("s") else f"{name}-{chance.randrange(10)}"
        case "arrays":
            return chance.choice((few, [{"id": 1, "name": "n"}, {"id": 2, "name": "m"}], ["b", "a"], [], [[1], [2]]))
        case "texts":
            return chance.choice(("a", "a b", "x,y,z", "12", '{"a":1}', "ünï", ""))
        case "sparse":
            return chance.choice((None, {}, [], {"a": {"b": [1, {"c": None}]}}, [None], 0, ""))
    return chance.choice((*SCALARS, few, {"id": 1, "k": "v"}, [{"a": 1}, {"a": [2, 3]}]))


def value(tree, name, variant, chance):
    """A document with the fields of *tree*, which is `jlens` `reads()` of a field."""
    if not isinstance(tree, dict) or not tree:
        return leaf(name, variant, chance)

    def one():
        fields = {k: value(v, k, variant, chance) for k, v in tree.items()}
        return {k: v for k, v in fields.items() if variant != "sparse" or chance.random() < 0.7}

    many = name != "input" and (variant == "arrays" or (variant == "any" and chance.random() < 0.4))
    return [one() for _ in range(chance.choice((1, 2, 3)))] if many else one()


def reads(body):
    """The variables an expression reads, as {name: fields below it}."""
    return jlens.Expression(body).reads().get("bindings", {})


def made(body):
    """[(members of $states, variables)], one for each variant, the same every time."""
    tree = reads(body)
    states = tree.get("states") if isinstance(tree.get("states"), dict) else {}
    out = []
    for variant in VARIANTS:
        chance = random.Random(f"{variant} {body}")
        members = {"input": {}, "context": {"Execution": {"Id": "e", "Input": {"a": 1}}}}
        members |= {k: value(v, k, variant, chance) for k, v in states.items()}
        variables = {k: value(v, k, variant, chance) for k, v in tree.items() if k != "states" and not _function(k)}
        out.append((json.loads(json.dumps(members)), variables))
    return out


def _function(name):
    return name in ("partition", "range", "hash", "parse", "random", "uuid")


NOW = 1_717_243_200.0  # 2024-06-01T12:00:00Z


class Scope:
    """An execution's scope: its variables, clock, chance and context object."""

    def __init__(self, variables=None, context=None, seed=0):
        self.variables = variables or {}
        self.now, self.chance, self._context = NOW, random.Random(seed), {} if context is None else context

    def context(self):
        return self._context


def ours(body, states, variables):
    members = {k: v for k, v in states.items() if k != "context"}
    try:
        evaluate = jsonata.compile_field("{%" + body + "%}", "Output")
        return "value", evaluate(members, Scope(variables, states.get("context")))
    except jsonata.JsonataSyntaxError as e:
        return "error", str(e).partition(":")[0]
    except StatesError as e:
        if "returned nothing" in e.cause:
            return ("nothing",)
        if "unsupported result type" in e.cause:
            return ("function",)
        return "error", (re.search(r"during evaluation\. (?:([A-Z]\d{4}))?", e.cause) or [None, None])[1]


class _Native:
    """A function with our arity, for the oracle."""

    def __init__(self, function):
        self.function = function

    def get_function_signature(self):
        return None

    def apply(self, args):
        return self.function(*(None if x is MISSING else x for x in args.as_list()))


def theirs(body, states, variables):
    scope = Scope(variables)
    bindings = jsonata2py.JsonataBindings().bind_value("states", states)
    for name, make in jsonata._FUNCTIONS.items():
        bindings.bind_function(name, _Native(make(scope.chance)))
    for name, item in variables.items():
        bindings.bind_value(name, item)
    try:
        found = jsonata2py.compile(body).evaluate(None, bindings)
    except (jsonata2py.JsonataError, ValueError, TypeError, ArithmeticError, RecursionError, AttributeError) as e:
        code = getattr(e, "code", None) or (re.search(r"\b([A-Z]\d{4})\b", str(e)) or [None, None])[1]
        return "error", code
    if found is MISSING:
        return ("nothing",)
    return ("function",) if type(found).__name__ == "JLambda" or callable(found) else ("value", found)


def same(a, b):
    """Whether two outcomes agree: 1.0 is 1, and rounding in the last place is no difference."""
    if a[0] != "value" or b[0] != "value":
        return a == b
    return _same(a[1], b[1])


def _same(a, b):
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-15)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_same(v, b[k]) for k, v in a.items())
    return type(a) is type(b) and a == b
