"""The tables of frame extraction, from the columns of the video table."""

import pytest

from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, FRAME_QUALITY_COLUMNS, STATUS_COLUMNS, Column
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables, lay_out
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.models import label
from airflow_provider_drivepipe.pipelines.driving.options import FrameOptions, OssOptions, QualityOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.source import Source

DAY = PartitionSpec(("ds",), ("20261120",))


def layout(*names, quality=None, models=()):
    stages = (FrameExtraction(OssOptions("b"), FrameOptions(), quality), *models)
    source = [Column(name, "string") for name in names]
    return lay_out(stages, Source.of_table("v"), source, "o", DAY, WorkingTables.of("o", DAY, "try"))


@pytest.mark.parametrize("quality", [None, QualityOptions()])
def test_input_columns_with_names_of_our_own_do_not_travel(quality):
    own = [c.name for c in (*FRAME_COLUMNS, *(FRAME_QUALITY_COLUMNS if quality else ()))]
    tables = layout("etag", *own, "trip", quality=quality)
    assert [c.name for c in tables.source_columns] == ["video_path", "etag", "trip"]
    assert [c.name for c in tables.output_columns] == [
        *own,
        "etag",
        "trip",
        *(c.name for c in STATUS_COLUMNS),
    ]


def test_input_columns_that_models_need_for_themselves_are_refused():
    labels = label("m", "Label this", Image("image_url"))
    with pytest.raises(ConfigurationError, match="input columns label_text have names"):
        layout("video_path", "label_text", "trip", models=(labels,))
    assert "label_text" in [c.name for c in layout("video_path", "label_text").output_columns]


def test_columns_of_the_measures_travel_where_frames_are_not_measured():
    assert "brightness" in [c.name for c in layout("video_path", "brightness").output_columns]
