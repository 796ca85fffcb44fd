"""Reading only what samples need: the frames and errors of reading in order, with less read."""

import io
import random

import av
import pytest

from airflow_provider_drivepipe.worker import mp4_index, video
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.timeline import Sampling
from airflow_provider_drivepipe.worker.video import decode_samples
from tests.unit.test_worker_video_odd import B_FRAMES, CORPUS, FRAGMENTED, LOW_DELAY, VARIABLE, written
from tests.unit.video_samples import damage, detailed, write_video

NEVER = 1 << 40
X265 = "log-level=none:keyint=20:bframes=3:scenecut=0:crf=5:pools=1:frame-threads=1"

SEEKING = {
    "b-frames": written(options=B_FRAMES),
    "hevc": written(codec="libx265", options={"x265-params": X265 + ":open-gop=0"}),
    "hevc-open-gop": written(codec="libx265", options={"x265-params": X265 + ":open-gop=1"}),
    "intra-refresh": written(options={"intra-refresh": "1", "g": "20", "bf": "0"}),
    "sound": written(options=B_FRAMES, audio=True),
    "starts-late": written(options=LOW_DELAY, times=[5 + time for time in VARIABLE]),
    "negative-offsets": written(options=B_FRAMES, container_options={"movflags": "negative_cts_offsets"}),
    "no-edit-list": written(options=B_FRAMES, container_options={"use_editlist": "0"}),
    "index-first": written(options=B_FRAMES, container_options={"movflags": "faststart"}),
    "mov": written(options=B_FRAMES, container_format="mov"),
    **{name: CORPUS[name] for name in ("variable-rate", "ntsc", "open-gop", "two-videos")},
}
"""Videos of which one sample needs a part only."""
IN_ORDER = {
    "fragmented": written(options=B_FRAMES, container_options=FRAGMENTED),
    "fragments-behind-an-index": written(options=B_FRAMES, container_options={"movflags": "frag_keyframe"}),
    "mpegts": written(options=B_FRAMES, container_format="mpegts"),
    "matroska": written(options=B_FRAMES, container_format="matroska"),
    **{name: CORPUS[name] for name in ("edit-list", "mpeg4")},
}

RULES = {
    "one": Sampling.of(None, 1, "at_time"),
    "count-2": Sampling.of(None, 2, "at_time"),
    "count-8": Sampling.of(None, 8, "at_time"),
    "nearest": Sampling.of("1/2", None, "nearest"),
    "nearest-count": Sampling.of(None, 2, "nearest"),
    "rate": Sampling.of("2/3", None, "at_time"),
}


@pytest.fixture
def spans(monkeypatch) -> list:
    """The positions that were read and kept without reading all, per video."""
    found = []
    real = video._Packets.read_spans

    def noted(self, container, stream, indexed, spans):
        found.append(spans)
        return real(self, container, stream, indexed, spans)

    monkeypatch.setattr(video._Packets, "read_spans", noted)
    return found


def outcome(path, sampling, monkeypatch, seek_bytes, decoders=1, partial=False):
    """Frames by index, with their times and pixels, and notes; or the error."""
    monkeypatch.setattr(video, "SEEK_BYTES", seek_bytes)
    notes = []

    def make(sample):
        return sample.index, sample.time_ms, sample.image.tobytes()

    try:
        found = decode_samples(
            str(path), sampling, make, decoders=decoders, note_cut=notes.append if partial else None
        )
        return sorted(found), notes
    except VideoError as error:
        return error.reason, str(error)


def assert_same(path, sampling, monkeypatch, decoders=1, partial=False):
    in_order = outcome(path, sampling, monkeypatch, NEVER, partial=partial)
    assert outcome(path, sampling, monkeypatch, 1, decoders, partial) == in_order
    return in_order


