"""Finds lane lines, vehicles and people in a driving picture with classical vision.

Vehicles are found by what they show: a pair of red lamps, a pair of bright lamps in the dark, or the dark gap
under the body. A camera about 1.35 metres above a flat road is assumed to judge sizes and lanes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from maxcompute_local.models.images import Image

_CAMERA_HEIGHT = 1.35
_CAR_WIDTH = 1.8
_LAMPS_APART = 1.4
"""Metres between the middles of a car's lamps."""
_HALF_LANE = 1.9
_OUTER_LINE = 3.0
"""Metres to the side beyond which a line is not one of our own lane."""
_PEOPLE_ZOOM = 2.0
"""The pedestrian detector wants people of about 96 rows."""


class Cue(StrEnum):
    """What gives a vehicle away."""

    RED_LAMPS = "red_lamps"
    BRIGHT_LAMPS = "bright_lamps"
    SHADOW = "shadow"


@dataclass(frozen=True)
class Lanes:
    """Lane-like lines and where they meet."""

    lines: int
    """Distinct line directions left and right of the middle."""
    horizon: float
    """Row at which the lines meet, or a usual one when there are too few."""
    outer_left: bool
    """Whether there is a line beyond our own lane to the left."""
    outer_right: bool


@dataclass(frozen=True)
class Found:
    """A vehicle or person: where, and how far to the side of the camera, in metres."""

    left: float
    right: float
    row: float
    lateral: float
    nearness: float
    """Width over the picture's width."""

    @property
    def position(self) -> str:
        """``ego_lane``, ``left`` or ``right``."""
        if abs(self.lateral) < _HALF_LANE:
            return "ego_lane"
        return "left" if self.lateral < 0 else "right"


