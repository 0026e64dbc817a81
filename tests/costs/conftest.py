"""Histories written by hand, in AWS's shape."""

import json
from datetime import UTC, datetime, timedelta

import pytest


class Writer:
    """Writes events one after the other: ``write("TaskScheduled", 0.5, …)`` half a second after the one before."""

    def __init__(self):
        self.events, self.at, self.last = [], datetime(2030, 1, 1, tzinfo=UTC), 0

    def __call__(self, kind, wait=0.0, previous=None, **about):
        self.at += timedelta(seconds=wait)
        before = self.last if previous is None else previous
        event = {"timestamp": self.at, "type": kind, "id": len(self.events) + 1, "previousEventId": before}
        key = (
            "stateEnteredEventDetails" if kind.endswith("StateEntered") else f"{kind[0].lower()}{kind[1:]}EventDetails"
        )
        self.events.append({**event, key: about} if about else event)
        self.last = event["id"]
        return self.last

    def task(self, service, action, *, seconds=0.0, parameters=None, outcome="TaskSucceeded", state="T", **about):
        """A Task state with one attempt: entered, scheduled, started, ended."""
        self("TaskStateEntered", name=state, input="{}")
        self.attempt(service, action, seconds=seconds, parameters=parameters, outcome=outcome, **about)

    def attempt(self, service, action, *, seconds=0.0, parameters=None, outcome="TaskSucceeded", **about):
        what = {"resourceType": service, "resource": action}
        self("TaskScheduled", **what, parameters=json.dumps(parameters or {}))
        self("TaskStarted", **what)
        self(outcome, seconds, **what, **about)


@pytest.fixture
def write():
    return Writer()
