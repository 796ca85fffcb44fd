"""Images for requests: drawn once, paid once; what cannot be drawn has its reference frame, and says why."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from PIL import Image

from airflow_provider_drivepipe.worker.retrieval.drawing import (
    DRAW_COLUMNS,
    DrawJob,
    draw_images,
    drawn_name,
)
from airflow_provider_drivepipe.worker.rows import RowPart

ROOT = "oss://host/bucket"
KEY = "very-secret-key-17"
PART = RowPart("draw", tuple((c.name, c.type) for c in DRAW_COLUMNS), "draw_outcome")


def picture(format_="PNG", colour="red"):
    encoded = io.BytesIO()
    Image.new("RGB", (16, 8), colour).save(encoded, format_)
    return encoded.getvalue()


def b64(content):
    return {"data": [{"b64_json": base64.b64encode(content).decode()}]}


class Service(ThreadingHTTPServer):
    """An image service that answers from a script: (status, headers, body), the last one again and again."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.asked, self.fetched = [(200, {}, b64(picture()))], [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        script = self.server.script
        self.say(*(script.pop(0) if len(script) > 1 else script[0]))

    def do_GET(self):
        self.server.fetched.append((self.path, self.headers.get("Authorization")))
        self.say(200, {}, picture("JPEG", "blue"))

    def say(self, status, headers, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def draw(service, tmp_path):
    mount = tmp_path / "mount"
    (mount / "frames").mkdir(parents=True)
    (mount / "frames" / "4.jpg").write_bytes(picture("JPEG"))
    return Drawing(service, mount)


class Drawing:
    def __init__(self, service, mount):
        self.service, self.mount = service, mount

    def job(self, **more):
        fields = {
            "part": PART,
            "base_url": f"{self.service.url}/v1/",
            "api_key": KEY,
            "model": "painter",
            "size": "1024x1024",
            "oss_root": ROOT,
            "mount_path": str(self.mount),
            "output_prefix": "qa/ds=1/abc",
            "timeout_sec": 20,
            "max_wait_sec": 0.0,
        }
        return DrawJob(**fields | more)

    def __call__(self, *requests, status="ok", **more):
        kinds = [request[0] for request in requests]
        rows = pd.DataFrame(
            {
                "query_kind": pd.Series(kinds, dtype=object),
                "query_text": pd.Series([request[1] for request in requests], dtype=object),
                "reference_url": pd.Series([request[2] for request in requests], dtype=object),
                "status": status,
                "error_stage": "",
                "error_type": "",
                "error_msg": "",
                **{column.name: pd.Series([None] * len(requests), dtype=object) for column in DRAW_COLUMNS},
            }
        )
        made = draw_images(rows, self.job(**more), tuple(rows.columns))
        assert set(made["status"]) == {"ok"}
        return made[[c.name for c in DRAW_COLUMNS]].astype(object).to_dict("records")

    def one(self, *script, prompt="a red light", reference=f"{ROOT}/frames/4.jpg", **more):
        self.service.script = list(script) or self.service.script
        return self(("planned_image", prompt, reference), **more)[0]

    def files(self):
        return sorted(path.name for path in (self.mount / "qa").rglob("*") if path.is_file())


OK = (200, {}, b64(picture()))


def test_a_request_is_drawn_from_its_reference_frame_and_written(draw):
    made = draw.one()
    assert made["draw_outcome"] == "drawn"
    assert made["drawn_url"] == made["query_url"]
    assert pd.isna(made["draw_error"])
    name = drawn_name("a red light", f"{ROOT}/frames/4.jpg", draw.job())
    assert made["drawn_url"] == f"{ROOT}/qa/ds=1/abc/{name}"
    written = (draw.mount / "qa" / "ds=1" / "abc" / name).read_bytes()
    with Image.open(io.BytesIO(written)) as image:
        assert (image.format, image.size) == ("JPEG", (16, 8))
    assert draw.files() == [name]
    [(path, authorisation, body)] = draw.service.asked
    assert (path, authorisation) == ("/v1/images/generations", f"Bearer {KEY}")
    reference = base64.b64encode((draw.mount / "frames" / "4.jpg").read_bytes()).decode()
    assert body == {
        "model": "painter",
        "prompt": "a red light",
        "image": f"data:image/jpeg;base64,{reference}",
        "size": "1024x1024",
        "n": 1,
        "response_format": "b64_json",
    }


def test_a_second_try_pays_nothing(draw):
    first = draw.one()
    assert draw.one() == first
    assert len(draw.service.asked) == 1
    draw.one(prompt="a green light")
    draw.one(size="512x512")
    assert len(draw.service.asked) == 3


def test_a_half_written_image_is_drawn_again(draw):
    first = draw.one()
    path = draw.mount / first["drawn_url"].removeprefix(f"{ROOT}/")
    path.write_bytes(path.read_bytes()[:40])
    assert draw.one() == first
    assert len(draw.service.asked) == 2


def test_other_queries_are_not_asked(draw):
    made = draw(
        ("text", "Which light?", None), ("planned_text", "x", f"{ROOT}/frames/4.jpg"), (None, None, None)
    )
    assert [one["draw_outcome"] for one in made] == ["not_asked"] * 3
    assert all(pd.isna(one[name]) for one in made for name in ("drawn_url", "query_url", "draw_error"))
    assert draw.service.asked == []


def test_an_image_may_be_fetched_without_the_key(draw):
    made = draw.one((200, {}, {"data": [{"url": f"{draw.service.url}/image.jpg?sig=1"}]}))
    assert made["draw_outcome"] == "drawn"
    assert draw.service.fetched == [("/image.jpg?sig=1", None)]


@pytest.mark.parametrize(
    "wait", [{}, {"Retry-After": "3600"}, {"Retry-After": "Wed, 21 Oct 2065 07:28:00 GMT"}]
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(draw, status, wait):
    made = draw.one((status, wait, b"busy"), (status, wait, b"busy"), OK)
    assert made["draw_outcome"] == "drawn"
    assert len(draw.service.asked) == 3


def test_waits_are_those_of_the_service_and_bounded(draw, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    past = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    busy = [
        (429, header, b"")
        for header in ({"Retry-After": "7"}, {"Retry-After": "9999"}, past, {}, {"Retry-After": "soon"})
    ]
    assert draw.one(*busy, OK, tries=6, max_wait_sec=60)["draw_outcome"] == "drawn"
    assert waits == [7, 60, 0, 16, 32]


def test_a_service_that_is_busy_for_ever_costs_each_further_request_one_try(draw):
    draw.service.script = [(429, {}, {"error": {"message": "slow down"}})]
    frames = f"{ROOT}/frames/4.jpg"
    made = draw(*(("planned_image", prompt, frames) for prompt in "abc"), tries=4)
    assert [one["draw_outcome"] for one in made] == ["reference"] * 3
    assert {one["query_url"] for one in made} == {frames}
    assert {one["draw_error"] for one in made} == {"rate_limited: HTTP 429: slow down"}
    assert len(draw.service.asked) == 4 + 1 + 1


BROKEN = picture()[:30]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ((401, {}, {"error": {"message": "bad key"}}), "model_error"),
        ((400, {}, {"error": {"code": "data_inspection_failed", "message": "no"}}), "content_blocked"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), "model_error"),
        ((500, {}, b"oops"), "model_error"),
        ((504, {}, b"gateway"), "timeout"),
        ((429, {}, b"timeout"), "rate_limited"),
        ((200, {}, b"<html>"), "model_error"),
        ((200, {}, b"[]"), "model_error"),
        ((200, {}, {"data": []}), "empty_response"),
        ((200, {}, {"error": {"message": "quota exceeded"}}), "rate_limited"),
        ((200, {}, {"data": [{"url": "file:///etc/passwd"}]}), "empty_response"),
        ((200, {}, {"data": [{"url": "http://127.0.0.1:9/x.jpg"}]}), "model_error"),
        ((200, {}, {"data": [{"b64_json": "ab="}]}), "model_error"),
        ((200, {}, b64(b"no image")), "image_decode_error"),
        ((200, {}, b64(BROKEN)), "image_decode_error"),
    ],
)
def test_what_cannot_be_drawn_has_its_reference_frame(draw, response, reason):
    made = draw.one(response)
    assert made["draw_outcome"] == "reference"
    assert made["query_url"] == f"{ROOT}/frames/4.jpg"
    assert pd.isna(made["drawn_url"])
    assert made["draw_error"].split(":")[0] == reason
    assert not (draw.mount / "qa").exists()


