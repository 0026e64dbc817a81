"""Every exception sflab raises on purpose.

    SflabError
    ├── DefinitionError        .diagnostics          the definition cannot be used
    ├── TaskNotFoundError      (LookupError)         nothing is bound to a task
    ├── ExecutionFailed        .error .cause .history    raised by Execution.result() only
    ├── ReplayError            .event_id             history and definition disagree
    ├── ApiError               .code                 a request that AWS's API refuses, in its words
    └── BackendError                                 boto3's errors, mapped; the original is __cause__

    KeyboardInterrupt
    └── Interrupted            .partial              long work was stopped; what was done is there

A workflow that fails is not an exception: it is an execution whose ``status`` is ``FAILED``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class SflabError(Exception):
    """The root of the tree: ``except SflabError`` catches everything sflab raises on purpose."""


class DefinitionError(SflabError):
    """The definition, or the input given to it, cannot be used.

    ``diagnostics`` holds everything that was found, each with its location; it is empty where the message says it all
    (a missing file, an input that is too large).
    """

    def __init__(self, message: str, diagnostics: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)

    @classmethod
    def of(cls, headline: str, diagnostics: Sequence[Any]) -> DefinitionError:
        """Make the error whose message lists *diagnostics*, one a line, under *headline*."""
        return cls("\n".join([headline, *(f"  {d}" for d in diagnostics)]), diagnostics)


class TaskNotFoundError(SflabError, LookupError):
    """A Task was scheduled that no function, mock or service is bound to; the message shows the line to write."""


class ExecutionFailed(SflabError):
    """Raised by ``Execution.result()`` when the execution did not succeed.

    ``error`` and ``cause`` are AWS's own texts, or None; ``history`` is the execution's history.
    """

    def __init__(self, status: str, error: str | None, cause: str | None, history: Any = None) -> None:
        said = ": ".join(part for part in (error, cause) if part)
        stands = "is still running" if status == "RUNNING" else status.lower().replace("_", " ")
        super().__init__(f"the execution {stands}" + (f": {said}" if said else ""))
        self.status, self.error, self.cause, self.history = status, error, cause, history


class ReplayError(SflabError):
    """A recorded history and a definition disagree; ``event_id`` is the first event where they do."""

    def __init__(self, message: str, event_id: int | None = None) -> None:
        super().__init__(message)
        self.event_id = event_id


class ApiError(SflabError):
    """A request the Step Functions API refuses; ``str(e)`` is AWS's message, ``code`` its name for it.

    ``ValidationException``, ``InvalidDefinition``, ``InvalidExecutionInput``; ``ParamValidationError`` where boto3
    itself refuses it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BackendError(SflabError):
    """AWS, or a server that speaks its API, refused or could not be reached; boto3's error is ``__cause__``."""


class Interrupted(KeyboardInterrupt):
    """Long work was stopped (Ctrl-C, the notebook's stop button); ``partial`` is what it had done until then.

    In a notebook, or a Python prompt, ``sys.last_value.partial`` has it in the next cell. It is no SflabError: what
    stops at a KeyboardInterrupt, such as "run all cells", stops at this one too.
    """

    def __init__(self, what: str, partial: Any = None) -> None:
        super().__init__(f"{what}. What was done is kept: sys.last_value.partial in the next cell")
        self.partial = partial
