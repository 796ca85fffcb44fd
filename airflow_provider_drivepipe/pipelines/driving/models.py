"""The stages of this family that call models: labels of images, vectors of images and of labels."""

from __future__ import annotations

from typing import Any

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.pipelines.driving.frames import THE_IMAGE
from airflow_provider_drivepipe.pipelines.driving.images import IMAGE_INPUT
from airflow_provider_drivepipe.stages.content import Image, TextColumn
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import MODEL_REASONS, Generate
from airflow_provider_drivepipe.stages.prompts import full_name, load_prompt
from airflow_provider_drivepipe.stages.stage import InputColumn, RowStage, Site, StageGuide
from airflow_provider_drivepipe.worker.image_preparation import INLINE_NAME

DEFAULT_PROMPT = "driving-scene-en"
LABEL = "label"
IMAGE_EMBEDDING = "image_embedding"
LABEL_EMBEDDING = "label_embedding"


def label(model: str, prompt: str, image: Image, **options: Any) -> Generate:
    """Return the stage that labels images.

    :param options: further fields of :class:`Generate`.
    """
    absent = [THE_IMAGE]
    if not options.get("schema"):
        absent.append(("`label_json_valid`", "answers are free text", "set `label_schema`"))
    if not options.get("keep_raw_response"):
        why = "raw responses are long; `label_text` has the answer"
        absent.append(("`label_response`", why, "set `keep_raw_response: true`"))
    return Generate(
        LABEL,
        model,
        prompt,
        media=(image,),
        run_param="label_prompt",
        texts=StageGuide(
            does="asks a vision-language model for the label of each image",
            unit="image",
            gives="labels",
            reads=IMAGE_INPUT,
            fails=(
                "The row keeps the model's answer in `label_text` where there is one, and its embedding "
                "where that worked: a paid result is never thrown away."
            ),
            reasons=(*MODEL_REASONS, Reason.REFUSAL, Reason.INVALID_JSON, Reason.SCHEMA_VIOLATION),
            again=(
                "The model is asked, and paid, only for rows that have no good label. Another model, prompt "
                "or label schema makes all labels again; images and embeddings stay."
            ),
            absent=tuple(absent),
        ),
        **options,
    )


def image_embedding(model: str, dimension: int | None, image: Image) -> Embed:
    """Return the stage that turns images into vectors."""
    return Embed(
        IMAGE_EMBEDDING,
        model,
        image,
        dimension,
        texts=StageGuide(
            does="turns each image into a vector with a multi-modal model",
            unit="image",
            gives="vectors of images",
            reads=IMAGE_INPUT,
            fails=(
                "The row keeps its label. Where the label failed too, `error_stage` names the label, and the "
                "report counts the missing vector as `masked_by_label`."
            ),
            reasons=(*MODEL_REASONS, Reason.DIMENSION_MISMATCH),
            again=(
                "The model is called, and paid, only for rows that have no vector. Another model or "
                "dimension makes all vectors again; images and labels stay."
            ),
            absent=(THE_IMAGE,),
        ),
    )


def embedding_hashes(model: str, dimension: int | None, site: Site) -> tuple[str, ...]:
    """Return what fingerprints say of vectors that a model made of images, whatever column these came from.

    Such vectors can be compared with each other.
    """
    images = (Image("image_url"), Image("prepared_url"), Image(INLINE_NAME, inline=True))
    stages = (image_embedding(model, dimension, image) for image in images)
    return tuple(stage.hashes(site)[IMAGE_EMBEDDING] for stage in stages)


def label_embedding(model: str, dimension: int | None, *, given: bool) -> Embed:
    """Return the stage that turns labels into vectors.

    :param given: whether the input holds the labels; else they are made in the same task.
    """
    return Embed(
        LABEL_EMBEDDING,
        model,
        TextColumn("label_text"),
        dimension,
        needs=() if given else (LABEL,),
        lacking=Reason.NO_LABEL,
        texts=StageGuide(
            does="turns each label into a vector with a text model",
            unit="label",
            gives="vectors of labels",
            reads=(InputColumn("label_text", True, "text of the label"),),
            fails=(
                "The row keeps its label and, where there is one, the vector of its image. A label that "
                "failed is not sent. Where the image's vector is missing too, `error_stage` names that, "
                "and the report counts the label's as `masked_by_image_embedding`."
            ),
            reasons=(
                Reason.MODEL_ERROR,
                Reason.RATE_LIMITED,
                Reason.TIMEOUT,
                Reason.EMPTY_RESPONSE,
                Reason.DIMENSION_MISMATCH,
                Reason.NO_LABEL,
            ),
            again="The model is called, and paid, only for labels that are new or have no vector.",
        ),
    )


def model_stages(
    image: Image,
    *,
    model: str | None = None,
    prompt: str | None = None,
    label_schema: str | None = None,
    max_tokens: int = 1024,
    repair_rounds: int = 1,
    keep_raw_response: bool = False,
    label_columns: bool = False,
    embedding_model: str | None = None,
    embedding_dim: int | None = None,
    label_embedding_model: str | None = None,
    label_embedding_dim: int | None = None,
) -> tuple[RowStage, ...]:
    """Return the stages of models that are named, in order, as an operator's arguments name them.

    :param image: what models see.
    :param model: vision-language model that labels.
    :param prompt: what it is told; the built-in prompt unless given.
    :param label_schema: name of a built-in schema, or a schema's JSON, that the label has to fit.
    :param max_tokens: longest answer.
    :param repair_rounds: how often the model is asked again for an answer that does not fit the schema.
    :param keep_raw_response: whether ``label_response`` keeps the model's raw response.
    :param label_columns: whether each property of the label gets a column of its own too.
    :param embedding_model: multi-modal model that turns images into vectors.
    :param embedding_dim: length of these vectors; None leaves it to the model.
    :param label_embedding_model: text model that does so with labels, made here or given in the input.
    :param label_embedding_dim: length of these vectors; None leaves it to the model.

    Raises ValueError when none is named, and for a prompt without a model.
    """
    if prompt is not None and model is None:
        raise ValueError("a prompt is for the model that labels: name a model")
    stages: list[RowStage] = []
    if model is not None:
        stages.append(
            label(
                model,
                prompt or load_prompt(DEFAULT_PROMPT),
                image,
                prompt_name="inline" if prompt else full_name(DEFAULT_PROMPT),
                schema=label_schema,
                max_tokens=max_tokens,
                repair_rounds=repair_rounds,
                keep_raw_response=keep_raw_response,
                flat_columns=label_columns,
            )
        )
    if embedding_model is not None:
        stages.append(image_embedding(embedding_model, embedding_dim, image))
    if label_embedding_model is not None:
        stages.append(label_embedding(label_embedding_model, label_embedding_dim, given=model is None))
    if not stages:
        raise ValueError("name a model, an embedding_model or a label_embedding_model")
    return tuple(stages)
