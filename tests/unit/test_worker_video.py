"""Which frames are picked, that they are decoded right, and what a broken video is called."""

import io
import os
import threading
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest

from airflow_provider_drivepipe.worker import media_file, video
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.timeline import Sampling
from airflow_provider_drivepipe.worker.video import decode_samples
from tests.unit.video_samples import (
    QUARTER_TURN,
    damage,
    detailed,
    frame_number,
    media_range,
    set_display_matrix,
    write_audio,
    write_video,
)

FASTSTART = {"movflags": "faststart"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
X265 = "log-level=none:keyint=25:bframes=4:scenecut=0:crf=5"


def samples(path, fps="1", sample_count=None, rule="at_time"):
    found = sorted(decode_samples(str(path), Sampling.of(fps, sample_count, rule)), key=lambda s: s.index)
    assert [s.index for s in found] == list(range(len(found)))
    return found


def pick(path, *args, **kwargs):
    return [(frame_number(s.image), s.time_ms) for s in samples(path, *args, **kwargs)]


def reason(path, **kwargs):
    with pytest.raises(VideoError) as caught:
        samples(path, **kwargs)
    assert str(path.parent) not in str(caught.value)
    assert len(str(caught.value)) < 200
    return caught.value.reason


ENCODINGS = {
    "b-frames": {"options": {"g": "25", "bf": "3"}},
    "one-gop": {"options": {"g": "250", "bf": "0"}},
    "open-gop": {"options": {"g": "20", "bf": "3", "crf": "5", "x264-params": "open-gop=1:b-pyramid=normal"}},
    "intra-refresh": {"options": {"intra-refresh": "1", "g": "25", "bf": "0"}},
    "hevc": {"codec": "libx265", "options": {"x265-params": X265 + ":open-gop=0"}},
    "hevc-open-gop": {"codec": "libx265", "options": {"x265-params": X265 + ":open-gop=1"}},
    "hevc-layers": {"codec": "libx265", "options": {"x265-params": X265 + ":temporal-layers=3"}},
    "audio": {"audio": True},
    "two-videos": {"second_video": True},
    "fragmented": {"container_options": FRAGMENTED},
    "mpegts": {"container_format": "mpegts"},
    "mkv": {"container_format": "matroska"},
    "avi-b-frames": {"container_format": "avi", "codec": "mpeg4", "options": {"bf": "2", "b": "9M"}},
    "raw-h264": {"container_format": "h264", "options": {"bf": "2"}},
    "mpeg4": {"codec": "mpeg4", "options": {"bf": "2", "b": "9M"}},
    "vp9": {"codec": "libvpx-vp9", "container_format": "webm", "options": {"deadline": "realtime"}},
}


@pytest.mark.parametrize("kept_bytes", [1 << 28, 0], ids=["kept", "read-twice"])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_frame_on_screen_at_each_second(tmp_path, monkeypatch, encoding, kept_bytes):
    monkeypatch.setattr(video, "KEPT_BYTES", kept_bytes)
    path = write_video(tmp_path / "v.mp4", frames=55, **encoding)
    assert pick(path) == [(0, 0), (25, 1000), (50, 2000)]
    assert pick(path, fps="1/2") == [(0, 0), (50, 2000)]
    with av.open(str(path)) as container:
        every_frame = [frame.to_image().tobytes() for frame in container.decode(video=0)]
    assert len(every_frame) == 55
    assert [s.image.tobytes() for s in samples(path, fps="25")] == every_frame


def filtered_by_ffmpeg(path, fps):
    """Frame numbers that ffmpeg's own ``fps`` filter picks."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        source = graph.add_buffer(template=stream)
        rate, sink = graph.add("fps", f"fps={fps}"), graph.add("buffersink")
        source.link_to(rate)
        rate.link_to(sink)
        graph.configure()
        for frame in container.decode(stream):
            graph.push(frame)
        graph.push(None)
        picked = []
        while True:
            try:
                picked.append(frame_number(graph.pull().to_image()))
            except (av.error.EOFError, av.error.BlockingIOError):
                return picked


@pytest.mark.parametrize("fps", ["1", "2", "3", "7", "5/2"])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)], ids=str)
def test_nearest_is_what_ffmpegs_fps_filter_picks(tmp_path, fps, rate):
    path = write_video(tmp_path / "v.mp4", frames=52, rate=rate)
    assert [n for n, _ in pick(path, fps, rule="nearest")] == filtered_by_ffmpeg(path, fps)


def test_ntsc_frame_that_comes_after_the_second_is_not_yet_on_screen(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=59, rate=Fraction(30000, 1001))
    assert pick(path) == [(0, 0), (29, 968)]


def test_times_rounded_to_milliseconds_still_count_as_on_time(tmp_path):
    path = write_video(tmp_path / "v.mkv", frames=31, rate=30)
    assert [n for n, _ in pick(path, fps="15")] == list(range(0, 31, 2))


def test_variable_rate_goes_by_presentation_times(tmp_path):
    times = [Fraction(t, 10) for t in (0, 1, 2, 9, 12, 25, 26, 30)]
    path = write_video(tmp_path / "v.mp4", frames=8, times=times, options={"bf": "0"})
    assert pick(path)[:3] == [(0, 0), (3, 900), (4, 1200)]


def test_clock_starts_at_the_first_frame(tmp_path):
    times = [Fraction(5) + Fraction(i, 25) for i in range(30)]
    path = write_video(tmp_path / "v.mkv", frames=30, times=times, options={"bf": "0"})
    assert pick(path) == [(0, 0), (25, 1000)]


def test_recording_that_starts_within_a_group_of_pictures(tmp_path):
    path = write_video(
        tmp_path / "v.ts", frames=58, options={"g": "25", "bf": "2", "sc_threshold": "0"}, picture=detailed
    )
    path.write_bytes(path.read_bytes()[188 * 30 :])
    assert [time for _, time in pick(path)] == [0, 1000]
    assert pick(path)[0][0] == 25


def test_by_count_takes_middles_of_equal_parts(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=50)
    assert [n for n, _ in pick(path, fps=None, sample_count=4)] == [6, 18, 31, 43]


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("rule", ["at_time", "nearest"])
def test_a_readable_video_gives_at_least_one_frame(tmp_path, frames, rule):
    path = write_video(tmp_path / "v.mp4", frames=frames)
    assert len(pick(path, rule=rule)) == 1
    assert len(pick(path, fps="1/10", rule=rule)) == 1
    assert len(pick(path, fps=None, sample_count=3, rule=rule)) == 3


def test_high_rate_repeats_no_time_and_ends_with_the_video(tmp_path):
    found = pick(write_video(tmp_path / "v.mp4", frames=10), fps="25")
    assert [n for n, _ in found] == list(range(10))


def test_only_the_way_to_wanted_frames_is_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", frames=100, options={"g": "25", "bf": "0", "sc_threshold": "0"})
    pyramid = {"g": "50", "bf": "3", "b_strategy": "0", "sc_threshold": "0", "x264-params": "b-pyramid=none"}
    with_b_frames = write_video(tmp_path / "b.mp4", frames=100, options=pyramid)
    decoded = []
    real = video._Decoder._decode

    def counted(*args):
        for frame in real(*args):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(video._Decoder, "_decode", counted)
    assert [n for n, _ in pick(path)] == [0, 25, 50, 15]
    assert len(decoded) == 4
    decoded.clear()
    assert [n for n, _ in pick(with_b_frames)] == [0, 25, 50, 15]
    # In each group the key frame, every fourth frame up to the one behind the wanted one, and that one.
    assert len(decoded) == 2 * (1 + 7 + 1)


@pytest.mark.parametrize("kept_bytes", [1 << 28, 0], ids=["kept", "read-twice"])
def test_each_decoder_holds_one_picture(tmp_path, monkeypatch, kept_bytes):
    monkeypatch.setattr(video, "KEPT_BYTES", kept_bytes)
    path = write_video(tmp_path / "v.mp4", frames=200, options={"g": "10", "bf": "2", "sc_threshold": "0"})
    together, made, most = threading.Barrier(2), [], []
    real = video._Decoder.picture

    def counted(*args):
        image = real(*args)
        made.append(weakref.ref(image))
        most.append(sum(each() is not None for each in list(made)))
        return image

    monkeypatch.setattr(video._Decoder, "picture", counted)

    def make(sample):
        # Only two threads that are at it at once get past this.
        together.wait(30)
        return sample.index, frame_number(sample.image)

    found = decode_samples(str(path), Sampling.of("5", None, "at_time"), make, decoders=2)
    assert sorted(found) == [(k, 5 * k % 60) for k in range(40)]
    assert max(most) == 2


def test_sample_takes_the_key_frame_that_is_near_enough(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", frames=100, options={"g": "30", "bf": "2", "sc_threshold": "0"})
    fed = []
    real = video._Packets.take

    def counted(*args):
        for packets in real(*args):
            yield (fed.append(packet) or packet for packet in packets)

    monkeypatch.setattr(video._Packets, "take", counted)

    def snapped(snap_ms):
        sampling = Sampling.of("1", None, "at_time", snap_ms)
        found = sorted(decode_samples(str(path), sampling), key=lambda s: s.index)
        return [(frame_number(s.image), s.time_ms) for s in found]

    # Key frames are 0, 30, 60, 90; samples at 0, 25, 50, 75.
    assert snapped(0) == pick(path)
    fed.clear()
    assert snapped(200) == [(0, 0), (30, 1200), (50, 2000), (15, 3000)]
    assert snapped(400) == [(0, 0), (30, 1200), (0, 2400), (15, 3000)]
    fed.clear()
    assert snapped(600) == [(0, 0), (30, 1200), (0, 2400), (0, 2400)]
    assert len(fed) == 3


def test_key_frames_are_decoded_and_nothing_else(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", frames=100, options={"g": "10", "bf": "2", "sc_threshold": "0"})
    fed = []
    real = video._Packets.take

    def counted(*args):
        for packets in real(*args):
            yield (fed.append(packet) or packet for packet in packets)

    monkeypatch.setattr(video._Packets, "take", counted)
    assert pick(path, fps="240", rule="keyframes") == [(n % 60, 40 * n) for n in range(0, 100, 10)]
    assert len(fed) == 10
    assert [n for n, _ in pick(path, rule="keyframes")] == [0, 30, 50, 20]
    assert [n for n, _ in pick(path, fps="1/2", rule="keyframes")] == [0, 50]


def test_key_frames_where_frames_have_to_be_counted(tmp_path):
    encoding = {"codec": "mpeg4", "options": {"g": "12", "bf": "2", "b": "9M"}, "container_format": "avi"}
    path = write_video(tmp_path / "v.avi", frames=50, **encoding)
    with av.open(str(path)) as container:
        keys = [i for i, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert len(keys) > 3
    assert [n for n, _ in pick(path, fps="240", rule="keyframes")] == keys


def halves(number, width, height):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = 200
    return picture


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_pixels_are_encoded_as_those_of_the_picture(tmp_path, image_format):
    [sample] = samples(write_video(tmp_path / "v.mp4", frames=1, picture=detailed, size=(98, 66)))
    encoded = [io.BytesIO(), io.BytesIO()]
    sample.pixels.save(encoded[0], image_format, quality=90)
    sample.image.save(encoded[1], image_format, quality=90)
    assert encoded[0].getvalue() == encoded[1].getvalue()


def test_picture_of_a_turned_camera_is_upright(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=3, picture=halves)
    set_display_matrix(path, QUARTER_TURN)
    [sample] = samples(path)
    assert sample.image.size == (64, 96)
    # Turned clockwise, what was bright on the left is at the top.
    pixels = np.asarray(sample.image.convert("L"))
    assert pixels[:40].mean() > 150
    assert pixels[-40:].mean() < 50


def test_cover_picture_is_no_video(tmp_path):
    sound = write_audio(tmp_path / "a.m4a")
    with av.open(str(tmp_path / "cover.m4a"), "w", format="mp4") as out, av.open(str(sound)) as source:
        copied = out.add_stream_from_template(source.streams.audio[0])
        cover = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux():
            if packet.size:
                packet.stream = copied
                out.mux(packet)
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        out.mux(cover.encode())
    assert reason(tmp_path / "cover.m4a") == "no_video_stream"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty_file"),
        (b"just some text\n" * 50, "not_a_video"),
        (os.urandom(4096), "not_a_video"),
        (b"\x00" * 4096, "not_a_video"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 64, "not_a_video"),
        (b"#EXTM3U\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n", "not_a_video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "not_a_video"),
    ],
    ids=["empty", "text", "garbage", "zeros", "picture", "playlist", "list-of-files"],
)
def test_files_that_are_no_video(tmp_path, content, expected):
    write_video(tmp_path / "other.mp4")
    (tmp_path / "v.mp4").write_bytes(content)
    assert reason(tmp_path / "v.mp4") == expected


def test_what_is_not_there_or_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "nothing") == "not_found"
    assert reason(tmp_path / "folder") == "not_found"
    assert reason(tmp_path / "pipe") == "not_found"
    assert reason(tmp_path / ("x" * 300)) == "not_found"


def test_object_that_may_not_be_read(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4")

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(media_file.pathlib.Path, "open", refuse)
    assert reason(path) == "access_denied"


def test_audio_alone_has_no_video_stream(tmp_path):
    assert reason(write_audio(tmp_path / "a.m4a")) == "no_video_stream"


CUT = {
    "index-at-end": ({}, 50),
    "header-only": ({}, 1),
    "index-first": ({"container_options": FASTSTART}, 60),
    "half-an-index": ({"container_options": FASTSTART}, 3),
    "fragmented": ({"container_options": FRAGMENTED}, 50),
    "mkv": ({"container_format": "matroska"}, 50),
    "avi": ({"container_format": "avi", "codec": "mpeg4"}, 50),
}


@pytest.mark.parametrize(("encoding", "percent"), CUT.values(), ids=CUT)
def test_file_that_was_cut_off_is_truncated(tmp_path, encoding, percent):
    path = write_video(tmp_path / "v.mp4", frames=100, picture=detailed, **encoding)
    assert len(samples(path)) == 4
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * percent // 100])
    assert reason(path) == "truncated"


def test_fragmented_file_that_was_cut_off_in_an_index_is_truncated(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=60, options={"g": "20"}, container_options=FRAGMENTED)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moof") + 20])
    assert reason(path) == "truncated"


PARTIAL = {
    "index-first": {"container_options": FASTSTART},
    "b-frames": {"container_options": FASTSTART, "options": {"g": "20", "bf": "3", "crf": "5"}},
    "hevc": {"container_options": FASTSTART, "codec": "libx265", "options": {"x265-params": X265}},
    "fragmented": {"container_options": FRAGMENTED, "options": {"g": "20", "bf": "3"}},
    "mkv": {"container_format": "matroska", "options": {"g": "20", "bf": "3"}},
    "avi": {"container_format": "avi", "codec": "mpeg4", "options": {"bf": "2", "b": "9M"}},
}


@pytest.mark.parametrize("encoding", PARTIAL.values(), ids=PARTIAL)
def test_whole_frames_of_a_file_that_was_cut_off(tmp_path, encoding):
    path = write_video(tmp_path / "v.mp4", frames=100, picture=detailed, **encoding)
    whole = {s.index: (s.time_ms, s.image.tobytes()) for s in samples(path, fps="25")}
    content = path.read_bytes()
    for percent in range(21, 85, 4):
        path.write_bytes(content[: len(content) * percent // 100])
        notes = []
        found = list(decode_samples(str(path), Sampling.of("25", None, "at_time"), note_cut=notes.append))
        # Bytes are spread evenly over the frames; the last of them cannot be told from half ones.
        assert percent - 12 < len(found) <= percent
        for sample in found:
            assert (sample.time_ms, sample.image.tobytes()) == whole[sample.index]
        assert "was cut off" in notes[0]


def test_hole_is_no_end(tmp_path):
    path = write_video(
        tmp_path / "v.mp4", frames=75, picture=detailed, options={"g": "25", "sc_threshold": "0"}
    )
    first, last = media_range(path)
    damage(path, (first + last) // 2, 600)
    notes = []
    with pytest.raises(VideoError, match="damaged data"):
        list(decode_samples(str(path), Sampling.of("25", None, "at_time"), note_cut=notes.append))
    assert notes == []


def test_last_moments_may_be_missing(tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=100, picture=detailed, container_options=FASTSTART)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 95 // 100])
    assert len(samples(path)) == 4


def test_sound_that_outlasts_the_picture_is_no_truncation(tmp_path):
    path = write_video(tmp_path / "v.mkv", frames=1, audio=True)
    assert len(samples(path)) == 1


@pytest.mark.parametrize(
    "encoding",
    [
        {"options": {"g": "25", "bf": "2", "sc_threshold": "0"}},
        {"codec": "libx265", "options": {"x265-params": X265 + ":open-gop=0"}},
    ],
    ids=["h264", "hevc"],
)
def test_hole_in_the_data_never_gives_a_wrong_picture(tmp_path, encoding):
    path = write_video(tmp_path / "v.mp4", frames=75, picture=detailed, **encoding)
    intact, content = [s.image.tobytes() for s in samples(path)], path.read_bytes()
    first, last = media_range(path)
    outcomes = set()
    for start in range(first, last - 600, (last - first) // 24):
        path.write_bytes(content)
        damage(path, start, 600)
        try:
            assert [s.image.tobytes() for s in samples(path)] == intact
            outcomes.add("harmless")
        except VideoError as error:
            outcomes.add(error.reason)
    assert outcomes == {"harmless", "decode_error"}


def test_clock_that_jumps_by_hours_is_not_believed(tmp_path):
    times = [Fraction(0), Fraction(1), Fraction(90_000), Fraction(90_001)]
    path = write_video(tmp_path / "v.mkv", frames=4, times=times, options={"bf": "0"})
    assert reason(path) == "invalid_duration"


@pytest.mark.parametrize("width", range(96, 112, 2))
def test_all_columns_of_any_width_are_converted(tmp_path, width):
    """FFmpeg converts eight pixels at a time, and leaves the last ones where a row has no room for them."""
    path = write_video(tmp_path / "v.mp4", frames=1, size=(width, 64))
    with av.open(str(path)) as container:
        whole = next(container.decode(video=0)).to_ndarray(format="rgb24")
    [sample] = samples(path)
    assert np.array_equal(np.asarray(sample.image), whole)
