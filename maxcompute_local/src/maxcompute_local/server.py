"""The local cloud as one server: OSS on one socket of loopback, everything else on another.

``python -m maxcompute_local.server --root DIR`` runs it in the foreground.
"""

from __future__ import annotations

import argparse
import hmac
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from maxcompute_local import ports
from maxcompute_local.control import control_routes
from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.faults.book import Faults
from maxcompute_local.faults.transport import FaultyTransport
from maxcompute_local.maxframe import workers
from maxcompute_local.maxframe.service import JOB_PURPOSE, Addresses, MaxFrameService
from maxcompute_local.maxframe.workers import Worker
from maxcompute_local.models.catalog import ModelConfigError
from maxcompute_local.models.registry import ModelRegistry
from maxcompute_local.models.service import ModelService
from maxcompute_local.odps.auth import LOGVIEW_PURPOSE, Tokens
from maxcompute_local.odps.service import OdpsService
from maxcompute_local.oss.service import OssService
from maxcompute_local.oss.store import OssStore
from maxcompute_local.processes import end_processes, engine_processes
from maxcompute_local.rootlock import RootLock
from maxcompute_local.settings import (
    DEFAULT_ODPS_PORT,
    DEFAULT_OSS_PORT,
    PROJECT,
    REGION,
    ServerSettings,
    load_settings,
    new_keys,
    save_settings,
)
from maxcompute_local.stats import Stats

logger = logging.getLogger(__name__)

_START_SECONDS = 30.0
_DRAIN_SECONDS = 3
"""How long a stopping server lets open requests finish."""


