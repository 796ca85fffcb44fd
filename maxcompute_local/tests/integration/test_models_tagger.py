"""The built-in tagger on drawn stills (seeds that its thresholds were not set on) and on odd pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest

from maxcompute_local.models import videos
from maxcompute_local.models.backend import (
    ChatRequest,
    ImagePart,
    Message,
    ModelError,
    Part,
    TextPart,
    VideoPart,
)
from maxcompute_local.models.images import decode_image
from maxcompute_local.models.sheets import tiles
from maxcompute_local.models.tagger import SceneTagger, tag
from maxcompute_local.models.videos import sample_video
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene
from maxcompute_local.samples.incident_videos import FPS, INCIDENT_MS, SECONDS, drawn_video, encode_video

ENUMS = {
    "weather": "clear partly_cloudy overcast rainy snowy foggy unknown",
    "time_of_day": "daytime dawn_dusk night unknown",
    "scene_type": (
        "city_street highway residential parking_lot tunnel gas_station rural construction unknown"
    ),
    "road_surface": "dry wet snow ice unknown",
    "visibility": "good reduced poor unknown",
    "traffic_density": "none light moderate heavy jam unknown",
    "ego_action": "stop straight turn_left turn_right lane_change_left lane_change_right reverse unknown",
    "traffic_light": "red yellow green off none unknown",
    "risk_level": "none low medium high critical unknown",
}
HAZARDS = {
    "cut_in",
    "hard_brake",
    "jaywalker",
    "wrong_way",
    "debris",
    "emergency_vehicle",
    "animal",
    "other",
}
POSITIONS = {"ego_lane", "left", "right", "crossing", "parked", "unknown"}
ENUM_SETS = {key: set(values.split()) for key, values in ENUMS.items()}
OTHER_KEYS = {"key_objects", "risk_reasons", "hazards", "caption", "abstain", "abstain_reason"}

DRAWN = {
    "day highway": (Look(Place.HIGHWAY, Light.DAY, Weather.CLEAR, 101, 27), "daytime", "clear"),
    "day city": (Look(Place.CITY, Light.DAY, Weather.CLEAR, 102, 11), "daytime", "clear"),
    "overcast": (Look(Place.RURAL, Light.DAY, Weather.OVERCAST, 103, 17), "daytime", "overcast"),
    "dusk highway": (Look(Place.HIGHWAY, Light.DUSK, Weather.CLEAR, 104, 25), "dawn_dusk", "clear"),
    "dusk city": (Look(Place.CITY, Light.DUSK, Weather.CLEAR, 105, 10), "dawn_dusk", "clear"),
    "night city": (Look(Place.CITY, Light.NIGHT, Weather.CLEAR, 106, 11), "night", "unknown"),
    "night highway": (Look(Place.HIGHWAY, Light.NIGHT, Weather.CLEAR, 107, 25), "night", "unknown"),
    "night rain": (Look(Place.CITY, Light.NIGHT, Weather.RAIN, 108, 10), "night", "rainy"),
    "rain city": (Look(Place.CITY, Light.DAY, Weather.RAIN, 109, 10), "daytime", "rainy"),
    "rain highway": (Look(Place.HIGHWAY, Light.DAY, Weather.RAIN, 110, 22), "daytime", "rainy"),
    "fog rural": (Look(Place.RURAL, Light.DAY, Weather.FOG, 111, 14), "daytime", "foggy"),
    "fog highway": (Look(Place.HIGHWAY, Light.DAY, Weather.FOG, 112, 20), "daytime", "foggy"),
}


@cache
def stills(name: str) -> tuple[np.ndarray, ...]:
    scene = DrivingScene(DRAWN[name][0])
    return tuple(jpeg_round_trip(scene.frame(seconds)) for seconds in (0.7, 5.3))


def jpeg_round_trip(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encoded(picture), np.uint8), cv2.IMREAD_COLOR)


def encoded(picture: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return data.tobytes()


def chat(*parts: TextPart | ImagePart, **params: object) -> ChatRequest:
    return ChatRequest("local-scene-tagger", (Message("user", parts),), params)


def assert_fits_schema(label: dict) -> None:
    assert set(label) == set(ENUM_SETS) | OTHER_KEYS
    for key, values in ENUM_SETS.items():
        assert label[key] in values, (key, label[key])
    for thing in label["key_objects"]:
        assert set(thing) == {"class", "count", "position", "state"}
        assert thing["class"] in {"car", "pedestrian"}
        assert thing["count"] >= 1
        assert thing["position"] in POSITIONS
    assert set(label["hazards"]) <= HAZARDS
    assert all(isinstance(reason, str) and len(reason) <= 200 for reason in label["risk_reasons"])
    assert isinstance(label["caption"], str)
    assert len(label["caption"]) <= 400
    assert isinstance(label["abstain"], bool)
    assert bool(label["abstain_reason"]) == label["abstain"]


@pytest.mark.parametrize("name", DRAWN)
def test_light_and_weather_of_drawn_scenes(name: str) -> None:
    _, time_of_day, weather = DRAWN[name]
    for picture in stills(name):
        label = tag(picture)
        assert_fits_schema(label)
        assert not label["abstain"]
        assert (label["time_of_day"], label["weather"]) == (time_of_day, weather)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("day highway", {"highway", "unknown"}),
        ("day city", {"city_street"}),
        ("night city", {"city_street", "unknown"}),
        ("fog rural", {"unknown"}),
    ],
)
def test_scene_type_is_right_or_unknown(name: str, allowed: set[str]) -> None:
    assert {tag(picture)["scene_type"] for picture in stills(name)} <= allowed


def test_weather_decides_road_and_visibility() -> None:
    rain, fog, day = (tag(stills(name)[0]) for name in ("rain highway", "fog highway", "day highway"))
    assert (rain["road_surface"], rain["visibility"], rain["risk_level"]) == ("wet", "reduced", "medium")
    assert fog["visibility"] in {"reduced", "poor"}
    assert (day["road_surface"], day["visibility"]) == ("dry", "good")


def test_sees_the_vehicle_ahead_in_most_drawn_scenes() -> None:
    seen = [
        any(one["class"] == "car" and one["position"] == "ego_lane" for one in tag(picture)["key_objects"])
        for name in DRAWN
        for picture in stills(name)
    ]
    assert sum(seen) >= len(seen) * 0.6


def test_empty_road_has_no_vehicles() -> None:
    picture = np.full((360, 640, 3), (230, 200, 170), np.uint8)
    picture[170:] = 105
    for far, near in ((-6, -190), (6, 190), (-16, -560), (16, 560)):
        cv2.line(picture, (320 + far, 174), (320 + near, 330), (235, 235, 235), 4)
    assert tag(picture)["key_objects"] == []


def flat(value: int) -> np.ndarray:
    return np.full((360, 640, 3), value, np.uint8)


def ramp(vertical: bool) -> np.ndarray:
    row = np.linspace(0, 255, 360 if vertical else 640).astype(np.uint8)
    return np.broadcast_to(row[:, None, None] if vertical else row[None, :, None], (360, 640, 3)).copy()


@pytest.mark.parametrize(
    "picture",
    [
        flat(0),
        flat(255),
        flat(128),
        ramp(vertical=True),
        ramp(vertical=False),
        np.random.default_rng(0).integers(0, 256, (360, 640, 3)).astype(np.uint8),
        np.clip(np.random.default_rng(1).normal(20, 12, (360, 640, 3)), 0, 255).astype(np.uint8),
        flat(90)[:1],
        flat(90)[:, :1],
    ],
    ids=["black", "white", "grey", "ramp down", "ramp right", "noise", "dark noise", "one row", "one column"],
)
def test_abstains_where_there_is_nothing_to_see(picture: np.ndarray) -> None:
    label = tag(picture)
    assert_fits_schema(label)
    assert label["abstain"]
    assert {label[key] for key in ENUM_SETS} == {"unknown"}


def meadow() -> np.ndarray:
    picture = np.full((360, 640, 3), (235, 190, 120), np.uint8)
    picture[190:] = (60, 170, 80)
    cv2.ellipse(picture, (200, 200), (220, 70), 0, 180, 360, (70, 150, 60), -1)
    cv2.circle(picture, (540, 60), 35, (80, 230, 250), -1)
    for x, y in np.random.default_rng(5).integers((0, 200), (640, 360), (60, 2)).tolist():
        cv2.circle(picture, (x, y), 5, (180, 80, 220), -1)
    return picture


def texture() -> np.ndarray:
    cells = np.random.default_rng(5).integers(0, 256, (45, 80, 3)).astype(np.uint8)
    return cv2.resize(cells, (640, 360), interpolation=cv2.INTER_CUBIC)


def checks() -> np.ndarray:
    cells = (np.indices((360, 640)) // 40).sum(0) % 2 * 200 + 30
    return cv2.merge([cells.astype(np.uint8)] * 3)


def page() -> np.ndarray:
    picture = np.full((360, 640, 3), 250, np.uint8)
    for y in range(20, 350, 14):
        cv2.putText(picture, "lorem ipsum dolor sit amet", (20, y), 0, 0.8, (20, 20, 20), 1)
    return picture


def face() -> np.ndarray:
    picture = np.full((360, 640, 3), (180, 200, 220), np.uint8)
    cv2.ellipse(picture, (320, 180), (110, 150), 0, 0, 360, (130, 160, 220), -1)
    for x in (280, 360):
        cv2.circle(picture, (x, 150), 12, (20, 20, 20), -1)
    cv2.ellipse(picture, (320, 240), (40, 15), 0, 0, 180, (60, 60, 180), -1)
    return picture


def wall() -> np.ndarray:
    noise = np.random.default_rng(6).normal(110, 9, (90, 160)).clip(0, 255).astype(np.uint8)
    picture = cv2.merge([cv2.resize(noise, (640, 360), interpolation=cv2.INTER_CUBIC)] * 3)
    picture[:, :40] = (60, 60, 60)
    picture[:120] += 60
    return picture


@pytest.mark.parametrize("draw", [meadow, texture, checks, page, face, wall])
def test_abstains_on_pictures_that_are_no_road(draw: Callable[[], np.ndarray]) -> None:
    for picture in (draw(), cv2.GaussianBlur(draw(), (9, 9), 0)):
        label = tag(jpeg_round_trip(picture))
        assert_fits_schema(label)
        assert label["abstain"]
        assert {label[key] for key in ENUM_SETS} == {"unknown"}


def test_says_that_it_is_a_stand_in() -> None:
    assert tag(stills("day city")[0])["caption"].startswith("Local stand-in's view")
    assert tag(meadow())["abstain_reason"].startswith("local stand-in: ")


@pytest.mark.parametrize("size", [(1920, 1080), (320, 180), (400, 720)])
def test_other_sizes_keep_the_shape(size: tuple[int, int]) -> None:
    label = tag(cv2.resize(stills("day highway")[0], size))
    assert_fits_schema(label)
    assert label["time_of_day"] == "daytime"


def test_same_picture_same_answer() -> None:
    request = chat(TextPart("Describe."), ImagePart(encoded(stills("night city")[0])))
    answers = {SceneTagger().chat(request) for _ in range(3)}
    assert len(answers) == 1


def test_answers_in_shape_whatever_the_prompt_says() -> None:
    answer = SceneTagger().chat(chat(TextPart("Write a poem."), ImagePart(encoded(stills("day city")[0]))))
    assert_fits_schema(json.loads(answer.content))
    assert answer.finish_reason == "stop"


def test_abstains_without_a_picture() -> None:
    label = json.loads(SceneTagger().chat(chat(TextPart("What do you see?"))).content)
    assert_fits_schema(label)
    assert label["abstain"]


def test_tokens_follow_text_and_picture_size() -> None:
    small, large = encoded(stills("day city")[0]), encoded(cv2.resize(stills("day city")[0], (1280, 720)))

    def tokens(text: str, *pictures: bytes) -> int:
        parts = [TextPart(text), *(ImagePart(data) for data in pictures)]
        return SceneTagger().chat(chat(*parts)).input_tokens

    assert tokens("x" * 400, small) - tokens("", small) == 100
    assert tokens("雨天" * 10) == 20
    assert tokens("", small) == 23 * 13 + 2
    assert tokens("", large) > 3 * tokens("", small)
    assert tokens("", small, small) == 2 * tokens("", small)


def test_stops_at_max_tokens_like_a_model() -> None:
    answer = SceneTagger().chat(chat(ImagePart(encoded(stills("day city")[0])), max_tokens=20))
    assert (answer.finish_reason, answer.output_tokens, len(answer.content)) == ("length", 20, 80)


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(flat(9))[:60]])
def test_refuses_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        SceneTagger().chat(chat(ImagePart(data)))
    assert (caught.value.status, caught.value.code) == (400, "InvalidImage")


KEYS = """Answer with one JSON object and nothing else. Its keys and their allowed values:
- in_domain: boolean
- abstain: boolean
- mode: anomaly | normal
- weather: clear | rainy | unknown
- vehicles: integer (at least 0)
- moment_ms: integer (at least 0)
- events: list (at least 1 items) of object with the keys below
  - start_ms: integer (at least 0)
  - end_ms: integer
  - text: text"""


def asked(*parts: Part) -> str:
    return SceneTagger().chat(ChatRequest("m", (Message("user", parts),))).content


@pytest.mark.parametrize(
    ("kind", "in_domain", "mode"),
    [
        ("drive", True, "normal"),
        ("stop", True, "anomaly"),
        ("cut_in", True, "anomaly"),
        ("parked", True, "normal"),
        ("garden", False, "normal"),
    ],
)
def test_videos_are_measured(kind: str, in_domain: bool, mode: str) -> None:
    video = VideoPart(drawn_video(kind))
    content = asked(video, TextPart(KEYS))
    assert content == asked(video, TextPart(KEYS))
    found = json.loads(content)
    assert (found["in_domain"], found["mode"], found["abstain"]) == (in_domain, mode, not in_domain)
    edges = [0, *(event["end_ms"] for event in found["events"])]
    assert [event["start_ms"] for event in found["events"]] == edges[:-1]
    assert edges == sorted(set(edges))
    assert edges[-1] == SECONDS * 1000
    assert (found["weather"], found["vehicles"] > 0) == (("clear", True) if in_domain else ("unknown", False))
    if mode == "anomaly":
        # Braking takes a second.
        assert INCIDENT_MS - 300 <= found["moment_ms"] <= INCIDENT_MS + 1500
        (event,) = (e for e in found["events"] if e["start_ms"] <= found["moment_ms"] < e["end_ms"])
        assert {"stop": "sudden stop", "cut_in": "suddenly appears"}[kind] in event["text"]
    assert "Local stand-in" in asked(video, TextPart("Describe the video."))


def test_pictures_with_their_times_are_measured_as_a_video() -> None:
    parts: list[Part] = []
    for frame in sample_video(drawn_video("stop")).frames[::2]:
        parts += [TextPart(f"at {frame.ms + 700} ms:"), ImagePart(encoded(frame.picture))]
    found = json.loads(asked(*parts, TextPart(KEYS)))
    assert found["mode"] == "anomaly"
    assert INCIDENT_MS + 400 <= found["moment_ms"] <= INCIDENT_MS + 2200
    untimed = [part for part in parts if isinstance(part, ImagePart)]
    found = json.loads(asked(*untimed, TextPart(f"The video lasts {SECONDS} s.\n{KEYS}")))
    assert INCIDENT_MS - 300 <= found["moment_ms"] <= found["events"][-1]["end_ms"] == SECONDS * 1000


def sheet(kind: str, columns: int, rows: int, size: tuple[int, int]) -> bytes:
    """Frames in the middles of equal parts of a drawn video, each with its time in its upper left corner."""
    frames = sample_video(drawn_video(kind)).frames[1::2]
    black = np.zeros((rows * size[1], columns * size[0], 3), np.uint8)
    for place, frame in enumerate(frames):
        tile = cv2.resize(frame.picture, size, interpolation=cv2.INTER_AREA)
        tile[:24, :70] = 0
        cv2.putText(tile, f"00:{frame.ms / 1000:04.1f}", (4, 18), 0, 0.5, (255, 255, 255), 1)
        top, left = place // columns * size[1], place % columns * size[0]
        black[top : top + size[1], left : left + size[0]] = tile
    return encoded(black)


@pytest.mark.parametrize(("columns", "rows"), [(4, 4), (3, 6)])
@pytest.mark.parametrize(
    ("kind", "in_domain", "mode"),
    [
        ("drive", True, "normal"),
        ("stop", True, "anomaly"),
        ("cut_in", True, "anomaly"),
        ("garden", False, "normal"),
    ],
)
def test_a_sheet_is_measured_as_a_video(
    kind: str, in_domain: bool, mode: str, columns: int, rows: int
) -> None:
    data = sheet(kind, columns, rows, (336, 189))
    assert len(tiles(decode_image(data))) == 16
    text = f"You see the part from 00:10.0 to 00:18.0 of a video that lasts 00:30.0.\n{KEYS}"
    found = json.loads(asked(ImagePart(data), TextPart(text)))
    assert (found["in_domain"], found["mode"]) == (in_domain, mode)
    assert (found["events"][0]["start_ms"], found["events"][-1]["end_ms"]) == (10_000, 18_000)
    if mode == "anomaly":
        assert abs(found["moment_ms"] - 10_000 - INCIDENT_MS) <= 1500


@pytest.mark.parametrize("name", ["day city", "night city"])
def test_other_pictures_are_no_sheets(name: str) -> None:
    for picture in (stills(name)[0], np.zeros((360, 640, 3), np.uint8), page(), checks()):
        assert len(tiles(picture)) == 1


def test_times_of_a_part_are_those_of_the_whole_video() -> None:
    text = f"You see the part from 00:10.0 to 00:18.0 of a longer video.\n{KEYS}\n- text: text"
    found = json.loads(asked(VideoPart(drawn_video("stop")), TextPart(text)))
    assert abs(found["moment_ms"] - 10_000 - INCIDENT_MS) <= 1500
    assert (found["events"][0]["start_ms"], found["events"][-1]["end_ms"]) == (10_000, 18_000)
    assert "At 00:1" in found["text"]


def test_of_a_long_video_key_frames_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "_MOST_PIXELS", 1000)
    footage = sample_video(drawn_video("drive"))
    assert footage.duration_ms == SECONDS * 1000
    assert [frame.ms for frame in footage.frames] == [0]


def test_what_is_no_video_is_an_error() -> None:
    for data in (b"", b"no video", drawn_video("parked")[:2000]):
        with pytest.raises(ModelError, match="not a video") as caught:
            asked(VideoPart(data), TextPart(KEYS))
        assert (caught.value.status, caught.value.code) == (400, "InvalidVideo")


def test_a_webm_without_a_stated_length() -> None:
    pictures = [np.full((90, 160, 3), grey, np.uint8) for grey in range(0, 250, 10)]
    data = encode_video(pictures, "webm", "libvpx")
    footage = sample_video(data)
    assert 0 < footage.frames[-1].ms <= footage.duration_ms < 25 / FPS * 1000 + 200
