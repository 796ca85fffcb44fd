"""Times as models write them become milliseconds, and never the first number of a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.worker.reasoning.times import (
    TimeRange,
    clamped,
    clock,
    clock_times,
    clocks,
    in_video,
    read_range,
    read_time,
    with_plain_clocks,
)


@pytest.mark.parametrize(
    ("said", "time_ms"),
    [
        ("00:00:12", 12_000),
        ("At 1:05", 65_000),
        ("The 2 cars collide at 14 s", 14_000),
        ("The 2 cars stop", None),
        ("12 cars", None),
        ("The truck stops 4 m behind the 2 cars", None),
        ("between 5 s and 9 s", None),
        ("at 5 s, and again at 00:09", None),
        ("It is 12 s; at 00:12 it brakes.", 12_000),
    ],
)
def test_defect_11_the_first_number_of_a_sentence_is_no_time(said, time_ms):
    assert read_time(said) == time_ms


@pytest.mark.parametrize(
    ("said", "field", "time_ms"),
    [
        (12_000, "moment_ms", 12_000),
        ("12000", "moment_ms", 12_000),
        (12_000.0, "moment_ms", 12_000),
        (12.5, "moment_ms", None),
        ("12.5", "moment_mmss", 12_500),
        (65.2, "start", 65_200),
        ("14 s", "moment_ms", 14_000),
        ("01:05.2", "moment_mmss", 65_200),
        ("01:05.2", "moment_ms", 65_200),
        ("00:00:12,500", "", 12_500),
        ("1:02:03", "", 3_723_000),
        ("1:75:03", "", None),
        ("00:75", "", None),
        ("[00:05]", "", 5_000),
        ("“1:05”", "", 65_000),
        ("1 min 5 s", "", 65_000),
        ("1m5s", "", 65_000),
        ("1 h 2 min", "", 3_720_000),
        ("500 ms", "", 500),
        ("在第14秒左右", "", 14_000),
        ("1分5秒", "", 65_000),
        ("１：０５", "", 65_000),
        ("-5", "", None),
        ("-5 s", "", None),
        (-5, "", None),
        (float("nan"), "", None),
        (float("inf"), "", None),
        (10**30, "", None),
        ("9" * 5000, "", None),
        (True, "", None),
        (None, "", None),
        ("", "", None),
        ("unknown", "", None),
        (["1:05"], "", None),
    ],
)
def test_a_time_has_its_own_unit_or_that_of_its_field(said, field, time_ms):
    assert read_time(said, field) == time_ms


@pytest.mark.parametrize(
    "said",
    [
        "Start_Time: [00:05], End_Time: [00:09]",
        "**Start_Time:** 00:00:05, **End_Time:** 00:00:09",
        "<00:05><00:09>",
        "00:05-00:09",
        "from 5 s to 9 s",
        "5-9 s",
        "5到9秒",
        "5 - 9",
        [5, "00:09"],
        {"start": "00:05", "end": 9},
        {"start_ms": 5000, "end_ms": "9000"},
        {"start_mmss": "00:05.0", "end_mmss": 9.0},
    ],
)
def test_defect_12_a_range_in_the_prompts_own_form_is_read(said):
    assert read_range(said) == TimeRange(5000, 9000)


@pytest.mark.parametrize("said", ["00:05", "1 s, 2 s and 3 s", "no time", "", None, 5, [5], {"start": 5}, {}])
def test_what_names_no_two_times_is_no_range(said):
    assert read_range(said) is None


def test_a_range_is_part_of_the_video_or_refused():
    assert in_video(TimeRange(0, 9600), 9600) == TimeRange(0, 9600)
    assert in_video(TimeRange(5000, 10_000), 9600) == TimeRange(5000, 9600)
    for start, end in ((5000, 10_601), (9600, 10_000), (5000, 5000), (9000, 5000)):
        assert in_video(TimeRange(start, end), 9600) is None
    assert [clamped(time, 9600) for time in (0, 9700, 10_600, 10_601, -1)] == [0, 9600, 9600, None, None]


def test_overlap_is_what_both_share():
    assert TimeRange(0, 4000).overlap(TimeRange(2000, 6000)) == pytest.approx(1 / 3)
    assert TimeRange(0, 4000).overlap(TimeRange(5000, 6000)) == 0
    assert TimeRange(5, 5).overlap(TimeRange(5, 5)) == 0


def test_clocks_show_hours_only_from_one_hour_on():
    assert [clock(time) for time in (0, 5999, 65_200, 3_599_999, 3_600_000)] == [
        "00:00",
        "00:05",
        "01:05",
        "59:59",
        "01:00:00",
    ]
    assert clock(5001, up=True) == "00:06"


@given(st.integers(0, 10**8), st.integers(1, 10**6))
def test_a_range_starts_before_it_ends_in_print_too(start, length):
    part = TimeRange(start, start + length)
    printed = read_range(list(clocks(part)))
    assert printed.start_ms <= part.start_ms < part.end_ms <= printed.end_ms
    assert printed.end_ms - printed.start_ms < length + 2000


@given(st.integers(0, 10**8))
def test_a_clock_is_read_as_it_was_written(seconds):
    assert read_time(clock(seconds % 359_999 * 1000)) == seconds % 359_999 * 1000


@given(st.text(max_size=60) | st.from_regex(r"[0-9:., \-sm秒to]{0,40}", fullmatch=True))
def test_no_text_breaks_the_reader(text):
    for read in (read_time(text), *clock_times(text)):
        assert read is None or read >= 0
    read_range(text)


@pytest.mark.parametrize(
    ("said", "printed"),
    [
        ("00:06.0: it brakes", "00:06: it brakes"),
        ("00:06: it brakes", "00:06: it brakes"),
        ("00:00:06: it brakes", "00:06: it brakes"),
        ("00:00:06.040.", "00:06."),
        ("At 0:06, at 00:06,5 and at 1:05.", "At 00:06, at 00:06 and at 01:05."),
        ("<00:05.0><00:09.5>", "<00:05><00:09>"),
        ("[00:05.0-00:09.5]", "[00:05-00:09]"),
        ("00:05.0,00:09.5", "00:05,00:09"),
        ("00:05,00:09", "00:05,00:09"),
        ("Start:00:05.0", "Start:00:05"),
        ("from 00:05.0 s to 00:09.5 seconds", "from 00:05 to 00:09"),
        ("00:06.0秒时，公交车停下", "00:06时，公交车停下"),
        ("时间：00：06.0：车辆刹车", "时间：00:06：车辆刹车"),
        ("从00:05.0到00:09.5", "从00:05到00:09"),
        ("01:02:03.4", "01:02:03"),
        ("75:10.2", "01:15:10"),
        # What is no time of the video.
        ("a 16:9 picture, 4:3, 21:9", "a 16:9 picture, 4:3, 21:9"),
        ("they lead 2:1", "they lead 2:1"),
        ("an aspect ratio of 1:10", "an aspect ratio of 1:10"),
        ("a 1:10 scale", "a 1:10 scale"),
        ("the score is 3:10", "the score is 3:10"),
        ("比例为1:50，比分3:10", "比例为1:50，比分3:10"),
        ("at 9:30 a.m., not 9:30pm", "at 9:30 a.m., not 9:30pm"),
        ("下午3:05", "下午3:05"),
        ("2026-11-20 00:15:30", "2026-11-20 00:15:30"),
        ("2026年11月20日 00:15:30", "2026年11月20日 00:15:30"),
        ("a clock shows 14:05:30", "a clock shows 14:05:30"),
        ("00:00:06:12, 16:10:3, 10.00:06", "00:00:06:12, 16:10:3, 10.00:06"),
        ("5:00:75", "5:00:75"),
        ("no time", "no time"),
    ],
)
def test_clocks_of_all_forms_are_printed_in_one_and_their_false_friends_stay(said, printed):
    assert with_plain_clocks(said) == printed
    assert with_plain_clocks(printed) == printed


def test_defect_12_clocks_in_texts_come_out_in_one_form():
    said = "What happens between 00:00:05 and [00:09.5]? Not 12 s, nor 1:75:00."
    assert with_plain_clocks(said) == "What happens between 00:05 and [00:09]? Not 12 s, nor 1:75:00."
    assert clock_times(said) == [5000, 9500]
