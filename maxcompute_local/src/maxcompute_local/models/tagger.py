"""The built-in scene tagger: answers about pictures and videos without any weights.

Where no other shape is asked for, its answer about a picture has the shape of ``driving-scene/v1``.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from maxcompute_local.models import frame_questions
from maxcompute_local.models.asked_shape import Shape, split_prompt
from maxcompute_local.models.backend import Backend, ChatAnswer, ChatRequest, ImagePart, TextPart
from maxcompute_local.models.footage_measures import Seen, evidence
from maxcompute_local.models.frame_questions import asks_for_answer, asks_for_plan
from maxcompute_local.models.images import Image, decode_image, shrink
from maxcompute_local.models.scene_measures import SceneMeasures, measure
from maxcompute_local.models.scene_objects import (
    Cue,
    Found,
    Lanes,
    find_lanes,
    find_people,
    find_vehicles,
)
from maxcompute_local.models.shaped_answers import fill
from maxcompute_local.models.sheets import tiles
from maxcompute_local.models.text_reader import stated_duration, stated_part
from maxcompute_local.models.tokens import image_tokens, limited, text_tokens
from maxcompute_local.models.videos import Footage, Frame, sample_video

CARD = (
    "Scene tagger of the local cloud. Classical image processing (brightness, colour, haze, streaks, line "
    "and lamp detection, OpenCV's HOG pedestrian detector); no neural network, no weights, no network. "
    "Answers a request with a JSON object of always the same keys (weather, time_of_day, scene_type, "
    "key_objects, caption, …) for the first picture of the request, whatever the prompt says; the same "
    "picture always gets the same answer. Where the prompt states other keys (as '- key: values' below 'Its "
    "keys and their allowed values:'), it fills these by simple rules with what it measures: brightness, "
    "motion, vehicles over time, a sudden stop, a vehicle that suddenly appears close ahead. Of a video it "
    "sees up to 40 frames, of a long one key frames only; of a sheet, one picture of a grid of frames with "
    "their times in the upper left corners, the frames. Asked a question on frames with numbers and times "
    "(keys reasoning, answer, frames, or requests), it looks for options whose words, by a list of English "
    "and Chinese ones, name what it measures, and answers unknown where they do not settle it. "
    "Good for: trying a pipeline end to end, coarse time of day, rain streaks, fog. "
    "Weak: it sees no difference between cars, lorries and buses (all are 'car'), misses many vehicles and "
    "most people, and takes any road with outer lines and open surroundings for a highway. "
    "Cannot: read signs or traffic lights, tell what the own car does, find hazards, understand a prompt. "
    "Answers 'unknown' where it cannot tell, and abstains where it sees no asphalt right ahead, or neither a "
    "lane line nor a vehicle: on cartoons, indoor pictures, most photographs. "
    "Thresholds were set on drawn scenes; do not use it as ground truth. Token counts are estimates."
)

_LONGEST_SIDE = 640
_KEYS = (
    "weather",
    "time_of_day",
    "scene_type",
    "road_surface",
    "visibility",
    "traffic_density",
    "ego_action",
    "key_objects",
    "traffic_light",
    "risk_level",
    "risk_reasons",
    "hazards",
    "caption",
    "abstain",
    "abstain_reason",
)


class SceneTagger(Backend):
    """Backend that tags the first picture of a chat request, or measures its first video or its pictures."""

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return a label or an object of the shape that is asked for, of a video without one a text.

        A label abstains when there is no picture or nothing on it.
        """
        footage = _footage(request)
        _, shape = split_prompt(request.text)
        tokens = text_tokens(request.text)
        for frame in footage.frames if footage else ():
            height, width = frame.picture.shape[:2]
            tokens += image_tokens(width, height)
        answer: dict[str, Any] | str
        if shape is not None and (asks_for_plan(shape) or asks_for_answer(shape)):
            answer = _about_frames(request, shape, footage)
        elif footage is None:
            answer = _abstained("no picture in the request")
        elif not request.videos and (shape is None or shape.fields.keys() >= set(_KEYS)):
            answer = tag(footage.frames[0].picture)
        else:
            found = evidence(footage, *_scene(footage))
            answer = fill(shape, found) if shape else found.summary
        content = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return limited(content, tokens, request.params.get("max_tokens"))


