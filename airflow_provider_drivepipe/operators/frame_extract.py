"""Cuts the videos of a partition into frames, and labels and embeds these in the same job where asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.operators.base import take, take_arguments
from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.models import model_stages
from airflow_provider_drivepipe.pipelines.driving.options import FrameOptions, OssOptions, QualityOptions
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.stage import Stage


class MaxFrameFrameExtractOperator(MaxFrameStageOperator):
    """Writes the frames table of a partition of videos: JPEGs in OSS, one row per frame.

    The input needs a column ``video_path``; all its columns travel through. Arguments beside these are the
    fields of :class:`FrameOptions` (``fps``, ``sample_count``, ``jpeg_quality``, …) and those of
    :class:`MaxFrameStageOperator`.

    :param bucket: bucket that holds the videos and receives the frames.
    :param root: full URI ``oss://<endpoint>/<bucket>[/<prefix>]`` instead of the connection's endpoint.
    :param quality: measure the frames, and leave out those that a rule refuses.
    :param stages: what is done, instead of all of these.
    """

    def __init__(
        self,
        *,
        bucket: str = "",
        root: str | None = None,
        quality: QualityOptions | None = None,
        stages: Sequence[Stage] = (),
        **kwargs: Any,
    ) -> None:
        options = take(FrameOptions, kwargs)
        if not stages:
            if "sample_count" in options:
                options.setdefault("fps", None)
            frames = FrameOptions(**{"frames_prefix": kwargs.get("output_table", ""), **options})
            stages = (FrameExtraction(OssOptions(bucket, root), frames, quality),)
        super().__init__(stages=stages, **kwargs)


class MaxFrameSingleJobOperator(MaxFrameFrameExtractOperator):
    """Cuts videos into frames, labels and embeds the frames, and writes one final table.

    Frames that could not be made, or that a rule left out, never reach a model. A label that failed does not
    throw away the embedding. Arguments are those of :class:`MaxFrameFrameExtractOperator` and of
    :func:`model_stages` (``model``, ``prompt``, ``label_schema``, ``embedding_model``, …).
    """

    def __init__(self, *, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        models = take_arguments(model_stages, kwargs)
        super().__init__(stages=stages, **kwargs)
        if not stages:
            self.add_models(model_stages(Image("image_url"), **models), models.get("prompt"))