class LocalCloud:
    """OSS, MaxCompute, MaxFrame and models over one root folder.

    :param root: folder of all state; made when it is missing.
    :param odps_port: port of MaxCompute; 0 for any free one; None for the one this root had before, else the
        preferred one if it is free, else any free one.
    :param oss_port: port of OSS, likewise.
    :param preferred_ports: of MaxCompute and of OSS.
    :param worker_requirements: Python requirements of MaxFrame workers; None for those of ``workers``.

    ``start`` raises RootInUseError, PortInUseError or another LocalCloudError; their texts are for people.
    """

    project = PROJECT
    region = REGION

    def __init__(
        self,
        root: Path,
        odps_port: int | None = None,
        oss_port: int | None = None,
        preferred_ports: tuple[int, int] = (0, 0),
        worker_requirements: Sequence[str] | None = None,
    ) -> None:
        self.root = Path(root).resolve()
        self.stats = Stats()
        self.faults = Faults(self.stats.add)
        self.stats.gate = self.faults.meet
        self._ports = (odps_port, oss_port)
        self._preferred = preferred_ports
        self._worker_requirements = worker_requirements
        self._running: ExitStack | None = None
        self._servers: list[_HttpServer] = []
        self._settings: ServerSettings | None = None

    @property
    def settings(self) -> ServerSettings:
        """Ports and keys; only there once the server has been started."""
        if self._settings is None:
            raise RuntimeError("the local cloud has not been started")
        return self._settings

    @property
    def odps_endpoint(self) -> str:
        """MaxCompute endpoint, ``http://127.0.0.1:<port>/api``."""
        return self.settings.odps_endpoint

    @property
    def oss_endpoint(self) -> str:
        """OSS endpoint, ``http://127.0.0.1:<port>``."""
        return self.settings.oss_endpoint

    @property
    def access_key_id(self) -> str:
        """Id of the access key pair that every service takes."""
        return self.settings.access_key_id

    @property
    def access_key_secret(self) -> str:
        """Secret of the access key pair that every service takes."""
        return self.settings.access_key_secret

    @property
    def control(self) -> LocalCloudControl:
        """Handle on counters, model answers and faults; the same as other processes use."""
        return LocalCloudControl(self.root)

    @property
    def oss_root(self) -> Path:
        """Folder with one folder per bucket."""
        return self.root / "oss"

    def start(self) -> LocalCloud:
        """Bind both sockets and serve in threads; return when requests are answered."""
        if self._running is not None:
            raise RuntimeError("the local cloud is running already")
        worker = workers.prepare(self._worker_requirements)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("oss", "odps", "maxframe"):  # private also below a folder that others may enter
            (self.root / name).mkdir(exist_ok=True, mode=0o700)
        with ExitStack() as stack:
            lock = RootLock(self.root)
            stack.callback(lock.release)
            sockets = self._take_ports()
            for sock in sockets:
                stack.callback(sock.close)
            self._servers = self._serve(stack, worker, *sockets)
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """End running jobs, stop serving, leave no process behind. Does nothing when it is not running."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def alive(self) -> bool:
        """Return whether both sockets are being served."""
        return self._running is not None and all(server.alive() for server in self._servers)

    def _serve(
        self, stack: ExitStack, worker: Worker, odps_socket: socket.socket, oss_socket: socket.socket
    ) -> list[_HttpServer]:
        """Build the services and serve them; ``stack`` gets what undoes it, so that jobs end first."""
        settings = self.settings
        credentials = {settings.access_key_id: settings.access_key_secret}
        maxframe_root = self.root / "maxframe"
        try:
            registry = ModelRegistry(PROJECT, self.root)
        except ModelConfigError as error:
            raise LocalCloudError(str(error)) from error
        models = ModelService(
            registry,
            lambda token: _is(token, settings.access_key_secret) or _may_call_models(odps.tokens, token),
            self.stats,
        )
        odps = OdpsService(
            self.root / "odps",
            credentials,
            [PROJECT],
            registry,
            self.stats,
            extra_routes=control_routes(
                settings.control_token,
                self.stats,
                self.faults,
                models,
                lambda token: (odps.tokens.purpose(token) or "").startswith(JOB_PURPOSE),
            ),
        )
        stack.callback(odps.close)
        odps.set_port(settings.odps_port)
        store = OssStore(self.oss_root)
        stack.callback(store.close)
        oss = OssService(store, credentials, REGION, self.stats)
        addresses = Addresses(settings.odps_endpoint, settings.oss_endpoint, REGION)
        maxframe = MaxFrameService(
            maxframe_root,
            odps,
            self.oss_root,
            self.stats,
            addresses=lambda: addresses,
            worker=worker,
        )
        stack.callback(lambda: end_processes(engine_processes(maxframe_root), seconds=2))
        servers = [_HttpServer("maxcompute", odps.app, odps_socket), _HttpServer("oss", oss.app, oss_socket)]
        for server in servers:
            stack.callback(server.stop)
        # Jobs end in order only while the services that they call still answer.
        stack.callback(maxframe.close)
        odps.register_task_service("MaxFrame", maxframe)
        for server in servers:
            server.wait_until_started()
        return servers

    def _take_ports(self) -> tuple[socket.socket, socket.socket]:
        stored = load_settings(self.root)
        had = (stored.odps_port, stored.oss_port) if stored else (None, None)
        restart = f"maxcompute-local up --root {self.root}"
        odps = ports.choose(
            "MaxCompute", self._ports[0], had[0], self._preferred[0], f"{restart} --odps-port PORT"
        )
        try:
            oss = ports.choose(
                "OSS", self._ports[1], had[1], self._preferred[1], f"{restart} --oss-port PORT"
            )
        except BaseException:
            odps.close()
            raise
        taken = {
            "odps_port": odps.getsockname()[1],
            "oss_port": oss.getsockname()[1],
            "pid": os.getpid(),
        }
        if stored is None:
            key_id, key_secret, token = new_keys()
            self._settings = ServerSettings(
                access_key_id=key_id, access_key_secret=key_secret, control_token=token, **taken
            )
        else:
            self._settings = replace(stored, **taken)
        save_settings(self.root, self._settings)
        return odps, oss


def _is(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _may_call_models(tokens: Tokens, token: str) -> bool:
    """Return whether a bearer token is good for models: any but those that open one LogView page."""
    purpose = tokens.purpose(token)
    return purpose is not None and not purpose.startswith(LOGVIEW_PURPOSE)


class _HttpServer:
    """A uvicorn server in a thread of its own, on a socket that is already bound."""

    def __init__(self, name: str, app: Any, sock: socket.socket) -> None:
        self._name = name
        self._server = uvicorn.Server(
            uvicorn.Config(
                FaultyTransport(app, lambda: self._server.server_state.connections),
                log_config=None,
                access_log=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
                h11_max_incomplete_event_size=1 << 20,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([sock],), name=f"http-{name}", daemon=True
        )
        self._thread.start()

    def wait_until_started(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise LocalCloudError(f"the {self._name} server did not start; see the log")
            time.sleep(0.01)

    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns 0, or 1 when the server could not start or broke."""
    parser = argparse.ArgumentParser(prog="maxcompute_local.server", description="Run the local cloud.")
    parser.add_argument("--root", type=Path, required=True, help="folder of all state")
    parser.add_argument("--odps-port", type=int, help="port of MaxCompute")
    parser.add_argument("--oss-port", type=int, help="port of OSS")
    parser.add_argument("--worker-requirements", nargs="+", help="Python requirements of MaxFrame workers")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    asked_to_stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: asked_to_stop.set())
    cloud = LocalCloud(
        options.root,
        options.odps_port,
        options.oss_port,
        (DEFAULT_ODPS_PORT, DEFAULT_OSS_PORT),
        options.worker_requirements,
    )
    try:
        cloud.start()
    except LocalCloudError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    logger.info(
        "MaxCompute at %s, OSS at %s, state in %s", cloud.odps_endpoint, cloud.oss_endpoint, cloud.root
    )
    while not asked_to_stop.wait(0.5):
        if not cloud.alive():
            logger.error("a server thread has ended; stopping")
            break
    cloud.stop()
    logger.info("stopped")
    return 0 if asked_to_stop.is_set() else 1


if __name__ == "__main__":
    raise SystemExit(main())
