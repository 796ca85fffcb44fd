"""Answers and vectors of rows as a lazy MaxFrame graph, through MaxCompute's AI functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import maxframe.dataframe as md
from maxframe.learn.contrib.llm import ContentPart, ImageContentType, VideoContentType
from maxframe.learn.contrib.llm.multi_modal import MultiModalEmbeddingModel, MultiModalGenLLM
from maxframe.learn.contrib.llm.text import TextEmbeddingModel, TextGenLLM
from maxframe.learn.utils import read_odps_model

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema
from airflow_provider_drivepipe.stages.generate import Content, Generate, Image, Text, TextColumn, Video
from airflow_provider_drivepipe.stages.graph import ModelAccess
from airflow_provider_drivepipe.stages.worker_call import apply_chunk
from airflow_provider_drivepipe.worker.answer_rows import (
    REPAIR_TEXT,
    AnswerJob,
    mark_repairs,
    read_answers,
    response_columns,
)
from airflow_provider_drivepipe.worker.rows import RowPart, request_dtypes, with_texts
from airflow_provider_drivepipe.worker.vectors import EMBED_TEXT, VectorJob, mark_texts, read_vectors

if TYPE_CHECKING:
    from airflow_provider_drivepipe.stages.embed import Embed
    from airflow_provider_drivepipe.stages.stage import Build, RowStage

_GENERATE_RUNNING_OPTIONS = {"enable_thinking": False, "enable_real_rpm_stats": True}
_EMBED_RUNNING_OPTIONS = {"enable_real_rpm_stats": True}


def generate_part(rows: Any, stage: Generate, build: Build) -> Any:
    """Return lazy ``rows`` with the answers of a model and what they make of the status of each row.

    All rows are asked about, and once more for each repair that they need. They have the same columns when
    they come back, and another order.

    :param rows: have all final columns, and the flags of all parts.
    """
    dtypes = dict(rows.dtypes)
    job, access = _answer_job(stage, build), _access(stage, build)
    texts, message = _with_own_columns(stage.message)

    def take_texts(chunk: Any) -> Any:
        return with_texts(chunk, texts)

    def check_answers(chunk: Any) -> Any:
        return read_answers(chunk, job, tuple(dtypes))

    if texts:
        rows = apply_chunk(rows, take_texts, {**dtypes, **dict.fromkeys(texts, "object")})
    answers = generate(rows, stage.model, message, stage.max_tokens, access)
    rows = md.concat([rows, _raw(answers, 0)], axis=1)
    for number in range(1, 1 + stage.rounds):
        rows = _repair(rows, stage, message, access, job, number)
    return apply_chunk(rows, check_answers, dtypes)


def _repair(
    rows: Any, stage: Generate, message: Sequence[Content], access: ModelAccess, job: AnswerJob, number: int
) -> Any:
    def find_answers_to_repair(chunk: Any) -> Any:
        return mark_repairs(chunk, job, number)

    def ask(asked: Any) -> Any:
        # What a model answered comes as a column, so that it stays text.
        return generate(asked, stage.model, (*message, TextColumn(REPAIR_TEXT)), stage.max_tokens, access)

    return _ask_some(rows, find_answers_to_repair, ask, REPAIR_TEXT, number)


def embed_part(rows: Any, stage: Embed, build: Build) -> Any:
    """Return lazy ``rows`` with the vectors of a model and what they make of the status of each row.

    Rows without a text are not sent. Rows have the same columns when they come back, and another order.

    :param rows: have all final columns, and the flags of all parts.
    """
    dtypes = dict(rows.dtypes)
    job, access = _vector_job(stage, build), _access(stage, build)

    def check_vectors(chunk: Any) -> Any:
        return read_vectors(chunk, job, tuple(dtypes))

    if isinstance(stage.of, TextColumn):
        column = stage.of.column

        def choose_texts_to_embed(chunk: Any) -> Any:
            return mark_texts(chunk, column)

        def ask(asked: Any) -> Any:
            return embed(asked, stage.model, TextColumn(EMBED_TEXT), stage.dimension, access)

        rows = _ask_some(rows, choose_texts_to_embed, ask, EMBED_TEXT, 0)
    else:
        vectors = embed(rows, stage.model, stage.of, stage.dimension, access)
        rows = md.concat([rows, _raw(vectors, 0)], axis=1)
    return apply_chunk(rows, check_vectors, dtypes)


def _ask_some(
    rows: Any, mark: Callable[[Any], Any], ask: Callable[[Any], Any], text: str, number: int
) -> Any:
    """Return lazy ``rows`` with raw columns of call ``number``, NULL where ``mark`` leaves ``text`` empty.

    :param mark: fills the columns of :func:`~airflow_provider_drivepipe.worker.rows.with_request`.
    """
    columns, raw = list(rows.dtypes.index), response_columns(number)
    marked = apply_chunk(rows, mark, request_dtypes(dict(rows.dtypes), text, *raw))
    asked = marked[marked[text] != ""][[*columns, text]]
    rest = marked[marked[text] == ""][[*columns, *raw]]
    return md.concat([rest, md.concat([asked[columns], _raw(ask(asked), number)], axis=1)])


def _raw(answers: Any, number: int) -> Any:
    response, success = response_columns(number)
    return answers.rename(columns={"response": response, "success": success})


# Calls of models, as the AI functions want them.


def generate(rows: Any, model: str, content: Sequence[Content], max_tokens: int, access: ModelAccess) -> Any:
    """Return lazy ``response`` and ``success`` for each row: what a model answers to one message.

    A model that only reads gets the message as one text. Raises ConfigurationError for one that cannot
    answer, or not see what the message shows.
    """
    media = any(isinstance(each, Image | Video) for each in content)
    loaded = read_odps_model(model, project=access.project)
    message: dict[str, Any]
    if isinstance(loaded, MultiModalGenLLM):
        parts = [_content_part(rows, each, access) for each in content]
        message = {"messages": [{"role": "user", "content": parts}]}
    elif isinstance(loaded, TextGenLLM) and not media:
        text = "".join(_template(each) for each in content)
        message = {"prompt_template": [{"role": "user", "content": text}]}
    else:
        raise ConfigurationError(
            f"model {model} of project {access.project} cannot answer"
            f"{' about images or videos' if media else ''}"
        )
    return loaded.generate(
        rows,
        simple_output=False,
        params={"max_tokens": max_tokens},
        running_options=dict(_GENERATE_RUNNING_OPTIONS),
        **message,
    )


def embed(rows: Any, model: str, of: Image | TextColumn, dimension: int | None, access: ModelAccess) -> Any:
    """Return lazy ``response`` and ``success`` for each row: the vector of an image or a text.

    A multi-modal model puts texts into the same space as images. Raises ConfigurationError for a model that
    cannot embed.
    """
    loaded = read_odps_model(model, project=access.project)
    options = {"simple_output": False, "running_options": dict(_EMBED_RUNNING_OPTIONS)}
    if isinstance(loaded, MultiModalEmbeddingModel):
        params = {} if dimension is None else {"dimension": dimension}
        return loaded.embed(rows, input=[_content_part(rows, of, access)], params=params, **options)
    if isinstance(loaded, TextEmbeddingModel) and isinstance(of, TextColumn):
        return loaded.embed(rows[of.column], dimensions=dimension, **options)
    raise ConfigurationError(
        f"model {model} of project {access.project} cannot embed "
        f"{'images' if isinstance(of, Image) else 'texts'}"
    )


def _content_part(rows: Any, content: Content, access: ModelAccess) -> Any:
    match content:
        case Image(column, inline=True):
            return ContentPart.image(data=rows[column], type=ImageContentType.BASE64, mime_type="image/jpeg")
        case Image(column):
            return ContentPart.image(
                data=rows[column], type=ImageContentType.URL, storage_options=access.storage_options()
            )
        case Video(column):
            return ContentPart.video(
                data=rows[column], type=VideoContentType.URL, storage_options=access.storage_options()
            )
        case _:
            return ContentPart.text(_template(content))


def _template(content: Content) -> str:
    return escape_braces(content.text) if isinstance(content, Text) else f"{{{content.column}}}"


def escape_braces(prompt: str) -> str:
    """Return a prompt in which MaxFrame sees no ``{column}`` template: a prompt is data."""
    return prompt.replace("{", "{{").replace("}", "}}")


# What workers need to know.


def _with_own_columns(message: Sequence[Content]) -> tuple[dict[str, str], tuple[Content, ...]]:
    """Return the text columns to make, each with the column that it comes from, and the message over them."""
    columns = dict.fromkeys(each.column for each in message if isinstance(each, TextColumn))
    own = {column: f"drivepipe_text_{number}" for number, column in enumerate(columns)}
    content = [TextColumn(own[each.column]) if isinstance(each, TextColumn) else each for each in message]
    return {name: column for column, name in own.items()}, tuple(content)


def _row_part(stage: RowStage, build: Build) -> RowPart:
    part = stage.part()
    return RowPart(
        stage=part.stage,
        columns=tuple((column.name, column.type) for column in part.columns),
        result=part.result,
        flags_behind=build.flags_behind.get(part.stage, ()),
    )


def _answer_job(stage: Generate, build: Build) -> AnswerJob:
    sees = {Image: "picture", Video: "video"}
    return AnswerJob(
        part=_row_part(stage, build),
        schema=load_answer_schema(stage.schema) if stage.schema else None,
        repair_rounds=stage.rounds,
        chinese=stage.in_chinese,
        sees=next((sees[type(each)] for each in stage.media if type(each) in sees), ""),
        fields=tuple((field.property, field.column, field.type) for field in stage.fields),
    )


def _vector_job(stage: Embed, build: Build) -> VectorJob:
    [tokens] = stage.part().tokens
    return VectorJob(
        part=_row_part(stage, build),
        tokens=tokens,
        dimension=stage.dimension,
        text=stage.of.column if isinstance(stage.of, TextColumn) else None,
        lacking=str(stage.lacking),
    )


def _access(stage: RowStage, build: Build) -> ModelAccess:
    key = build.site.oss_key() if stage.image_columns else None
    return ModelAccess(build.site.model_project(), key)
