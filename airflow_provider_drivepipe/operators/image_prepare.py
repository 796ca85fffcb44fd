"""Prepares the images of a table, and labels and embeds these in the same job where asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_drivepipe.operators.base import take, take_arguments
from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator
from airflow_provider_drivepipe.pipelines.driving.images import ImagePreparation
from airflow_provider_drivepipe.pipelines.driving.models import model_stages
from airflow_provider_drivepipe.pipelines.driving.options import ImageOptions, OssOptions
from airflow_provider_drivepipe.stages.stage import Stage


class MaxFrameImagePrepareOperator(MaxFrameStageOperator):
    """Writes the image features of a partition of images, one row for each input row.

    The input needs a column ``image_url``; all its columns travel through. If it has a ``status`` column
    (a frames table), rows that are not ``ok`` pass by unchanged. An image whose object changes under the same
    URL is prepared again when the input has a column ``etag``, or with ``reprocess: all``. Arguments beside
    these are the fields of :class:`ImageOptions` (``longest_side``, ``exact_size``, ``jpeg_quality``, …) and
    those of :class:`MaxFrameStageOperator`.

    :param bucket: bucket that holds the images and receives the prepared ones.
    :param root: full URI ``oss://<endpoint>/<bucket>[/<prefix>]`` instead of the connection's endpoint.
    :param prepared_prefix: key prefix of the prepared images, as a template; the output table's name unless
        given.
    :param stages: what is done, instead of all of these.
    """

    template_fields: Sequence[str] = (*MaxFrameStageOperator.template_fields, "prepared_prefix")

    def __init__(
        self,
        *,
        output_table: str,
        bucket: str = "",
        root: str | None = None,
        prepared_prefix: str | None = None,
        stages: Sequence[Stage] = (),
        **kwargs: Any,
    ) -> None:
        if not stages:
            prepared_prefix = prepared_prefix or output_table
            images = ImageOptions(**take(ImageOptions, kwargs))
            stages = (ImagePreparation(OssOptions(bucket, root), images),)
        super().__init__(stages=stages, output_table=output_table, **kwargs)
        self.prepared_prefix = prepared_prefix

    def wanted_stages(self) -> tuple[Stage, ...]:
        """Return the stages, with the prefix as its template has become."""
        first, *others = super().wanted_stages()
        if self.prepared_prefix is not None and isinstance(first, ImagePreparation):
            first = replace(first, images=replace(first.images, prepared_prefix=self.prepared_prefix))
        return (first, *others)


class MaxFrameImageLabelOperator(MaxFrameImagePrepareOperator):
    """Prepares images, labels and embeds what came out, and writes one final table.

    Images that cannot be prepared never reach a model. Models get the prepared image: by its URL, or within
    the request when ``inline`` is set. Arguments are those of :class:`MaxFrameImagePrepareOperator` and of
    :func:`model_stages`.
    """

    def __init__(self, *, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        models = {} if stages else take_arguments(model_stages, kwargs)
        super().__init__(stages=stages, **kwargs)
        preparation = self.stages[0]
        if not stages and isinstance(preparation, ImagePreparation):
            self.add_models(model_stages(preparation.prepared_image, **models), models.get("prompt"))
