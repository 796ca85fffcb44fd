"""The built-in tagger on questions about frames: what it asks to see, what it answers, where it does not."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import cv2
import pytest

from maxcompute_local.models.backend import ChatRequest, ImagePart, Message, Part, TextPart
from maxcompute_local.models.frame_questions import numbered, read
from maxcompute_local.models.shaped_answers import clock
from maxcompute_local.models.tagger import SceneTagger
from maxcompute_local.models.videos import sample_video
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene
from maxcompute_local.samples.incident_videos import INCIDENT_MS, drawn_video

HEAD = "Answer with one JSON object and nothing else. Its keys and their allowed values:"
ANSWER = f"""You see frames of a driving video in order of time, each behind its number and its time.

Question: {{question}}
Options:
{{options}}

{HEAD}
- reasoning: text, what in which frame leads to the answer
- answer: the letter of one option, or unknown
- frames: list of the numbers of the frames that the answer rests on"""
CHINESE = """您看到一段驾驶视频的若干帧。

问题：{question}
选项：
{options}

只回答一个 JSON 对象，不要输出其他内容。键名与取值一律使用下列英文：
- reasoning: 文本
- answer: 一个选项的字母，或 unknown
- frames: 列表"""
PLAN = f"""You see frames of a driving video, each behind its id and its time. Do not answer it yourself.

Question: {{question}}
{{options}}

