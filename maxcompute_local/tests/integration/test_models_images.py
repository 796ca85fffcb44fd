"""Pictures by HTTP in the shape of OpenAI's images interface, and what the built-in painter draws."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.models.backend import DrawRequest, ImagePart, ModelError
from maxcompute_local.models.notions import named
from maxcompute_local.models.openai_compatible import OpenAICompatibleBackend
from maxcompute_local.models.painter import ScenePainter, paint
from maxcompute_local.models.registry import ModelRegistry
from maxcompute_local.models.tagger import tag_scene
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene
from maxcompute_local.server import LocalCloud

MODEL = "qwen-image-edit"


@pytest.fixture
def control(local_cloud: LocalCloud) -> Iterator[LocalCloudControl]:
    yield local_cloud.control
    local_cloud.control.models.clear()


def post(cloud: LocalCloud, token: str | None = None, **body: Any) -> requests.Response:
    url = cloud.odps_endpoint.removesuffix("/api") + "/models/v1/images/generations"
    key = cloud.access_key_secret if token is None else token
    given = {"model": MODEL, "prompt": "a road", **body}
    return requests.post(url, json=given, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def uri(picture: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", picture)[1]).decode()


def drawn(prompt: str, *given: np.ndarray, **more: Any) -> np.ndarray:
    images = tuple(ImagePart(cv2.imencode(".png", picture)[1].tobytes()) for picture in given)
    return decoded(ScenePainter().draw(DrawRequest(MODEL, prompt, images, **more)).pictures[0])


def test_answers_like_openai(local_cloud: LocalCloud, control: LocalCloudControl) -> None:
    with control.counting() as counted:
        answer = post(local_cloud, size="320x192", n=2).json()
    assert isinstance(answer["created"], int)
    first, second = (decoded(base64.b64decode(item["b64_json"])) for item in answer["data"])
    assert first.shape == second.shape == (192, 320, 3)
    assert not np.array_equal(first, second)
    assert answer["model"] == f"local stand-in for {MODEL}"
    assert counted == {"model.draw": 1, "model.draw.ok": 1, "model.images_drawn": 2}


def test_by_address(local_cloud: LocalCloud) -> None:
    (item,) = post(local_cloud, size="64x64", response_format="url").json()["data"]
    found = requests.get(item["url"], timeout=30)
    assert decoded(found.content).shape == (64, 64, 3)
    assert requests.get(item["url"].replace("/images/", "/images/x"), timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "kind", "code", "says"),
    [
        ({"model": "nope"}, 404, "invalid_request_error", "ModelNotFound", "nope"),
        ({"model": "qwen-plus"}, 400, "invalid_request_error", "UnsupportedTask", "does not draw"),
        ({"prompt": " "}, 400, "invalid_request_error", "InvalidParameter", "prompt"),
        ({"n": 0}, 400, "invalid_request_error", "InvalidParameter", "n:"),
        ({"size": "9x9"}, 400, "invalid_request_error", "InvalidParameter", "size"),
        ({"response_format": "jpg"}, 400, "invalid_request_error", "InvalidParameter", "response_format"),
        ({"image": "http://x/y.jpg"}, 400, "invalid_request_error", "InvalidParameter", "image"),
        ({"image": ["data:image/png;base64,%%"]}, 400, "invalid_request_error", "InvalidImage", "image"),
        ({"image": "data:image/png;base64,AAAA"}, 400, "invalid_request_error", "InvalidImage", "picture"),
        ({"token": "wrong"}, 401, "authentication_error", "InvalidApiKey", "token"),
    ],
)
def test_errors_have_the_shape_of_openai(
    local_cloud: LocalCloud, body: dict[str, Any], status: int, kind: str, code: str, says: str
) -> None:
    response = post(local_cloud, **body)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["param"], error["code"]) == (status, kind, None, code)
    assert says in error["message"]


def test_prepared_answers_by_prompt(local_cloud: LocalCloud, control: LocalCloudControl) -> None:
    control.models.script(
        MODEL, call="draw", prompts=["a kangaroo"], times=1, status=429, retry_after=7, message="slow down"
    )
    control.models.script(MODEL, call="chat", prompts=["a kangaroo"], status=400)
    with control.counting() as counted:
        refused, drawn = (post(local_cloud, prompt="a kangaroo", size="64x64") for _ in range(2))
    assert (refused.status_code, refused.headers["Retry-After"], drawn.status_code) == (429, "7", 200)
    assert refused.json()["error"] == {
        "message": "slow down",
        "type": "rate_limit_error",
        "param": None,
        "code": "Throttling.RateQuota",
    }
    assert counted == {
        "model.draw": 2,
        "model.draw.ok": 1,
        "model.draw.error.429": 1,
        "model.error": 1,
        "model.images_drawn": 1,
    }
    control.models.script(MODEL, content=base64.b64encode(b"a picture").decode())
    assert base64.b64decode(post(local_cloud).json()["data"][0]["b64_json"]) == b"a picture"


def test_is_no_model_of_the_catalog(local_cloud: LocalCloud) -> None:
    registry = ModelRegistry(local_cloud.project)
    names = [entry["modelName"] for entry in registry.list_models(local_cloud.project, "default")]
    assert MODEL not in names
    assert registry.get_model(local_cloud.project, "default", MODEL) is None
    assert registry.find(MODEL).task == "text-to-image"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a city street at night in heavy rain", ("night", "rainy")),
        ("fog on a country road by day, no rain", ("daytime", "foggy")),
        ("a sunny day on the highway", ("daytime", "clear")),
        ("雨天的城市街道，白天", ("daytime", "rainy")),
        ("黄昏的高速公路", ("dawn_dusk", "clear")),
    ],
)
def test_draws_the_light_and_weather_that_are_named(prompt: str, expected: tuple[str, str]) -> None:
    label = tag_scene(drawn(prompt, size=(640, 360)))
    assert (label["time_of_day"], label["weather"]) == expected


@pytest.mark.parametrize(
    "thing", ["a pedestrian", "a truck", "a red traffic light", "绿灯", "no traffic", "堵车"]
)
def test_draws_the_things_that_are_named(thing: str) -> None:
    size = (640, 360)
    # The moment of the drive depends on the prompt: the same one is compared.
    plain, other = (drawn(f"{thing} nobody can know", size=size) for _ in range(2))
    assert np.array_equal(plain, other)
    differs = np.abs(paint(named(thing), 2.0).astype(int) - paint((), 2.0)).max(axis=2) > 40
    assert differs.sum() > 150


def test_the_light_that_is_lit_is_the_one_named() -> None:
    red, green = (drawn(f"a {name} traffic light by day", size=(640, 360)) for name in ("red", "green"))

    def lit(picture: np.ndarray, channel: int, other: int) -> int:
        part = picture[:170, 320:].astype(int)
        return int((part[..., channel] - part[..., other] > 90).sum())

    assert lit(red, 2, 1) > 20 > lit(green, 2, 1)
    assert lit(green, 1, 2) > 20 > lit(red, 1, 2)


def test_a_picture_given_along_settles_the_rest() -> None:
    night = DrivingScene(Look(Place.CITY, Light.NIGHT, Weather.CLEAR, 5, 10)).frame(1.0)
    picture = drawn("a pedestrian", night)
    assert picture.shape == night.shape
    assert tag_scene(picture)["time_of_day"] == "night"
    assert tag_scene(drawn("a pedestrian by day", night))["time_of_day"] == "daytime"
    with pytest.raises(ModelError, match="not a picture"):
        ScenePainter().draw(DrawRequest(MODEL, "a road", (ImagePart(b"x"),)))


class Endpoint(BaseHTTPRequestHandler):
    """An endpoint that draws one byte, and keeps what it was sent."""

    sent: list[Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.sent.append((self.path, body))
        data = json.dumps({"data": [{"b64_json": "eA=="}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output clean."""


def test_a_real_endpoint_by_configuration(tmp_path: Path) -> None:
    sent: list[Any] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Endpoint,), {"sent": sent}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        entry = {
            "name": "real",
            "task": "text-to-image",
            "backend": "openai",
            "base_url": f"http://127.0.0.1:{server.server_port}/v1",
            "model": "painter-1",
        }
        (tmp_path / "models.json").write_text(json.dumps({"models": [entry]}))
        backend = ModelRegistry("demo", tmp_path).backend("real")
        assert isinstance(backend, OpenAICompatibleBackend)
        image = ImagePart(b"p", "image/png")
        assert backend.draw(DrawRequest("real", "rain", (image,), (640, 360))).pictures == (b"x",)
        with pytest.raises(ModelError, match="2 pictures"):
            backend.draw(DrawRequest("real", "rain", (image, image), count=2))
    finally:
        server.shutdown()
        server.server_close()
    common = {"model": "painter-1", "prompt": "rain", "response_format": "b64_json"}
    picture = "data:image/png;base64,cA=="
    assert sent == [
        ("/v1/images/generations", {**common, "n": 1, "size": "640x360", "image": picture}),
        ("/v1/images/generations", {**common, "n": 2, "image": [picture, picture]}),
    ]
