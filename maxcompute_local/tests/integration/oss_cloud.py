"""The local OSS on a free port of loopback, and clients of the real SDK for it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import alibabacloud_oss_v2 as oss
import uvicorn
from alibabacloud_oss_v2.retry import NopRetryer

from maxcompute_local.oss.service import OssService
from maxcompute_local.oss.store import OssStore
from maxcompute_local.stats import Stats

REGION = "cn-local"
KEY_ID = "test-key-id"
SECRET = "test-key-secret"
BUCKET = "videos"


@dataclass
class OssCloud:
    store: OssStore
    stats: Stats
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        """Where the files of the test bucket are."""
        return self.store.root / BUCKET

    def config(
        self, key_id: str = KEY_ID, secret: str = SECRET, region: str = REGION, **extra
    ) -> oss.config.Config:
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(key_id, secret, **extra)
        config.region, config.endpoint, config.retryer = region, self.endpoint, NopRetryer()
        return config

    def client(self, *given, **extra) -> oss.Client:
        return oss.Client(self.config(*given, **extra))

    def counted(self, operation: str) -> int:
        return self.stats.snapshot().get(f"oss.{operation}", 0)

    def raw(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None):
        """Send a request that no SDK would send; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


@contextmanager
def oss_cloud(root: Path) -> Iterator[OssCloud]:
    store, stats = OssStore(root), Stats()
    app = OssService(store, {KEY_ID: SECRET}, REGION, stats).app
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, name="oss")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield OssCloud(store, stats, port)
    finally:
        server.should_exit = True
        thread.join()
        store.close()


def failure(call, *args, **kwargs) -> oss.exceptions.ServiceError:
    """Return the service error that a call of the SDK ends in."""
    try:
        call(*args, **kwargs)
    except oss.exceptions.OperationError as error:
        inner = error.unwrap()
        assert isinstance(inner, oss.exceptions.ServiceError), inner
        return inner
    raise AssertionError("the call did not fail")
