"""Sheets: which frames, their times written in, sizes that a model sees without scaling them down."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from airflow_provider_drivepipe.worker.reasoning.footage import open_footage
from airflow_provider_drivepipe.worker.reasoning.sheets import SheetRules, draw_sheet
from tests.unit.video_samples import QUARTER_TURN, STEP, set_display_matrix, write_video


def draw(path, **rules):
    with open_footage(str(path)) as footage:
        sheet = draw_sheet(footage, footage.span(0, footage.frame_count), SheetRules(**rules))
    return sheet, Image.open(io.BytesIO(sheet.content))


def tiles(image, columns, rows):
    width, height = image.width // columns, image.height // rows
    return [
        image.crop((x * width, y * height, (x + 1) * width, (y + 1) * height))
        for y in range(rows)
        for x in range(columns)
    ]


def number_below(tile):
    """The frame's number, read where no time is written."""
    lower = np.asarray(tile.convert("L"), dtype=float)[tile.height // 2 :]
    return round((lower.mean() - 8) / STEP)


@pytest.mark.parametrize(
    ("frames", "fps", "max_frames", "count"),
    [(100, 1, 16, 4), (100, 2, 5, 5), (10, 1, 16, 1), (99, 1, 16, 3), (2, 100, 16, 2), (50, "0.5", 16, 1)],
)
def test_as_many_frames_as_fit(tmp_path, frames, fps, max_frames, count):
    sheet, _ = draw(write_video(tmp_path / "v.mp4", frames=frames), fps=Fraction(fps), max_frames=max_frames)
    assert len(sheet.times_ms) == count
    assert list(sheet.times_ms) == sorted(set(sheet.times_ms))


def test_tiles_are_the_frames_at_the_times_in_reading_order(tmp_path):
    video = write_video(tmp_path / "v.mp4", frames=50, size=(320, 180))
    sheet, image = draw(video, fps=Fraction(2))
    assert sheet.times_ms == (240, 720, 1240, 1720)
    assert image.size == (640, 360)
    assert [number_below(tile) for tile in tiles(image, 2, 2)] == [time // 40 for time in sheet.times_ms]


def test_a_video_of_few_frames_shows_each_once(tmp_path):
    times = [Fraction(0), Fraction(1), Fraction(9)]
    sheet, _ = draw(write_video(tmp_path / "v.mp4", frames=3, times=times), fps=Fraction(2))
    assert sheet.times_ms == (0, 1000, 9000)


@pytest.mark.parametrize(
    ("size", "count", "grid"),
    [
        ((1920, 1080), 16, (4, 4)),
        ((1080, 1920), 16, (4, 4)),
        ((1920, 1080), 1, (1, 1)),
        ((1920, 1080), 2, (1, 2)),
    ],
)
def test_sheets_stay_below_what_a_model_sees_and_are_not_too_long(tmp_path, size, count, grid):
    video = write_video(tmp_path / "v.mp4", frames=count, rate=2, size=size, options={"preset": "ultrafast"})
    rules = SheetRules(fps=Fraction(2))
    sheet, image = draw(video)
    assert len(sheet.times_ms) == count
    assert 0.95 * rules.max_pixels < image.width * image.height <= rules.max_pixels
    columns, rows = grid
    assert image.width / columns / (image.height / rows) == pytest.approx(size[0] / size[1], rel=0.02)


def test_small_videos_are_not_enlarged(tmp_path):
    _, image = draw(write_video(tmp_path / "v.mp4", frames=25))
    assert image.size == (96, 128)


def test_the_time_is_written_into_the_upper_left_corner(tmp_path):
    bright = lambda number, width, height: np.full((height, width, 3), 128, np.uint8)  # noqa: E731
    video = write_video(tmp_path / "v.mp4", frames=50, size=(320, 180), picture=bright)
    sheet, image = draw(video, fps=Fraction(1))
    assert sheet.times_ms == (480, 1480)
    upper, lower = tiles(image, 1, 2)
    for tile in (upper, lower):
        pixels = np.asarray(tile.convert("L"))
        assert pixels[:30, :80].min() < 20
        assert pixels[:30, :80].max() > 235
        assert np.abs(pixels[50:].astype(int) - 128).max() < 20
    # Another time is another text.
    assert not np.array_equal(np.asarray(upper)[:30, :80], np.asarray(lower)[:30, :80])


def test_rotated_videos_are_upright(tmp_path):
    def left_is_white(number, width, height):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, : width // 2] = 255
        return picture

    video = write_video(tmp_path / "v.mp4", frames=25, size=(320, 180), picture=left_is_white)
    set_display_matrix(video, QUARTER_TURN)
    _, image = draw(video, fps=Fraction(1))
    assert image.size == (180, 320)
    pixels = np.asarray(image.convert("L"))
    assert pixels[60:150].mean() > 240 > 10 > pixels[170:].mean()


def test_rules_that_leave_no_room_for_text():
    SheetRules(max_frames=27).check()
    with pytest.raises(ValueError, match="28 frames on a sheet need 1032192 pixels"):
        SheetRules(max_frames=28).check()
