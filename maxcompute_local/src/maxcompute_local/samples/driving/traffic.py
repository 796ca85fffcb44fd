"""What stands and moves along the road of a drawn drive, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maxcompute_local.samples.driving.look import FAR, Look, Place
from maxcompute_local.samples.driving.sprites import (
    Sprite,
    car,
    lamp_post,
    lorry,
    marker_post,
    road_sign,
    tree,
    walker,
)


@dataclass(frozen=True)
class Prop:
    """Something that stands beside the road and comes again every ``period`` metres."""

    sprite: Sprite
    x: float
    z: float
    period: float
    lamp: bool = False


@dataclass(frozen=True)
class Vehicle:
    """A vehicle and how it moves: distance in metres as a function of time."""

    sprite: Sprite
    lane: float
    start: float
    speed: float
    """Relative to the camera, in metres per second; negative comes nearer."""
    sway: float
    oncoming: bool

    def distance(self, seconds: float) -> float:
        """Return the distance ahead of the camera, in metres."""
        if self.oncoming or abs(self.speed) > 2:
            span = FAR - 4
            return 4 + (self.start + self.speed * seconds) % span
        return self.start + self.speed * seconds + self.sway * math.sin(seconds * 0.7 + self.start)


def roadside(look: Look, lamps: bool, rng: np.random.Generator) -> list[Prop]:
    """Place what stands beside the road: trees, lamps, signs, marker posts, people on the pavement."""
    props: list[Prop] = []
    if look.place is Place.CITY:
        trees = [tree(rng) for _ in range(3)]
        for z in range(0, 144, 18):
            for x in (-7.8, 7.8):
                if rng.random() < 0.6:
                    props.append(Prop(trees[int(rng.integers(3))], x, z + float(rng.uniform(-4, 4)), 144))
        for z in range(0, 144, 48):
            props += [
                Prop(lamp_post(1), 6.6, z, 144, True),
                Prop(lamp_post(-1), -6.6, z + 24, 144, True),
            ]
        for _ in range(9):
            side = float(rng.choice([-1.0, 1.0])) * float(rng.uniform(7.0, 9.2))
            props.append(Prop(walker(rng), side, float(rng.uniform(0, 144)), 144))
        return props
    trees = [tree(rng) for _ in range(5)]
    edge = 10.5 if look.place is Place.HIGHWAY else 5.4
    for _ in range(34):
        right = rng.random() < 0.5
        gap = float(rng.uniform(0, 22))
        x = edge + gap if right else (-24 if look.place is Place.HIGHWAY else -8.4) - gap
        props.append(Prop(trees[int(rng.integers(5))], x, float(rng.uniform(0, 210)), 210))
    if look.place is Place.HIGHWAY:
        post = marker_post()
        props += [Prop(post, x, z, 240) for x in (-8.6, 8.2) for z in range(0, 240, 16)]
        props.append(Prop(road_sign(), 9.6, 120, 240))
        if lamps:
            props += [Prop(lamp_post(-1), -9.2, z, 160, True) for z in range(0, 160, 40)]
    else:
        props += [Prop(marker_post(), x, z, 240) for x in (-6.4, 3.4) for z in range(0, 240, 24)]
    return props


def traffic(look: Look, rng: np.random.Generator) -> list[Vehicle]:
    """Place vehicles: one ahead, some overtaking or overtaken, parked ones in a city, oncoming ones."""

    def body(front: bool) -> Sprite:
        return lorry(rng, front) if rng.random() < 0.25 else car(rng, front)

    vehicles = [Vehicle(car(rng, False), 0.0, float(rng.uniform(15, 24)), 0.15, 3.0, False)]
    if look.place is Place.HIGHWAY:
        vehicles.append(Vehicle(lorry(rng, False), 3.6, float(rng.uniform(40, 60)), -4.0, 0, False))
        vehicles.append(Vehicle(car(rng, False), -3.6, float(rng.uniform(8, 12)), 4.5, 0, False))
        vehicles.append(Vehicle(body(False), 3.6, float(rng.uniform(120, 150)), -5.0, 0, False))
        oncoming = [(-14.8, 5), (-18, 3)]
    else:
        oncoming = [(-3.7, 4)]
        if look.place is Place.CITY:
            vehicles += [
                Vehicle(car(rng, False), 5.0, float(z), -look.speed, 0, False)
                for z in rng.choice(np.arange(10, 210, 16), 4, replace=False)
            ]
    for lane, count in oncoming:
        gap = (FAR - 4) / count
        for number in range(count):
            start = number * gap + float(rng.uniform(0, gap * 0.5))
            speed = -(look.speed + 14 if lane < -10 else look.speed + 9)
            vehicles.append(Vehicle(body(True), lane, start, float(speed), 0, True))
    return vehicles
