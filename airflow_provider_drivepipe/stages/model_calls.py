"""Answers and vectors of rows as a lazy MaxFrame graph, through MaxCompute's AI functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import maxframe.dataframe as md
from maxframe.learn.contrib.llm import ContentPart, ImageContentType, VideoContentType
from maxframe.learn.contrib.llm.multi_modal import MultiModalEmbeddingModel, MultiModalGenLLM
from maxframe.learn.contrib.llm.text import TextEmbeddingModel, TextGenLLM
from maxframe.learn.utils import read_odps_model

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.stages.content import Content, Image, Images, Text, TextBy, TextColumn, Video
from airflow_provider_drivepipe.stages.graph import ModelAccess
from airflow_provider_drivepipe.stages.stage import Build, RowStage
from airflow_provider_drivepipe.stages.worker_call import apply_chunk
from airflow_provider_drivepipe.worker import rows as row_functions
from airflow_provider_drivepipe.worker.answer_rows import response_columns
from airflow_provider_drivepipe.worker.rows import request_dtypes

_GENERATE_RUNNING_OPTIONS = {"enable_thinking": False, "enable_real_rpm_stats": True}
_EMBED_RUNNING_OPTIONS = {"enable_real_rpm_stats": True}


@dataclass(frozen=True)
class Message:
    """A message over text columns of its own, which are never NULL.

    :param texts: these columns, each with what makes it: a column, or a text that is chosen by a value.
    """

    content: tuple[Content, ...]
    texts: Mapping[str, TextColumn | TextBy]


def with_own_columns(message: Sequence[Content]) -> Message:
    """Return a message over text columns of its own."""
    made = dict.fromkeys(each for each in message if isinstance(each, TextColumn | TextBy))
    own = {each: f"drivepipe_text_{number}" for number, each in enumerate(made)}
    content = [TextColumn(own[each]) if isinstance(each, TextColumn | TextBy) else each for each in message]
    return Message(tuple(content), {name: each for each, name in own.items()})


def with_texts(rows: Any, message: Message) -> Any:
    """Return lazy ``rows`` with the text columns of a message."""
    made = {name: _choice(each) for name, each in message.texts.items()}

    def make_texts(chunk: Any) -> Any:
        return row_functions.with_texts(chunk, made)

    if not made:
        return rows
    return apply_chunk(rows, make_texts, {**dict(rows.dtypes), **dict.fromkeys(made, "object")})


def _choice(each: TextColumn | TextBy) -> row_functions.TextChoice:
    """Return how workers make a text column: pieces by value, each piece a text or the name of a column."""
    if isinstance(each, TextColumn):
        return row_functions.TextChoice("", {"": ((each.column, True),)})
    pieces = {
        value: tuple((p.text, False) if isinstance(p, Text) else (p.column, True) for p in text)
        for value, text in each.texts
    }
    return row_functions.TextChoice(each.column, pieces)


def with_answers(rows: Any, answers: Any) -> Any:
    """Return lazy ``rows`` with the raw columns of the first call."""
    return md.concat([rows, _raw(answers, 0)], axis=1)


def access_of(stage: RowStage, build: Build) -> ModelAccess:
    """Return how a stage reaches its model, with a key pair only where the model fetches media."""
    key = build.site.oss_key() if stage.fetches else None
    return ModelAccess(build.site.model_project(), key)


def with_images(rows: Any, images: Images, number: int) -> tuple[Any, tuple[Content, ...]]:
    """Return lazy ``rows``, all with that number of images, with columns for them, and a message's parts."""
    names = [(f"drivepipe_said_{place}", f"drivepipe_image_{place}") for place in range(number)]
    column = images.column

    def split_images(chunk: Any) -> Any:
        return row_functions.with_images(chunk, column, names)

    made = dict.fromkeys((name for pair in names for name in pair), "object")
    content = (part for said, image in names for part in (TextColumn(said), Image(image)))
    return apply_chunk(rows, split_images, {**dict(rows.dtypes), **made}), tuple(content)


def ask_some(rows: Any, mark: Callable[[Any], Any], ask: Callable[[Any], Any], text: str, number: int) -> Any:
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


def ask(rows: Any, model: str, content: Sequence[Content], max_tokens: int, access: ModelAccess) -> Any:
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


def vectors(rows: Any, model: str, of: Image | TextColumn, dimension: int | None, access: ModelAccess) -> Any:
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
