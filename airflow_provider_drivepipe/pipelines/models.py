"""Labels and embeddings of images as a lazy MaxFrame graph, through MaxCompute's AI functions."""

from __future__ import annotations

from typing import Any

import cloudpickle
import maxframe.dataframe as md
from maxframe.learn.contrib.llm import ContentPart, ImageContentType
from maxframe.learn.utils import read_odps_model

from airflow_provider_drivepipe import worker
from airflow_provider_drivepipe.pipelines.context import ModelAccess, declared_dtypes
from airflow_provider_drivepipe.scenario.options import ImageEmbeddingOptions, LabelOptions, StageOptions
from airflow_provider_drivepipe.worker.assemble import (
    AssembleJob,
    assemble,
    assemble_dtypes,
    passthrough,
)

cloudpickle.register_pickle_by_value(worker)

_GENERATE_RUNNING_OPTIONS = {"enable_thinking": False, "enable_real_rpm_stats": True}
_EMBED_RUNNING_OPTIONS = {"enable_real_rpm_stats": True}


def escape_braces(prompt: str) -> str:
    """Return a prompt in which MaxFrame sees no ``{column}`` template: a prompt is data."""
    return prompt.replace("{", "{{").replace("}", "}}")


def _image_part(rows: Any, access: ModelAccess) -> Any:
    return ContentPart.image(
        data=rows["image_url"],
        type=ImageContentType.IMAGE_URL,
        storage_options=access.storage_options(),
    )


def generate_labels(rows: Any, options: LabelOptions, access: ModelAccess) -> Any:
    """Return lazy ``label_response`` and ``label_success`` for rows with an ``image_url``."""
    model = read_odps_model(options.model, project=access.project)
    content = [_image_part(rows, access), ContentPart.text(escape_braces(options.prompt))]
    answers = model.generate(
        rows,
        messages=[{"role": "user", "content": content}],
        simple_output=False,
        params={"max_tokens": options.max_tokens},
        running_options=dict(_GENERATE_RUNNING_OPTIONS),
    )
    return answers.rename(columns={"response": "label_response", "success": "label_success"})


def embed_images(rows: Any, options: ImageEmbeddingOptions, access: ModelAccess) -> Any:
    """Return lazy ``embedding_response`` and ``embedding_success`` for rows with an ``image_url``."""
    model = read_odps_model(options.model, project=access.project)
    answers = model.embed(
        rows,
        input=[_image_part(rows, access)],
        simple_output=False,
        params={} if options.dimension is None else {"dimension": options.dimension},
        running_options=dict(_EMBED_RUNNING_OPTIONS),
    )
    return answers.rename(columns={"response": "embedding_response", "success": "embedding_success"})


def call_models(rows: Any, options: StageOptions, access: ModelAccess, job: AssembleJob) -> Any:
    """Return final rows: ``rows`` with their labels and embeddings, each with its own row-level status."""
    parts = [rows]
    if options.labels is not None:
        parts.append(generate_labels(rows, options.labels, access))
    if options.embedding is not None:
        parts.append(embed_images(rows, options.embedding, access))
    combined = md.concat(parts, axis=1)

    def assemble_chunk(chunk: Any) -> Any:
        return assemble(chunk, job)

    return combined.mf.apply_chunk(
        assemble_chunk,
        output_type="dataframe",
        dtypes=declared_dtypes(assemble_dtypes(job, dict(rows.dtypes))),
        skip_infer=True,
    )


def pass_through(rows: Any, job: AssembleJob) -> Any:
    """Return final rows for ``rows`` that never reach a model: their model columns are NULL."""

    def pass_chunk(chunk: Any) -> Any:
        return passthrough(chunk, job)

    return rows.mf.apply_chunk(
        pass_chunk,
        output_type="dataframe",
        dtypes=declared_dtypes(assemble_dtypes(job, dict(rows.dtypes))),
        skip_infer=True,
    )