@pytest.mark.parametrize("name", [*SEEKING, *IN_ORDER])
def test_same_frames_as_reading_in_order(tmp_path, monkeypatch, spans, name):
    path = {**SEEKING, **IN_ORDER}[name](tmp_path)
    for sampling in RULES.values():
        for decoders in (1, 2):
            found, _ = assert_same(path, sampling, monkeypatch, decoders)
            assert len(found) == (sampling.count or len(found)) > 0
    assert bool(spans) == (name in SEEKING)


@pytest.mark.parametrize(
    "sampling",
    [Sampling.of("1", None, "keyframes"), Sampling.of(None, 1, "at_time", 40)],
    ids=["keyframes", "snap"],
)
def test_rules_that_go_by_key_frames_read_all(tmp_path, monkeypatch, spans, sampling):
    assert_same(SEEKING["b-frames"](tmp_path), sampling, monkeypatch)
    assert spans == []


# What is read.


class Counted(io.FileIO):
    """A file that counts how many bytes are read, and from how many places."""

    def __init__(self, path):
        super().__init__(path)
        self.bytes, self.places, self._is_moved = 0, 0, True

    def seek(self, position, whence=0):
        before = self.tell()
        self._is_moved |= super().seek(position, whence) != before
        return self.tell()

    def read(self, size=-1):
        self.places, self._is_moved = self.places + self._is_moved, False
        content = super().read(size)
        self.bytes += len(content)
        return content


@pytest.fixture
def files(monkeypatch) -> list:
    """The files that were opened by the decoder's library."""
    found = []

    def counted(path):
        found.append(Counted(path))
        return av.open(found[-1], options={"format_whitelist": video._FORMATS})

    monkeypatch.setattr(video, "_open", counted)
    return found


@pytest.mark.parametrize(("gop", "count", "percent"), [(25, 8, 10), (50, 8, 18), (250, 2, 22)])
def test_few_samples_of_a_minute_read_a_part(tmp_path, monkeypatch, files, gop, count, percent):
    options = {"g": str(gop), "bf": "2", "sc_threshold": "0", "crf": "10", "preset": "ultrafast"}
    path = write_video(tmp_path / "v.mp4", frames=1500, picture=detailed, size=(192, 128), options=options)
    size, sampling = path.stat().st_size, Sampling.of(None, count, "at_time")
    found = outcome(path, sampling, monkeypatch, 100_000)
    [file] = files
    assert file.bytes < size * percent / 100
    # The start, the index at the end, the first frames for FFmpeg's look at the stream, and each sample.
    assert file.places <= count + 3
    assert outcome(path, sampling, monkeypatch, NEVER) == found
    assert files[1].bytes > size * 0.98


def test_shorter_ways_are_read_on(tmp_path, monkeypatch, spans, files):
    options = {**LOW_DELAY, "crf": "5"}
    path = write_video(tmp_path / "v.mp4", frames=300, picture=detailed, size=(192, 128), options=options)
    # Samples are frames 75 and 225, in the groups from 60 and from 220 on.
    with av.open(str(path)) as container:
        between = sum(entry.size for entry in container.streams.video[0].index_entries[76:220])
    sampling = Sampling.of(None, 2, "at_time")
    outcome(path, sampling, monkeypatch, between)
    assert [[(span.start, span.stop) for span in each] for each in spans] == [[(60, 76), (220, 226)]]
    outcome(path, sampling, monkeypatch, between + 1)
    assert len(spans) == 1
    assert files[0].bytes < files[1].bytes - between * 0.8


# What is damaged.


def test_damage_in_what_no_sample_needs_is_not_noticed_either_way(tmp_path, monkeypatch, spans):
    path = write_video(tmp_path / "v.mp4", frames=200, picture=detailed, options=LOW_DELAY)
    intact = outcome(path, RULES["count-2"], monkeypatch, NEVER)
    with av.open(str(path)) as container:
        positions = [entry.pos for entry in container.streams.video[0].index_entries]
    damage(path, positions[90], positions[95] - positions[90])
    assert assert_same(path, RULES["count-2"], monkeypatch) == intact
    damage(path, positions[45], positions[46] - positions[45])
    reason, _ = assert_same(path, RULES["count-2"], monkeypatch)
    assert reason == "decode_error"
    assert len(spans) == 2


