"""Errors of a DAG in the form in which they travel to the client."""

from __future__ import annotations

import pickle
import signal
from typing import Any


class ChunkError(Exception):
    """A function raised in its chunk's process; ``info`` is the error in the SDK's wire form, made there."""

    def __init__(self, info: dict[str, Any]) -> None:
        super().__init__("a function failed in its chunk")
        self.info = info


def error_info(error: BaseException) -> dict[str, Any]:
    """Return an error in the SDK's wire form: the client raises it again, or its text when it cannot.

    A SystemExit becomes a RuntimeError: raised again, it would end the client. So does an exception that can
    be pickled but not unpickled, as one whose ``__init__`` takes other arguments than it hands on: the client
    could not even read its text.
    """
    from maxframe.protocol import ErrorInfo

    if not isinstance(error, Exception):
        error = RuntimeError(f"the function ended its process: {type(error).__name__}: {error}")
    elif _is_unreadable(error):
        error = RuntimeError(f"{type(error).__qualname__}: {error}").with_traceback(error.__traceback__)
    info: dict[str, Any] = ErrorInfo.from_exception(error).to_json()
    return info


def _is_unreadable(error: Exception) -> bool:
    try:
        pickled = pickle.dumps(error)
    except Exception:  # noqa: BLE001  (user code; the SDK sends such an error as its text)
        return False
    try:
        pickle.loads(pickled)
    except Exception:  # noqa: BLE001  (user code)
        return True
    return False


def text_error(message: str) -> dict[str, Any]:
    """Return an error in the SDK's wire form that has a text only; needs no SDK."""
    return {
        "error_messages": [message],
        "error_tracebacks": [[]],
        "raw_error_source": None,
        "displayed_error_message": message,
    }


def describe_exit(code: int) -> str:
    """Return an exit code (negative for a signal) in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"exit code {code} ({name}{', out of memory?' if -code == signal.SIGKILL else ''})"
