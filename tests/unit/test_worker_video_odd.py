"""Odd files: every sampling rule against a full decode, by picture, and against ffmpeg's own choice."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.timeline import Sampling
from airflow_provider_drivepipe.worker.video import decode_samples
from tests.unit.video_samples import STEP, frame_number, join, remux, write_video

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
B_FRAMES = {"g": "20", "bf": "2", "sc_threshold": "0"}
LOW_DELAY = {"g": "20", "bf": "0", "sc_threshold": "0"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
X265 = "log-level=none:keyint=20:bframes=3:scenecut=0:crf=5:pools=1:frame-threads=1"
SVT = {"preset": "12", "crf": "10", "g": "20", "svtav1-params": "lp=1"}
VARIABLE = [Fraction(i, 25) + Fraction(i % 3, 100) for i in range(55)]
STALLS = [Fraction(i, 25) + (Fraction(17, 10) if i >= 20 else 0) + (2 if i >= 40 else 0) for i in range(55)]


def written(**encoding) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        return write_video(folder / "v", **{"frames": 55, "container_format": "mp4", **encoding})

    return build


def moved(shift: Fraction, container_format: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        source = write_video(folder / "source.mp4", frames=55, options=B_FRAMES)
        return remux(source, folder / "v", shift, container_format)

    return build


def late(folder: Path) -> Path:
    """Sound from the start, the first picture after 0.7 seconds."""
    times = [Fraction(i, 25) + Fraction(7, 10) for i in range(55)]
    return write_video(
        folder / "v", frames=55, times=times, options=LOW_DELAY, audio="flac", container_format="matroska"
    )


CORPUS: dict[str, Callable[[Path], Path]] = {
    "variable-rate": written(times=VARIABLE, options=LOW_DELAY),
    "variable-rate-mkv": written(times=VARIABLE, options=B_FRAMES, container_format="matroska"),
    "stalls": written(times=STALLS, options=LOW_DELAY),
    "stalls-ts": written(times=STALLS, options=LOW_DELAY, container_format="mpegts"),
    "ntsc": written(rate=Fraction(30000, 1001), options=B_FRAMES),
    "edit-list": moved(Fraction(-1, 2), "mp4"),
    "starts-late": moved(Fraction(7), "mpegts"),
    "clock-wraps": moved(Fraction((1 << 33) - 90_000, 90_000), "mpegts"),
    "picture-after-sound": late,
    "fragmented-with-sound": written(options=B_FRAMES, audio=True, container_options=FRAGMENTED),
    "ts-with-sound": written(options=B_FRAMES, audio=True, container_format="mpegts"),
    "flv": written(options=B_FRAMES, container_format="flv"),
    "avi-b-frames": written(codec="mpeg4", options={"bf": "2", "b": "9M"}, container_format="avi"),
    "avi-b-frames-with-sound": written(
        codec="mpeg4", options={"bf": "2", "b": "9M"}, container_format="avi", audio=True
    ),
    "avi-h264": written(options=B_FRAMES, container_format="avi"),
    "open-gop": written(options={**B_FRAMES, "x264-params": "open-gop=1"}),
    "open-gop-ts": written(options={**B_FRAMES, "x264-params": "open-gop=1"}, container_format="mpegts"),
    "hevc-open-gop-ts": written(
        codec="libx265", options={"x265-params": X265 + ":open-gop=1"}, container_format="mpegts"
    ),
    "ten-bit": written(options=B_FRAMES, pix_fmt="yuv420p10le"),
    "4:2:2": written(options=B_FRAMES, pix_fmt="yuv422p"),
    "4:4:4": written(options=B_FRAMES, pix_fmt="yuv444p"),
    "full-range": written(options=B_FRAMES, pix_fmt="yuvj420p"),
    "vp9": written(codec="libvpx-vp9", options={"deadline": "realtime"}, container_format="webm"),
    "av1": written(codec="libsvtav1", options=SVT),
    "mjpeg": written(codec="mjpeg", pix_fmt="yuvj420p", container_format="avi"),
    "mpeg2-ts": written(codec="mpeg2video", options={"bf": "2", "b": "9M"}, container_format="mpegts"),
    "mpeg4": written(codec="mpeg4", options={"bf": "2", "b": "9M"}),
    "two-videos": written(options=B_FRAMES, second_video=True),
    "one-frame": written(frames=1),
}


def samples(path: Path, fps: str | None, count: int | None, rule: str) -> list:
    found = sorted(decode_samples(str(path), Sampling.of(fps, count, rule)), key=lambda s: s.index)
    assert [s.index for s in found] == list(range(len(found)))
    return found


def numbers(path: Path, fps: str | None, rule: str, count: int | None = None) -> list[int]:
    return [frame_number(s.image) for s in samples(path, fps, count, rule)]


def chosen_by_ffmpeg(path: Path, fps: str) -> list[int]:
    """Return the frame numbers that ``ffmpeg -vf fps=`` writes."""
    command = [FFMPEG, "-v", "quiet", "-threads", "1", "-i", str(path), "-map", "0:v:0"]
    command += ["-vf", f"fps={fps},scale=96:64", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False).stdout
    pictures = np.frombuffer(raw, np.uint8).reshape(-1, 64 * 96 * 3)
    return [round((float(picture.mean()) - 8) / STEP) for picture in pictures]


class Decoded:
    """Every frame of a video as PyAV decodes it in order: its time since the first one, and its pixels."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            is_timed = container.format.name != "avi"
            frame = 1 / Fraction(stream.average_rate or 25)
            times = [Fraction(f.pts * f.time_base) if is_timed else i * frame for i, f in enumerate(frames)]
            self.pixels = [f.to_image().tobytes() for f in frames]
            self.last = Fraction(frames[-1].duration * stream.time_base) or frame
        self.times = [time - times[0] for time in times]
        self.duration = self.times[-1] + self.last

    def at(self, time: Fraction) -> bytes:
        shown = [p for t, p in zip(self.times, self.pixels, strict=True) if t <= time + Fraction(1, 2000)]
        return shown[-1]