@pytest.mark.parametrize("encoding", ["b-frames", "open-gop", "intra-refresh"])
def test_damage_anywhere_has_the_outcome_of_reading_in_order(tmp_path, monkeypatch, spans, encoding):
    options = {
        "b-frames": B_FRAMES,
        "open-gop": {**B_FRAMES, "x264-params": "open-gop=1"},
        "intra-refresh": {"intra-refresh": "1", "g": "20", "bf": "0"},
    }[encoding]
    path = write_video(tmp_path / "v.mp4", frames=85, picture=detailed, options=options)
    content, outcomes = path.read_bytes(), set()
    with av.open(str(path)) as container:
        entries = list(container.streams.video[0].index_entries)
        positions = [entry.pos for entry in entries if entry.is_keyframe][:6]
        positions += [entry.pos + 9 for entry in entries[5::8]]
    for position in positions:
        path.write_bytes(content)
        damage(path, position, 20)
        for partial in (False, True):
            found = assert_same(path, RULES["count-8"], monkeypatch, partial=partial)
            outcomes.add(found[0] if isinstance(found[0], str) else "frames")
    assert outcomes == {"decode_error", "frames"}
    assert spans


def test_file_that_was_cut_off_is_read_in_order(tmp_path, monkeypatch, spans):
    path = write_video(
        tmp_path / "v.mp4",
        frames=100,
        picture=detailed,
        options=LOW_DELAY,
        container_options={"movflags": "faststart"},
    )
    content = path.read_bytes()
    for percent in (60, 97):
        path.write_bytes(content[: len(content) * percent // 100])
        for partial in (False, True):
            found, _ = assert_same(path, Sampling.of(None, 1, "at_time"), monkeypatch, partial=partial)
            assert (found == "truncated") == (percent == 60 and not partial)
    assert spans == []


# What does not keep its promise.


def test_key_frame_that_only_the_index_knows_is_not_believed(tmp_path, monkeypatch, spans):
    path = write_video(tmp_path / "v.mp4", frames=100, picture=detailed, options=LOW_DELAY)
    content = bytearray(path.read_bytes())
    # The list of key frames: 1, 21, 41, 61, 81; the one before the sample becomes 50.
    place = content.index(b"stss") + 12 + 2 * 4
    assert content[place : place + 4] == (41).to_bytes(4, "big")
    content[place : place + 4] = (50).to_bytes(4, "big")
    path.write_bytes(content)
    found, _ = assert_same(path, Sampling.of(None, 1, "at_time"), monkeypatch)
    assert [time for _, time, _ in found] == [2000]
    assert len(spans) == 1


def delay(content, position, ticks):
    """Let a frame, and its neighbours of the same delay, be shown so many ticks after it is decoded."""
    start = content.index(b"ctts") + 8
    rows = int.from_bytes(content[start : start + 4], "big")
    before = 0
    for row in range(start + 4, start + 4 + 8 * rows, 8):
        count = int.from_bytes(content[row : row + 4], "big")
        if before <= position < before + count:
            content[row + 4 : row + 8] = ticks.to_bytes(4, "big", signed=True)
            return
        before += count


def test_frame_that_only_the_index_takes_for_a_leading_one_is_shown(tmp_path, monkeypatch, spans):
    path = SEEKING["no-edit-list"](tmp_path)
    content = bytearray(path.read_bytes())
    # Of the key frames the first alone is listed, and packet 24 is shown before all.
    place = content.index(b"stss") + 8
    content[place : place + 4] = (1).to_bytes(4, "big")
    delay(content, 24, -23 * 512)
    path.write_bytes(content)
    assert_same(path, Sampling.of("1/10", None, "at_time"), monkeypatch)
    assert spans == []


def test_clock_that_restarts_in_what_no_sample_needs(tmp_path, monkeypatch):
    path = SEEKING["no-edit-list"](tmp_path)
    content = bytearray(path.read_bytes())
    delay(content, 40, -36 * 512)
    path.write_bytes(content)
    reason, _ = assert_same(path, Sampling.of("1/10", None, "at_time"), monkeypatch)
    assert reason == "clock_restarts"


def test_last_frame_without_a_duration_lasts_as_long_as_reading_says(tmp_path, monkeypatch, spans):
    path = written(options=LOW_DELAY, times=VARIABLE)(tmp_path)
    content = bytearray(path.read_bytes())
    rows = content.index(b"stts") + 8
    last = rows + 4 + 8 * int.from_bytes(content[rows : rows + 4], "big")
    content[last - 4 : last] = bytes(4)
    path.write_bytes(content)
    assert_same(path, RULES["one"], monkeypatch)
    assert spans == []


def test_more_than_fits_into_memory_is_read_in_order(tmp_path, monkeypatch, spans):
    path = written(options=B_FRAMES)(tmp_path)
    monkeypatch.setattr(video, "KEPT_BYTES", 100)
    assert_same(path, RULES["one"], monkeypatch)
    assert spans == []


@pytest.mark.parametrize("landed", ["elsewhere", "nowhere"])
def test_seek_that_leads_elsewhere_makes_no_difference(tmp_path, monkeypatch, spans, landed):
    path = write_video(tmp_path / "v.mp4", frames=100, picture=detailed, options=LOW_DELAY)

    def astray(container, stream, pts):
        return video._demux(container, stream) if landed == "elsewhere" else iter(())

    monkeypatch.setattr(video, "_demux_from", astray)
    assert_same(path, RULES["count-2"], monkeypatch)
    assert len(spans) == 1


@pytest.mark.parametrize("name", ["b-frames", "starts-late", "negative-offsets", "hevc-open-gop", "sound"])
def test_index_that_is_believed_says_what_reading_says(tmp_path, monkeypatch, name):
    """Also of damaged indexes: one to three bytes are changed."""
    path = SEEKING[name](tmp_path)
    content, chance, believed = path.read_bytes(), random.Random(name), 0
    moov = content.index(b"moov")
    monkeypatch.setattr(video, "SEEK_BYTES", 1)
    for _ in range(250):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            table = chance.choice([b"elst", b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"mdhd", b"stsd"])
            start = changed.find(table, moov) + 4
            place = start + chance.randrange(max(4, min(120, len(changed) - start)))
            changed[place] = chance.choice([0, 1, 255, chance.randrange(256), (changed[place] + 1) % 256])
        path.write_bytes(changed)
        try:
            with video._open(str(path)) as container:
                stream = video._video_stream(container)
                indexed = video._indexed(str(path), container, stream, RULES["one"], len(changed))
                found = [(p.pos, p.size, p.pts, p.duration) for p in video._demux(container, stream)]
        except (VideoError, UnicodeDecodeError):
            continue
        if indexed:
            believed += 1
            assert [(p.pos, p.size, p.pts, p.duration) for p in indexed] == found
    assert believed > 50


@pytest.mark.parametrize(
    ("box", "place", "value"),
    [(b"elst", 16, bytes(4)), (b"stsd", 8, b"\0\0\0\2"), (b"free", 0, b"moov")],
    ids=["two-edits", "two-configurations", "two-indexes"],
)
def test_index_that_is_not_plain_is_not_believed(tmp_path, box, place, value):
    path = SEEKING["starts-late"](tmp_path)
    content, found = bytearray(path.read_bytes()), []
    content += (8).to_bytes(4, "big") + b"free"
    for _ in range(2):
        path.write_bytes(content)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            found.append(mp4_index.indexed_packets(str(path), stream, len(content)))
        start = content.rindex(box) + place
        content[start : start + len(value)] = value
    assert [len(packets) for packets in found] == [55, 0]
