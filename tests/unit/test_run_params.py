"""Params of a run: read, checked, and put over the scenario's options."""

import pytest

from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.models import image_embedding, label
from airflow_provider_drivepipe.pipelines.driving.options import FrameOptions, OssOptions
from airflow_provider_drivepipe.scenario.options import Reprocess, SelectionOptions
from airflow_provider_drivepipe.scenario.run_params import RunParams, read_params
from airflow_provider_drivepipe.stages.content import Image

STAGES = (
    FrameExtraction(OssOptions("b"), FrameOptions(fps=None, sample_count=3)),
    label("m", "p", Image("image_url"), prompt_name="built-in"),
    image_embedding("m", 8, Image("image_url")),
)


def test_nothing_given_changes_nothing():
    params, stages = read_params({"ds": "20261120", "limit": None, "label_prompt": "", "other": 1}, STAGES)
    assert params == RunParams()
    assert stages == STAGES
    assert params.selection(SelectionOptions(limit=3)) == SelectionOptions(limit=3)
    assert params.given == {}


def test_given_params_take_precedence():
    given = {"reprocess": "failed", "limit": 5, "frame_fps": "0.5", "label_prompt": "new {x}"}
    params, (frames, labels, vectors) = read_params({**given, "allow_shrink": False}, STAGES)
    assert params.selection(SelectionOptions()) == SelectionOptions(Reprocess.FAILED, limit=5)
    assert (frames.frames.fps, frames.frames.sample_count) == ("1/2", None)
    assert (labels.prompt, labels.prompt_name) == ("new {x}", "param:label_prompt")
    assert vectors == STAGES[2]
    assert params.given == given


def test_a_param_for_something_that_no_stage_does_has_no_effect():
    params, stages = read_params({"frame_fps": "nonsense", "limit": 5}, STAGES[1:])
    assert stages == STAGES[1:]
    assert params.given == {"limit": 5}


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
        read_params({name: value}, STAGES)


def test_all_problems_at_once():
    with pytest.raises(ValueError, match=r"reprocess=.*limit=.*frame_fps="):
        read_params({"reprocess": "x", "limit": -1, "frame_fps": "y"}, STAGES)