def _about_frames(request: ChatRequest, shape: Shape, footage: Footage | None) -> dict[str, Any]:
    """Return which frames a question needs, or what the frames shown answer."""
    question = frame_questions.read(request.text)
    label_of = tag if frame_questions.names_people(question) else tag_scene
    frames = footage.frames if footage else ()
    announced = [frame_questions.numbered(before) for before, _ in _announced(request)]
    numbers = [found[0] if found else place for place, found in enumerate(announced)]
    if len(numbers) != len(frames):
        # A video or a sheet: its frames have no numbers of their own.
        numbers = list(range(len(frames)))
    if asks_for_plan(shape):
        return frame_questions.plan(shape, question, frames, numbers, label_of)
    return frame_questions.answer(question, footage, numbers, label_of, _look_of)


def _footage(request: ChatRequest) -> Footage | None:
    """Return the first video, else all pictures, None without any.

    A picture's time is the last ``… ms`` or ``(MM:SS.s)`` in the text right before it, else they are spread
    evenly, as are the tiles of a sheet, over the part of a video that the text states, else over its
    duration.
    """
    duration = stated_duration(request.text)
    start, end = stated_part(request.text) or (0, duration)
    if request.videos:
        return sample_video(request.videos[0].data).moved(start)
    if not request.images:
        return None
    pictures = [decode_image(image.data) for image in request.images]
    shown = tiles(pictures[0]) if len(pictures) == 1 else []
    if len(shown) > 1:
        # Each shows the middle of an equal part.
        times = ((end - start) * (2 * number + 1) // (2 * len(shown)) for number in range(len(shown)))
        return Footage(end - start, tuple(map(Frame, times, shown))).moved(start)
    frames: list[Frame] = []
    for (before, _), picture in zip(_announced(request), pictures, strict=True):
        said, numbered = re.findall(r"(\d+) ?ms\b", before), frame_questions.numbered(before)
        if said or numbered is None:
            ms = int(said[-1]) if said else duration * len(frames) // len(request.images)
        else:
            ms = numbered[1]
        frames.append(Frame(ms, picture))
    return Footage(max(duration, *(frame.ms for frame in frames)), tuple(frames))


def _announced(request: ChatRequest) -> Iterator[tuple[str, ImagePart]]:
    """Yield each picture with the text right before it."""
    for before, part in itertools.pairwise((TextPart(""), *request.parts)):
        if isinstance(part, ImagePart):
            yield (before.text if isinstance(before, TextPart) else ""), part


def _scene(footage: Footage) -> tuple[dict[str, Any], Callable[[Image], Seen]]:
    """Return the label of the first of three frames that has one, and how vehicles are found in its light."""
    frames = footage.frames
    labels = [tag(frames[len(frames) * part // 6].picture) for part in (1, 3, 5)]
    label = next((label for label in labels if not label["abstain"]), labels[0])
    return label, _look_of(label)


def _look_of(label: dict[str, Any]) -> Callable[[Image], Seen]:
    """Return how vehicles are found in the light of a label."""
    cues = _cues(label["time_of_day"], label["weather"])

    def look(picture: Image) -> Seen:
        picture = shrink(picture, _LONGEST_SIDE)
        vehicles = find_vehicles(picture, find_lanes(picture).horizon, cues)
        ahead = [one.nearness for one in vehicles if one.position == "ego_lane"]
        return Seen(len(vehicles), max(ahead, default=0.0))

    return look


def tag(picture: Image) -> dict[str, Any]:
    """Return the ``driving-scene/v1`` label of a BGR picture."""
    return _tag(picture, find_people)


def tag_scene(picture: Image) -> dict[str, Any]:
    """Return the label without people, whom to find takes twice as long as all the rest."""
    return _tag(picture, lambda _: [])


def _tag(picture: Image, people_of: Callable[[Image], list[Found]]) -> dict[str, Any]:
    picture = shrink(picture, _LONGEST_SIDE)
    if min(picture.shape[:2]) < 48:
        return _abstained("the picture is too small")
    measures = measure(picture)
    if measures.contrast < 4:
        return _abstained("the picture is blank")
    if measures.structure < 0.3:
        return _abstained("the picture is noise without structure")
    if measures.edges < 0.0005:
        return _abstained("the picture shows no objects, only a smooth gradient")
    if not _shows_asphalt(measures):
        return _abstained("no road surface where the own lane would be")

    time_of_day = _time_of_day(measures)
    weather = _weather(measures, time_of_day)
    lanes = find_lanes(picture)
    vehicles = find_vehicles(picture, lanes.horizon, _cues(time_of_day, weather))
    if not lanes.lines and not vehicles:
        return _abstained("neither a lane line nor a vehicle")
    people = [] if time_of_day == "night" else people_of(picture)
    label = {
        "weather": weather,
        "time_of_day": time_of_day,
        "scene_type": _scene_type(measures, lanes, time_of_day, weather),
        "road_surface": _road_surface(weather),
        "visibility": _visibility(measures, time_of_day, weather),
        "traffic_density": _traffic_density(len(vehicles), lanes, time_of_day, weather),
        "ego_action": "unknown",
        "key_objects": _key_objects(vehicles, people),
        "traffic_light": "unknown",
        "hazards": [],
        "abstain": False,
        "abstain_reason": "",
    }
    label["risk_level"], label["risk_reasons"] = _risk(label, vehicles, people)
    label["caption"] = _caption(label, len(vehicles), len(people))
    return {key: label[key] for key in _KEYS}


def _shows_asphalt(measures: SceneMeasures) -> bool:
    """Return whether the ground right ahead is grey, even and not bright, as a road's is."""
    return measures.ahead_colour < 18 and measures.ahead_contrast < 23 and measures.ahead_brightness < 150


def _time_of_day(measures: SceneMeasures) -> str:
    if measures.brightness < 52 and measures.sky_brightness < 40 and measures.dark > 0.55:
        return "night"
    warm_sky = measures.warm_glow > 0.25 and measures.purple > 0.15
    if measures.brightness < 125 and (warm_sky or measures.warm_glow > 0.5):
        return "dawn_dusk"
    if measures.brightness > 58 and measures.sky_brightness > 55:
        return "daytime"
    return "unknown"


def _weather(measures: SceneMeasures, time_of_day: str) -> str:
    if measures.streak_cells > 0.8 and measures.streaks > 160:
        return "rainy"
    if time_of_day == "dawn_dusk":
        return "clear" if measures.purple > 0.3 or measures.sky_blue > 0.3 else "unknown"
    if time_of_day != "daytime":
        return "unknown"
    if measures.far_contrast < 11 and measures.haze > 110 and measures.saturation < 40:
        return "foggy"
    if measures.snow_cover > 0.35:
        return "snowy"
    blue_share = measures.sky_blue / (measures.sky_blue + measures.sky_white + 1e-6)
    if measures.sky_blue > 0.15 and blue_share > 0.45:
        return "clear" if blue_share > 0.7 or measures.side_edges > 0.04 else "partly_cloudy"
    if measures.sky_blue > 0.1:
        return "partly_cloudy"
    return "overcast" if measures.sky_white > 0.2 else "unknown"


def _cues(time_of_day: str, weather: str) -> set[Cue]:
    cues = {Cue.RED_LAMPS}
    if time_of_day != "daytime" or weather in ("rainy", "foggy"):
        cues.add(Cue.BRIGHT_LAMPS)
    if time_of_day == "daytime":
        cues.add(Cue.SHADOW)
    return cues


def _scene_type(measures: SceneMeasures, lanes: Lanes, time_of_day: str, weather: str) -> str:
    if weather == "foggy" or time_of_day == "unknown":
        return "unknown"
    fronts = measures.side_edges
    rainy = weather == "rainy"
    if time_of_day == "night":
        return "city_street" if fronts > (0.016 if rainy else 0.012) else "unknown"
    if fronts > (0.032 if rainy or time_of_day == "dawn_dusk" else 0.042):
        return "city_street"
    return "highway" if fronts < 0.0245 and lanes.outer_left and lanes.outer_right else "unknown"


def _road_surface(weather: str) -> str:
    surfaces = {"rainy": "wet", "snowy": "snow", "clear": "dry", "partly_cloudy": "dry"}
    return surfaces.get(weather, "unknown")


def _visibility(measures: SceneMeasures, time_of_day: str, weather: str) -> str:
    if weather == "foggy":
        return "poor" if measures.far_contrast < 6 else "reduced"
    if weather == "rainy" or time_of_day == "night":
        return "reduced"
    return "good" if measures.far_contrast > 11 else "unknown"


def _traffic_density(vehicles: int, lanes: Lanes, time_of_day: str, weather: str) -> str:
    if vehicles == 0:
        sees_far = time_of_day == "daytime" and weather not in ("foggy", "rainy", "unknown")
        return "none" if sees_far and lanes.lines >= 2 else "unknown"
    if vehicles <= 3:
        return "light"
    return "moderate" if vehicles <= 7 else "heavy"


def _key_objects(vehicles: Sequence[Found], people: Sequence[Found]) -> list[dict[str, Any]]:
    counts = Counter(
        [("car", one.position) for one in vehicles] + [("pedestrian", one.position) for one in people]
    )
    return [
        {"class": kind, "count": count, "position": position, "state": "unknown"}
        for (kind, position), count in sorted(counts.items())
    ]


def _risk(label: dict[str, Any], vehicles: Sequence[Found], people: Sequence[Found]) -> tuple[str, list[str]]:
    reasons = []
    near = [one for one in vehicles if one.position == "ego_lane" and one.nearness > 0.18]
    walker = any(one.position == "ego_lane" for one in people)
    if walker:
        reasons.append("a person in front of the car")
    if near:
        reasons.append("a vehicle close ahead in the own lane")
    if label["visibility"] in ("reduced", "poor"):
        cause = label["weather"] if label["weather"] in ("rainy", "foggy") else label["time_of_day"]
        reasons.append(f"{label['visibility']} visibility ({cause})")
    if label["road_surface"] in ("wet", "snow"):
        reasons.append(f"{label['road_surface']} road")
    if walker or (near and label["visibility"] == "poor"):
        return "high", reasons
    if reasons:
        return "medium", reasons
    return ("unknown" if label["time_of_day"] == "unknown" else "low"), reasons


def _caption(label: dict[str, Any], vehicles: int, people: int) -> str:
    known = [label[key].replace("_", " ") for key in ("time_of_day", "weather") if label[key] != "unknown"]
    place = "road" if label["scene_type"] == "unknown" else label["scene_type"].replace("_", " ")
    scene = ", ".join([place, *known])
    return f"Local stand-in's view from a car: {scene}; vehicles found: {vehicles}, people found: {people}."


def _abstained(reason: str) -> dict[str, Any]:
    label: dict[str, Any] = dict.fromkeys(_KEYS, "unknown")
    label |= {"key_objects": [], "risk_reasons": [], "hazards": [], "caption": ""}
    return label | {"abstain": True, "abstain_reason": f"local stand-in: {reason}"}
