"""Labels and embeddings of images as a lazy MaxFrame graph, through MaxCompute's AI functions."""

from __future__ import annotations

from typing import Any

import cloudpickle
import maxframe.dataframe as md
from maxframe.learn.contrib.llm import ContentPart, ImageContentType
from maxframe.learn.utils import read_odps_model

from airflow_provider_drivepipe import worker
from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.pipelines.budget import BUDGET_MESSAGE
from airflow_provider_drivepipe.pipelines.context import ModelAccess, declared_dtypes
from airflow_provider_drivepipe.scenario.options import (
    ImageEmbeddingOptions,
    LabelEmbeddingOptions,
    LabelOptions,
    StageOptions,
)
from airflow_provider_drivepipe.scenario.prompts import whole_prompt
from airflow_provider_drivepipe.worker.assemble import (
    AssembleJob,
    assemble,
    assemble_dtypes,
    mark_repairs,
    not_tried,
    passthrough,
    repair_dtypes,
)
from airflow_provider_drivepipe.worker.label_embedding import (
    EMBED_TEXT,
    VECTOR_RESPONSE,
    VECTOR_SUCCESS,
    add_label_vectors,
    mark_label_texts,
)
from airflow_provider_drivepipe.worker.label_rows import REPAIR_TEXT, response_columns

cloudpickle.register_pickle_by_value(worker)

_GENERATE_RUNNING_OPTIONS = {"enable_thinking": False, "enable_real_rpm_stats": True}
_PLACE = "index"
_INPUT_COLUMN = "drivepipe_index"
_EMBED_RUNNING_OPTIONS = {"enable_real_rpm_stats": True}


def escape_braces(prompt: str) -> str:
    """Return a prompt in which MaxFrame sees no ``{column}`` template: a prompt is data."""
    return prompt.replace("{", "{{").replace("}", "}}")


def _image_part(rows: Any, access: ModelAccess) -> Any:
    if access.inline:
        data, kind = rows[access.image_column], ImageContentType.BASE64
        return ContentPart.image(data=data, type=kind, mime_type="image/jpeg")
    return ContentPart.image(
        data=rows[access.image_column],
        type=ImageContentType.IMAGE_URL,
        storage_options=access.storage_options(),
    )


def generate_labels(rows: Any, options: LabelOptions, access: ModelAccess, asked_before: int = 0) -> Any:
    """Return the lazy raw answers for rows with an image, under the names of ``response_columns``.

    When a model was asked before, ``rows`` have a column ``REPAIR_TEXT`` that says what was wrong. It goes
    into the message as a column, so that whatever a model answered stays text.
    """
    model = read_odps_model(options.model, project=access.project)
    content = [_image_part(rows, access), ContentPart.text(escape_braces(whole_prompt(options)))]
    if asked_before:
        content.append(ContentPart.text(rows[REPAIR_TEXT]))
    answers = model.generate(
        rows,
        messages=[{"role": "user", "content": content}],
        simple_output=False,
        params={"max_tokens": options.max_tokens},
        running_options=dict(_GENERATE_RUNNING_OPTIONS),
    )
    response, success = response_columns(asked_before)
    return answers.rename(columns={"response": response, "success": success})


def repair_labels(rows: Any, options: LabelOptions, access: ModelAccess, job: AssembleJob) -> Any:
    """Return lazy ``rows`` with the answers of all repair rounds, which ask only where it is needed.

    Rows come in another order when they come back.
    """
    for number in range(1, job.label.repair_rounds + 1):
        rows = _repair_round(rows, options, access, job, number)
    return rows


def _repair_round(
    rows: Any, options: LabelOptions, access: ModelAccess, job: AssembleJob, number: int
) -> Any:
    def find_answers_to_repair(chunk: Any) -> Any:
        return mark_repairs(chunk, job, number)

    columns = list(rows.dtypes.index)
    marked = rows.mf.apply_chunk(
        find_answers_to_repair,
        output_type="dataframe",
        dtypes=declared_dtypes(repair_dtypes(dict(rows.dtypes), number)),
        skip_infer=True,
    )
    text = marked[REPAIR_TEXT]
    asked = marked[text != ""][[*columns, REPAIR_TEXT]]
    rest = marked[text == ""][[*columns, *response_columns(number)]]
    answers = generate_labels(asked, options, access, asked_before=number)
    return md.concat([rest, md.concat([asked[columns], answers], axis=1)])


