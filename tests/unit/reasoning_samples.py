"""Videos and jobs for tests of what workers do for the reasoning family."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import pandas as pd

from tests.unit.video_samples import frame_number

ROOT = "oss://oss-cn-x.aliyuncs.com/bucket"
PREFIX = "pieces/ds=20261120/abc"


@dataclass(frozen=True)
class Shown:
    """What a clip shows: by frame, its time in milliseconds and its number (modulo 60)."""

    times_ms: list[int]
    numbers: list[int]
    size: tuple[int, int]
    codec: str
    audio_streams: int


def file_of(mount: Path, url: str) -> Path:
    assert url.startswith(f"{ROOT}/{PREFIX}/")
    return mount / url.removeprefix(f"{ROOT}/")


def watch(clip: Path | bytes) -> Shown:
    with av.open(io.BytesIO(clip if isinstance(clip, bytes) else clip.read_bytes())) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return Shown(
            [round(f.pts * f.time_base * 1000) for f in frames],
            [frame_number(f.to_image()) for f in frames],
            (stream.width, stream.height),
            stream.codec_context.name,
            len(container.streams.audio),
        )


def table(*paths, **columns) -> pd.DataFrame:
    values = {
        "video_path": pd.Series(list(paths), dtype=object),
        "etag": pd.Series(["E"] * len(paths), dtype=object),
        "size_bytes": 5,
        "attempt": 2,
        "fingerprint": "f",
    }
    return pd.DataFrame({**values, **columns})
