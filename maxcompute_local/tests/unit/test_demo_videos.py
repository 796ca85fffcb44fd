"""The demo's videos: what is promised as data, what is drawn, what is encoded."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from maxcompute_local.samples import driving_videos as demo_videos
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene
from maxcompute_local.samples.driving_videos import DEMO_VIDEOS, DemoVideo, write_demo_videos, write_video

SHORT = DemoVideo("a/front.mp4", "day", 2.0, fps=25, look=Look(Place.RURAL, Light.DAY, Weather.CLEAR, 5, 15))


def test_the_set_has_what_the_demo_is_about() -> None:
    assert len({video.key for video in DEMO_VIDEOS}) == len(DEMO_VIDEOS)
    drawn = [video for video in DEMO_VIDEOS if video.look is not None]
    assert len({video.name for video in drawn}) < len(drawn)
    assert {video.look.light for video in drawn if video.look} == set(Light)
    assert {Weather.RAIN, Weather.FOG} <= {video.look.weather for video in drawn if video.look}
    for video in drawn:
        assert 10 <= video.duration_sec <= 20
        assert video.fps in (25, 30)
        assert video.expected_error is None
    broken = [video.expected_error for video in DEMO_VIDEOS if video.look is None]
    assert sorted(filter(None, broken)) == ["empty_file", "not_a_video", "truncated"]


def test_same_scene_same_pictures_and_they_move() -> None:
    assert SHORT.look is not None
    first, again = (list(DrivingScene(SHORT.look).frames(3, 25)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape == (360, 640, 3)
    later = DrivingScene(SHORT.look).frame(1.0)
    assert np.abs(first[0].astype(int) - later)[170:330].mean() > 5


def test_whole_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawing all six takes half a minute of computing; the shape of the set is tested with two short ones.
    short = [DemoVideo(f"{name}/front.mp4", "day", 1.0, look=SHORT.look) for name in "ab"]
    broken = [video for video in DEMO_VIDEOS if video.look is None]
    monkeypatch.setattr(demo_videos, "DEMO_VIDEOS", (*short, *broken))
    videos = write_demo_videos(tmp_path, processes=1)
    assert videos == [*short, *broken]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.mp4")) == sorted(
        video.key for video in videos
    )
    truncated, empty, text = (tmp_path / video.key for video in broken)
    assert empty.stat().st_size == 0
    assert text.read_text().startswith("Trip G")
    cut = truncated.read_bytes()
    assert b"ftyp" in cut[:16]
    assert b"mdat" in cut
    assert b"moov" not in cut
    for path in (truncated, text):
        with pytest.raises(av.error.InvalidDataError):
            av.open(str(path))


def test_an_interrupted_drawing_goes_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    short = [DemoVideo(f"{name}/front.mp4", "day", 1.0, look=SHORT.look) for name in "ab"]
    broken = [video for video in DEMO_VIDEOS if video.look is None]
    monkeypatch.setattr(demo_videos, "DEMO_VIDEOS", (*short, *broken))
    kept, missing = (tmp_path / video.key for video in short)
    kept.parent.mkdir()
    write_video(kept, short[0])
    before = kept.stat().st_mtime_ns
    missing.parent.mkdir()
    missing.with_suffix(".part").write_bytes(b"half a video")
    assert demo_videos.missing_videos(tmp_path) == [short[1]]
    write_demo_videos(tmp_path, processes=1, report=demo_videos.say_progress)
    assert kept.stat().st_mtime_ns == before
    assert demo_videos.missing_videos(tmp_path) == []
    assert list(tmp_path.rglob("*.part")) == []
    assert sum(map(float, capfd.readouterr().out.split())) == short[1].effort


def test_encoding(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, SHORT)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 640, 360)
        assert stream.average_rate == Fraction(25)
        times, keys, digest = [], [], hashlib.sha256()
        for frame in container.decode(stream):
            times.append(frame.pts * frame.time_base)
            if frame.key_frame:
                keys.append(times[-1])
            digest.update(frame.to_ndarray().tobytes())
    assert times == [Fraction(index, 25) for index in range(50)]
    assert keys[0] == 0
    assert max(b - a for a, b in zip(keys, [*keys[1:], Fraction(2)], strict=True)) <= 2
    write_video(tmp_path / "again.mp4", SHORT)
    again = hashlib.sha256()
    with av.open(str(tmp_path / "again.mp4")) as container:
        for frame in container.decode(video=0):
            again.update(frame.to_ndarray().tobytes())
    assert again.digest() == digest.digest()
