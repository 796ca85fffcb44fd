"""Prepares the images of a table, and labels and embeds these in the same job where asked to."""

from __future__ import annotations

from collections.abc import Sequence
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
    :param stages: what is done, instead of all of these.
    """

    def __init__(
        self,
        *,
        bucket: str = "",
        root: str | None = None,
        stages: Sequence[Stage] = (),
        **kwargs: Any,
    ) -> None:
        options = take(ImageOptions, kwargs)
        if not stages:
            images = ImageOptions(**{"prepared_prefix": kwargs.get("output_table", ""), **options})
            stages = (ImagePreparation(OssOptions(bucket, root), images),)
        super().__init__(stages=stages, **kwargs)


class MaxFrameImageLabelOperator(MaxFrameImagePrepareOperator):
    """Prepares images, labels and embeds what came out, and writes one final table.

    Images that cannot be prepared never reach a model. Models get the prepared image: by its URL, or within
    the request when ``inline`` is set. Arguments are those of :class:`MaxFrameImagePrepareOperator` and of
    :func:`model_stages`.
    """

    def __init__(self, *, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        models = take_arguments(model_stages, kwargs)
        super().__init__(stages=stages, **kwargs)
        preparation = self.stages[0]
        if not stages and isinstance(preparation, ImagePreparation):
            self.add_models(model_stages(preparation.prepared_image, **models), models.get("prompt"))
