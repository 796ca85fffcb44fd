"""Flat pictures of what stands or drives on a road: trees, lamps, signs, people, vehicles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maxcompute_local.samples.driving.look import (
    HEIGHT,
    WIDTH,
    Floats,
)


@dataclass(frozen=True)
class Sprite:
    """A flat picture that stands on the road.

    ``levels`` holds it in ever halved sizes: BGR times coverage, and coverage (0 to 1) as fourth channel.
    """

    levels: list[Floats]
    height: float
    """Real height in metres."""

    @property
    def ratio(self) -> float:
        """Width over height."""
        rows, columns = self.levels[0].shape[:2]
        return columns / rows


def _sprite(canvas: NDArray[np.float32], height: float) -> Sprite:
    """Halve a canvas drawn at twice its size (BGR plus coverage 0..1), which smooths its edges."""
    alpha = canvas[..., 3:]
    picture = np.concatenate([canvas[..., :3] * alpha, alpha], axis=2)
    levels = []
    while min(picture.shape[:2]) >= 4:
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        levels.append(picture)
    return Sprite(levels, height)


def _canvas(height: int, width: int) -> NDArray[np.float32]:
    return np.zeros((height, width, 4), np.float32)


def _paint(colour: Any, alpha: float = 1.0) -> tuple[float, float, float, float]:
    b, g, r = (float(c) for c in colour)
    return (b, g, r, alpha)


def tree(rng: np.random.Generator) -> Sprite:
    """Return a tree with crown and trunk."""
    canvas = _canvas(560, 420)
    cv2.rectangle(canvas, (196, 330), (224, 560), _paint((40, 52, 66)), -1)
    hue = rng.normal(0, 8, 3)
    for shade, spread, count in ((0.55, 150, 50), (0.8, 135, 60), (1.05, 110, 60)):
        for _ in range(count):
            angle, radius = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random()) * spread
            x, y = 210 + radius * math.cos(angle), 205 + radius * math.sin(angle) * 1.1 - (1.05 - shade) * -60
            colour = (np.array([44, 104, 76]) + hue) * shade * rng.uniform(0.85, 1.15)
            cv2.circle(canvas, (int(x), int(y)), int(rng.integers(14, 40)), _paint(colour), -1, cv2.LINE_AA)
    return _sprite(canvas, float(rng.uniform(5.5, 9)))


def lamp_post(side: int) -> Sprite:
    """Return a street lamp whose arm points away from ``side`` (1 right, -1 left)."""
    canvas = _canvas(640, 200)
    foot = 170 if side > 0 else 30
    cv2.line(canvas, (foot, 640), (foot, 30), _paint((110, 108, 104)), 9)
    cv2.line(canvas, (foot, 34), (foot - side * 130, 14), _paint((110, 108, 104)), 7)
    cv2.rectangle(
        canvas, (foot - side * 130 - 26, 10), (foot - side * 130 + 26, 24), _paint((170, 190, 200)), -1
    )
    return _sprite(canvas, 8.0)


def road_sign() -> Sprite:
    """Return an exit sign on two posts."""
    canvas = _canvas(480, 300)
    for x in (60, 240):
        cv2.line(canvas, (x, 480), (x, 60), _paint((120, 120, 120)), 10)
    cv2.rectangle(canvas, (6, 10), (294, 190), _paint((235, 235, 235)), -1)
    cv2.rectangle(canvas, (14, 18), (286, 182), _paint((120, 84, 20)), -1)
    cv2.putText(canvas, "EXIT 12", (40, 88), cv2.FONT_HERSHEY_SIMPLEX, 1.6, _paint((240, 240, 240)), 5)
    cv2.arrowedLine(canvas, (90, 165), (210, 115), _paint((240, 240, 240)), 8)
    return _sprite(canvas, 4.6)


def marker_post() -> Sprite:
    """Return a marker post with a red reflector."""
    canvas = _canvas(120, 40)
    cv2.rectangle(canvas, (14, 10), (26, 120), _paint((140, 140, 136)), -1)
    cv2.rectangle(canvas, (14, 22), (26, 42), _paint((60, 80, 210)), -1)
    return _sprite(canvas, 1.0)


def traffic_light(lit: str) -> Sprite:
    """Return a traffic light of which ``red``, ``yellow`` or ``green`` is lit."""
    canvas = _canvas(640, 160)
    cv2.rectangle(canvas, (72, 200), (88, 640), _paint((96, 96, 94)), -1)
    cv2.rectangle(canvas, (30, 8), (130, 252), _paint((28, 28, 26)), -1)
    lamps = {"red": (40, 40, 250), "yellow": (40, 210, 250), "green": (120, 230, 60)}
    for place, (name, colour) in enumerate(lamps.items()):
        shown = colour if name == lit else tuple(channel * 0.16 for channel in colour)
        cv2.circle(canvas, (80, 50 + 80 * place), 32, _paint(shown), -1, cv2.LINE_AA)
    return _sprite(canvas, 4.4)


def walker(rng: np.random.Generator) -> Sprite:
    """Return a person walking."""
    canvas = _canvas(360, 160)
    coat, trousers = rng.uniform(30, 170, 3), rng.uniform(20, 80, 3)
    cv2.fillPoly(canvas, [np.array([(62, 190), (80, 190), (66, 340), (44, 340)])], _paint(trousers * 0.85))
    cv2.fillPoly(canvas, [np.array([(78, 190), (98, 190), (120, 338), (98, 342)])], _paint(trousers))
    cv2.ellipse(canvas, (80, 130), (30, 72), 0, 0, 360, _paint(coat), -1, cv2.LINE_AA)
    cv2.line(canvas, (60, 85), (42, 178), _paint(coat * 0.8), 15)
    cv2.line(canvas, (100, 85), (120, 175), _paint(coat * 0.9), 15)
    cv2.circle(canvas, (80, 40), 20, _paint((128, 160, 205)), -1, cv2.LINE_AA)
    cv2.ellipse(canvas, (80, 32), (21, 16), 0, 180, 360, _paint((30, 34, 40)), -1)
    return _sprite(canvas, 1.75)


def _shade(canvas: NDArray[np.float32], top: float, bottom: float) -> None:
    """Darken a canvas from top to bottom, as light from above does."""
    canvas[..., :3] *= np.linspace(top, bottom, canvas.shape[0], dtype=np.float32)[:, None, None]


def car(rng: np.random.Generator, front: bool) -> Sprite:
    """Return a car seen from the front or from behind."""
    canvas = _canvas(340, 400)
    colours = [[60, 58, 58], [205, 204, 200], [150, 148, 145], [40, 36, 150], [130, 84, 40], [228, 228, 226]]
    body = np.array(colours[int(rng.integers(len(colours)))], float)
    for x in (46, 296):
        cv2.rectangle(canvas, (x, 262), (x + 58, 338), _paint((18, 18, 18)), -1)
    cv2.fillPoly(canvas, [np.array([(104, 26), (296, 26), (352, 140), (48, 140)])], _paint(body * 0.92))
    cv2.fillPoly(canvas, [np.array([(122, 40), (278, 40), (322, 128), (78, 128)])], _paint((66, 58, 48)))
    cv2.fillPoly(canvas, [np.array([(128, 44), (200, 44), (150, 124), (90, 124)])], _paint((116, 104, 88)))
    cv2.fillPoly(
        canvas,
        [np.array([(40, 134), (360, 134), (376, 200), (370, 286), (30, 286), (24, 200)])],
        _paint(body),
    )
    cv2.rectangle(canvas, (34, 236), (366, 296), _paint(body * 0.72), -1)
    cv2.line(canvas, (30, 212), (370, 212), _paint(body * 0.6), 3)
    cv2.rectangle(canvas, (150, 244), (250, 272), _paint((196, 190, 180)), -1)
    _shade(canvas, 1.08, 0.82)
    lamp = (225, 232, 235) if front else (34, 30, 196)
    for x0, x1 in ((34, 104), (296, 366)):
        cv2.rectangle(canvas, (x0, 160), (x1, 204), _paint(lamp), -1)
    if front:
        cv2.rectangle(canvas, (116, 168), (284, 206), _paint((40, 40, 40)), -1)
    return _sprite(canvas, 1.5)


def lorry(rng: np.random.Generator, front: bool) -> Sprite:
    """Return a lorry seen from the front or from behind."""
    canvas = _canvas(560, 400)
    box = rng.choice([[214, 214, 210], [170, 120, 60], [80, 120, 190]]).astype(float)
    for x in (30, 300):
        cv2.rectangle(canvas, (x, 470), (x + 70, 558), _paint((16, 16, 16)), -1)
    cv2.rectangle(canvas, (12, 10), (388, 480), _paint(box), -1)
    if front:
        cv2.rectangle(canvas, (34, 120), (366, 270), _paint((60, 54, 46)), -1)
        cv2.rectangle(canvas, (80, 330), (320, 430), _paint((46, 46, 46)), -1)
    else:
        cv2.line(canvas, (200, 14), (200, 476), _paint(box * 0.55), 5)
        cv2.rectangle(canvas, (26, 24), (374, 466), _paint(box * 0.72), 5)
        for x in (170, 224):
            cv2.line(canvas, (x, 120), (x, 440), _paint((110, 110, 110)), 6)
    cv2.rectangle(canvas, (20, 476), (380, 506), _paint((34, 34, 34)), -1)
    _shade(canvas, 1.05, 0.85)
    lamp = (225, 232, 235) if front else (34, 30, 196)
    for x0, x1 in ((26, 76), (324, 374)):
        cv2.rectangle(canvas, (x0, 482), (x1, 502), _paint(lamp), -1)
    return _sprite(canvas, 3.4)


def bonnet() -> Sprite:
    """Return the own bonnet at the picture's lower edge."""
    canvas = np.zeros((2 * HEIGHT, 2 * WIDTH, 4), np.float32)
    top = np.array(
        [(x, 2 * HEIGHT - 44 + 46 * ((x - WIDTH) / WIDTH) ** 2) for x in range(0, 2 * WIDTH + 1, 16)]
    )
    outline = np.concatenate([top, [(2 * WIDTH, 2 * HEIGHT), (0, 2 * HEIGHT)]]).astype(np.int32)
    cv2.fillPoly(canvas, [outline], _paint((44, 40, 38)))
    cv2.polylines(canvas, [top.astype(np.int32)], False, _paint((120, 114, 108)), 4, cv2.LINE_AA)
    return _sprite(canvas, 0)
