"""Client of the server's model service."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from .content import RowError
from .model_pace import Pace, limit_of, retry_after

_ATTEMPTS = 4
_FIRST_BACKOFF_SECONDS = 0.2
_DEFAULT_TIMEOUT_SECONDS = 600.0
_RESTART_SECONDS = 90.0
"""How long a server that does not listen is waited for: it may be starting again."""
_RESTART_POLL_SECONDS = 0.5


class ModelClient:
    """Sends requests to one model with the DAG's token. Safe to use from several threads."""

    def __init__(self, endpoint: str, token: str, timeout: float | None = None) -> None:
        # The models are beside the MaxCompute interface, not below it.
        self._base = urlsplit(endpoint)._replace(path="/models/v1").geturl()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._timeout = timeout or _DEFAULT_TIMEOUT_SECONDS
        self._local = threading.local()
        self._pace = Pace()

    def call(self, what: str, request: dict[str, Any]) -> str:
        """Return the answer to ``chat`` or ``embed`` as it came, whatever it is.

        Server errors and lost connections are tried again with backoff. A call that comes too early for the
        model's limits waits, as the answer asks; :class:`Pace` says for how long at most. What remains is a
        RowError whose text is the service's own error.
        """
        give_up = time.monotonic() + _RESTART_SECONDS
        first_refusal: float | None = None
        attempt = 0
        while attempt < _ATTEMPTS:
            if attempt:
                time.sleep(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
            attempt += 1
            started = self._pace.start()
            try:
                response = self._session().post(
                    f"{self._base}/{what}", json=request, headers=self._headers, timeout=self._timeout
                )
            except requests.ConnectionError as error:
                failure = RowError("connection_error", f"model service: {type(error).__name__}")
                if _is_refused(error) and time.monotonic() < give_up:
                    attempt -= 1
                    time.sleep(_RESTART_POLL_SECONDS)
                continue
            except requests.RequestException as error:
                failure = RowError("connection_error", f"model service: {type(error).__name__}")
                continue
            if response.status_code == 429:
                failure = _failure(response)
                first_refusal = first_refusal or time.monotonic()
                limit = limit_of(f"{failure.code} {failure.message}")
                asked = retry_after(response.headers.get("Retry-After"))
                if not self._pace.refused(started, limit, asked, first_refusal):
                    break
                attempt -= 1
                continue
            self._pace.answered()
            if response.ok:
                response.encoding = "utf-8"
                return response.text
            failure = _failure(response)
            if response.status_code < 500:
                break
        raise failure

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # Loopback traffic must not go through a proxy of the environment.
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session


def _is_refused(error: requests.ConnectionError) -> bool:
    """Whether nobody listens: no call has been made."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError)


def _failure(response: requests.Response) -> RowError:
    try:
        error = response.json()["error"]
        return RowError(str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return RowError("model_error", f"model service answered {response.status_code} without an error body")
