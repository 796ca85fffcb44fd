"""The tables of frame extraction, from the columns of the video table."""

import pytest

from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, FRAME_QUALITY_COLUMNS, STATUS_COLUMNS, Column
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.operators.frame_extract import MaxFrameFrameExtractOperator
from airflow_provider_drivepipe.operators.single_job import MaxFrameSingleJobOperator
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables
from airflow_provider_drivepipe.scenario.options import (
    LabelOptions,
    OssOptions,
    PartitionOptions,
    QualityOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

DAY = PartitionSpec(("ds",), ("20261120",))


def layout(*names, quality=None):
    operator = MaxFrameFrameExtractOperator(
        task_id="frames",
        scenario="s",
        partition=PartitionOptions(),
        source_table="v",
        output_table=TableOptions("o"),
        oss=OssOptions("b"),
        quality=quality,
    )
    source = [Column(name, "string") for name in names]
    return operator.layout(DAY, source, WorkingTables.of("o", DAY, "try"), operator.stage_options())


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
    operator = MaxFrameSingleJobOperator(
        task_id="frames",
        scenario="s",
        partition=PartitionOptions(),
        source_table="v",
        output_table=TableOptions("o"),
        oss=OssOptions("b"),
        labels=LabelOptions("m", "Label this"),
    )
    source = [Column(name, "string") for name in ("video_path", "label_text", "trip")]
    with pytest.raises(ConfigurationError, match="input columns label_text have names"):
        operator.layout(DAY, source, WorkingTables.of("o", DAY, "try"), operator.stage_options())
    assert "label_text" in [c.name for c in layout("video_path", "label_text").output_columns]


def test_columns_of_the_measures_travel_where_frames_are_not_measured():
    assert "brightness" in [c.name for c in layout("video_path", "brightness").output_columns]