def find_lanes(picture: Image) -> Lanes:
    """Find straight slanted lines in the lower part that lead towards a point near the middle."""
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    rows, columns = grey.shape
    top = int(rows * 0.55)
    edges = cv2.Canny(grey[top : int(rows * 0.92)], 40, 110)
    segments = cv2.HoughLinesP(edges, 1, math.pi / 180, 30, minLineLength=rows // 10, maxLineGap=12)
    directions: dict[int, tuple[float, float]] = {}
    for x1, y1, x2, y2 in [] if segments is None else segments[:, 0].tolist():
        if abs(y2 - y1) < 0.2 * abs(x2 - x1):
            continue
        # x as a function of y: lane lines at different distances from us differ in slope.
        slope = (x2 - x1) / (y2 - y1)
        at_middle = x1 + slope * (rows * 0.47 - top - y1)
        if abs(at_middle - columns / 2) < columns * 0.12 and abs(slope) > 0.2:
            directions.setdefault(round(slope / 0.7), (slope, x1 - slope * (y1 + top)))
    usual = rows * 0.47
    # A line ``x`` metres to the side runs ``x / camera height`` columns outwards per row.
    outer_left = any(slope < -_OUTER_LINE / _CAMERA_HEIGHT for slope, _ in directions.values())
    outer_right = any(slope > _OUTER_LINE / _CAMERA_HEIGHT for slope, _ in directions.values())
    if len(directions) < 2:
        return Lanes(len(directions), usual, outer_left, outer_right)
    # Least squares: all lines x = slope * y + offset meet in one point (x, y).
    matrix = np.array([[1.0, -slope] for slope, _ in directions.values()])
    offsets = np.array([offset for _, offset in directions.values()])
    meeting, *_ = np.linalg.lstsq(matrix, offsets, rcond=None)
    horizon = float(meeting[1])
    horizon = horizon if abs(horizon - usual) < rows * 0.12 else usual
    return Lanes(len(directions), horizon, outer_left, outer_right)


def find_vehicles(picture: Image, horizon: float, cues: Collection[Cue]) -> list[Found]:
    """Return vehicles from near to far, by the cues that make sense in this light."""
    columns = picture.shape[1]
    found: list[Found] = []
    if Cue.RED_LAMPS in cues:
        red = _red_lamps(picture)
        found += _lamp_pairs(red, columns, horizon) + _bodies(red, columns, horizon)
    if Cue.BRIGHT_LAMPS in cues:
        found += _lamp_pairs(_bright_lamps(picture), columns, horizon)
    if Cue.SHADOW in cues:
        found += _shadows(picture, horizon)
    return _merge(found)


def find_people(picture: Image) -> list[Found]:
    """Return people that OpenCV's pedestrian detector is rather sure of; it misses most small ones."""
    rows, columns = picture.shape[:2]
    top = int(rows * 0.28)
    band = picture[top : int(rows * 0.8)]
    band = cv2.resize(band, None, fx=_PEOPLE_ZOOM, fy=_PEOPLE_ZOOM, interpolation=cv2.INTER_LINEAR)
    detector = cv2.HOGDescriptor()
    detector.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    boxes, weights = detector.detectMultiScale(band, hitThreshold=0.3, winStride=(8, 8), scale=1.2)
    found = []
    for (x, y, wide, tall), weight in zip(boxes, np.ravel(weights), strict=True):
        if weight < 0.9:
            continue
        left, right, foot = (
            x / _PEOPLE_ZOOM,
            (x + wide) / _PEOPLE_ZOOM,
            top + (y + tall * 0.93) / _PEOPLE_ZOOM,
        )
        metres_per_pixel = 1.75 / (tall * 0.75 / _PEOPLE_ZOOM)
        lateral = ((left + right) / 2 - columns / 2) * metres_per_pixel
        found.append(Found(left, right, foot, lateral, (right - left) / columns))
    return _merge(found)


def _red_lamps(picture: Image) -> NDArray[np.uint8]:
    blue, green, red = (channel.astype(np.int16) for channel in cv2.split(picture))
    mask = (red > 105) & (red - green > 48) & (red - blue > 38)
    result: NDArray[np.uint8] = mask.astype(np.uint8)
    return result


def _bright_lamps(picture: Image) -> NDArray[np.uint8]:
    mask = picture.min(axis=2) > 225
    result: NDArray[np.uint8] = mask.astype(np.uint8)
    return result


def _lamp_pairs(mask: NDArray[np.uint8], columns: int, horizon: float) -> list[Found]:
    """Pair spots of equal height and like size whose distance fits a vehicle that stands on the road.

    Lamps sit 0.4 to 1 metre high, so how far they are apart follows from how far they are below the horizon.
    """
    _, _, boxes, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    spots = []
    for (_, _, wide, tall, area), (x, y) in zip(boxes[1:].tolist(), centres[1:].tolist(), strict=True):
        if area >= 4 and tall < wide * 3 and wide < columns * 0.12 and 0 < y - horizon < columns * 0.16:
            spots.append((x, y, wide, tall, area))
    pairs = []
    for index, one in enumerate(spots):
        for other in spots[index + 1 :]:
            apart = abs(one[0] - other[0])
            size = (one[2] + other[2]) / 2
            alike = max(one[4], other[4]) < 3.5 * min(one[4], other[4])
            level = abs(one[1] - other[1]) < max(2.0, apart * 0.07)
            below = (one[1] + other[1]) / 2 - horizon
            if alike and level and size * 1.6 < apart < size * 9 and 1.2 < apart / below < 4.5 and apart > 6:
                pairs.append(
                    (abs(one[1] - other[1]) / apart + abs(apart - 3.5 * size) / apart * 0.2, one, other)
                )
    used: set[tuple[float, float]] = set()
    found = []
    for _, one, other in sorted(pairs, key=lambda pair: pair[0]):
        if {one[:2], other[:2]} & used:
            continue
        used |= {one[:2], other[:2]}
        apart, middle = abs(one[0] - other[0]), (one[0] + other[0]) / 2
        half = apart / _LAMPS_APART * _CAR_WIDTH / 2
        lateral = (middle - columns / 2) / apart * _LAMPS_APART
        row = max(one[1], other[1]) + apart * 0.45
        found.append(Found(middle - half, middle + half, row, lateral, 2 * half / columns))
    return found


def _bodies(mask: NDArray[np.uint8], columns: int, horizon: float) -> list[Found]:
    """Find red vehicles, whose lamps do not stand out: one spot of a car's size and shape."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for left, top, wide, tall, area in boxes[1:].tolist():
        foot = top + tall
        if foot - horizon < 4 or area < 0.45 * wide * tall or not 0.9 < wide / tall < 2.6:
            continue
        expected = _CAR_WIDTH / (_CAMERA_HEIGHT - 0.3) * (foot - horizon)
        lateral = (left + wide / 2 - columns / 2) / wide * _CAR_WIDTH
        if 0.7 < wide / expected < 1.5 and wide > columns * 0.02:
            found.append(Found(left, left + wide, foot, lateral, wide / columns))
    return found


def _shadows(picture: Image, horizon: float) -> list[Found]:
    """Find the dark gap between a vehicle and the road: flat, darker than the road, of a car's width."""
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (3, 3), 0)
    rows, columns = grey.shape
    road = grey[int(rows * 0.62) : int(rows * 0.88), columns // 3 : columns * 2 // 3]
    limit = min(float(np.median(road)) * 0.5, 60.0)
    mask = (grey < limit).astype(np.uint8)
    first, last = int(horizon + rows * 0.02), int(rows * 0.85)
    mask[:first], mask[last:] = 0, 0
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1, 9), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, 7), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for left, top, wide, tall, _ in boxes[1:].tolist():
        foot = top + tall
        expected = _CAR_WIDTH / _CAMERA_HEIGHT * (foot - horizon)
        lateral = (left + wide / 2 - columns / 2) / (foot - horizon) * _CAMERA_HEIGHT
        if 0.6 < wide / expected < 1.7 and wide > tall * 1.4 and abs(lateral) < 12:
            found.append(Found(left, left + wide, foot, lateral, wide / columns))
    return found


def _merge(found: Iterable[Found]) -> list[Found]:
    """Keep one of those that overlap sideways and stand at about the same row, the widest first."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda item: (-item.nearness, item.left)):
        width = one.right - one.left
        if not any(
            min(one.right, other.right) - max(one.left, other.left) > 0.3 * width
            and abs(one.row - other.row) < (other.right - other.left) * 0.9
            for other in kept
        ):
            kept.append(one)
    return kept
