"""A local cloud in a process of its own that is killed and started again, and clients that never retry."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import odps.errors
import requests
import urllib3
from alibabacloud_oss_v2.retry import NopRetryer
from odps import ODPS
from odps.tunnel.pb.errors import DecodeError

from maxcompute_local import lifecycle
from maxcompute_local.settings import PROJECT, REGION, ServerSettings, load_settings

UP_WITHIN_SECONDS = 60.0


_CUT = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    odps.errors.ConnectTimeout,
    DecodeError,  # of an answer that ends early
    OSError,
    EOFError,
)


class Unknown(Exception):
    """The call got no answer: it may have happened or not."""


class KilledServer:
    """The server of one root folder; ``kill`` is SIGKILL."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kills = 0
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        command = [sys.executable, "-m", "maxcompute_local.server", "--root", str(self.root)]
        if load_settings(self.root) is None:
            command += ["--odps-port", "0", "--oss-port", "0"]  # any; later the same ones again
        with lifecycle.log_file(self.root).open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def start(self) -> ServerSettings:
        self.begin()
        deadline = time.monotonic() + UP_WITHIN_SECONDS
        while (settings := lifecycle.running(self.root)) is None:
            assert self._process is not None
            assert self._process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
        return settings

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1

    def stop(self) -> None:
        lifecycle.down(self.root)
        if self._process is not None:
            self._process.wait()

    def harass(self, chooser: random.Random, done: threading.Event) -> None:
        """Kill the server again and again, every fourth time while it starts; leave it running."""
        while not done.wait(chooser.uniform(0.5, 6)):
            self.kill()
            while chooser.random() < 0.25:
                self.begin()
                time.sleep(chooser.uniform(0, 1.5))
                self.kill()
            self.start()


class Clients:
    """Clients of one thread. Every method's calls are made once."""

    def __init__(self, settings: ServerSettings) -> None:
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(
            settings.access_key_id, settings.access_key_secret
        )
        config.region, config.endpoint, config.retryer = REGION, settings.oss_endpoint, NopRetryer()
        config.readwrite_timeout = 60
        self.oss = oss.Client(config)
        self.odps = ODPS(
            settings.access_key_id,
            settings.access_key_secret,
            project=PROJECT,
            endpoint=settings.odps_endpoint,
            overwrite_global=False,
        )


def once(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return a call's answer; raise Unknown when the server was killed meanwhile."""
    try:
        return call(*args, **kwargs)
    except oss.exceptions.OperationError as error:
        inner = error.unwrap()
        if isinstance(inner, oss.exceptions.ServiceError):
            raise inner from error
        raise Unknown from error
    except _CUT as error:
        raise Unknown from error


def insist(call: Callable[[], Any]) -> Any:
    """Return the answer of a call that changes nothing, however often the server dies meanwhile."""
    deadline = time.monotonic() + 2 * UP_WITHIN_SECONDS
    while True:
        try:
            return once(call)
        except Unknown:
            assert time.monotonic() < deadline, "no answer for too long"
            time.sleep(0.1)
