"""Asks a language model about every row of a table: any prompt, over text columns, images or a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator
from airflow_provider_drivepipe.stages.content import Image, TextColumn, Video
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate


class AiFuncGenerateOperator(MaxFrameStageOperator):
    """Writes the rows of a partition with a model's answer to each.

    The answer stands in ``<name>_text``, and its tokens beside it. A row that is ok is not paid again before
    the model, the prompt, the schema or what the row says in ``columns`` changes. Arguments beside these are
    those of :class:`MaxFrameStageOperator`; ``unit_key`` names what tells rows apart, where it is not what
    images have.

    :param model: model in the connection's model project.
    :param prompt: what the model is told. ``{column}`` stands for the row's value, for each of ``columns``.
    :param columns: text columns that the model gets to read; those that the prompt does not place follow it.
    :param image_columns: columns with OSS URIs of images that it gets to see.
    :param video_column: column with the OSS URI of a video that it gets to see.
    :param name: of the answer.
    :param schema: JSON Schema, or the name of a built-in one, that the answer has to fit.
    :param flat_columns: whether each property of the answer gets a column ``<name>_<property>`` too.
    :param max_tokens: longest answer.
    :param repair_rounds: how often the model is asked again for an answer that does not fit the schema.
    """

    def __init__(
        self,
        *,
        model: str,
        prompt: str,
        columns: Sequence[str] = (),
        image_columns: Sequence[str] = (),
        video_column: str | None = None,
        name: str = "answer",
        schema: str | None = None,
        flat_columns: bool = False,
        max_tokens: int = 1024,
        repair_rounds: int = 1,
        keep_raw_response: bool = False,
        **kwargs: Any,
    ) -> None:
        video = () if video_column is None else (Video(video_column),)
        stage = Generate(
            name,
            model,
            prompt,
            media=(*map(Image, image_columns), *video),
            columns=tuple(columns),
            schema=schema,
            max_tokens=max_tokens,
            repair_rounds=repair_rounds,
            keep_raw_response=keep_raw_response,
            flat_columns=flat_columns,
        )
        super().__init__(stages=(stage,), prompt=prompt, **kwargs)


class AiFuncEmbedOperator(MaxFrameStageOperator):
    """Writes the rows of a partition with a vector of each: of a text, or of an image.

    The vector stands in ``<name>``, a JSON array. Arguments beside these are those of
    :class:`MaxFrameStageOperator`; ``unit_key`` names what tells rows apart, where it is not what images have.

    :param model: a text model for a text, a multi-modal one for an image.
    :param column: column with the text.
    :param image_column: column with the OSS URI of the image, instead.
    :param dimension: length of the vector; None leaves it to the model.
    :param name: of the column with the vector.
    """

    def __init__(
        self,
        *,
        model: str,
        column: str | None = None,
        image_column: str | None = None,
        dimension: int | None = None,
        name: str = "embedding",
        **kwargs: Any,
    ) -> None:
        if (column is None) == (image_column is None):
            raise ValueError("AiFuncEmbedOperator embeds either column or image_column")
        of = TextColumn(column) if column is not None else Image(str(image_column))
        super().__init__(stages=(Embed(name, model, of, dimension),), **kwargs)
