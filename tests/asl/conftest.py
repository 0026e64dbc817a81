"""What expressions see beside their input."""

import random

import pytest


class Scope:
    now = 1893456000.0

    def __init__(self, context=None, variables=None, seed=0):
        self._context, self.variables, self.chance = context or {}, variables or {}, random.Random(seed)

    def context(self):
        return self._context


@pytest.fixture
def scope():
    """Make a scope: ``scope(context={…}, variables={…}, seed=0)``."""
    return Scope
