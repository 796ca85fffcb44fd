"""What a DAG's process tells the server as it goes along, and what the server wants to go wrong with it."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from .job import Job

logger = logging.getLogger("maxcompute_local")

PATH = "/maxcompute-local/engine"
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Fault:
    """What is to go wrong with a part of a job; see the server's faults."""

    kind: str
    seconds: float

    def strike(self) -> None:
        """Let it go wrong in this process."""
        if self.kind == "latency":
            time.sleep(self.seconds)
        elif self.kind == "disk_full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        elif self.seconds:
            timer = threading.Timer(self.seconds, os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)


class Events:
    """Tells the server of the DAG's parts. A server that is away misses what it would have been told."""

    def __init__(self, job: Job) -> None:
        self._url = urlsplit(job.endpoint)._replace(path=PATH).geturl()
        self._session = requests.Session()
        # Loopback traffic must not go through a proxy of the environment.
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {job.token}"

    def begin(self, part: str) -> list[Fault]:
        """Count a part that is about to begin, e.g. ``operator.DataFrameMerge``; return its faults."""
        answer = self._tell({"begin": part})
        return [Fault(fault["fault"], fault["seconds"]) for fault in answer.get("faults", ())]

    def add(self, counts: dict[str, int]) -> None:
        """Add to counters, e.g. ``udf.rows_in``."""
        self._tell({"add": counts})

    def _tell(self, event: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._session.post(self._url, json=event, timeout=_TIMEOUT_SECONDS)
            response.raise_for_status()
            answer: dict[str, Any] = response.json()
        except requests.RequestException as error:
            logger.info("the server was not told of %s: %s", ", ".join(event), type(error).__name__)
            return {}
        return answer
