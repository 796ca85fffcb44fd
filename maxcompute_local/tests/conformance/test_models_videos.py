"""Videos, several pictures and text alone: from MaxFrame's SDK to the models of the local cloud."""

from __future__ import annotations

import base64
import json
import struct
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import cv2
import maxframe.dataframe as md
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from maxframe import new_session
from maxframe.learn.contrib.llm import ContentPart, ImageContentType, VideoContentType
from maxframe.learn.utils import read_odps_model
from odps import ODPS

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.samples.incident_videos import INCIDENT_MS, drawn_video, encode_video
from maxcompute_local.server import LocalCloud

VLM, LLM = "qwen3-vl-plus", "qwen-plus"
KEYS = """Answer with one JSON object and nothing else. Its keys and their allowed values:
- mode: anomaly | normal
- moment_ms: integer (at least 0)"""
Row = tuple[bool, dict[str, Any]]


@pytest.fixture
def control(local_cloud: LocalCloud) -> Iterator[LocalCloudControl]:
    yield local_cloud.control
    local_cloud.control.models.clear()


@pytest.fixture
def prefix(local_cloud: LocalCloud, oss_client: oss.Client, bucket: str) -> str:
    """Where the bucket's objects are: a drive and a sudden stop, both with bytes that no other test shows.

    The counters of the shared cloud count different videos since its start.
    """
    for kind in ("drive", "stop"):
        box = struct.pack(">I4s", 24, b"free") + uuid.uuid4().bytes
        oss_client.put_object(oss.PutObjectRequest(bucket, f"{kind}.mp4", body=drawn_video(kind) + box))
    return f"oss://{local_cloud.oss_endpoint.removeprefix('http://')}/{bucket}"


def generate(odps: ODPS, rows: dict[str, list[Any]], content: Any, model: str = VLM) -> list[Row]:
    """Ask a model about each row; return success and the answer, or the error."""
    session = new_session(odps)
    try:
        binary = pd.ArrowDtype(pa.binary())
        kinds = {name: binary if isinstance(cells[0], bytes) else "object" for name, cells in rows.items()}
        frame = md.DataFrame(pd.DataFrame(rows).astype(kinds))
        loaded = read_odps_model(model, project=odps.project, odps_entry=odps)
        answers = loaded.generate(frame, prompt_template=[{"role": "user", "content": content}])
        found = answers.execute(session=session).fetch()
        return [
            (bool(ok), json.loads(text)) for text, ok in zip(found["response"], found["success"], strict=True)
        ]
    finally:
        session.destroy()


def said(row: Row) -> Any:
    success, answer = row
    assert success, answer
    return json.loads(answer["choices"][0]["message"]["content"])


def keys_of(cloud: LocalCloud) -> dict[str, str]:
    return {"access_key_id": cloud.access_key_id, "access_key_secret": cloud.access_key_secret}


def by_url(cloud: LocalCloud) -> ContentPart:
    return ContentPart.video(data="{v}", type=VideoContentType.URL, storage_options=keys_of(cloud))


def test_by_url_with_rows_that_fail_alone(
    odps_client: ODPS,
    oss_client: oss.Client,
    bucket: str,
    prefix: str,
    control: LocalCloudControl,
    local_cloud: LocalCloud,
) -> None:
    oss_client.put_object(oss.PutObjectRequest(bucket, "notes.mp4", body=b"no video"))
    urls = [f"{prefix}/{name}.mp4" for name in ("drive", "stop", "gone", "notes")]
    with control.counting() as counted:
        drive, stop, gone, notes = generate(odps_client, {"v": urls}, [by_url(local_cloud), KEYS])
    assert said(drive)["mode"] == "normal"
    assert said(stop)["mode"] == "anomaly"
    assert abs(said(stop)["moment_ms"] - INCIDENT_MS) <= 1500
    assert stop[1]["model"] == f"local stand-in for {VLM}"
    assert [(ok, answer["error"]["code"]) for ok, answer in (gone, notes)] == [
        (False, "NoSuchKey"),
        (False, "InvalidVideo"),
    ]
    assert (counted["model.chat"], counted[f"model.videos.{VLM}"]) == (3, 3)
    assert f"model.images.{VLM}" not in counted


@pytest.mark.parametrize("how", ["binary", "base64", "dictionary", "data_uri"])
def test_other_ways_to_give_a_video(
    odps_client: ODPS, prefix: str, local_cloud: LocalCloud, how: str
) -> None:
    video = drawn_video("stop")
    encoded = base64.b64encode(video).decode()
    dictionary = {"type": "video_url", "video_url": {"url": "{v}"}, "storage_options": keys_of(local_cloud)}
    value, part = {
        "binary": (video, ContentPart.video(data="{v}", type=VideoContentType.BINARY, mime_type="video/mp4")),
        "base64": (
            encoded,
            ContentPart.video(data="{v}", type=VideoContentType.BASE64, mime_type="video/mp4"),
        ),
        "dictionary": (f"{prefix}/stop.mp4", dictionary),
        "data_uri": (f"data:video/mp4;base64,{encoded}", dictionary),
    }[how]
    stop, none = generate(odps_client, {"v": [value, None]}, [part, {"type": "text", "text": KEYS}])
    assert said(stop)["mode"] == "anomaly"
    assert (none[0], none[1]["error"]["code"]) == (False, "null_content")


