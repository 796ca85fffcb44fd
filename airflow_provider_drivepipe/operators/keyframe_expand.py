"""Expands the clips of a partition into keyframes, and labels and embeds these where asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.operators.base import take, take_arguments
from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator
from airflow_provider_drivepipe.pipelines.driving.keyframes import KeyframeExpansion
from airflow_provider_drivepipe.pipelines.driving.models import model_stages
from airflow_provider_drivepipe.pipelines.driving.options import KeyframeOptions, OssOptions, QualityOptions
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.stage import Stage


class MaxFrameKeyframeExpandOperator(MaxFrameStageOperator):
    """Writes the keyframes table of a partition of clips, directories of images in OSS.

    Input units are clips, told apart by their id and directory together. Whether a directory has got other
    images since is not looked at: run with ``reprocess: all`` for that. Arguments beside these are the fields
    of :class:`KeyframeOptions` (``count``, ``stride``, ``clip_id_column``, …) and those of
    :class:`MaxFrameStageOperator`.

    :param bucket: bucket that holds the clips.
    :param root: full URI ``oss://<endpoint>/<bucket>[/<prefix>]`` instead of the connection's endpoint.
    :param quality: measure the keyframes, and leave out those that a rule refuses.
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
        if not stages:
            options = KeyframeOptions(**take(KeyframeOptions, kwargs))
            stages = (KeyframeExpansion(OssOptions(bucket, root), options, quality),)
        super().__init__(stages=stages, **kwargs)


class MaxFrameClipLabelOperator(MaxFrameKeyframeExpandOperator):
    """Expands clips into keyframes, labels and embeds these, and writes one final table.

    Clips that could not be expanded never reach a model. Arguments are those of
    :class:`MaxFrameKeyframeExpandOperator` and of :func:`model_stages`.
    """

    def __init__(self, *, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        models = {} if stages else take_arguments(model_stages, kwargs)
        super().__init__(stages=stages, **kwargs)
        if not stages:
            self.add_models(model_stages(Image("image_url"), **models), models.get("prompt"))
