"""The demo's questions: their answers are those of what is drawn."""

from __future__ import annotations

from functools import cache

import pytest

from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene
from maxcompute_local.samples.driving.traffic import Prop, Vehicle
from maxcompute_local.samples.driving_questions import DEMO_QUESTIONS, Category, DemoQuestion
from maxcompute_local.samples.driving_videos import DEMO_VIDEOS

VIDEOS = {video.key: video for video in DEMO_VIDEOS}
BY_ID = {question.question_id: question for question in DEMO_QUESTIONS}


def look_of(question: DemoQuestion) -> Look:
    look = VIDEOS[question.video_key].look
    assert look is not None
    return look


@cache
def scene(question_id: str) -> DrivingScene:
    return DrivingScene(look_of(BY_ID[question_id]))


def vehicles(question_id: str, *, lorry: bool | None = None, oncoming: bool = False) -> list[Vehicle]:
    things = [thing for thing in scene(question_id).things if isinstance(thing, Vehicle)]
    return [
        thing for thing in things if thing.oncoming is oncoming and lorry in (None, thing.sprite.height > 3)
    ]


def said(question_id: str) -> str:
    question = BY_ID[question_id]
    return question.options["ABCD".index(question.answer)]


def window(question_id: str) -> tuple[float, float]:
    question = BY_ID[question_id]
    assert question.evidence_start_ms is not None
    assert question.evidence_end_ms is not None
    return question.evidence_start_ms / 1000, question.evidence_end_ms / 1000


def test_the_set_is_whole() -> None:
    assert len(BY_ID) == len(DEMO_QUESTIONS) >= 24
    assert {question.category for question in DEMO_QUESTIONS} == set(Category)
    assert {question.video_key for question in DEMO_QUESTIONS} == {v.key for v in DEMO_VIDEOS if v.look}
    letters = [question.answer for question in DEMO_QUESTIONS]
    assert max(letters.count(letter) for letter in "ABCD") < len(letters) / 2
    for question in DEMO_QUESTIONS:
        assert question.answer in "ABCD"[: len(question.options)]
        assert len(set(question.options)) == len(question.options)
        start, end = question.evidence_start_ms, question.evidence_end_ms
        assert (start is None) == (end is None)
        if start is not None and end is not None:
            assert 0 <= start < end <= VIDEOS[question.video_key].duration_sec * 1000


SAYS = {
    Weather.CLEAR: "The sky is clear: sunny weather",
    Weather.FOG: "There is fog",
    Light.DAY: "Day",
    Light.DUSK: "Dusk or dawn",
    Light.NIGHT: "Night",
    Place.HIGHWAY: "A highway",
    Place.CITY: "A city street",
    Place.RURAL: "A country road",
}


@pytest.mark.parametrize("question", DEMO_QUESTIONS, ids=lambda question: question.question_id)
def test_weather_light_and_place_are_those_of_the_look(question: DemoQuestion) -> None:
    look, right = look_of(question), said(question.question_id)
    if question.question == "What is the weather like?":
        assert right == SAYS[look.weather]
    elif question.question == "What time of day is it?":
        assert right == SAYS[look.light]
    elif question.question == "What kind of road is it?":
        assert right == SAYS[look.place]


def test_yes_and_no() -> None:
    assert look_of(BY_ID["rain-rains"]).weather is look_of(BY_ID["rain-surface"]).weather is Weather.RAIN
    assert (said("rain-rains"), said("rain-surface")) == ("Yes", "Wet")
    assert look_of(BY_ID["city-time"]).light is Light.DAY
    assert said("city-time") == "No"
    assert any(vehicle.lane == 0 for vehicle in vehicles("fog-ahead"))
    assert said("fog-ahead") == "Yes"


