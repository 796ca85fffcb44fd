"""Which frames are picked, and what a broken video is called."""

from fractions import Fraction

import av
import numpy as np
import pytest

from airflow_provider_drivepipe.worker.video import VideoError, read_samples
from tests.unit.video_samples import frame_number, write_video


def pick(path, fps="1", sample_count=None, rule="at_time"):
    found = []
    count = read_samples(str(path), fps, sample_count, rule, found.append)
    assert count == len(found)
    assert [s.index for s in found] == list(range(count))
    return [(frame_number(s.image), s.time_ms) for s in found]


@pytest.mark.parametrize(
    "encoding",
    [
        {"options": {"g": "25", "bf": "3"}},
        {"options": {"g": "250", "bf": "0"}},
        {"audio": True},
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
        {"container_format": "mpegts"},
        {"container_format": "matroska"},
        {"codec": "mpeg4"},
    ],
    ids=["b-frames", "one-gop", "audio", "fragmented", "mpegts", "mkv", "mpeg4"],
)
def test_frame_on_screen_at_each_second(tmp_path, encoding):
    path = write_video(tmp_path / "v.mp4", frames=55, **encoding)
    assert pick(path) == [(0, 0), (25, 1000), (50, 2000)]


def test_avi_with_b_frames_goes_by_order(tmp_path):
    path = write_video(tmp_path / "v.avi", frames=55, codec="mpeg4", options={"bf": "2", "b": "9000000"})
    assert [n for n, _ in pick(path)] == [0, 25, 50]


def test_nearest_is_what_ffmpegs_fps_filter_picks(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=50)
    assert pick(path, rule="nearest") == [(12, 480), (37, 1480)]


def test_slow_rates_and_ntsc(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=59, rate=Fraction(30000, 1001))
    assert pick(path, fps="1/2") == [(0, 0)]
    # Frame 30 comes at 1001 ms: at one second, frame 29 is on screen.
    assert pick(path) == [(0, 0), (29, 968)]


def test_variable_rate_goes_by_presentation_times(tmp_path):
    times = [Fraction(t, 10) for t in (0, 1, 2, 9, 12, 25, 26, 30)]
    path = write_video(tmp_path / "v.mp4", frames=8, times=times, options={"bf": "0"})
    assert pick(path)[:3] == [(0, 0), (3, 900), (4, 1200)]


def test_by_count_takes_middles_of_equal_parts(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=50)
    assert [n for n, _ in pick(path, fps=None, sample_count=4)] == [6, 18, 31, 43]


@pytest.mark.parametrize("frames", [1, 3])
def test_a_readable_video_gives_at_least_one_frame(tmp_path, frames):
    assert pick(write_video(tmp_path / "v.mp4", frames=frames), rule="nearest") != []
    assert pick(tmp_path / "v.mp4", fps="1/10") == [(0, 0)]


def test_high_rate_repeats_no_time_and_ends_with_the_video(tmp_path):
    found = pick(write_video(tmp_path / "v.mp4", frames=10), fps="25")
    assert [n for n, _ in found] == list(range(10))


def reason(path):
    with pytest.raises(VideoError) as caught:
        pick(path)
    assert str(path.parent) not in str(caught.value)
    return caught.value.reason


def test_reasons(tmp_path):
    good = write_video(tmp_path / "v.mp4").read_bytes()
    cases = {
        "empty_file": b"",
        "not_a_video": b"just some text\n" * 50,
        "truncated": good[: len(good) // 2],
    }
    for expected, content in cases.items():
        path = tmp_path / f"{expected}.mp4"
        path.write_bytes(content)
        assert reason(path) == expected
    assert reason(tmp_path / "nothing.mp4") == "not_found"


def test_file_that_ends_long_before_its_index_says_is_truncated(tmp_path):
    path = write_video(
        tmp_path / "v.mp4", frames=250, container_options={"movflags": "faststart"}, options={"qp": "0"}
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    assert reason(path) == "truncated"


def test_audio_alone_has_no_video_stream(tmp_path):
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        sound = out.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 16000
        for packet in [*sound.encode(silence), *sound.encode()]:
            out.mux(packet)
    assert reason(path) == "no_video_stream"
