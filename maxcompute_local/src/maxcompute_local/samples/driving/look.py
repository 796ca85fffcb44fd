"""What a drawn drive looks like: place, light, weather, their colours, and the camera."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

WIDTH, HEIGHT = 640, 360
HORIZON = 168
FOCAL = 560.0
CAMERA_HEIGHT = 1.35
"""Metres above the road."""
FAR = 220.0
"""Distance, in metres, beyond which nothing is drawn."""


class Place(StrEnum):
    """Where the road is."""

    HIGHWAY = "highway"
    CITY = "city"
    RURAL = "rural"


class Light(StrEnum):
    """Time of day."""

    DAY = "day"
    DUSK = "dusk"
    NIGHT = "night"


class Weather(StrEnum):
    """What is in the air."""

    CLEAR = "clear"
    OVERCAST = "overcast"
    RAIN = "rain"
    FOG = "fog"


@dataclass(frozen=True)
class Look:
    """Place, light, weather and the seed of everything random."""

    place: Place
    light: Light
    weather: Weather
    seed: int
    speed: float
    """Own speed in metres per second."""


@dataclass(frozen=True)
class Palette:
    """Colours (BGR, 0 to 255) and light of a look."""

    zenith: tuple[int, int, int]
    skyline: tuple[int, int, int]
    hills: tuple[int, int, int]
    ambient: tuple[float, float, float]
    fog: tuple[int, int, int]
    extinction: float
    """Share of light lost per metre of air."""
    lamps_on: bool
    noise: float


def palette_of(look: Look) -> Palette:
    """Return the colours that a look has."""
    foggy, rainy = look.weather is Weather.FOG, look.weather is Weather.RAIN
    extinction = 0.030 if foggy else 0.006 if rainy else 0.0022
    if look.light is Light.NIGHT:
        fog = (58, 52, 50) if foggy else (26, 20, 18)
        return Palette(
            (16, 10, 8), (40, 27, 24), (14, 11, 10), (0.15, 0.12, 0.11), fog, extinction, True, 5.0
        )
    if look.light is Light.DUSK:
        return Palette(
            (118, 72, 62), (88, 142, 238), (52, 40, 44), (0.42, 0.36, 0.42), (100, 118, 176), 0.004, True, 3.5
        )
    if foggy:
        fog = (206, 204, 200)
        return Palette((208, 206, 202), fog, (190, 188, 184), (0.82, 0.82, 0.82), fog, extinction, True, 2.2)
    if rainy:
        fog = (158, 152, 146)
        return Palette(
            (138, 130, 124), (168, 163, 158), (112, 106, 98), (0.58, 0.55, 0.53), fog, extinction, True, 3.0
        )
    if look.weather is Weather.OVERCAST:
        fog = (205, 200, 196)
        return Palette(
            (196, 188, 182), (218, 214, 210), (150, 142, 128), (0.8, 0.78, 0.77), fog, extinction, False, 2.2
        )
    return Palette(
        (205, 138, 72),
        (238, 214, 182),
        (158, 142, 112),
        (0.98, 1.0, 1.03),
        (226, 208, 186),
        extinction,
        False,
        2.2,
    )


def floats(values: Any) -> Floats:
    """Return numbers as a float32 array."""
    return np.asarray(values, np.float32)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, ...]) -> Floats:
    """Return wrap-around value noise, mean 0 and deviation 1, summed over several cell sizes."""
    total = np.zeros((height, width), np.float32)
    for cell in cells:
        coarse = rng.standard_normal((max(2, height // cell), max(2, width // cell))).astype(np.float32)
        coarse = cv2.copyMakeBorder(coarse, 1, 1, 1, 1, cv2.BORDER_WRAP)
        big = cv2.resize(
            coarse,
            (coarse.shape[1] * cell, coarse.shape[0] * cell),
            interpolation=cv2.INTER_CUBIC if cell > 1 else cv2.INTER_NEAREST,
        )
        total += big[cell : cell + height, cell : cell + width]
    result: Floats = ((total - total.mean()) / (total.std() + 1e-6)).astype(np.float32)
    return result
