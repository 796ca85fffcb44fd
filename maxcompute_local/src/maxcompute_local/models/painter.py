"""The built-in scene painter: draws road scenes from what a prompt names."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np

from maxcompute_local.models.backend import Backend, DrawAnswer, DrawRequest
from maxcompute_local.models.images import Image, decode_image, shrink
from maxcompute_local.models.notions import Notion, group_of, named, seen
from maxcompute_local.models.tagger import tag_scene
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene
from maxcompute_local.samples.driving.sprites import Sprite, car, lorry, traffic_light, walker
from maxcompute_local.samples.driving.traffic import Prop, Vehicle

CARD = (
    "Scene painter of the local cloud. Draws a road seen from a car with the painter of the sample videos; "
    "no neural network, no weights, no network. It finds in the prompt, by a list of English and Chinese "
    "words, weather (rain, fog, overcast, clear), time of day, place (highway, city, country road), how much "
    "traffic there is, a car or lorry ahead, a pedestrian, and a red, yellow or green traffic light, and "
    "draws these; what a picture given along shows settles what of weather, light and place the prompt "
    "leaves open, and lends its colours where the prompt names neither weather nor time of day. Nothing else "
    "of prompt or picture has an effect: it edits no picture, keeps no object of one, knows no layout, "
    "draws no other thing. Snow is drawn as an overcast day. The same request always gets the same picture. "
    "Good for: trying a pipeline end to end. Called by HTTP (images/generations), not by AI functions."
)

Kind = TypeVar("Kind")
_USUAL_SIZE = (1024, 576)
_LONGEST_SIDE = 2048
_LIGHTS = {Notion.DAY: Light.DAY, Notion.DUSK: Light.DUSK, Notion.NIGHT: Light.NIGHT}
_PLACES = {Notion.HIGHWAY: Place.HIGHWAY, Notion.CITY: Place.CITY, Notion.RURAL: Place.RURAL}
_WEATHER = {
    Notion.RAIN: Weather.RAIN,
    Notion.FOG: Weather.FOG,
    Notion.SNOW: Weather.OVERCAST,
    Notion.OVERCAST: Weather.OVERCAST,
    Notion.CLEAR: Weather.CLEAR,
}
_LAMPS = {Notion.RED_LIGHT: "red", Notion.YELLOW_LIGHT: "yellow", Notion.GREEN_LIGHT: "green"}
_SEED = 7
"""Of every scene: pictures differ by what is drawn and by the moment of the drive."""
_drawing = threading.Lock()
"""Scenes are large: one is made at a time."""


class ScenePainter(Backend):
    """Backend that draws what a prompt names."""

    def draw(self, request: DrawRequest) -> DrawAnswer:
        """Return PNG pictures; raise ModelError for a picture given along that cannot be decoded."""
        given = [decode_image(image.data) for image in request.images]
        size = request.size or (_size_of(given[0]) if given else _USUAL_SIZE)
        wanted = named(request.prompt)
        shown = seen(tag_scene(given[0])) if given else frozenset()
        like = None if not given or wanted & {*_LIGHTS, *_WEATHER} else given[0]
        key = hashlib.sha256(request.prompt.encode())
        for image in request.images:
            key.update(image.data)
        pictures = []
        for number in range(request.count):
            moment = hashlib.sha256(key.digest() + bytes([number])).digest()
            picture = paint(_completed(wanted, shown), 0.5 + int.from_bytes(moment[:2], "big") / 6553.6)
            picture = _fitted(picture if like is None else _in_colours_of(picture, like), size)
            pictures.append(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes())
        return DrawAnswer(tuple(pictures))


def paint(notions: Collection[Notion], seconds: float) -> Image:
    """Return a picture (BGR, 360 by 640) of a road with these notions, at a time of a drive."""
    light = _first(_LIGHTS, notions, Light.DAY)
    weather = _first(_WEATHER, notions, Weather.CLEAR)
    with _drawing:
        scene = _scene(_first(_PLACES, notions, Place.CITY), light, weather)
    return scene.frame(seconds, _things(scene, notions, seconds))


def _first(kinds: Mapping[Notion, Kind], notions: Collection[Notion], usual: Kind) -> Kind:
    return next((kind for notion, kind in kinds.items() if notion in notions), usual)


@lru_cache(maxsize=8)
def _scene(place: Place, light: Light, weather: Weather) -> DrivingScene:
    return DrivingScene(Look(place, light, weather, _SEED, 11 if place is Place.CITY else 22))


def _completed(wanted: Collection[Notion], shown: Collection[Notion]) -> set[Notion]:
    """Return what is wanted, and of what is shown that which the wish leaves open."""
    settled = {other for notion in wanted for other in group_of(notion)}
    kinds = {*_LIGHTS, *_WEATHER, *_PLACES}
    return {*wanted, *(notion for notion in shown if notion in kinds and notion not in settled)}


def _things(scene: DrivingScene, notions: Collection[Notion], seconds: float) -> list[Prop | Vehicle]:
    """Return what stands and drives there; the traffic is the scene's own where none is named."""
    rng = np.random.default_rng(_SEED)
    things = list(scene.things)
    traffic = {Notion.EMPTY, Notion.LIGHT, Notion.HEAVY, Notion.VEHICLE, Notion.LORRY, Notion.CUT_IN}
    if traffic & set(notions):
        things = [thing for thing in things if isinstance(thing, Prop)]
    travel = scene.look.speed * seconds

    def stand(sprite: Sprite, lateral: float, distance: float) -> Prop:
        return Prop(sprite, lateral, travel + distance, 1e6)

    def drive(sprite: Sprite, lane: float, distance: float) -> Vehicle:
        return Vehicle(sprite, lane, distance, 0, 0, False)

    if Notion.HEAVY in notions:
        things += [
            drive(car(rng, False), lane, float(distance))
            for lane in (-3.6, 0.0, 3.6)
            for distance in rng.uniform(10, 14) + np.arange(6) * 9
        ]
    if Notion.LIGHT in notions:
        things.append(drive(car(rng, False), 0, 30))
    if Notion.CUT_IN in notions:
        things.append(drive(car(rng, False), -1.2, 8))
    if Notion.LORRY in notions:
        things.append(drive(lorry(rng, False), 0, 14))
    elif Notion.VEHICLE in notions:
        things.append(drive(car(rng, False), 0, 10))
    if Notion.PERSON in notions:
        things.append(stand(walker(rng), 1.4, 9))
    lamp = _first(_LAMPS, notions, "")
    if lamp:
        things.append(stand(traffic_light(lamp), 3.2, 13))
    return things


def _size_of(picture: Image) -> tuple[int, int]:
    height, width = shrink(picture, _LONGEST_SIDE).shape[:2]
    return width, height


def _fitted(picture: Image, size: tuple[int, int]) -> Image:
    """Return the largest middle part that has the shape of ``size``, in that size."""
    width, height = size
    rows, columns = picture.shape[:2]
    wide, high = min(columns, max(1, rows * width // height)), min(rows, max(1, columns * height // width))
    left, top = (columns - wide) // 2, (rows - high) // 2
    part = picture[top : top + high, left : left + wide]
    result: Image = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    return result


def _in_colours_of(picture: Image, like: Image) -> Image:
    """Move mean and spread of each channel half-way to those of another picture."""
    drawn = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB).astype(np.float32)
    other = cv2.cvtColor(shrink(like, 320), cv2.COLOR_BGR2LAB).astype(np.float32)
    mean, spread = drawn.mean((0, 1)), drawn.std((0, 1)) + 1
    aim = other.mean((0, 1)), other.std((0, 1)) + 1
    moved = (drawn - mean) * (1 + aim[1] / spread) / 2 + (mean + aim[0]) / 2
    result: Image = cv2.cvtColor(np.clip(moved, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR)
    return result
