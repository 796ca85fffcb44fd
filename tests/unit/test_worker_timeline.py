"""Which moments are sampled, and which packets are decoded for them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.pipelines.driving.options import SamplingRule
from airflow_provider_drivepipe.worker import timeline
from airflow_provider_drivepipe.worker.timeline import PacketInfo, Sampling, Timeline

MILLISECOND = Fraction(1, 1000)


def test_literals_equal_the_options():
    assert {timeline.AT_TIME, timeline.NEAREST, timeline.KEYFRAMES} == {str(rule) for rule in SamplingRule}


@pytest.mark.parametrize(
    ("fps", "count", "rule"),
    [
        (None, None, "at_time"),
        ("1", 3, "at_time"),
        ("0", None, "at_time"),
        ("-1", None, "at_time"),
        ("fast", None, "at_time"),
        ("1/0", None, "at_time"),
        (None, 0, "at_time"),
        ("1", None, "sometimes"),
        (None, 8, "keyframes"),
    ],
)
def test_sampling_that_makes_no_sense_is_refused(fps, count, rule):
    with pytest.raises((ValueError, ZeroDivisionError)):
        Sampling.of(fps, count, rule)


@pytest.mark.parametrize(
    ("fps", "rule", "duration", "times"),
    [
        ("1", "at_time", "2.2", ["0", "1", "2"]),
        ("1", "at_time", "2", ["0", "1"]),
        ("1/2", "at_time", "3", ["0", "2"]),
        ("0.5", "at_time", "0.1", ["0"]),
        ("1", "nearest", "2.4", ["0.5", "1.5"]),
        ("1", "nearest", "2.5", ["0.5", "1.5", "2.5"]),
        ("1", "nearest", "0.1", ["0.5"]),
    ],
)
def test_times(fps, rule, duration, times):
    found = Sampling.of(fps, None, rule).times(Fraction(duration))
    assert list(found) == [Fraction(t) for t in times]


def packets(text):
    """Times in decoding order, as in ``"-0k 40 20"``; ``k`` marks key frames, ``-`` those not shown."""
    return [PacketInfo(int(p.strip("k-")), p.endswith("k"), not p.startswith("-")) for p in text.split()]


def line(text, time_base=MILLISECOND, last_duration=40):
    return Timeline(packets(text), time_base, last_duration)


def feeds(of, **picked):
    return [run.feed for run in of.runs({int(k[1:]): v for k, v in picked.items()})]


def test_decoding_starts_at_the_key_frame_and_ends_at_the_wanted_one():
    of = line("0k 40 80 120k 160 200")
    assert feeds(of, _0=[0], _4=[1]) == [(0,), (3, 4)]
    assert feeds(of, _1=[0], _2=[1]) == [(0, 1, 2)]


def test_picture_shown_before_its_key_frame_needs_the_previous_one():
    of = line("0k 120k 40 80 240k 160 200")
    assert feeds(of, _2=[0]) == [(0, 1, 2)]
    # Those that lead the key frame at which decoding starts are not fed.
    assert feeds(of, _5=[0]) == [(1, 4, 5)]


def test_runs_never_overlap():
    of = line("0k 120k 40 80")
    assert feeds(of, _0=[0], _1=[1], _2=[2], _3=[3]) == [(0, 1, 2, 3)]


def test_two_packets_of_one_time_lose_no_sample():
    [run] = line("0k 40 40").runs({1: [0], 2: [1]})
    assert run.samples == {40: (0, 1)}


def test_what_a_cut_recording_cannot_decode_does_not_count():
    of = line("10 20 100k 40 80 140 180")
    assert of.first_pts == 100
    assert of.pick(Sampling.of("1", None, "at_time")) == {2: [0]}


def test_frames_that_an_edit_list_cuts_are_not_picked_but_fed():
    of = line("-0k -40 80 120")
    assert (of.first_pts, of.duration) == (80, Fraction(80, 1000))
    assert of.runs(of.pick(Sampling.of("1", None, "at_time")))[0].feed == (0, 1, 2)


def test_stream_without_a_key_frame_is_refused():
    with pytest.raises(ValueError, match="no packet"):
        line("0 40 80")


@st.composite
def streams(draw):
    """Groups of pictures in decoding order, each shuffled as reordering encoders would."""
    infos, start = [], 0
    for size in draw(st.lists(st.integers(1, 8), min_size=1, max_size=6)):
        order = draw(st.permutations(range(size)))
        infos += [PacketInfo(40 * (start + place), i == 0) for i, place in enumerate(order)]
        start += size
    return infos


@given(streams(), st.sampled_from(["1", "5", "25", "60"]), st.sampled_from(["at_time", "nearest"]))
def test_every_sample_comes_out_of_exactly_one_run(infos, fps, rule):
    of = Timeline(infos, MILLISECOND, 40)
    sampling = Sampling.of(fps, None, rule)
    picked = of.pick(sampling)
    runs = of.runs(picked)
    count = len(list(sampling.times(of.duration)))
    assert sorted(i for run in runs for indexes in run.samples.values() for i in indexes) == list(
        range(count)
    )
    fed = [i for run in runs for i in run.feed]
    assert fed == sorted(set(fed))
    for run in runs:
        assert infos[run.feed[0]].is_key
        assert {infos[i].pts for i in run.feed} >= run.samples.keys()


@given(streams(), st.sampled_from(["1", "5", "25", "60"]))
def test_at_time_is_the_last_frame_not_after_it(infos, fps):
    of = Timeline(infos, MILLISECOND, 40)
    sampling = Sampling.of(fps, None, "at_time")
    times = list(sampling.times(of.duration))
    shown = [of.seconds(infos[i].pts) for i in of._shown]
    for packet, indexes in of.pick(sampling).items():
        for index in indexes:
            assert of.seconds(infos[packet].pts) == max(t for t in shown if t <= times[index])
