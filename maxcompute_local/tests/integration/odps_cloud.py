"""A MaxCompute service of the local cloud on a loopback port, for tests of that part alone."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from odps import ODPS

from maxcompute_local.odps.service import OdpsService
from maxcompute_local.stats import Stats

PROJECT = "drive"
ACCESS_KEY = "test-access-key"
SECRET = "test-secret"
MODEL = {
    "modelName": "eye",
    "modelType": "MLLM",
    "sourceType": "REMOTE",
    "tasks": ["image-text-to-text"],
    "options": {},
    "inferenceParameters": {},
    "path": "",
    "createTime": "0",
    "updateTime": "0",
}


class OneModel:
    """A model registry with one model in a project that has no tables."""

    def list_models(self, project: str, schema: str) -> list[dict[str, Any]]:
        return [MODEL] if (project, schema) == ("models_only", "default") else []

    def get_model(self, project: str, schema: str, name: str) -> dict[str, Any] | None:
        return next((m for m in self.list_models(project, schema) if m["modelName"] == name), None)


class RunningOdps:
    """The service in a thread of this process."""

    def __init__(self, root: Path, port: int = 0, **options: Any) -> None:
        self.stats = Stats()
        self.service = OdpsService(root, {ACCESS_KEY: SECRET}, [PROJECT], OneModel(), self.stats, **options)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        self.port: int = listener.getsockname()[1]
        self.service.set_port(self.port)
        config = uvicorn.Config(self.service.app, log_level="warning", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    def client(self, secret: str = SECRET, **options: Any) -> ODPS:
        return ODPS(
            ACCESS_KEY,
            secret,
            project=PROJECT,
            endpoint=self.service.endpoint,
            overwrite_global=False,
            **options,
        )

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self.service.close()
