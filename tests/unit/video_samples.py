"""Small real videos for tests. The grey level of frame ``i`` tells its number: ``8 + 4 * (i % 60)``."""

from __future__ import annotations

from collections.abc import Callable
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


def plain(number: int, width: int, height: int) -> np.ndarray:
    """A picture that compresses to nothing."""
    return np.full((height, width, 3), grey_level(number), np.uint8)


def detailed(number: int, width: int, height: int) -> np.ndarray:
    """A picture of the same mean brightness whose every byte matters to later ones."""
    noise = np.random.default_rng(number).integers(-8, 9, (height // 2, width, 1))
    noise = np.concatenate([noise, -noise])
    return (plain(number, width, height) + noise).clip(0, 255).astype(np.uint8)


def write_video(
    path: Path,
    frames: int = 50,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: list[Fraction] | None = None,
    audio: bool | str = False,
    container_options: dict[str, str] | None = None,
    container_format: str | None = None,
    size: tuple[int, int] = (96, 64),
    picture: Callable[[int, int, int], np.ndarray] = plain,
    second_video: bool = False,
    pix_fmt: str = "yuv420p",
) -> Path:
    """Encode a video whose frames carry their number; ``times`` (seconds) make its rate variable.

    ``audio`` adds silence, in AAC or the codec of this name, ``second_video`` another, white video stream.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container_format, container_options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = out.add_stream(audio if isinstance(audio, str) else "aac", rate=16000) if audio else None
        white = out.add_stream("libx264", rate=rate) if second_video else None
        if white is not None:
            white.width, white.height, white.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            if times:
                frame.pts, frame.time_base = int(times[number] * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
            if white is not None:
                blank = np.full((size[1], size[0], 3), 255, np.uint8)
                out.mux(white.encode(av.VideoFrame.from_ndarray(blank, format="rgb24")))
        out.mux(stream.encode())
        if white is not None:
            out.mux(white.encode())
        if sound is not None:
            _write_silence(out, sound)
    return path


def write_audio(path: Path) -> Path:
    """Encode a file that holds sound only."""
    with av.open(str(path), "w", format="mp4") as out:
        _write_silence(out, out.add_stream("aac", rate=16000))
    return path


def _write_silence(out, stream) -> None:
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
    silence.sample_rate = 16000
    for packet in [*stream.encode(silence), *stream.encode()]:
        out.mux(packet)


QUARTER_TURN = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
"""Display matrix of a camera held on its side: the picture is to be turned 90 degrees clockwise."""


def set_display_matrix(path: Path, matrix: tuple[int, ...]) -> None:
    """Replace the display matrix of an MP4's first track, which encoders write into its ``tkhd`` box."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)


def media_range(path: Path) -> tuple[int, int]:
    """First and last byte position of the first video stream's packets."""
    with av.open(str(path)) as container:
        positions = [(p.pos, p.pos + p.size) for p in container.demux(video=0) if p.size]
    return min(start for start, _ in positions), max(end for _, end in positions)


def damage(path: Path, start: int, length: int) -> None:
    """Overwrite bytes with zeros, as a lost block of a disk or an upload would."""
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)


def remux(source: Path, target: Path, shift: Fraction, container_format: str | None = None) -> Path:
    """Copy the packets of a video, all times moved by so many seconds; they may become negative."""
    options = {"avoid_negative_ts": "disabled"}
    with (
        av.open(str(source)) as read,
        av.open(str(target), "w", format=container_format, container_options=options) as out,
    ):
        stream = read.streams.video[0]
        copied = out.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.size:
                ticks = int(shift / stream.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = copied
                out.mux(packet)
    return target


def join(target: Path, *parts: Path) -> Path:
    """Join files byte by byte."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target
