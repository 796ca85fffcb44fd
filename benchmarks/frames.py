"""Frames of videos: CPU seconds (all processes) against the seed's ffprobe and ``ffmpeg -vf fps= -q:v 2``.

Draws its videos and runs its baselines itself, with the ``ffmpeg`` of the machine or of the package
imageio-ffmpeg. Prints one JSON line per benchmark: ``ratio`` is baseline / ours. ``--quick`` measures once
instead of three times.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from airflow_provider_drivepipe.worker.frames import FrameJob, extract_frames

ROOT = "oss://oss-cn-x.aliyuncs.com/bucket"
BATCH = 4
"""Videos per call of the worker's function, the default of scenarios."""
LOOPS = 7
"""How often the drawn frames, 8 seconds or one group of pictures, are repeated: about a minute."""


@functools.cache
def tool(name: str) -> str | None:
    """Return where ``ffmpeg`` or ``ffprobe`` is; None for an ffprobe that is not there."""
    found = shutil.which(name)
    if found or name == "ffprobe":
        return found
    try:
        wheel: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except ImportError:
        sys.exit("the baseline is ffmpeg, which is missing: install ffmpeg, or the package imageio-ffmpeg")
    return wheel


def run(name: str, *arguments: str) -> None:
    program = tool(name)
    if program is not None:
        subprocess.run(
            [program, "-v", "error", *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


def draw(
    path: Path, codec: str, gop: int, size: str = "1920x1080", frames: int = 240, loops: int = LOOPS
) -> str:
    """Encode a moving picture with noise at 30 frames per second, 8 Mbit/s at 1080p; return its name."""
    picture = f"testsrc2=size={size}:rate=30,noise=alls=10:allf=t"
    speed = {
        "libx264": ("-preset", "veryfast", "-sc_threshold", "0"),
        "libx265": ("-preset", "ultrafast", "-x265-params", "log-level=none:scenecut=0:bframes=3:open-gop=0"),
    }[codec]
    rate = "8M" if size == "1920x1080" else "500k"
    once = path.with_name(f"once_{path.name}")
    run(
        "ffmpeg", "-y", "-f", "lavfi", "-i", picture, "-frames:v", str(frames), "-pix_fmt", "yuv420p",
        "-c:v", codec, *speed, "-g", str(gop), "-keyint_min", str(gop), "-b:v", rate, str(once),
    )  # fmt: skip
    run("ffmpeg", "-y", "-stream_loop", str(loops - 1), "-i", str(once), "-c", "copy", str(path))
    once.unlink()
    return path.name


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Return CPU and wall seconds of ``work`` in a process of its own, with all that it starts."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
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
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - started


def ours(
    folder: Path,
    names: list[str],
    fps: str | None = "1",
    count: int | None = None,
    rule: str = "at_time",
    cpu: int = 1,
) -> None:
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
        cpu=cpu,
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
        run("ffprobe", "-show_entries", "format=duration", "-of", "csv=p=0", source)
        run(
            "ffmpeg", "-y", "-i", source, "-vf", f"fps={fps}", "-q:v", "2",
            "-start_number", "0", str(frames / "%04d.jpg"),
        )  # fmt: skip


class Bench:
    """Measures in ``folder``, the best of ``rounds``; other load on the machine meets all alike."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self._folder = folder
        self._rounds = rounds

    @functools.cache  # noqa: B019  (lives as long as the script)
    def baseline(self, fps: str, *videos: str) -> float:
        """Return the CPU seconds of the seed's way, measured once for the same videos and rate."""
        return self._best(lambda: measured(lambda: seed(self._folder, list(videos), fps))[0])

    def cpu(self, name: str, videos: list[str], baseline_fps: str = "1", **job: str | int | None) -> None:
        own = self._best(lambda: measured(lambda: ours(self._folder, videos, **job))[0])  # type: ignore[arg-type]
        self._report(name, self.baseline(baseline_fps, *videos), own, len(videos), "CPU s per video")

    def two_cores(self, name: str, videos: list[str]) -> None:
        """Report wall seconds with one core against two: of any worth only on a machine that is idle."""

        def wall(cpu: int) -> float:
            return measured(lambda: ours(self._folder, videos, cpu=cpu))[1]

        one, two = self._best(lambda: wall(1)), self._best(lambda: wall(2))
        self._report(name, one, two, len(videos), "wall s per video, one core : two")

    def _best(self, measure: Callable[[], float]) -> float:
        return min(measure() for _ in range(self._rounds))

    def _report(self, name: str, baseline: float, own: float, videos: int, unit: str) -> None:
        line = {"name": name, "ratio": round(baseline / own, 2), "ours": round(own / videos, 4)}
        print(json.dumps({**line, "baseline": round(baseline / videos, 4), "unit": unit}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure once instead of three times")
    rounds = 1 if parser.parse_args().quick else 3
    if tool("ffprobe") is None:
        print("there is no ffprobe: the baselines go without it", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder, rounds)
        for gop in (30, 60, 250):
            draw(folder / f"h264_{gop}.mp4", "libx264", gop, frames=max(240, gop))
            bench.cpu(f"frames_1fps_h264_gop{gop}", [f"h264_{gop}.mp4"])
        hevc = draw(folder / "hevc_60.mp4", "libx265", 60)
        bench.cpu("frames_1fps_hevc_gop60", [hevc])
        seconds = 8 * LOOPS
        bench.cpu("frames_n8", ["h264_60.mp4"], f"8/{seconds}", fps=None, count=8)
        bench.cpu("frames_n8_gop250", ["h264_250.mp4"], f"8/{seconds}", fps=None, count=8)
        bench.cpu("frames_keyframes", ["h264_60.mp4"], fps="30", rule="keyframes")
        bench.cpu("frames_ffmpeg_choice", ["h264_60.mp4"], rule="nearest")
        short = [
            draw(folder / f"short_{number}.mp4", "libx264", 60, "320x180", frames=60, loops=1)
            for number in range(24)
        ]
        bench.cpu("frames_short_videos", short)
        bench.two_cores("frames_two_cores", ["h264_60.mp4"])
        bench.two_cores("frames_two_cores_videos", ["h264_60.mp4", "h264_60.mp4"])


if __name__ == "__main__":
    main()
