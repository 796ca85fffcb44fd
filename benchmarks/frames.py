"""Frames of videos: CPU seconds (all processes) against the seed's ffprobe and ``ffmpeg -vf fps=``.

Draws its videos and runs its baselines itself, with the ``ffmpeg`` of the machine. Prints one JSON line per
benchmark: ``ratio`` is baseline / ours. ``--quick`` takes shorter videos.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from airflow_provider_drivepipe.worker.frames import FrameJob, extract_frames

ROOT = "oss://oss-cn-x.aliyuncs.com/bucket"
BATCH = 4
"""Videos per call of the worker's function, the default of scenarios."""


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def draw(path: Path, seconds: int, size: str, codec: str, gop: int) -> Path:
    """Encode a moving picture with noise at 30 frames per second, 8 Mbit/s at 1080p."""
    picture = f"testsrc2=size={size}:rate=30:duration={seconds},noise=alls=10:allf=t"
    speed = {
        "libx264": ("-preset", "veryfast", "-sc_threshold", "0"),
        "libx265": ("-preset", "ultrafast", "-x265-params", "log-level=none:scenecut=0:bframes=3:open-gop=0"),
    }[codec]
    rate = "8M" if size == "1920x1080" else "500k"
    run(
        "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p",
        "-c:v", codec, *speed, "-g", str(gop), "-keyint_min", str(gop), "-b:v", rate, str(path),
    )  # fmt: skip
    return path


def cpu_seconds(work: Callable[[], None]) -> float:
    """Return the CPU seconds of ``work`` in a process of its own, with all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        try:
            with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
                work()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise RuntimeError("a benchmark failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(folder: Path, names: list[str], fps: str | None, count: int | None, rule: str) -> None:
    job = FrameJob(
        oss_root=ROOT,
        mount_path=str(folder),
        output_prefix="ours",
        fps=fps,
        sample_count=count,
        sampling_rule=rule,
        jpeg_quality=90,
        timeout_sec=600,
        lineage=(),
    )
    for start in range(0, len(names), BATCH):
        paths = [f"{ROOT}/{name}" for name in names[start : start + BATCH]]
        videos = pd.DataFrame({"video_path": paths, "attempt": 1, "fingerprint": "f"})
        assert set(extract_frames(videos, job)["status"]) == {"ok"}


def seed(folder: Path, names: list[str], fps: str) -> None:
    """Do what the seed's script does: ask ffprobe for the duration, then decode everything."""
    for name in names:
        source, frames = str(folder / name), folder / "seed" / name
        frames.mkdir(parents=True, exist_ok=True)
        run("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", source)
        run(
            "ffmpeg", "-v", "error", "-y", "-i", source, "-vf", f"fps={fps}", "-q:v", "2",
            "-start_number", "0", str(frames / "%04d.jpg"),
        )  # fmt: skip


def report(
    name: str,
    folder: Path,
    videos: list[str],
    baseline_fps: str,
    fps: str | None = "1",
    count: int | None = None,
    rule: str = "at_time",
) -> None:
    # In turns: other load on the machine meets both alike.
    pairs = [
        (
            cpu_seconds(lambda: seed(folder, videos, baseline_fps)),
            cpu_seconds(lambda: ours(folder, videos, fps, count, rule)),
        )
        for _ in range(2)
    ]
    baseline, own = (min(column) / len(videos) for column in zip(*pairs, strict=True))
    line = {"name": name, "ratio": round(baseline / own, 2), "ours": round(own, 4)}
    print(json.dumps({**line, "baseline": round(baseline, 4), "unit": "CPU s per video"}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="videos of 20 s instead of 60")
    seconds = 20 if parser.parse_args().quick else 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for gop in (30, 60, 250):
            draw(folder / f"h264_{gop}.mp4", seconds, "1920x1080", "libx264", gop)
            report(f"frames_1fps_h264_gop{gop}", folder, [f"h264_{gop}.mp4"], "1")
        draw(folder / "hevc_60.mp4", seconds, "1920x1080", "libx265", 60)
        report("frames_1fps_hevc_gop60", folder, ["hevc_60.mp4"], "1")
        report("frames_n8", folder, ["h264_60.mp4"], f"8/{seconds}", fps=None, count=8)
        report("frames_ffmpeg_choice", folder, ["h264_60.mp4"], "1", rule="nearest")
        short = [f"short_{number}.mp4" for number in range(40)]
        for video in short:
            draw(folder / video, 2, "320x180", "libx264", 60)
        report("frames_short_videos", folder, short, "1")


if __name__ == "__main__":
    main()
