"""Questions on the demo's videos, with answers that follow from how the videos are drawn.

Some need one moment of a video, some ask for what is not there, and some are beyond the built-in models.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from maxcompute_local.samples.driving_videos import DEMO_VIDEOS


class Category(StrEnum):
    """What a question is about."""

    WEATHER = "weather"
    TIME_OF_DAY = "time_of_day"
    TRAFFIC = "traffic"
    EVENTS = "events"
    OBJECTS = "objects"


@dataclass(frozen=True)
class DemoQuestion:
    """A question on one video, its options and which of them is right."""

    question_id: str
    video_key: str
    """Key of the video as in ``DemoVideo``."""
    question: str
    options: tuple[str, ...]
    """Without their letters; the first one is A."""
    answer: str
    """Letter of the right option."""
    category: Category
    evidence_start_ms: int | None = None
    """Where the answer is seen; None where that is everywhere, or where something is missing."""
    evidence_end_ms: int | None = None


_HIGHWAY, _NIGHT, _DUSK, _RAIN, _FOG, _CITY = (video.key for video in DEMO_VIDEOS if video.look is not None)
_SKIES = ("It rains", "The sky is clear: sunny weather", "There is fog", "It snows")
_TIMES = ("Day", "Dusk or dawn", "Night", "It changes from day to night")
_ROADS = ("A country road", "A highway", "A city street", "A car park")
_PAINTS = ("White", "Red", "Blue", "Dark grey")
_LAMPS = ("Red", "Yellow", "Green", "No traffic light is in view")

DEMO_QUESTIONS: tuple[DemoQuestion, ...] = (
    DemoQuestion("highway-weather", _HIGHWAY, "What is the weather like?", _SKIES, "B", Category.WEATHER),
    DemoQuestion("highway-time", _HIGHWAY, "What time of day is it?", _TIMES, "A", Category.TIME_OF_DAY),
    DemoQuestion(
        "highway-exit",
        _HIGHWAY,
        "Which exit does the blue sign beside the road announce?",
        ("Exit 7", "Exit 12", "Exit 21", "Exit 30"),
        "B",
        Category.OBJECTS,
        2400,
        3800,
    ),
    DemoQuestion(
        "highway-lorry-lane",
        _HIGHWAY,
        "The own car catches up with a lorry that drives the same way. Where does that lorry drive?",
        ("In the lane to the left", "In the own lane", "In the lane to the right", "On the hard shoulder"),
        "C",
        Category.TRAFFIC,
        6000,
        12000,
    ),
    DemoQuestion(
        "highway-lorry-passed",
        _HIGHWAY,
        "When does the own car pass the lorry that drives the same way?",
        ("Within the first four seconds", "Between 5 s and 8 s", "Between 9 s and 11 s", "After 12 s"),
        "D",
        Category.EVENTS,
        11500,
        13500,
    ),
    DemoQuestion(
        "highway-incident",
        _HIGHWAY,
        "Which of these happens?",
        (
            "The own car brakes hard to a standstill",
            "A vehicle cuts in right in front",
            "Nothing sudden happens",
            "A tyre bursts",
        ),
        "C",
        Category.EVENTS,
    ),
    DemoQuestion("night-time", _NIGHT, "What time of day is it?", _TIMES, "C", Category.TIME_OF_DAY),
    DemoQuestion("night-road", _NIGHT, "What kind of road is it?", _ROADS, "C", Category.TRAFFIC),
    DemoQuestion(
        "night-light",
        _NIGHT,
        "What colour is the traffic light at 6 s?",
        _LAMPS,
        "D",
        Category.OBJECTS,
    ),
    DemoQuestion(
        "night-parked",
        _NIGHT,
        "On which side of the road are cars parked?",
        ("On the left", "On the right", "On both sides", "No car is parked"),
        "B",
        Category.OBJECTS,
        7000,
        10000,
    ),
    DemoQuestion(
        "night-oncoming-lorry",
        _NIGHT,
        "What comes towards the own car and is next to it soon after 6 s?",
        ("A bus", "A lorry", "A tram", "Nothing"),
        "B",
        Category.OBJECTS,
        4500,
        6300,
    ),
    DemoQuestion("dusk-time", _DUSK, "What time of day is it?", _TIMES, "B", Category.TIME_OF_DAY),
    DemoQuestion("dusk-weather", _DUSK, "What is the weather like?", _SKIES, "B", Category.WEATHER),
    DemoQuestion("dusk-road", _DUSK, "What kind of road is it?", _ROADS, "B", Category.TRAFFIC),
    DemoQuestion(
        "dusk-paint", _DUSK, "Which colour is the car ahead in the own lane?", _PAINTS, "B", Category.OBJECTS
    ),
    DemoQuestion("rain-rains", _RAIN, "Does it rain?", ("Yes", "No"), "A", Category.WEATHER),
    DemoQuestion(
        "rain-surface",
        _RAIN,
        "What is the surface of the road like?",
        ("Dry", "Covered with snow", "Wet", "Gravel"),
        "C",
        Category.WEATHER,
    ),
    DemoQuestion(
        "rain-gap",
        _RAIN,
        "How does the distance to the car ahead change between 4 s and 8 s?",
        ("It becomes smaller", "It becomes larger", "The car is overtaken", "There is no car ahead"),
        "A",
        Category.EVENTS,
        3500,
        8500,
    ),
    DemoQuestion("fog-weather", _FOG, "What is the weather like?", _SKIES, "C", Category.WEATHER),
    DemoQuestion("fog-road", _FOG, "What kind of road is it?", _ROADS, "A", Category.TRAFFIC),
    DemoQuestion(
        "fog-lorry",
        _FOG,
        "When does an oncoming lorry pass?",
        ("After about 3 s", "After about 5 s", "After about 8 s", "No lorry passes"),
        "A",
        Category.EVENTS,
        1500,
        3100,
    ),
    DemoQuestion("fog-ahead", _FOG, "Is there a car ahead?", ("No", "Yes"), "B", Category.TRAFFIC),
    DemoQuestion("city-time", _CITY, "Is it night?", ("Yes", "No"), "B", Category.TIME_OF_DAY),
    DemoQuestion("city-road", _CITY, "What kind of road is it?", _ROADS, "C", Category.TRAFFIC),
    DemoQuestion(
        "city-people",
        _CITY,
        "Where are people seen?",
        ("Nowhere", "On the road, in front of the car", "On the pavement", "On a bridge"),
        "C",
        Category.OBJECTS,
    ),
    DemoQuestion(
        "city-paint", _CITY, "Which colour is the car ahead in the own lane?", _PAINTS, "D", Category.OBJECTS
    ),
)
