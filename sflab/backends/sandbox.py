"""AWS in this process: moto's services behind one boto3 session, and nothing else.

A `Sandbox` owns a boto3 session whose requests are answered here, before they are sent. Nothing is patched: other
sessions, boto3's default one and moto's own ``mock_aws`` work on as if it was not there. What moto has no answer to is
refused (`NotSimulatedError`), so that nothing of this session reaches the network; it reads neither the environment
nor ``~/.aws`` (moto asks boto3 for the names of regions, and needs a profile named there to exist).

moto keeps its state in dicts of the process. While a sandbox's request is answered these hold the sandbox's own
content and are given back as they were: every sandbox is the account 123456789012 with tables, queues and buckets of
its own, whose names do not collide with another's. Its ids come from a generator of its own, seeded: the same requests
get the same ids. One request is answered at a time in the process. What moto stamps with a time it takes from the real
clock (`Services` gives such times as the execution's own).
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from sflab.backends.shapes import loader
from sflab.errors import BackendError

#: moto's state belongs to whoever holds it: sandboxes of several threads take turns.
_TURN = threading.RLock()

#: moto would start Docker containers for these, or make answers up; here functions are Python.
_SETTINGS = {"batch": {"use_docker": False}, "lambda": {"use_docker": False}}

#: What every BackendDict has; what one has besides (S3's global namespace of buckets) is state too.
_OWN = {"backend", "service_name", "_use_boto3_regions", "_additional_regions", "_id"}


class NotSimulatedError(BackendError):
    """The sandbox has no answer to a request: moto does not know the service or the action, or failed at it."""


class Sandbox:
    """AWS services in this process; `session` is a real boto3 session that they answer.

    *seed* decides the ids that are made; *region* is the session's.

    Raises ImportError when moto is not installed, with the line that installs it.
    """

    def __init__(self, *, seed: int | str = 0, region: str = "us-east-1") -> None:
        try:
            from moto.core.botocore_stubber import BotocoreStubber
        except ImportError as e:  # it comes with sflab, but can be taken out of a lambda layer or a small image
            raise ImportError(
                f"the sandbox needs moto ({e}). Install it: pip install 'moto[stepfunctions]>=5.1'"
            ) from e
        self._answer = BotocoreStubber()
        self._answer.enabled = True
        self._chance = random.Random(f"{seed}/sandbox").getstate()
        self._world: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
        self._open: dict[Any, list[Any]] = {}  # S3's objects, by class: each has a temporary file
        weakref.finalize(self, _closed, self._open)
        self.born = time.time()  # what moto dates after this, it dated for us
        self.session = _session(region)
        self.session.events.register_first("before-send", self._send)

    def _send(self, request: Any, event_name: str = "before-send", **_: Any) -> Any:
        """Answer a request in the place of the network. botocore calls this with a signed request."""
        from botocore.exceptions import BotoCoreError

        if "/2015-03-31/functions/" in request.url and "/invocations" in request.url:
            raise NotSimulatedError(
                "the sandbox runs no Lambda functions: they are Python callables, sf.Local(functions={…})"
            )
        with self._here():
            try:
                response = self._answer(event_name, request)
            except NotImplementedError as e:
                raise NotSimulatedError(f"the sandbox cannot answer {_asked(event_name)}: {e}") from None
            except ImportError as e:
                raise NotSimulatedError(
                    f"moto needs another package to answer {_asked(event_name)}: {e}. Try pip install 'moto[all]'"
                ) from e
            except BotoCoreError as e:  # moto asks boto3 which regions there are, with a session as it comes
                raise NotSimulatedError(f"moto cannot read the environment's AWS settings: {e}. Mend them.") from e
        if response is None or (response.status_code == 404 and response.content == b"Not yet implemented"):
            raise NotSimulatedError(
                f"the sandbox cannot answer {_asked(event_name)} ({request.method} {request.url.partition('?')[0]}); "
                "nothing was sent"
            )
        return response

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        """Let moto's state, settings and randomness be this sandbox's, and afterwards what they were."""
        from moto.core.base_backend import BackendDict
        from moto.core.config import default_user_config
        from moto.moto_api._internal import mock_random

        settings: dict[str, Any] = default_user_config  # type: ignore[assignment]
        with _TURN:
            outside, chance, files = _taken(BackendDict), mock_random.getstate(), _swapped(self._open)
            kept = {name: settings.get(name) for name in _SETTINGS}
            _given(BackendDict, self._world)
            mock_random.setstate(self._chance)
            settings.update(_SETTINGS)
            try:
                yield
            finally:
                settings.update(kept)
                self._chance = mock_random.getstate()
                mock_random.setstate(chance)
                self._open |= _swapped(files)
                self._world = _taken(BackendDict)
                _given(BackendDict, outside)

    def __repr__(self) -> str:
        held = sorted({backends.service_name for backends, content, _ in self._world if content})
        return f"Sandbox({self.session.region_name}; {', '.join(held) or 'nothing in it yet'})"


def _taken(kind: Any) -> list[tuple[Any, dict[str, Any], dict[str, Any]]]:
    """Take moto's state out: what every service's dict holds, and its attributes that are state."""
    held = []
    for backends in kind._instances:  # noqa: SLF001 - moto has no public way to keep its state aside
        beside = {name: value for name, value in vars(backends).items() if name not in _OWN}
        held.append((backends, dict(backends), beside))
        dict.clear(backends)
        for name, value in beside.items():
            setattr(backends, name, type(value)())
    kind._instances.clear()  # noqa: SLF001
    return held


def _given(kind: Any, held: list[tuple[Any, dict[str, Any], dict[str, Any]]]) -> None:
    """Put in what `_taken` took out."""
    for backends, content, beside in held:
        dict.update(backends, content)
        vars(backends).update(beside)
        kind._instances.append(backends)  # noqa: SLF001


def _swapped(tracked: dict[Any, list[Any]]) -> dict[Any, list[Any]]:
    """Let moto track *tracked* as the objects with open files, and return those it tracked: it closes all it knows."""
    from moto.core.model_instances import model_data

    kinds: list[Any] = (
        [kind for kind in model_data["s3"].values() if hasattr(kind, "dispose")] if "s3" in model_data else []
    )
    before = {kind: kind.instances_tracked for kind in kinds}
    for kind in kinds:
        kind.instances_tracked = tracked.get(kind, [])
    return before


def _closed(tracked: dict[Any, list[Any]]) -> None:
    for kind in tracked.values():
        for each in kind:
            each.dispose()


def _asked(event_name: str) -> str:
    """``before-send.dynamodb.PutItem`` is the action PutItem of dynamodb."""
    _, service, action = [*event_name.split("."), "", ""][:3]
    return f"{service}:{action}" if action else "the request"


def _session(region: str) -> Any:
    """Return a boto3 session that reads neither the environment nor a file; its credentials are good for nothing."""
    import boto3
    import botocore.session
    from botocore.config import Config
    from moto.core.models import botocore_stubber

    core = botocore.session.Session()
    fixed = {name: default for name, (*_, default, _convert) in core.SESSION_VARIABLES.items()}
    fixed |= {"config_file": os.devnull, "credentials_file": os.devnull, "region": region}
    for name, value in (fixed | {"ignore_configured_endpoint_urls": True}).items():
        core.get_component("config_store").set_config_variable(name, value)
    core.register_component("data_loader", loader())
    core.set_credentials("sandbox", "sandbox")
    core.set_default_client_config(Config(retries={"total_max_attempts": 1}, inject_host_prefix=False))
    core.unregister("before-send", botocore_stubber)  # mock_aws, where it is on, answers for its own account
    return boto3.Session(botocore_session=core)
