"""Labels and embeds the images of a table that exists already, frames or plain images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.operators.base import take_arguments
from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator
from airflow_provider_drivepipe.pipelines.driving.models import model_stages
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.stage import Stage


class AiFuncLabelOperator(MaxFrameStageOperator):
    """Calls vision-language and embedding models for every image of a partition.

    The input needs a column with images, or ``label_text`` when nothing but labels that are there already is
    embedded; all its columns travel through. If it has a ``status`` column (a frames table), rows that are
    not ``ok`` pass by unchanged and cost nothing. The model service fetches images with the connection's key
    pair, so a row whose image is not in the connection's OSS fails. Arguments beside these are those of
    :func:`model_stages` (``model``, ``prompt``, ``label_schema``, ``embedding_model``, …) and of
    :class:`MaxFrameStageOperator`.

    :param image_column: the column with the OSS URI of what models get to see.
    :param stages: what is done, instead of all of these.
    """

    def __init__(
        self, *, image_column: str = "image_url", stages: Sequence[Stage] = (), **kwargs: Any
    ) -> None:
        if not stages:
            models = take_arguments(model_stages, kwargs)
            stages = model_stages(Image(image_column), **models)
            kwargs["prompt"] = models.get("prompt")
        super().__init__(stages=stages, **kwargs)