def embed_images(rows: Any, options: ImageEmbeddingOptions, access: ModelAccess) -> Any:
    """Return lazy ``embedding_response`` and ``embedding_success`` for rows with an image."""
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
    combined = rows if len(parts) == 1 else md.concat(parts, axis=1)
    if options.labels is not None:
        combined = repair_labels(combined, options.labels, access, job)

    def check_answers(chunk: Any) -> Any:
        return assemble(chunk, job)

    dtypes = assemble_dtypes(job, dict(rows.dtypes))
    final = combined.mf.apply_chunk(
        check_answers, output_type="dataframe", dtypes=declared_dtypes(dtypes), skip_infer=True
    )
    if options.label_embedding is None:
        return final
    return embed_labels(final, options.label_embedding, access, dtypes)


def embed_labels(
    rows: Any, options: LabelEmbeddingOptions, access: ModelAccess, dtypes: dict[str, Any]
) -> Any:
    """Return lazy final ``rows`` with the embeddings of their labels; failed labels are not sent.

    Rows come in another order when they come back.

    :param dtypes: those of ``rows``.
    """

    dimension = options.dimension

    def choose_labels_to_embed(chunk: Any) -> Any:
        return mark_label_texts(chunk)

    def label_embedding(chunk: Any) -> Any:
        return add_label_vectors(chunk, dimension)

    marked = rows.mf.apply_chunk(
        choose_labels_to_embed,
        output_type="dataframe",
        dtypes=declared_dtypes({**dtypes, EMBED_TEXT: "object"}),
        skip_infer=True,
    )
    text = marked[EMBED_TEXT]
    asked, rest = marked[text != ""], marked[text == ""][list(dtypes)]
    model = read_odps_model(options.model, project=access.project)
    answers = model.embed(
        asked[EMBED_TEXT],
        dimensions=dimension,
        simple_output=False,
        running_options=dict(_EMBED_RUNNING_OPTIONS),
    ).rename(columns={"response": VECTOR_RESPONSE, "success": VECTOR_SUCCESS})
    embedded = md.concat([asked, answers], axis=1).mf.apply_chunk(
        label_embedding, output_type="dataframe", dtypes=declared_dtypes(dtypes), skip_infer=True
    )
    return md.concat([embedded, rest])


def first_rows(rows: Any, key: tuple[str, ...], count: int) -> tuple[Any, Any]:
    """Return lazy ``rows`` as two parts: the first ``count`` in the order of ``key``, and the others."""
    columns = list(rows.dtypes.index)
    if _PLACE in columns:
        # A column of the input has the name that the row's place gets.
        rows = rows.rename(columns={_PLACE: _INPUT_COLUMN})
    ordered = rows.sort_values(list(key)).reset_index(drop=True).reset_index()
    place = ordered[_PLACE]
    parts = ordered[place < count], ordered[place >= count]
    if _PLACE in columns:
        parts = tuple(part.drop(columns=[_PLACE]).rename(columns={_INPUT_COLUMN: _PLACE}) for part in parts)
    return parts[0][columns], parts[1][columns]


def beyond_budget(rows: Any, job: AssembleJob, stage: str) -> Any:
    """Return final rows for ``rows`` that the models are not asked about in this run."""

    reason, message = str(Reason.BUDGET), BUDGET_MESSAGE

    def beyond_budget_rows(chunk: Any) -> Any:
        return not_tried(chunk, job, stage, reason, message)

    return rows.mf.apply_chunk(
        beyond_budget_rows,
        output_type="dataframe",
        dtypes=declared_dtypes(assemble_dtypes(job, dict(rows.dtypes))),
        skip_infer=True,
    )


def pass_through(rows: Any, job: AssembleJob) -> Any:
    """Return final rows for ``rows`` that never reach a model: their model columns are NULL."""

    def failed_before(chunk: Any) -> Any:
        return passthrough(chunk, job)

    return rows.mf.apply_chunk(
        failed_before,
        output_type="dataframe",
        dtypes=declared_dtypes(assemble_dtypes(job, dict(rows.dtypes))),
        skip_infer=True,
    )
