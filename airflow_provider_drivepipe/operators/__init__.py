"""The operators, by short names: ``from airflow_provider_drivepipe.operators import AiFuncLabelOperator``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_drivepipe.operators.dataset_export import DatasetExportOperator
    from airflow_provider_drivepipe.operators.frame_extract import (
        MaxFrameFrameExtractOperator,
        MaxFrameSingleJobOperator,
    )
    from airflow_provider_drivepipe.operators.frame_search import FrameSearchOperator
    from airflow_provider_drivepipe.operators.generate import AiFuncEmbedOperator, AiFuncGenerateOperator
    from airflow_provider_drivepipe.operators.image_prepare import (
        MaxFrameImageLabelOperator,
        MaxFrameImagePrepareOperator,
    )
    from airflow_provider_drivepipe.operators.keyframe_expand import (
        MaxFrameClipLabelOperator,
        MaxFrameKeyframeExpandOperator,
    )
    from airflow_provider_drivepipe.operators.label import AiFuncLabelOperator
    from airflow_provider_drivepipe.operators.oss_manifest import OssManifestOperator
    from airflow_provider_drivepipe.operators.qa_export import QaExportOperator
    from airflow_provider_drivepipe.operators.qa_metrics import QaMetricsOperator
    from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator

_MODULES = {
    "AiFuncEmbedOperator": "generate",
    "AiFuncGenerateOperator": "generate",
    "AiFuncLabelOperator": "label",
    "DatasetExportOperator": "dataset_export",
    "FrameSearchOperator": "frame_search",
    "MaxFrameClipLabelOperator": "keyframe_expand",
    "MaxFrameFrameExtractOperator": "frame_extract",
    "MaxFrameImageLabelOperator": "image_prepare",
    "MaxFrameImagePrepareOperator": "image_prepare",
    "MaxFrameKeyframeExpandOperator": "keyframe_expand",
    "MaxFrameSingleJobOperator": "frame_extract",
    "MaxFrameStageOperator": "stage",
    "OssManifestOperator": "oss_manifest",
    "QaExportOperator": "qa_export",
    "QaMetricsOperator": "qa_metrics",
}

__all__ = [
    "AiFuncEmbedOperator",
    "AiFuncGenerateOperator",
    "AiFuncLabelOperator",
    "DatasetExportOperator",
    "FrameSearchOperator",
    "MaxFrameClipLabelOperator",
    "MaxFrameFrameExtractOperator",
    "MaxFrameImageLabelOperator",
    "MaxFrameImagePrepareOperator",
    "MaxFrameKeyframeExpandOperator",
    "MaxFrameSingleJobOperator",
    "MaxFrameStageOperator",
    "OssManifestOperator",
    "QaExportOperator",
    "QaMetricsOperator",
]


def __getattr__(name: str) -> Any:
    """Import an operator when it is asked for: a DAG file pays for those alone that it uses."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
