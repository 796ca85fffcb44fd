"""MaxFrame's tutorial of an image feature pipeline, statement by statement; DashScope is a stub.

``image_tutorial.txt`` is its code as published, with ``<your_…>`` where readers put what is theirs.
"""

from __future__ import annotations

import ast
import importlib.metadata
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest
from maxframe.config import options
from odps import ODPS
from PIL import Image

from maxcompute_local.clients import oss_client
from maxcompute_local.maxframe import workers
from maxcompute_local.server import LocalCloud

TUTORIAL = Path(__file__).with_name("image_tutorial.txt")
IMAGES = ["img_001.jpg", "img_002.jpg", "img_003.jpg", "img_004.png", "img_005.jpg"]
BROKEN = "img_005.jpg"
BUCKET = "tutorial-images"
KEY = "dashscope-key"

DASHSCOPE = """
import json, urllib.request
from types import SimpleNamespace
api_key = base_http_api_url = None
class MultiModalEmbedding:
    @staticmethod
    def call(model, input):
        body = json.dumps({"model": model, "input": {"contents": input}}).encode()
        path = "/services/embeddings/multimodal-embedding/multimodal-embedding"
        headers = {"Authorization": f"Bearer {api_key}"}
        request = urllib.request.Request(base_http_api_url + path, body, headers)
        with urllib.request.urlopen(request) as response:
            return SimpleNamespace(status_code=response.status, output=json.load(response)["output"])
"""
"""As much of the package of that name as the tutorial uses."""


class DashScope:
    """Embeds each picture as its number of bytes, and keeps the keys that it was given."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.keys.append(self.headers["Authorization"])
                (content,) = body["input"]["contents"]
                answer = {"output": {"embeddings": [{"embedding": [0.5, len(content["image"])]}]}}
                payload = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: object) -> None:
                """Keep the tests' output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def dashscope() -> Iterator[DashScope]:
    stub = DashScope()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    """A local cloud whose functions can require the stub of DashScope's package."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "dashscope-1.24.6-py3-none-any.whl", "w") as wheel:
        wheel.writestr("dashscope.py", DASHSCOPE)
        metadata = "Metadata-Version: 2.1\nName: dashscope\nVersion: 1.24.6\n"
        wheel.writestr("dashscope-1.24.6.dist-info/METADATA", metadata)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr("dashscope-1.24.6.dist-info/WHEEL", tag)
        wheel.writestr("dashscope-1.24.6.dist-info/RECORD", "")
    workers.prepare(None)  # with the machine's own index
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    cloud = LocalCloud(tmp_path / "cloud", odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def own_options() -> Iterator[None]:
    """Keep what the tutorial sets to itself; in the SDK's ``option_context`` a session gets no options."""
    before = options.dag.settings, options.dpe.settings
    yield
    options.dag.settings, options.dpe.settings = before


def tutorial(cloud: LocalCloud, dashscope: DashScope) -> str:
    """Return the code with a reader's own values, and the stub in the place of DashScope."""
    text = TUTORIAL.read_text("utf-8")
    for found, own in {
        "<your_dashscope_api_key>": KEY,
        "<your_account_id>": "1",
        "<your_role_name>": "reader",
        "<your_oss_endpoint>": cloud.oss_endpoint.removeprefix("http://"),
        "<your_oss_bucket>": BUCKET,
        "<your_access_id>": cloud.access_key_id,
        "<your_access_key_secret>": cloud.access_key_secret,
        "<your_mc_project>": cloud.project,
        "https://service.<region>.maxcompute.aliyun.com/api": cloud.odps_endpoint,
        "https://intranet-cn-beijing.dashscope.aliyuncs.com/api/v1": dashscope.url,
        "Pillow==10.4.0": f"Pillow=={importlib.metadata.version('Pillow')}",
    }.items():
        assert found in text
        text = text.replace(found, own)
    return text


def upload_images(cloud: LocalCloud) -> None:
    client = oss_client(cloud.settings)
    client.put_bucket(oss.PutBucketRequest(BUCKET))
    for number, name in enumerate(IMAGES):
        data = io.BytesIO()
        Image.new("RGB", (64 + number, 48), (40 * number, 90, 120)).save(
            data, "PNG" if name.endswith("png") else "JPEG"
        )
        body = b"no picture" if name == BROKEN else data.getvalue()
        client.put_object(oss.PutObjectRequest(BUCKET, f"maxframe-image-demo/{name}", body=body))


def test_every_statement_of_the_tutorial(
    cloud: LocalCloud,
    dashscope: DashScope,
    capsys: pytest.CaptureFixture[str],
    own_options: None,
) -> None:
    upload_images(cloud)
    names: dict[str, Any] = {"__name__": "image_tutorial"}
    for statement in ast.parse(tutorial(cloud, dashscope)).body:
        code = compile(ast.Module([statement], []), f"{TUTORIAL.name}:{statement.lineno}", "exec")
        exec(code, names)
    assert "Session destroyed." in capsys.readouterr().out
    assert dashscope.keys == [f"Bearer {KEY}"] * 4
    odps: ODPS = names["o"]
    written = odps.get_table("image_embedding_result")
    assert str(written.table_schema["embedding"].type).lower() == "string"
    with written.open_reader() as reader:
        rows = {row["filename"]: (row["width"], row["embedding"]) for row in reader}
    assert {name: width for name, (width, _) in rows.items()} == {
        name: None if name == BROKEN else 64.0 + number for number, name in enumerate(IMAGES)
    }
    assert rows[BROKEN][1] is None
    vectors = [json.loads(embedding) for _, embedding in rows.values() if embedding]
    assert [(first, size > 100) for first, size in vectors] == [(0.5, True)] * 4
