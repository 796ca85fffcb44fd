"""Asks a language model about every row of a table: any prompt, over text columns, images or a video."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.lifecycle.stage_run import StageRun
from airflow_provider_drivepipe.operators.base import names
from airflow_provider_drivepipe.operators.stage import MaxFrameStageOperator
from airflow_provider_drivepipe.stages.content import Image, TextColumn, Video
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate

if TYPE_CHECKING:
    from airflow.sdk import Context


class AiFuncGenerateOperator(MaxFrameStageOperator):
    """Writes the rows of a partition with a model's answer to each.

    The answer stands in ``<name>_text``, and its tokens beside it. A row that is ok is not paid again before
    the model, the prompt, the schema or what the row says in ``columns`` changes. Arguments beside these are
    those of :class:`MaxFrameStageOperator`; ``unit_key`` names what tells rows apart, where it is not what
    images have.

    :param model: model in the connection's model project.
    :param prompt: what the model is told, a template of Airflow as ever (``{{ params.question }}``). In what
        that becomes, ``{column}`` stands for the row's value for each of ``columns``; any other brace is one.
    :param columns: text columns that the model gets to read; those that the prompt does not place follow it.
        One may be given as it is, here as in ``image_columns`` and ``unit_key``.
    :param image_columns: columns with OSS URIs of images that it gets to see.
    :param video_column: column with the OSS URI of a video that it gets to see.
    :param name: of the answer.
    :param schema: JSON Schema, as text or as a dictionary, or the name of a built-in one, that the answer has
        to fit.
    :param flat_columns: whether each property of the answer gets a column ``<name>_<property>`` too.
    :param max_tokens: longest answer.
    :param repair_rounds: how often the model is asked again for an answer that does not fit the schema.
    :param keep_raw_response: whether ``<name>_response`` keeps the model's raw response.
    """

    def __init__(
        self,
        *,
        model: str,
        prompt: str,
        columns: str | Sequence[str] = (),
        image_columns: str | Sequence[str] = (),
        video_column: str | None = None,
        name: str = "answer",
        schema: str | Mapping[str, Any] | None = None,
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
            media=(*map(Image, names(image_columns)), *video),
            columns=names(columns),
            schema=json.dumps(schema, ensure_ascii=False) if isinstance(schema, Mapping) else schema,
            max_tokens=max_tokens,
            repair_rounds=repair_rounds,
            keep_raw_response=keep_raw_response,
            flat_columns=flat_columns,
        )
        super().__init__(stages=(stage,), prompt=prompt, **kwargs)

    def _resolve(self, context: Context, hook: MaxFrameHook, working: str | None = None) -> StageRun:
        """Return the run; raise ConfigurationError for a column in the prompt that was not named."""
        run = super()._resolve(context, hook, working)
        for stage in run.stages:
            if isinstance(stage, Generate):
                others = {c.name for c in run.tables.source_columns}.difference(stage.columns)
                meant = sorted(name for name in others if f"{{{name}}}" in stage.prompt)
                if meant:
                    raise ConfigurationError(
                        f"the prompt holds {', '.join(f'{{{name}}}' for name in meant)}, and table "
                        f"{self.source_table} has such a column: name it in columns, and the model reads its "
                        "values; or write the prompt in another way"
                    )
        return run


class AiFuncEmbedOperator(MaxFrameStageOperator):
    """Writes the rows of a partition with a vector of each: of a text, or of an image.

    The vector stands in ``<name>``, a JSON array. Arguments beside these are those of
    :class:`MaxFrameStageOperator`; ``unit_key`` names what tells rows apart, where it is not what images
    have.

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