def test_audio_is_refused(odps_client: ODPS) -> None:
    audio = ContentPart.audio(data="{v}", type="base64", mime_type="audio/wav")
    ((ok, answer),) = generate(odps_client, {"v": ["AAAA"]}, [audio])
    assert (ok, answer["error"]["code"]) == (False, "unsupported_content")


def test_a_model_that_reads_text_alone(odps_client: ODPS, control: LocalCloudControl) -> None:
    events = [{"start_ms": 2000, "end_ms": 3000, "text": "The car brakes hard."}]
    told = ["Nothing.", json.dumps(events)]
    with control.counting() as counted:
        rows = generate(odps_client, {"told": told}, f"The video lasts 9 s.\n\n{{told}}\n\n{KEYS}", LLM)
    assert [said(row) for row in rows] == [
        {"mode": "normal", "moment_ms": 4500},
        {"mode": "anomaly", "moment_ms": 2500},
    ]
    assert rows[0][1]["model"] == f"local stand-in for {LLM}"
    assert (counted["model.chat"], counted["model.output_tokens"] > 0) == (2, True)


def test_prepared_answers_by_video_and_prompt_are_counted(
    odps_client: ODPS, prefix: str, control: LocalCloudControl, local_cloud: LocalCloud
) -> None:
    # Prompts come first where both fit: the rule added last is asked first.
    video = control.models.script(VLM, videos=["/stop.mp4"], status=400, code="DataInspectionFailed")
    caption = control.models.script(VLM, prompts=["Caption"], content={"caption": "x"})
    urls = {"v": [f"{prefix}/{kind}.mp4" for kind in ("drive", "stop")]}
    filtered = generate(odps_client, urls, [by_url(local_cloud), KEYS])
    captioned = generate(odps_client, urls, [by_url(local_cloud), "Caption it."])
    assert [ok for ok, _ in filtered] == [True, False]
    assert filtered[1][1]["error"]["code"] == "DataInspectionFailed"
    assert [said(row) for row in captioned] == [{"caption": "x"}] * 2
    assert {rule["id"]: rule["picked"] for rule in control.models.list()} == {video: 1, caption: 2}


class Endpoint:
    """An OpenAI-compatible endpoint that keeps what it is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.messages.append(body["messages"])
                data = json.dumps({"choices": [{"message": {"content": '"seen"'}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                """Keep the tests' output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def test_an_openai_compatible_endpoint_gets_videos_and_lists_of_images(tmp_path: Path) -> None:
    endpoint = Endpoint()
    models = [
        {
            "name": name,
            "task": task,
            "backend": "openai",
            "base_url": f"http://127.0.0.1:{endpoint.server.server_port}/v1",
        }
        for name, task in (("seer", "image-text-to-text"), ("reader", "text-generation"))
    ]
    (tmp_path / "models.json").write_text(json.dumps({"models": models}))
    cloud = LocalCloud(tmp_path, odps_port=0, oss_port=0).start()
    try:
        odps = ODPS(
            cloud.access_key_id,
            cloud.access_key_secret,
            cloud.project,
            cloud.odps_endpoint,
            overwrite_global=False,
        )
        grey = [np.full((48, 64, 3), value, np.uint8) for value in (9, 200)]
        pictures = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in grey]
        video = encode_video(grey, "webm", "libvpx")
        content = [
            ContentPart.text("{note}"),
            *(
                ContentPart.image(data=f"{{p{number}}}", type=ImageContentType.BINARY, mime_type="image/jpeg")
                for number in (0, 1)
            ),
            ContentPart.video(data="{v}", type=VideoContentType.BINARY, mime_type="video/webm"),
        ]
        rows = {"note": ["two frames"], "p0": pictures[:1], "p1": pictures[1:], "v": [video]}
        (seen,) = generate(odps, rows, content, "seer")
        (read,) = generate(odps, {"note": ["hello"]}, "{note}", "reader")
    finally:
        cloud.stop()
        endpoint.server.shutdown()
        endpoint.server.server_close()
    assert (said(seen), said(read)) == ("seen", "seen")
    (first,), (second,) = endpoint.messages
    urls = [f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" for picture in pictures]
    assert first["content"] == [
        {"type": "text", "text": "two frames"},
        *({"type": "image_url", "image_url": {"url": url}} for url in urls),
        {
            "type": "video_url",
            "video_url": {"url": f"data:video/webm;base64,{base64.b64encode(video).decode()}"},
        },
    ]
    assert second == {"role": "user", "content": "hello"}