@pytest.fixture(scope="module", params=CORPUS)
def odd(request, tmp_path_factory) -> Path:
    return CORPUS[request.param](tmp_path_factory.mktemp("odd"))


def test_frame_on_screen_at_each_time(odd):
    decoded = Decoded(odd)
    for fps in ("1", "7/2", "25"):
        found = samples(odd, fps, None, "at_time")
        expected = [decoded.at(Fraction(k) / Fraction(fps)) for k in range(len(found))]
        assert [s.image.tobytes() for s in found] == expected
        ends = decoded.duration - decoded.last
        assert len(found) / Fraction(fps) > ends >= (len(found) - 1) / Fraction(fps) - decoded.last


def test_decoders_side_by_side_give_the_same_pictures(odd):
    sampling = Sampling.of("7/2", None, "at_time")
    one, two = (
        {
            s.index: (s.time_ms, s.image.tobytes())
            for s in decode_samples(str(odd), sampling, decoders=decoders)
        }
        for decoders in (1, 2)
    )
    assert one == two


def test_spread_frames_are_middles_of_equal_parts(odd):
    decoded = Decoded(odd)
    middles = [Fraction(2 * i + 1, 8) * decoded.duration for i in range(4)]
    assert [s.image.tobytes() for s in samples(odd, None, 4, "at_time")] == [decoded.at(t) for t in middles]


def test_nearest_is_what_ffmpeg_chooses(odd):
    for fps in ("1", "3", "10"):
        # A clip shorter than half an interval gives no frame there, but one here.
        assert numbers(odd, fps, "nearest") == (chosen_by_ffmpeg(odd, fps) or [0])


def test_key_frames_are_those_that_the_decoder_calls_so(odd):
    with av.open(str(odd)) as container:
        frames = list(container.decode(video=0))
    keys = [frame.to_image().tobytes() for frame in frames if frame.key_frame]
    found = samples(odd, "240", None, "keyframes")
    assert [s.image.tobytes() for s in found] == (keys or [frames[0].to_image().tobytes()])