def test_a_redirect_does_not_get_the_key(draw):
    made = draw.one((302, {"Location": f"{draw.service.url}/elsewhere"}, b""))
    assert made["draw_error"] == "model_error: HTTP 302: Found"
    assert draw.service.fetched == []


def test_limits_of_bytes_and_pixels_hold(draw):
    assert draw.one(max_pixels=100)["draw_error"].startswith("image_too_large")
    assert draw.one((200, {}, b"x" * 50_000), max_bytes=20_000)["draw_error"].startswith("image_too_large")


def test_a_service_that_hangs_or_is_not_there_is_given_up(draw):
    assert draw.one(base_url="http://127.0.0.1:9")["draw_error"].startswith("model_error: the image service")
    release = threading.Event()
    draw.service.script = [(200, {}, b"")]
    original = Handler.say
    try:
        Handler.say = lambda self, *_: release.wait(60)
        assert draw.one(timeout_sec=0.2)["draw_error"].startswith("timeout: no image within 0.2 seconds")
    finally:
        release.set()
        Handler.say = original


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "path_outside_root"),
        ("oss://host/other/4.jpg", "path_outside_root"),
        (f"{ROOT}/../4.jpg", "path_traversal"),
        (f"{ROOT}/frames/9.jpg", "not_found"),
    ],
)
def test_without_a_reference_frame_nothing_is_asked(draw, reference, reason):
    made = draw.one(reference=reference)
    assert made["draw_error"].split(":")[0] == reason
    assert made["query_url"] == reference or pd.isna(made["query_url"])
    assert draw.service.asked == []


def test_neither_key_nor_local_paths_are_told(draw):
    said = f"key {KEY} and Bearer abcdef at {draw.mount}/frames/x and /srv/app/file.py"
    made = draw.one((400, {}, {"error": {"message": said}}))
    assert KEY not in made["draw_error"]
    assert "abcdef" not in made["draw_error"]
    assert str(draw.mount) not in made["draw_error"]
    assert "/srv" not in made["draw_error"]
    assert KEY not in repr(draw.job())


def test_an_image_is_not_written_through_a_link(draw, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (draw.mount / "qa").symlink_to(tmp_path / "elsewhere")
    made = draw.one()
    assert made["draw_outcome"] == "reference"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "job", [{"base_url": "ftp://x"}, {"tries": 0}, {"output_prefix": "../x"}, {"timeout_sec": 0}]
)
def test_a_job_that_draws_nothing_is_refused(draw, job):
    with pytest.raises(ValueError):
        draw.one(**job)