def test_the_exit_sign_is_near_in_its_window_alone_and_not_beyond_the_edge() -> None:
    (sign,) = (t for t in scene("highway-exit").things if isinstance(t, Prop) and t.x == 9.6)
    start, end = window("highway-exit")
    ahead = [
        (sign.z - look_of(BY_ID["highway-exit"]).speed * seconds) % sign.period for seconds in (start, end)
    ]
    assert 50 < ahead[0] < 60
    # Left of the picture's right edge: 560 pixels are 45 degrees, and half the picture is 320 wide.
    assert 560 * 9.6 / ahead[1] < 320 + 560 * 1.4 / ahead[1]
    assert said("highway-exit") == "Exit 12"


def test_the_lorry_on_the_highway() -> None:
    (lorry,) = vehicles("highway-lorry-lane", lorry=True)
    assert (lorry.lane > 1.8, said("highway-lorry-lane")) == (True, "In the lane to the right")
    start, end = window("highway-lorry-lane")
    assert lorry.distance(start) > lorry.distance(end) > 4
    start, end = window("highway-lorry-passed")
    passed = next(t / 10 for t in range(140) if lorry.distance(t / 10) < 4.5)
    assert start < 12 < passed < end
    assert said("highway-lorry-passed") == "After 12 s"


def test_nothing_sudden_happens_on_the_highway() -> None:
    # The own speed is even, and what drives in the own lane never comes near.
    assert all(
        v.distance(t / 10) > 10 for v in vehicles("highway-incident") if v.lane == 0 for t in range(140)
    )
    assert said("highway-incident") == "Nothing sudden happens"


def test_no_scene_has_a_traffic_light() -> None:
    heights = {thing.sprite.height for thing in scene("night-light").things if isinstance(thing, Prop)}
    assert 4.4 not in heights
    assert said("night-light") == "No traffic light is in view"


def test_cars_are_parked_on_the_right() -> None:
    standing = [v for v in vehicles("night-parked") if v.speed == -look_of(BY_ID["night-parked"]).speed]
    assert {vehicle.lane for vehicle in standing} == {5.0}
    start, end = window("night-parked")
    assert min(v.distance(start) for v in standing) < 55
    assert min(v.distance(end) for v in standing) < 20
    assert said("night-parked") == "On the right"


def test_oncoming_lorries() -> None:
    (lorry,) = vehicles("night-oncoming-lorry", lorry=True, oncoming=True)
    start, end = window("night-oncoming-lorry")
    assert 50 > lorry.distance(start) > lorry.distance(end) > 4
    near = [v for v in vehicles("night-oncoming-lorry", oncoming=True) if 4 < v.distance(end) < 25]
    assert near == [lorry]
    (lorry,) = vehicles("fog-lorry", lorry=True, oncoming=True)
    passed = [t / 10 for t in range(100) if lorry.distance(t / 10) < 6]
    assert 2.5 < passed[0] <= passed[-1] < 3.5
    assert window("fog-lorry")[0] < passed[0] < window("fog-lorry")[1]
    assert said("fog-lorry") == "After about 3 s"


def test_the_gap_in_the_rain() -> None:
    (lead,) = (vehicle for vehicle in vehicles("rain-gap") if vehicle.lane == 0)
    gaps = [lead.distance(seconds) for seconds in (4, 5, 6, 7, 8)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] - gaps[-1] > 3
    assert said("rain-gap") == "It becomes smaller"


@pytest.mark.parametrize(
    ("question_id", "paint", "colour"),
    [("dusk-paint", (40, 36, 150), "Red"), ("city-paint", (60, 58, 58), "Dark grey")],
)
def test_colour_of_the_car_ahead(question_id: str, paint: tuple[int, int, int], colour: str) -> None:
    (lead,) = (vehicle for vehicle in vehicles(question_id) if vehicle.lane == 0)
    picture = lead.sprite.levels[0]
    body = picture[picture.shape[0] // 2, picture.shape[1] // 2, :3]
    assert max(abs(float(body[channel]) - paint[channel]) for channel in range(3)) < 12
    assert said(question_id) == colour


def test_people_are_beside_the_road() -> None:
    walkers = [t for t in scene("city-people").things if isinstance(t, Prop) and t.sprite.height == 1.75]
    assert walkers
    assert all(abs(walker.x) > 6.2 for walker in walkers)
    assert said("city-people") == "On the pavement"
