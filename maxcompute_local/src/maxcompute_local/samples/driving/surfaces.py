"""The textured surfaces of a drive: ground, house fronts, sky and skyline."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maxcompute_local.samples.driving.look import (
    CAMERA_HEIGHT,
    FAR,
    FOCAL,
    HEIGHT,
    HORIZON,
    WIDTH,
    Floats,
    Image,
    Light,
    Look,
    Palette,
    Place,
    Weather,
    floats,
    smooth_noise,
)

GROUND_TEXELS = 16
"""Texels per metre of the ground texture."""
GROUND_WIDTH, GROUND_PERIOD = 48, 48
"""Size of the ground texture in metres; it repeats along the road."""
WALL_TEXELS, WALL_PERIOD = 10, 144
"""Texels per metre of a street side, and its length in metres."""
_WALL_HEIGHT = 26


@dataclass(frozen=True)
class Wall:
    """One side of a street: its texture in ever more blurred levels and where each is seen."""

    x: float
    levels: list[Image]
    distance: Floats
    """Metres ahead, per picture column from the middle outwards."""
    map_y: Floats
    bands: list[tuple[int, int, int]]
    clear: Floats
    fog: Floats


def _metres(x: float) -> int:
    return round((x + GROUND_WIDTH / 2) * GROUND_TEXELS)


def ground_texture(look: Look, rng: np.random.Generator) -> Image:
    """Paint 48 by 48 metres of road and verge, seen from above; it repeats along the road."""
    height, width = GROUND_PERIOD * GROUND_TEXELS, GROUND_WIDTH * GROUND_TEXELS
    fine = smooth_noise(rng, height, width, (1, 2, 4))
    broad = smooth_noise(rng, height, width, (24, 64))
    verge = (118, 122, 124) if look.place is Place.CITY else (52, 108, 92)
    ground = np.empty((height, width, 3), np.float32)
    ground[:] = verge
    ground += (fine * (5 if look.place is Place.CITY else 12) + broad * 9)[..., None]

    left, right = (-7.6, 7.6) if look.place is Place.HIGHWAY else (-6.2, 6.2)
    if look.place is Place.RURAL:
        left, right = -5.6, 2.6
    asphalt = 96 + fine * 5.5 + broad * 4
    road = np.repeat(asphalt[..., None], 3, axis=2) + floats([2, 0, -1])
    for lane in (-3.6, 0.0, 3.6):
        for wheel in (-0.8, 0.8):
            x = (np.arange(width) / GROUND_TEXELS - GROUND_WIDTH / 2) - lane - wheel
            road -= (7 * np.exp(-((x / 0.28) ** 2)))[None, :, None].astype(np.float32)
    ground[:, _metres(left) : _metres(right)] = road[:, _metres(left) : _metres(right)]
    for _ in range(5):
        top = int(rng.integers(0, height - 90))
        side = _metres(float(rng.uniform(left + 0.5, right - 2)))
        ground[top : top + int(rng.integers(30, 90)), side : side + int(rng.integers(16, 36))] -= 14
    for _ in range(6):
        points = np.cumsum(rng.normal(0, 1, (24, 2)) * [7, 9], axis=0)
        points += [_metres(float(rng.uniform(left, right))), rng.uniform(0, height)]
        cv2.polylines(ground, [points.astype(np.int32)], False, (62, 62, 62), 1, cv2.LINE_AA)

    paint = floats([222, 228, 230]) + (fine * 7)[..., None]

    def line(x: float, wide: float, dashed: bool, colour: tuple[int, int, int] | None = None) -> None:
        rows = np.ones(height, bool)
        if dashed:
            rows = (np.arange(height) / GROUND_TEXELS) % 12 < 4.5
        columns = slice(_metres(x - wide / 2), _metres(x + wide / 2))
        block = paint[:, columns] if colour is None else floats(colour) + (fine * 7)[:, columns, None]
        ground[:, columns] = np.where(rows[:, None, None], block, ground[:, columns])

    if look.place is Place.HIGHWAY:
        line(-5.4, 0.2, False)
        line(-1.8, 0.18, True)
        line(1.8, 0.18, True)
        line(5.4, 0.2, False)
        ground[:, _metres(-20) : _metres(-10.5)] = road[:, _metres(-20) : _metres(-10.5)]
        line(-10.9, 0.2, False)
        line(-15.2, 0.18, True)
        line(-19.6, 0.2, False)
    else:
        yellow = (70, 180, 225)
        line(-1.8, 0.17, look.place is Place.RURAL, yellow)
        if look.place is Place.CITY:
            line(-1.5, 0.17, False, yellow)
        line(right - 0.7, 0.16, False)
        line(left + 0.7, 0.16, False)
    if look.place is Place.CITY:
        for edge in (left, right):
            ground[:, _metres(edge - 0.15) : _metres(edge + 0.15)] = 158
        slabs = np.arange(height) % (2 * GROUND_TEXELS) < 1
        for start, end in ((-10.5, left - 0.2), (right + 0.2, 10.5)):
            ground[slabs, _metres(start) : _metres(end)] -= 26
    result: Image = np.clip(ground, 0, 255).astype(np.uint8)
    return result


def ground_levels(texture: Image) -> list[Image]:
    """Return the texture blurred for ever larger distances, so that far rows do not flicker."""
    levels = [texture]
    for level in range(1, 8):
        along = min(2**level, texture.shape[0] - 1) | 1
        across = max(1, 2 ** max(0, level - 3)) | 1
        padded = cv2.copyMakeBorder(texture, along, along, across, across, cv2.BORDER_WRAP)
        blurred = cv2.blur(padded, (across, along))
        levels.append(blurred[along:-along, across:-across])
    return levels


def runs(levels: NDArray[np.int_]) -> list[tuple[int, int, int]]:
    """Return (start, end, value) of each run of equal values."""
    edges = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]
    return [(start, end, int(levels[start])) for start, end in itertools.pairwise(edges)]


def row_distances() -> Floats:
    """Return how far ahead, in metres, each row below the horizon lies."""
    rows = np.arange(HEIGHT - HORIZON, dtype=np.float32) + 0.5
    return (FOCAL * CAMERA_HEIGHT / rows).astype(np.float32)


def ground_bands() -> list[tuple[int, int, int]]:
    """Return (first row, end row, level) below the horizon: how blurred each row's texture must be."""
    distance = np.minimum(row_distances(), 4 * FAR)
    texels_per_row = distance**2 / (FOCAL * CAMERA_HEIGHT) * GROUND_TEXELS
    return runs(np.clip(np.round(np.log2(np.maximum(texels_per_row, 1))), 0, 7).astype(int))


