"""Cuts the videos of a partition into frames, and labels and embeds these in the same job where asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_drivepipe.operators.base import take, take_arguments
from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator
from airflow_provider_drivepipe.pipelines.driving.frame_rate import check_frame_rate
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.models import model_stages
from airflow_provider_drivepipe.pipelines.driving.options import FrameOptions, OssOptions, QualityOptions
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.stage import Stage


class MaxFrameFrameExtractOperator(MaxFrameStageOperator):
    """Writes the frames table of a partition of videos: JPEGs in OSS, one row per frame.

    The input needs a column ``video_path``; all its columns travel through. Arguments beside these are the
    fields of :class:`FrameOptions` (``fps="1/2"`` or ``sample_count``, ``jpeg_quality``, …) and those of
    :class:`MaxFrameStageOperator`.

    :param bucket: bucket that holds the videos and receives the frames.
    :param root: full URI ``oss://<endpoint>/<bucket>[/<prefix>]`` instead of the connection's endpoint.
    :param frames_prefix: key prefix of the JPEGs, as a template; the output table's name unless given.
    :param quality: measure the frames, and leave out those that a rule refuses.
    :param stages: what is done, instead of all of these.
    """

    template_fields: Sequence[str] = (*MaxFrameStageOperator.template_fields, "frames_prefix")

    def __init__(
        self,
        *,
        output_table: str,
        bucket: str = "",
        root: str | None = None,
        frames_prefix: str | None = None,
        quality: QualityOptions | None = None,
        stages: Sequence[Stage] = (),
        **kwargs: Any,
    ) -> None:
        if not stages:
            frames_prefix = frames_prefix or output_table
            options = take(FrameOptions, kwargs)
            if options.get("sample_count") is not None:
                options.setdefault("fps", None)
            if options.get("fps") is not None:
                options["fps"] = check_frame_rate(options["fps"])
            stages = (FrameExtraction(OssOptions(bucket, root), FrameOptions(**options), quality),)
        super().__init__(stages=stages, output_table=output_table, **kwargs)
        self.frames_prefix = frames_prefix

    def wanted_stages(self) -> tuple[Stage, ...]:
        """Return the stages, with the prefix as its template has become."""
        first, *others = super().wanted_stages()
        if self.frames_prefix is not None and isinstance(first, FrameExtraction):
            first = replace(first, frames=replace(first.frames, frames_prefix=self.frames_prefix))
        return (first, *others)


class MaxFrameSingleJobOperator(MaxFrameFrameExtractOperator):
    """Cuts videos into frames, labels and embeds the frames, and writes one final table.

    Frames that could not be made, or that a rule left out, never reach a model. A label that failed does not
    throw away the embedding. Arguments are those of :class:`MaxFrameFrameExtractOperator` and of
    :func:`model_stages` (``model``, ``prompt``, ``label_schema``, ``embedding_model``, …).
    """

    def __init__(self, *, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        models = {} if stages else take_arguments(model_stages, kwargs)
        super().__init__(stages=stages, **kwargs)
        if not stages:
            self.add_models(model_stages(Image("image_url"), **models), models.get("prompt"))
