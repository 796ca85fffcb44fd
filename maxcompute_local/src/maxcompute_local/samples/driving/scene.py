"""Draws what a forward camera sees while driving, frame by frame.

A pinhole camera looks along a flat road; ground and house fronts are textured planes, everything else is a
sprite at a distance. The same scene and time always give the same picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
    Place,
    Weather,
    floats,
    palette_of,
)
from maxcompute_local.samples.driving.sprites import Sprite, bonnet
from maxcompute_local.samples.driving.surfaces import (
    GROUND_PERIOD,
    GROUND_TEXELS,
    GROUND_WIDTH,
    WALL_PERIOD,
    WALL_TEXELS,
    Wall,
    ground_bands,
    ground_levels,
    ground_texture,
    row_distances,
    sky_and_skyline,
    street_side,
)
from maxcompute_local.samples.driving.traffic import Prop, Vehicle, roadside, traffic

_CENTRE = WIDTH / 2


@dataclass
class _Layers:
    """Everything that is computed once per scene."""

    sky: Image
    ground_levels: list[Image]
    ground_light: Floats
    ground_fog: Floats
    lamp_texture: Floats | None
    walls: list[Wall]
    props: list[Prop]
    vehicles: list[Vehicle]
    noise: list[NDArray[np.int16]]
    vignette: Floats
    hood: Sprite
    streaks: list[Image] = field(default_factory=list)
    drops: tuple[Floats, Floats] | None = None


class DrivingScene:
    """One drive, drawn frame by frame."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._palette = palette_of(look)
        self._bands = ground_bands()
        distance = row_distances()
        across = (np.arange(WIDTH, dtype=np.float32) + 0.5 - _CENTRE) / FOCAL
        self._ground_x = across[None, :] * distance[:, None]
        self._ground_z = np.repeat(distance[:, None], WIDTH, axis=1)
        self._layers = self._prepare()

    def frames(self, count: int, fps: int) -> Iterator[Image]:
        """Yield ``count`` pictures (BGR, 360 by 640), ``fps`` of them per second."""
        for index in range(count):
            yield self.frame(index / fps)

    @property
    def things(self) -> list[Prop | Vehicle]:
        """What stands beside the road, then the traffic."""
        return [*self._layers.props, *self._layers.vehicles]

    def frame(self, seconds: float, things: Sequence[Prop | Vehicle] | None = None) -> Image:
        """Return the picture (BGR, 360 by 640) at a time of the drive.

        :param things: what is there instead of ``things``.
        """
        rng = np.random.default_rng([self.look.seed, round(seconds * 1000)])
        travel = self.look.speed * seconds
        bend = 0.0 if self.look.place is Place.CITY else 0.0009 * math.sin(seconds * 0.35 + self.look.seed)
        picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        self._draw_sky(picture, seconds)
        self._draw_ground(picture, travel, bend)
        for wall in self._layers.walls:
            self._draw_wall(picture, wall, travel)
        self._draw_things(picture, seconds, travel, bend, self.things if things is None else things)
        if self.look.weather is Weather.RAIN:
            self._draw_reflections(picture)
            picture = self._draw_rain(picture, rng)
        return self._develop(picture, seconds, rng)

    # Preparation

    def _prepare(self) -> _Layers:
        look, rng = self.look, np.random.default_rng(self.look.seed)
        light, lamps = self._ground_lights()
        clear = np.exp(-self._palette.extinction * self._ground_z).astype(np.float32)
        walls = []
        if look.place is Place.CITY:
            walls = [street_side(look, self._palette, x, rng) for x in (-10.5, 10.5)]
        columns, rows = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT))
        vignette = (1 - 0.16 * (columns**2 + rows**2))[..., None].astype(np.float32)
        texture = ground_texture(look, rng)
        if look.weather is Weather.RAIN:
            texture = (texture * 0.72).astype(np.uint8)
        layers = _Layers(
            sky=sky_and_skyline(look, self._palette, rng),
            ground_levels=ground_levels(texture),
            ground_light=light * clear[..., None],
            ground_fog=(1 - clear[..., None]) * floats(self._palette.fog),
            lamp_texture=lamps,
            walls=walls,
            props=roadside(look, self._palette.lamps_on, rng),
            vehicles=traffic(look, rng),
            noise=[self._grain(rng) for _ in range(6)],
            vignette=np.repeat(vignette, 3, axis=2),
            hood=bonnet(),
        )
        if look.weather is Weather.RAIN:
            layers.streaks = [self._streaks(rng) for _ in range(6)]
            layers.drops = self._drops(rng)
        return layers

    def _grain(self, rng: np.random.Generator) -> NDArray[np.int16]:
        """Return sensor noise: fine per pixel, a little of it coloured."""
        grey = rng.standard_normal((HEIGHT, WIDTH, 1)) * self._palette.noise
        colour = cv2.blur(rng.standard_normal((HEIGHT, WIDTH, 3)), (3, 3)) * self._palette.noise
        result: NDArray[np.int16] = np.rint(grey + colour).astype(np.int16)
        return result

    def _ground_lights(self) -> tuple[Floats, Floats | None]:
        """Return the light on the ground that stands still with the camera, and that of street lamps."""
        ambient = floats(self._palette.ambient)
        light = np.broadcast_to(ambient, (*self._ground_z.shape, 3)).copy()
        if self.look.light is Light.DAY:
            return light, None
        strength = 0.85 if self.look.light is Light.NIGHT else 0.25
        for side in (-0.7, 0.7):
            spread = 1.1 + self._ground_z * 0.11
            beam = np.exp(-(((self._ground_x - side) / spread) ** 2)) * np.exp(
                -(((self._ground_z - 12) / 17) ** 2)
            )
            light += (beam * strength * 0.6)[..., None] * floats([0.86, 0.97, 1.0])
        if self.look.place is not Place.CITY or self.look.light is not Light.NIGHT:
            return light, None
        height, width = GROUND_PERIOD * 2, GROUND_WIDTH * 2
        z, x = np.meshgrid(np.arange(height) / 2, np.arange(width) / 2 - GROUND_WIDTH / 2, indexing="ij")
        pools = np.zeros((height, width), np.float32)
        for lamp_z, lamp_x in ((0, 5.0), (24, -5.0), (48, 5.0)):
            pools += np.exp(-(((z - lamp_z) / 6) ** 2) - ((x - lamp_x) / 5) ** 2).astype(np.float32)
        return light, pools * 0.65

    def _streaks(self, rng: np.random.Generator) -> Image:
        layer = np.zeros((HEIGHT, WIDTH), np.uint8)
        for _ in range(420):
            x, y = rng.uniform(-20, WIDTH), rng.uniform(-30, HEIGHT)
            length, slant = rng.uniform(9, 30), rng.normal(0.12, 0.03)
            cv2.line(
                layer,
                (int(x), int(y)),
                (int(x + length * slant), int(y + length)),
                int(rng.uniform(26, 80)),
                1,
                cv2.LINE_AA,
            )
        result: Image = cv2.cvtColor(layer, cv2.COLOR_GRAY2BGR)
        return result

    def _drops(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return remap coordinates in which drops on the windscreen bend the light."""
        columns, rows = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
        map_x, map_y = columns.copy(), rows.copy()
        for _ in range(70):
            x, y, radius = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT - 30), rng.uniform(1.5, 5.5)
            dx, dy = columns - x, (rows - y) * 0.8
            inside = dx**2 + dy**2 < radius**2
            map_x[inside] = x - dx[inside] * 5
            map_y[inside] = y - dy[inside] * 7
        return map_x.astype(np.float32), map_y.astype(np.float32)

    # Drawing

    def _draw_sky(self, picture: Image, seconds: float) -> None:
        sky = self._layers.sky
        shift = WIDTH / 2 + (
            0 if self.look.place is Place.CITY else 60 * math.sin(seconds * 0.35 + self.look.seed)
        )
        start = round(shift)
        picture[: HORIZON + 4] = sky[:, start : start + WIDTH]

    def _draw_ground(self, picture: Image, travel: float, bend: float) -> None:
        layers = self._layers
        ground = np.empty((HEIGHT - HORIZON, WIDTH, 3), np.uint8)
        x = self._ground_x - 0.5 * bend * self._ground_z**2
        map_x = np.clip((x + GROUND_WIDTH / 2) * GROUND_TEXELS, 0, GROUND_WIDTH * GROUND_TEXELS - 1)
        offset = travel % GROUND_PERIOD
        # Row 0 of the texture is nearest; distances beyond 16-bit remap range are constant anyway.
        map_y = ((np.minimum(self._ground_z, 4 * FAR) + offset) * GROUND_TEXELS) % (
            GROUND_PERIOD * GROUND_TEXELS
        )
        for start, end, level in self._bands:
            ground[start:end] = cv2.remap(
                layers.ground_levels[level],
                map_x[start:end],
                map_y[start:end],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
        lit = layers.ground_light
        if layers.lamp_texture is not None:
            pools = cv2.remap(
                layers.lamp_texture,
                map_x / (GROUND_TEXELS / 2),
                map_y / (GROUND_TEXELS / 2),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
            lit = lit + pools[..., None] * floats([0.55, 0.85, 1.0])
        shaded = cv2.multiply(ground, lit, dtype=cv2.CV_32F)
        picture[HORIZON:] = cv2.add(shaded, layers.ground_fog, dtype=cv2.CV_8U)

    def _draw_wall(self, picture: Image, wall: Wall, travel: float) -> None:
        offset = travel % WALL_PERIOD
        bottom, wide = wall.map_y.shape
        map_x = np.broadcast_to((wall.distance + offset) * WALL_TEXELS, wall.map_y.shape).astype(np.float32)
        front = np.empty((bottom, wide, 4), np.uint8)
        for start, end, level in wall.bands:
            front[:, start:end] = cv2.remap(
                wall.levels[level],
                map_x[:, start:end],
                wall.map_y[:, start:end],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
            )
        cover = cv2.cvtColor(front[..., 3], cv2.COLOR_GRAY2BGR)
        shaded = cv2.multiply(front[..., :3], wall.clear, dtype=cv2.CV_32F) + cover * wall.fog
        area = slice(WIDTH - wide, WIDTH)
        if wall.x < 0:
            shaded, cover, area = shaded[:, ::-1], cover[:, ::-1], slice(0, wide)
        behind = cv2.multiply(picture[:bottom, area], 255 - cover, scale=1 / 255)
        picture[:bottom, area] = cv2.add(behind, shaded, dtype=cv2.CV_8U)

    def _draw_things(
        self, picture: Image, seconds: float, travel: float, bend: float, things: Sequence[Prop | Vehicle]
    ) -> None:
        placed: list[tuple[float, Prop | Vehicle]] = []
        for thing in things:
            if isinstance(thing, Vehicle):
                placed.append((thing.distance(seconds), thing))
                continue
            z = (thing.z - travel) % thing.period
            placed += [(z + turn * thing.period, thing) for turn in range(math.ceil(FAR / thing.period))]
        for z, thing in sorted(placed, key=lambda pair: -pair[0]):
            if not 2.5 < z < FAR:
                continue
            lateral = thing.x if isinstance(thing, Prop) else thing.lane
            u = _CENTRE + FOCAL * (lateral + 0.5 * bend * z * z) / z
            v = HORIZON + FOCAL * CAMERA_HEIGHT / z
            size = thing.sprite.height * FOCAL / z
            if size < 3 or not -size < u < WIDTH + size:
                continue
            if isinstance(thing, Vehicle):
                self._draw_shadow(picture, u, v, size, thing)
            self._draw_sprite(picture, thing.sprite, u, v, size, z, lateral)
            if self._palette.lamps_on:
                self._draw_lamps(picture, thing, u, v, size, z)

    def _draw_shadow(self, picture: Image, u: float, v: float, size: float, vehicle: Vehicle) -> None:
        half = size * vehicle.sprite.ratio * 0.47
        x0, x1 = max(0, int(u - half)), min(WIDTH, int(u + half))
        y0, y1 = max(0, int(v - half * 0.12)), min(HEIGHT, int(v + half * 0.10) + 1)
        if x1 > x0 and y1 > y0:
            dark = 0.45 if self.look.light is not Light.NIGHT else 0.6
            picture[y0:y1, x0:x1] = (picture[y0:y1, x0:x1] * dark).astype(np.uint8)

    def _draw_sprite(
        self, picture: Image, sprite: Sprite, u: float, v: float, size: float, z: float, lateral: float
    ) -> None:
        left, top = u - size * sprite.ratio / 2, v - size
        x0, x1 = max(0, math.floor(left)), min(WIDTH, math.ceil(left + size * sprite.ratio))
        y0, y1 = max(0, math.floor(top)), min(HEIGHT, math.ceil(v))
        if x0 >= x1 or y0 >= y1:
            return
        level = max(
            0, min(len(sprite.levels) - 1, int(math.log2(max(1.0, sprite.levels[0].shape[0] / size))))
        )
        source = sprite.levels[level]
        zoom = source.shape[0] / size
        place = floats([[zoom, 0, (x0 - left) * zoom], [0, zoom, (y0 - top) * zoom]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpAffine(source, place, (x1 - x0, y1 - y0), flags=flags)
        light = floats(self._palette.ambient)
        if self.look.light is not Light.DAY:
            beam = math.exp(-((z / 28) ** 2)) * math.exp(-((lateral / (2.5 + z * 0.12)) ** 2))
            light = light + floats([0.5, 0.56, 0.58]) * beam * (1 if self.look.light is Light.NIGHT else 0.3)
        clear = math.exp(-self._palette.extinction * z)
        cover = drawn[..., 3:]
        shaded = drawn[..., :3] * (light * clear) + floats(self._palette.fog) * (1 - clear) * cover
        below = picture[y0:y1, x0:x1]
        picture[y0:y1, x0:x1] = np.clip(below * (1 - cover) + shaded, 0, 255).astype(np.uint8)

    def _draw_lamps(
        self, picture: Image, thing: Prop | Vehicle, u: float, v: float, size: float, z: float
    ) -> None:
        clear = math.exp(-self._palette.extinction * z * 0.7)
        halo = 1.7 if self.look.weather in (Weather.FOG, Weather.RAIN) else 1.0
        if isinstance(thing, Prop):
            if thing.lamp and self.look.light is not Light.DAY:
                arm = -0.21 if thing.x > 0 else 0.21
                self._glow(
                    picture, u + size * arm * 0.4, v - size * 0.97, size * 0.11 * halo, (120, 205, 255), clear
                )
            return
        ratio = thing.sprite.ratio
        lorry = thing.sprite.height > 3
        apart, up = size * ratio * (0.43 if lorry else 0.40), size * (0.12 if lorry else 0.46)
        colour = (215, 240, 255) if thing.oncoming else (30, 24, 255)
        unit = size / thing.sprite.height
        for side in (-1, 1):
            at = (u + side * apart, v - up)
            if thing.oncoming:
                self._glow(picture, *at, (unit * 0.55 + 2.0) * halo, colour, clear)
            else:
                self._glow(picture, *at, (unit * 0.24 + 1.0) * halo, colour, clear)

    def _glow(
        self, picture: Image, u: float, v: float, radius: float, colour: tuple[int, int, int], strength: float
    ) -> None:
        if self.look.light is Light.DAY:
            strength *= 0.6
        x0, x1 = max(0, int(u - radius * 3)), min(WIDTH, int(u + radius * 3) + 1)
        y0, y1 = max(0, int(v - radius * 3)), min(HEIGHT, int(v + radius * 3) + 1)
        if x0 >= x1 or y0 >= y1:
            return
        square = ((np.arange(x0, x1) - u) ** 2)[None, :] + ((np.arange(y0, y1) - v) ** 2)[:, None]
        core = np.exp(-square / (0.18 * radius**2)) * 1.1 + np.exp(-square / (1.6 * radius**2)) * 0.45
        # The core of a lamp overexposes to white, its halo keeps the colour.
        light = core[..., None] * floats(colour) * strength
        light += np.clip(core - 0.9, 0, 1)[..., None] * 130 * strength
        picture[y0:y1, x0:x1] = np.clip(picture[y0:y1, x0:x1] + light, 0, 255).astype(np.uint8)

    def _draw_reflections(self, picture: Image) -> None:
        """Mirror what is above the road in its wet surface."""
        depth = min(HORIZON, HEIGHT - HORIZON)
        mirror = cv2.blur(picture[HORIZON - depth + 8 : HORIZON + 8][::-1], (5, 31)).astype(np.float32)
        strength = np.linspace(0.62, 0.0, depth, dtype=np.float32)[:, None, None]
        edge = 8.0 if self.look.place is Place.HIGHWAY else 6.2
        road = (np.abs(self._ground_x[:depth]) < edge).astype(np.float32)
        strength = strength * cv2.blur(road, (9, 3))[..., None]
        ground = picture[HORIZON : HORIZON + depth]
        picture[HORIZON : HORIZON + depth] = np.clip(
            ground * (1 - strength * 0.55) + mirror * strength * 0.8, 0, 255
        ).astype(np.uint8)

    def _draw_rain(self, picture: Image, rng: np.random.Generator) -> Image:
        layers = self._layers
        if layers.drops is not None:
            picture = cv2.remap(picture, *layers.drops, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        layer = layers.streaks[int(rng.integers(len(layers.streaks)))]
        shift = int(rng.integers(0, WIDTH))
        result: Image = cv2.add(picture, np.roll(layer, shift, axis=1))
        return result

    def _develop(self, picture: Image, seconds: float, rng: np.random.Generator) -> Image:
        """Add what camera and car add: bumps, the bonnet, vignette and sensor noise."""
        layers = self._layers
        sway = floats(
            [
                [1, 0, 0.8 * math.sin(seconds * 3.1)],
                [0, 1, 1.3 * math.sin(seconds * 7.3) + rng.normal(0, 0.35)],
            ]
        )
        picture = cv2.warpAffine(picture, sway, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        top = HEIGHT - 26
        hood = layers.hood.levels[0][top:]
        light = floats(self._palette.ambient)
        picture[top:] = (picture[top:] * (1 - hood[..., 3:]) + hood[..., :3] * light).astype(np.uint8)
        grain = layers.noise[int(rng.integers(len(layers.noise)))]
        grain = np.roll(grain, (int(rng.integers(HEIGHT)), int(rng.integers(WIDTH))), axis=(0, 1))
        shaded = cv2.multiply(picture, layers.vignette, dtype=cv2.CV_16S)
        result: Image = cv2.add(shaded, grain, dtype=cv2.CV_8U)
        return result
