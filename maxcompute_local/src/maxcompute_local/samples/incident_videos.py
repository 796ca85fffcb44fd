"""Short drawn videos for tests: a drive, a sudden stop, a cut-in, a parked car, no traffic at all."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache

import av
import cv2
import numpy as np

from maxcompute_local.models.images import Image
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene

FPS = 8
SECONDS = 8
INCIDENT_MS = 5000
"""When the brakes are put on, or the other car is there."""


@cache
def drawn_video(kind: str) -> bytes:
    """Return an MP4 file of 8 seconds: ``drive``, ``stop``, ``cut_in``, ``parked`` or ``garden``."""
    return encode_video(_picture(kind, number / FPS) for number in range(SECONDS * FPS))


def encode_video(pictures: Iterable[Image], format_: str = "mp4", codec: str = "libx264") -> bytes:
    """Return a video of the pictures, ``FPS`` a second."""
    file = io.BytesIO()
    with av.open(file, "w", format=format_) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return file.getvalue()


@cache
def _scene() -> DrivingScene:
    return DrivingScene(Look(Place.HIGHWAY, Light.DAY, Weather.CLEAR, 201, 27))


def _picture(kind: str, seconds: float) -> Image:
    if kind == "garden":
        picture = np.full((360, 640, 3), (60, 160, 70), np.uint8)
        cv2.circle(picture, (100 + round(seconds * 40), 200), 40, (40, 40, 220), -1)
        return picture
    since = max(0.0, seconds - INCIDENT_MS / 1000)
    if kind == "stop":
        # One second of even braking to a standstill.
        seconds = seconds - since + min(since, 1) - min(since, 1) ** 2 / 2
    picture = _scene().frame(0 if kind == "parked" else seconds)
    if kind == "cut_in" and since > 0:
        cv2.rectangle(picture, (242, 190), (398, 284), (90, 80, 70), -1)
        cv2.rectangle(picture, (246, 276), (394, 288), (10, 10, 10), -1)
        for left in (252, 370):
            cv2.rectangle(picture, (left, 226), (left + 18, 236), (20, 20, 220), -1)
    return picture