# Several recordings in one file.

WITHOUT_LAST = [*range(48), 47, 49]
"""What is shown of a recording that another one follows: its last packet cannot be told from half a one, so
its frame (48) is left out, and the one before stands for it."""


def recording(folder: Path, name: str, **encoding) -> Path:
    return write_video(
        folder / name, **{"frames": 50, "options": B_FRAMES, "container_format": "mpegts", **encoding}
    )


def test_joined_recordings_have_one_clock(tmp_path):
    part = recording(tmp_path, "a")
    path = join(tmp_path / "v", part, part, part)
    found = samples(path, "1", None, "at_time")
    assert [(frame_number(s.image), s.time_ms) for s in found] == [
        (0, 0), (25, 1000), (0, 2000), (25, 3000), (0, 4000), (25, 5000)
    ]  # fmt: skip
    assert numbers(path, None, "at_time", count=6) == [12, 37] * 3
    assert numbers(path, "25", "at_time") == [*WITHOUT_LAST, *WITHOUT_LAST, *range(50)]


@pytest.mark.parametrize("fps", ["1", "3", "7"])
def test_nearest_in_joined_recordings_is_what_ffmpeg_chooses(tmp_path, fps):
    part = recording(tmp_path, "a")
    path = join(tmp_path / "v", part, part)
    chosen = chosen_by_ffmpeg(path, fps)
    if 48 in chosen[: len(chosen) // 2]:
        chosen[chosen.index(48)] = 47
    assert numbers(path, fps, "nearest") == chosen


@pytest.mark.parametrize("shift", [Fraction(1), Fraction(5000)], ids=["overlaps", "hours-later"])
def test_clock_of_the_next_recording_may_be_any(tmp_path, shift):
    part = recording(tmp_path, "a")
    path = join(tmp_path / "v", part, remux(part, tmp_path / "b", shift, "mpegts"))
    assert numbers(path, "1", "at_time") == [0, 25, 0, 25]


def test_next_recording_may_have_another_size(tmp_path):
    large = recording(tmp_path, "b", size=(160, 96))
    path = join(tmp_path / "v", recording(tmp_path, "a"), large, recording(tmp_path, "a"))
    found = samples(path, "1", None, "at_time")
    assert [frame_number(s.image) for s in found] == [0, 25] * 3
    assert [s.image.width for s in found] == [96, 96, 160, 160, 96, 96]


def test_next_recording_that_starts_within_a_group_of_pictures_starts_at_its_first_key_frame(tmp_path):
    part = recording(tmp_path, "a")
    cut = tmp_path / "cut"
    cut.write_bytes(part.read_bytes()[188 * 20 :])
    found = samples(join(tmp_path / "v", part, cut), "25", None, "at_time")
    shown = [frame_number(s.image) for s in found]
    assert shown[:50] == WITHOUT_LAST
    assert shown[-30:] == list(range(20, 50))
    assert set(shown[50:-30]) == {49}


def test_first_recording_that_was_cut_off_gives_no_half_pictures(tmp_path):
    part = recording(tmp_path, "a")
    content = part.read_bytes()
    for length in range(len(content) // 2, len(content) // 2 + 188 * 6, 188):
        cut = tmp_path / "cut"
        cut.write_bytes(content[:length])
        found = samples(join(tmp_path / "v", cut, part), "25", None, "at_time")
        shown = [frame_number(s.image) for s in found]
        start = len(shown) - 50
        assert shown[start:] == list(range(50))
        assert shown[:start] == sorted(shown[:start])


def test_joined_recordings_of_other_formats_are_refused(tmp_path):
    part = recording(tmp_path, "a", container_format="matroska")
    with pytest.raises(VideoError) as caught:
        samples(join(tmp_path / "v", part, part), "1", None, "at_time")
    assert caught.value.reason == "clock_restarts"