def _wall_texture(look: Look, rng: np.random.Generator) -> NDArray[np.float32]:
    """Paint one side of a street: BGR and coverage, 144 metres long and up to 26 metres high."""
    scale, height = WALL_TEXELS, _WALL_HEIGHT * WALL_TEXELS
    wall = np.zeros((height, WALL_PERIOD * scale, 4), np.float32)
    at = 0.0
    while at < WALL_PERIOD - 6:
        length = float(rng.uniform(10, 22))
        length = min(length, WALL_PERIOD - at)
        if rng.random() < 0.16:
            at += 6
            continue
        storeys = int(rng.integers(2, 8))
        tall = 4 + storeys * 3.0
        base = floats(
            rng.choice([[150, 168, 182], [128, 140, 158], [168, 172, 172], [104, 124, 156], [142, 150, 148]])
        )
        base = base + rng.normal(0, 10, 3)
        x0, x1 = int(at * scale), int((at + length) * scale)
        y0 = height - int(tall * scale)
        wall[y0:, x0:x1, :3] = base + smooth_noise(rng, height - y0, x1 - x0, (2, 16))[..., None] * 5
        wall[y0:, x0:x1, 3] = 1
        wall[y0 : y0 + 4, x0:x1, :3] *= 0.7
        wall[y0:, x1 - 2 : x1, :3] *= 0.6
        for storey in range(storeys):
            y = height - int((4 + storey * 3 + 2.3) * scale)
            for x in range(x0 + 12, x1 - 18, 27):
                lit = look.light is not Light.DAY and rng.random() < 0.3
                glass = (95, 175, 235) if lit else tuple(rng.normal(78, 14) + np.array([14, 6, 0]))
                cv2.rectangle(wall, (x, y), (x + 13, y + 15), (*(float(c) * 0.6 for c in base), 1.0), 1)
                # A lit window glows by itself: coverage above 1 marks it, see _draw_walls.
                cv2.rectangle(
                    wall, (x + 1, y + 1), (x + 12, y + 14), (*map(float, glass), 2.0 if lit else 1.0), -1
                )
        shop = height - int(3.2 * scale)
        for x in range(x0 + 6, x1 - 30, 44):
            lit = look.light is not Light.DAY and rng.random() < 0.6
            glass = (130, 190, 225) if lit else (70, 66, 60)
            cv2.rectangle(
                wall, (x, shop + 6), (x + 34, height - 5), (*map(float, glass), 2.0 if lit else 1.0), -1
            )
            awning = rng.choice([[60, 60, 160], [120, 90, 50], [70, 120, 70], [60, 130, 190]]).tolist()
            cv2.rectangle(wall, (x - 2, shop), (x + 36, shop + 5), (*map(float, awning), 1.0), -1)
        at += length
    return wall