{HEAD}
- requests: list (at least 1, at most 3 items) of object with the keys below
  - reference_image_id: integer
  - prompt: text"""
Shown = tuple[int, int, bytes]
"""Number, time in milliseconds and picture of a frame."""


@cache
def drive(light: Light, weather: Weather = Weather.CLEAR, place: Place = Place.CITY) -> tuple[bytes, ...]:
    scene = DrivingScene(Look(place, light, weather, 304, 11))
    return tuple(cv2.imencode(".jpg", scene.frame(seconds))[1].tobytes() for seconds in (1.0, 2.0, 3.0))


def shown(pictures: tuple[bytes, ...], first: int = 10) -> list[Shown]:
    return [(first + place, place * 1000, picture) for place, picture in enumerate(pictures)]


def ask(template: str, frames: list[Shown], question: str, *options: str) -> dict[str, Any]:
    parts: list[Part] = []
    for number, ms, picture in frames:
        parts += [TextPart(f"Frame {number} ({clock(ms)})"), ImagePart(picture)]
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCDE", options, strict=False))
    parts.append(TextPart(template.format(question=question, options=lines)))
    request = ChatRequest("m", (Message("user", tuple(parts)),))
    first, again = (SceneTagger().chat(request).content for _ in range(2))
    assert first == again
    answer: dict[str, Any] = json.loads(first)
    return answer


SKIES = ("It rains", "The sky is clear", "There is fog", "It snows")


@pytest.mark.parametrize(
    ("light", "weather", "question", "options", "letter"),
    [
        (Light.DAY, Weather.RAIN, "What is the weather like?", SKIES, "A"),
        (Light.DAY, Weather.CLEAR, "What is the weather like?", SKIES, "B"),
        (Light.DAY, Weather.FOG, "What is the weather like?", SKIES, "C"),
        (Light.NIGHT, Weather.CLEAR, "What is the weather like?", SKIES, "unknown"),
        (Light.NIGHT, Weather.CLEAR, "What time of day is it?", ("Day", "Dusk", "Night"), "C"),
        (Light.DAY, Weather.RAIN, "Does it rain?", ("Yes", "No"), "A"),
        (Light.DAY, Weather.CLEAR, "Does it rain?", ("Yes", "No"), "B"),
        (Light.DAY, Weather.RAIN, "What is it like?", ("rain at night", "rain by day", "fog by day"), "B"),
        (Light.DAY, Weather.CLEAR, "Which colour is the light?", ("Red", "Yellow", "Green"), "unknown"),
        (Light.DAY, Weather.CLEAR, "What is seen?", ("a red light", "a green light"), "unknown"),
        (Light.DAY, Weather.CLEAR, "Which exit is it?", ("Exit 7", "Exit 12"), "unknown"),
        # What is seen at 60 s cannot be told from frames of the first seconds.
        (Light.DAY, Weather.RAIN, "Does it rain at 60 s?", ("Yes", "No"), "unknown"),
        (Light.DAY, Weather.RAIN, "Does it rain at 00:02.0?", ("Yes", "No"), "A"),
    ],
)
def test_answers_what_it_measures(
    light: Light, weather: Weather, question: str, options: tuple[str, ...], letter: str
) -> None:
    found = ask(ANSWER, shown(drive(light, weather)), question, *options)
    assert found["answer"] == letter
    assert found["reasoning"].startswith("Local stand-in")
    assert bool(found["frames"]) == (letter != "unknown")
    assert set(found["frames"]) <= {10, 11, 12}


def test_chinese_and_open_questions() -> None:
    rain = shown(drive(Light.DAY, Weather.RAIN))
    assert ask(CHINESE, rain, "天气如何？", "晴天", "下雨", "有雾")["answer"] == "B"
    assert ask(CHINESE, rain, "是晚上吗？", "是的", "不是")["answer"] == "B"
    assert ask(ANSWER, rain, "What is the weather like?")["answer"] == "rain"
    assert ask(ANSWER, rain, "What does the driver think?")["answer"] == "unknown"


def test_a_moment_is_answered_by_its_frame_alone() -> None:
    frames = [(1, 0, drive(Light.DAY)[0]), (2, 5000, drive(Light.DAY, Weather.RAIN)[0])]
    assert [
        (found["answer"], found["frames"])
        for seconds in (0, 5)
        for found in [ask(ANSWER, frames, f"Is the road wet at {seconds} s?", "Yes", "No")]
    ] == [("B", [1]), ("A", [2])]


@pytest.mark.parametrize(("kind", "letter"), [("drive", "C"), ("stop", "A"), ("cut_in", "B")])
def test_sudden_changes_in_frames_that_are_close_in_time(kind: str, letter: str) -> None:
    frames = [
        (number, frame.ms, cv2.imencode(".jpg", frame.picture)[1].tobytes())
        for number, frame in enumerate(sample_video(drawn_video(kind)).frames[::2])
    ]
    options = ("The car brakes hard", "A vehicle cuts in", "Nothing sudden happens")
    found = ask(ANSWER, frames, "What happens?", *options)
    assert found["answer"] == letter
    if kind != "drive":
        (number,) = found["frames"]
        assert abs(frames[number][1] - INCIDENT_MS) <= 1500
    assert ask(ANSWER, frames[::6], "What happens?", *options)["answer"] == "unknown"


def test_without_a_frame_the_question_alone_can_tell() -> None:
    assert ask(ANSWER, [], "What is the weather like?", *SKIES)["answer"] == "unknown"
    assert ask(ANSWER, [], "What time of day is it?", "Day", "Night")["answer"] == "unknown"
    found = ask(ANSWER, [], "In the rain on the highway, what falls?", "Snow", "Rain")
    assert (found["answer"], found["frames"]) == ("B", [])


def test_plans_frames_that_show_what_is_named() -> None:
    frames = [(4, 0, drive(Light.DAY)[0]), (7, 2000, drive(Light.DAY, Weather.RAIN)[0])]
    found = ask(PLAN, frames, "Does it rain?", "Yes, it rains", "No, it is foggy", "It snows", "It is clear")
    requests = found["requests"]
    assert len(requests) == 3
    assert requests[0]["reference_image_id"] == 7
    assert "rain" in requests[0]["prompt"]
    assert "clear" not in requests[0]["prompt"]
    assert {request["reference_image_id"] for request in requests} <= {4, 7}
    # Nothing that is known is named: the question itself is asked for, near its moment.
    (request,) = ask(PLAN, frames, "Who is the driver at 0 s?")["requests"]
    assert request == {"reference_image_id": 4, "prompt": "Who is the driver at 0 s?"}
    (request,) = ask(PLAN, [], "Does it rain?")["requests"]
    assert request["reference_image_id"] == 0


def test_reads_questions_and_frames() -> None:
    question = read(ANSWER.format(question="Is it\nday?", options="A. Yes\nB) No"))
    assert (question.text, question.options) == ("Is it\nday?", {"A": "Yes", "B": "No"})
    assert read("Describe the picture.").text == ""
    assert read("Question: at 01:02.5?").moment_ms == 62_500
    assert read("Question: after 3.5 seconds?").moment_ms == 3500
    assert read("Question: in 12 streets?").moment_ms is None
    assert numbered("Video 3.\nFrame 12 (00:06.0)") == (12, 6000)
    assert numbered("第 7 帧（01:00.5）") == (7, 60_500)
    assert numbered("at 700 ms:") is None
