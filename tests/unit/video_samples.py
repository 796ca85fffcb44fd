"""Small real videos for tests. The grey level of frame ``i`` tells its number: ``8 + 4 * (i % 60)``."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = 4


def grey_level(number: int) -> int:
    return 8 + STEP * (number % 60)


def frame_number(image) -> int:
    """Which frame (modulo 60) an image shows."""
    return round((float(np.asarray(image.convert("L"), dtype=float).mean()) - 8) / STEP)


def write_video(
    path: Path,
    frames: int = 50,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: list[Fraction] | None = None,
    audio: bool = False,
    container_options: dict[str, str] | None = None,
    container_format: str | None = None,
    size: tuple[int, int] = (96, 64),
) -> Path:
    """Encode a video whose frames carry their number; ``times`` (seconds) make its rate variable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container_format, container_options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = out.add_stream("aac", rate=16000) if audio else None
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), grey_level(number), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = int(times[number] * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 16000
            for packet in [*sound.encode(silence), *sound.encode()]:
                out.mux(packet)
    return path
