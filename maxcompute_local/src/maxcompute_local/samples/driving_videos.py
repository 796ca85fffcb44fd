"""The demo's videos: real H.264 files that look like driving, and three that are broken on purpose."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import av
import cv2

from maxcompute_local.samples.driving.look import HEIGHT, WIDTH, Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene


@dataclass(frozen=True)
class DemoVideo:
    """A file of the demo: its object key, what it shows, and what must become of it."""

    key: str
    kind: str
    """For people, e.g. ``day, highway``."""
    duration_sec: float
    """Playing time; 0 where nothing can be played."""
    fps: int = 25
    look: Look | None = None
    """What is drawn; None for a file that holds no drawing."""
    expected_error: str | None = None
    """``error_type`` that frame extraction must report, None when all frames must come out."""

    @property
    def name(self) -> str:
        """File name without folders."""
        return self.key.rpartition("/")[2]

    @property
    def effort(self) -> float:
        """How much there is to draw, in frames of a plain scene; lamps and rain cost more."""
        if self.look is None:
            return 0
        lamps = self.look.light is not Light.DAY or self.look.weather is Weather.RAIN
        return self.duration_sec * self.fps * (1.6 if lamps else 1.0)


_DAY = "trips/2026-11-20"

DEMO_VIDEOS: tuple[DemoVideo, ...] = (
    DemoVideo(
        f"{_DAY}/tripA/front.mp4",
        "day, highway",
        14,
        look=Look(Place.HIGHWAY, Light.DAY, Weather.CLEAR, seed=1, speed=27),
    ),
    DemoVideo(
        f"{_DAY}/tripB/front.mp4",
        "night, city street",
        10,
        look=Look(Place.CITY, Light.NIGHT, Weather.CLEAR, seed=4, speed=11),
    ),
    DemoVideo(
        f"{_DAY}/tripC/dusk_highway.mp4",
        "dusk, highway",
        10,
        fps=30,
        look=Look(Place.HIGHWAY, Light.DUSK, Weather.CLEAR, seed=3, speed=25),
    ),
    DemoVideo(
        f"{_DAY}/tripD/rain_city.mp4",
        "day, rain, city street",
        10,
        look=Look(Place.CITY, Light.DAY, Weather.RAIN, seed=6, speed=10),
    ),
    DemoVideo(
        f"{_DAY}/tripE/fog_country_road.mp4",
        "day, fog, country road",
        10,
        look=Look(Place.RURAL, Light.DAY, Weather.FOG, seed=8, speed=14),
    ),
    DemoVideo(
        f"{_DAY}/tripF/day_city.mp4",
        "day, city street",
        10,
        look=Look(Place.CITY, Light.DAY, Weather.CLEAR, seed=2, speed=11),
    ),
    DemoVideo(f"{_DAY}/tripG/truncated.mp4", "cut off before its index", 0, expected_error="truncated"),
    DemoVideo(f"{_DAY}/tripG/empty.mp4", "no bytes at all", 0, expected_error="empty_file"),
    DemoVideo(f"{_DAY}/tripG/notes.mp4", "text named like a video", 0, expected_error="not_a_video"),
)


def write_demo_videos(
    folder: Path, processes: int | None = None, report: Callable[[float], None] | None = None
) -> list[DemoVideo]:
    """Draw and encode the demo videos that are not there yet, below ``folder`` at their keys.

    Takes 15 to 40 seconds on two cores.

    :param processes: the number of cores if not given, at most four.
    :param report: called in these processes with what was drawn since the last time, of
        :attr:`DemoVideo.effort`.
    """
    drawn = missing_videos(folder)
    for video in DEMO_VIDEOS:
        (folder / video.key).parent.mkdir(parents=True, exist_ok=True)
    workers = max(1, min(processes or min(os.cpu_count() or 1, 4), len(drawn)))
    # Spawned, not forked: OpenCV's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        # The slow ones (lamps, rain) first, so that no process ends long after the others.
        slow_first = sorted(drawn, key=lambda video: video.effort, reverse=True)
        paths = [folder / video.key for video in slow_first]
        list(pool.map(write_video, paths, slow_first, repeat(report)))
    _write_broken(folder)
    return list(DEMO_VIDEOS)


def missing_videos(folder: Path) -> list[DemoVideo]:
    """Return the videos that are still to be drawn below ``folder``."""
    return [video for video in DEMO_VIDEOS if video.look is not None and not (folder / video.key).exists()]


def say_progress(effort: float) -> None:
    """Tell a parent process on standard output what was drawn."""
    sys.stdout.write(f"{effort}\n")
    sys.stdout.flush()


def write_video(path: Path, video: DemoVideo, report: Callable[[float], None] | None = None) -> None:
    """Draw and encode one video: H.264 in MP4, a key frame each second; there when it is whole."""
    if video.look is None:
        raise ValueError(f"nothing to draw for {video.key}")
    cv2.setNumThreads(1)
    frames = round(video.duration_sec * video.fps)
    unfinished = path.with_suffix(".part")
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=video.fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = video.fps
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "23"}
        for number, picture in enumerate(DrivingScene(video.look).frames(frames, video.fps), start=1):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            container.mux(stream.encode(frame))
            if report is not None and number % video.fps == 0:
                report(video.effort * video.fps / frames)
        container.mux(stream.encode())
    unfinished.replace(path)


def _write_broken(folder: Path) -> None:
    whole = (folder / DEMO_VIDEOS[0].key).read_bytes()
    truncated, empty, text = (folder / video.key for video in DEMO_VIDEOS if video.look is None)
    truncated.write_bytes(_without_index(whole))
    empty.write_bytes(b"")
    text.write_text("Trip G: the camera was switched off, so there is no recording.\n" * 40)


def _without_index(mp4: bytes) -> bytes:
    """Cut an MP4 file in the middle of its ``mdat`` box, as a lost connection would: no ``moov`` follows."""
    start = mp4.index(b"mdat") - 4
    size = int.from_bytes(mp4[start : start + 4], "big")
    if b"moov" in mp4[:start]:
        raise ValueError("the index comes before the data: cutting the end would not remove it")
    return mp4[: start + size * 3 // 5]
