"""Work in waves with 2,000 pictures in ten jobs, and with twelve videos in four."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_waves import (
    ENDINGS,
    Ending,
    Size,
    World,
    call,
    check_costs,
    endings,
    moment,
    own_world,
    reference,
    test_all_anew_goes_on_with_what_the_run_itself_has_made,
    test_videos_that_are_done_are_neither_cut_nor_labelled_again,
    test_waves_are_jobs_of_one_session_and_ask_each_picture_once,
    undisturbed,
    videos,
    world,
)

__all__ = [
    "call",
    "moment",
    "own_world",
    "reference",
    "test_all_anew_goes_on_with_what_the_run_itself_has_made",
    "test_videos_that_are_done_are_neither_cut_nor_labelled_again",
    "test_waves_are_jobs_of_one_session_and_ask_each_picture_once",
    "undisturbed",
    "videos",
    "world",
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def size() -> Size:
    return Size(2000, 200, 12, 3)


@endings(ENDINGS)
def test_a_try_that_ends_early_costs_one_wave_of_2000_pictures_at_most(
    world: World,
    reference: list[list[Any]],
    ending: Ending,
    call: int,
    moment: random.Random,
    tmp_path: Path,
) -> None:
    check_costs(world, reference, ending, call, moment, tmp_path)
