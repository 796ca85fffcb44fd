"""Params of a run: read, checked, and put over the scenario's options."""

import pytest

from airflow_provider_drivepipe.scenario.options import (
    FrameOptions,
    LabelOptions,
    Reprocess,
    SelectionOptions,
    StageOptions,
)
from airflow_provider_drivepipe.scenario.run_params import RunParams

OPTIONS = StageOptions(FrameOptions(fps=None, sample_count=3), LabelOptions("m", "p", prompt_name="built-in"))


def test_nothing_given_changes_nothing():
    params = RunParams.read({"ds": "20261120", "limit": None, "label_prompt": "", "other": 1})
    assert params == RunParams()
    assert params.options(OPTIONS) == OPTIONS
    assert params.selection(SelectionOptions(limit=3)) == SelectionOptions(limit=3)
    assert params.to_json() == {}


def test_given_params_take_precedence():
    params = RunParams.read(
        {"reprocess": "failed", "limit": 5, "frame_fps": "0.5", "label_prompt": "new {x}"}
    )
    assert params.selection(SelectionOptions()) == SelectionOptions(Reprocess.FAILED, limit=5)
    options = params.options(OPTIONS)
    assert (options.frames.fps, options.frames.sample_count) == ("1/2", None)
    assert (options.labels.prompt, options.labels.prompt_name) == ("new {x}", "param:label_prompt")
    assert params.to_json() == {
        "reprocess": "failed",
        "limit": 5,
        "frame_fps": "1/2",
        "label_prompt": "new {x}",
    }
    assert params.options(StageOptions()) == StageOptions()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reprocess", "everything"),
        ("limit", 0),
        ("limit", True),
        ("limit", "5"),
        ("frame_fps", "0"),
        ("frame_fps", "1/0"),
        ("label_prompt", "  "),
        ("label_prompt", 7),
    ],
)
def test_what_does_not_fit_is_named(name, value):
    with pytest.raises(ValueError, match=f"param {name}="):
        RunParams.read({name: value})


def test_all_problems_at_once():
    with pytest.raises(ValueError, match=r"reprocess=.*limit=.*frame_fps="):
        RunParams.read({"reprocess": "x", "limit": -1, "frame_fps": "y"})
