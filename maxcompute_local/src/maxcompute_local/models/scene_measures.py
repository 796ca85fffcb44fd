"""Measures of a driving picture from classical vision: light, colour, haze, texture, thin streaks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maxcompute_local.models.images import Image

_STREAK_GRID = (8, 5)
"""Columns and rows of cells in which streaks are counted: rain is everywhere, poles and windows are not."""


@dataclass(frozen=True)
class SceneMeasures:
    """What can be measured of a picture. Shares are 0 to 1, grey levels 0 to 255."""

    contrast: float
    """Standard deviation of the grey levels."""
    structure: float
    """Share of the contrast that survives averaging over coarse cells; pure noise has almost none."""
    edges: float
    """Share of pixels on an edge."""
    side_edges: float
    """Share of pixels on an edge left and right above the horizon, where house fronts stand."""
    brightness: float
    """Mean grey level."""
    dark: float
    """Share of pixels below grey level 50."""
    sky_brightness: float
    """Median grey level of the upper third."""
    sky_blue: float
    """Share of blue pixels in the upper third."""
    sky_white: float
    """Share of bright colourless pixels in the upper third."""
    warm_glow: float
    """Share of orange and red pixels just above the middle."""
    purple: float
    """Share of purple to red pixels in the upper third."""
    saturation: float
    haze: float
    """Mean dark channel (darkest colour nearby) around the horizon: air light that fog adds everywhere."""
    far_contrast: float
    """Mean local deviation around the horizon: what fog takes away."""
    streaks: int
    """Thin, bright, almost upright lines of a limited length."""
    streak_cells: float
    """Share of the picture's cells that hold such a line."""
    snow_cover: float
    """Share of bright colourless pixels in the lower half."""
    ahead_colour: float
    """Median difference between the strongest and the weakest channel right ahead, where the own lane is."""
    ahead_contrast: float
    """Standard deviation of the grey levels there."""
    ahead_brightness: float
    """Median grey level there."""


def measure(picture: Image) -> SceneMeasures:
    """Measure a BGR picture of at most a few hundred rows."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
    rows, columns = grey.shape
    deviation = float(grey.std())
    coarse = cv2.resize(grey, (40, 24), interpolation=cv2.INTER_AREA)
    edges = cv2.Canny(cv2.GaussianBlur(grey, (5, 5), 0), 40, 100) > 0
    top, beside = slice(0, rows // 3), slice(rows // 10, int(rows * 0.45))
    # The median takes rain away, which would look like edges. It is slow; the lower half is not looked at.
    outlines = cv2.Canny(cv2.medianBlur(grey[: rows // 2 + 8], 7), 40, 100) > 0
    sides = np.concatenate([outlines[beside, : columns // 3], outlines[beside, -(columns // 3) :]], axis=1)
    hue, saturation, value = (channel.astype(np.int16) for channel in cv2.split(hsv))
    low_sky = slice(rows // 4, rows // 2)
    warm = ((hue <= 22) | (hue >= 150)) & (saturation > 50) & (value > 80)
    streaks, cells = _streaks(grey)
    haze, far_contrast = _distance_haze(picture, grey)
    below = slice(rows // 2, int(rows * 0.9))
    ahead = slice(int(rows * 0.6), int(rows * 0.85)), slice(int(columns * 0.38), int(columns * 0.62))
    colour = picture[ahead].max(axis=2).astype(np.int16) - picture[ahead].min(axis=2)
    return SceneMeasures(
        contrast=deviation,
        structure=float(coarse.std()) / (deviation + 1e-6),
        edges=float(edges.mean()),
        side_edges=float(sides.mean()),
        brightness=float(grey.mean()),
        dark=float((grey < 50).mean()),
        sky_brightness=float(np.median(grey[top])),
        sky_blue=float(((hue >= 95) & (hue <= 125) & (saturation > 60) & (value > 90))[top].mean()),
        sky_white=float(((saturation < 45) & (value > 130))[top].mean()),
        warm_glow=float(warm[low_sky].mean()),
        purple=float(((hue >= 115) & (saturation > 40) & (value > 30))[top].mean()),
        saturation=float(saturation.mean()),
        haze=haze,
        far_contrast=far_contrast,
        streaks=streaks,
        streak_cells=cells,
        snow_cover=float(((saturation < 30) & (value > 185))[below].mean()),
        ahead_colour=float(np.median(colour)),
        ahead_contrast=float(grey[ahead].std()),
        ahead_brightness=float(np.median(grey[ahead])),
    )


def _distance_haze(picture: Image, grey: NDArray[np.uint8]) -> tuple[float, float]:
    rows = grey.shape[0]
    darkest = cv2.erode(picture.min(axis=2), np.ones((9, 9), np.uint8))
    band = grey[int(rows * 0.36) : int(rows * 0.54)].astype(np.float32)
    variance = cv2.blur(band**2, (15, 15)) - cv2.blur(band, (15, 15)) ** 2
    return float(darkest[int(rows * 0.3) : rows // 2].mean()), float(np.sqrt(np.maximum(variance, 0)).mean())


def _streaks(grey: NDArray[np.uint8]) -> tuple[int, float]:
    """Count thin bright lines within 20 degrees of the vertical, and the share of cells that hold one."""
    rows, columns = grey.shape
    # Keep what is narrower than 7 pixels, then what is at least 11 pixels long in one of five directions.
    narrow = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((1, 7), np.uint8))
    lines = np.zeros_like(narrow)
    for lean in range(-2, 3):
        kernel = np.zeros((11, 5), np.uint8)
        cv2.line(kernel, (2 - lean, 0), (2 + lean, 10), 1)
        lines = np.maximum(lines, cv2.morphologyEx(narrow, cv2.MORPH_OPEN, kernel))
    mask = (lines > 10).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = boxes[1:]
    tall, wide = boxes[:, cv2.CC_STAT_HEIGHT], boxes[:, cv2.CC_STAT_WIDTH]
    boxes = boxes[(tall >= 9) & (tall <= rows * 0.12) & (wide <= np.maximum(6, tall * 0.5))]
    across, down = _STREAK_GRID
    cells = boxes[:, cv2.CC_STAT_LEFT] * across // columns + boxes[:, cv2.CC_STAT_TOP] * down // rows * across
    return len(boxes), len(np.unique(cells)) / (across * down)