def street_side(look: Look, palette: Palette, x: float, rng: np.random.Generator) -> Wall:
    """Return one side of a street, ``x`` metres to the right of the camera, in its light."""
    wall = _wall_texture(look, rng)
    glow = np.clip(wall[..., 3:] - 1, 0, 1)
    solid = np.minimum(wall[..., 3:], 1)
    light = floats(palette.ambient) * (0.85 if x > 0 else 1.0) * (1 - glow) + 0.85 * glow
    lit = np.concatenate([np.clip(wall[..., :3] * light, 0, 255) * solid, solid * 255], axis=2).astype(
        np.uint8
    )
    visible = int(FAR * WALL_TEXELS)
    tiled = np.concatenate([lit, lit, lit], axis=1)[:, : lit.shape[1] + visible]
    levels: list[Image] = [np.ascontiguousarray(tiled)]
    levels += [cv2.blur(tiled, (2**level | 1, max(1, 2 ** (level - 2)) | 1)) for level in range(1, 6)]

    near = FOCAL * abs(x) / (WIDTH / 2)
    columns = np.arange(math.ceil(FOCAL * abs(x) / (FAR - 5)), WIDTH // 2, dtype=np.float32) + 0.5
    distance = (FOCAL * abs(x) / columns).astype(np.float32)
    bottom = min(HEIGHT, HORIZON + math.ceil(FOCAL * CAMERA_HEIGHT / near) + 1)
    rows = np.arange(bottom, dtype=np.float32)[:, None] + 0.5 - HORIZON
    map_y = (_WALL_HEIGHT - CAMERA_HEIGHT + rows * distance[None, :] / FOCAL) * WALL_TEXELS
    texels = distance**2 / (FOCAL * abs(x)) * WALL_TEXELS
    clear = np.repeat(np.exp(-palette.extinction * distance)[None, :, None], bottom, axis=0)
    return Wall(
        x=x,
        levels=levels,
        distance=distance,
        map_y=map_y.astype(np.float32),
        bands=runs(np.clip(np.round(np.log2(np.maximum(texels, 1))), 0, 5).astype(int)),
        clear=np.repeat(clear, 3, axis=2).astype(np.float32),
        fog=((1 - clear) * floats(palette.fog) / 255).astype(np.float32),
    )


def sky_and_skyline(look: Look, palette: Palette, rng: np.random.Generator) -> Image:
    """Paint twice the picture's width of sky and skyline, down to the horizon."""
    height, width = HORIZON + 4, WIDTH * 2
    rise = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 1.4
    sky = floats(palette.zenith) * (1 - rise) + floats(palette.skyline) * rise
    sky = np.repeat(sky, width, axis=1)
    if look.weather is not Weather.FOG:
        stretched = cv2.resize(
            smooth_noise(rng, height * 2, width // 2, (16, 32, 64)),
            (width, height),
            interpolation=cv2.INTER_LINEAR,
        )
        cover = {Weather.CLEAR: 0.9, Weather.OVERCAST: -0.6, Weather.RAIN: -0.4}[look.weather]
        clouds = np.clip((stretched - cover) * 0.55, 0, 1)[..., None] * (1 - rise * 0.6)
        tint = {
            Light.DAY: (250, 248, 244) if look.weather is Weather.CLEAR else floats(palette.zenith) * 0.86,
            Light.DUSK: (140, 128, 210),
            Light.NIGHT: (30, 24, 22),
        }[look.light]
        sky = sky * (1 - clouds * 0.75) + floats(tint) * clouds * 0.75
    if look.light is Light.DUSK:
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        sun = np.exp(-(((columns - width * 0.58) / 150) ** 2 + ((rows - height) / 60) ** 2))[..., None]
        sky += sun * floats([40, 90, 60])
    if look.light is Light.NIGHT and look.weather is Weather.CLEAR:
        for _ in range(60):
            sky[int(rng.integers(0, height - 60)), int(rng.integers(0, width))] += rng.uniform(20, 70)
    haze = 0.75 if look.weather is Weather.FOG else 0.15
    hills = floats(palette.hills) * (1 - haze) + floats(palette.fog) * haze
    profile = 14 + 7 * np.sin(np.arange(width) / 97.0) + 5 * np.sin(np.arange(width) / 41.0 + 1)
    if look.place is Place.CITY:
        steps = np.repeat(rng.uniform(6, 44, width // 26 + 1), 26)[:width]
        profile = np.maximum(steps, 4)
    mask = np.arange(height)[:, None] > height - 4 - profile[None, :]
    sky[mask] = hills + rng.normal(0, 2, (int(mask.sum()), 1))
    softness = (9, 9) if look.weather is Weather.FOG else (3, 3)
    result: Image = cv2.blur(np.clip(sky, 0, 255).astype(np.uint8), softness)
    return result
