"""Embed: a vector for each row, of an image or of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.stages.content import Image, TextColumn
from airflow_provider_drivepipe.stages.generate import CALL_REASONS, MODEL_REASONS
from airflow_provider_drivepipe.stages.stage import Build, InputColumn, Part, RowStage, Site, StageGuide
from airflow_provider_drivepipe.stages.worker_call import apply_chunk, row_part
from airflow_provider_drivepipe.worker.vectors import (
    EMBED_IMAGE,
    EMBED_TEXT,
    VectorJob,
    mark_images,
    mark_texts,
    read_vectors,
)


@dataclass(frozen=True)
class Embed(RowStage):
    """Turns an image or a text of each row into a vector.

    :param name: of the stage and of the column with the vector, a JSON array of floats.
    :param model: a multi-modal model for an image, a text model for a text.
    :param of: what is embedded.
    :param dimension: length of the vector; None leaves it to the model.
    :param needs: stage that makes what is embedded, if one does.
    :param or_text: column with the text that a multi-modal model embeds where there is no image: texts and
        images in one space.
    :param lacking: reason of a row that has nothing to embed.
    :param texts: what documents say of the stage, instead of general words.
    """

    name: str
    model: str
    of: Image | TextColumn
    dimension: int | None = None
    needs: tuple[str, ...] = ()
    or_text: str | None = None
    lacking: Reason = Reason.EMPTY_INPUT
    texts: StageGuide | None = None

    @property
    def image_columns(self) -> tuple[str, ...]:
        """Columns with OSS URIs that the model service fetches."""
        always = isinstance(self.of, Image) and not self.of.inline and self.or_text is None
        return (self.of.column,) if always else ()

    @property
    def fetches(self) -> bool:
        """Whether the model service fetches anything with the connection's key pair."""
        return isinstance(self.of, Image) and not self.of.inline

    def part(self) -> Part:
        """Return what it adds to a row."""
        tokens = f"{self.name}_total_token"
        what = self.name.replace("_", " ")
        return Part(
            stage=self.name,
            columns=(
                Column(self.name, "string", "JSON array of floats"),
                Column(tokens, "bigint", f"tokens billed for the {what}"),
            ),
            result=self.name,
            tokens={tokens: "embedding"},
            needs=self.needs,
            calls=1,
            reads=self._reads,
        )

    @property
    def _reads(self) -> tuple[str, ...]:
        """Columns whose values decide the vector, row by row; an image's identity is its row's."""
        if self.or_text is not None:
            return (self.of.column, self.or_text)
        return (self.of.column,) if isinstance(self.of, TextColumn) else ()

    def content(self, site: Site) -> Mapping[str, object]:
        """Return model, dimension and what is embedded. A row's own text is not part of it."""
        return {
            "model": self.model,
            "model_project": site.model_project(),
            "dimension": self.dimension,
            "of": repr(self.of),
            **({"or_text": self.or_text} if self.or_text else {}),
        }

    def facts(self) -> dict[str, str]:
        """Return how long the vectors are."""
        return {
            "vectors": f"of {self.dimension} dimensions" if self.dimension else "as long as the model gives"
        }

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with the vectors, and what they make of the status of each row.

        Rows without a text are not sent. They come back in another order.
        """
        from airflow_provider_drivepipe.stages import model_calls as calls

        dtypes = dict(rows.dtypes)
        access = calls.access_of(self, build)
        job = self.job(build)

        def check_vectors(chunk: Any) -> Any:
            return read_vectors(chunk, job, tuple(dtypes))

        def choose_texts_to_embed(chunk: Any) -> Any:
            return mark_texts(chunk, job)

        def choose_images_to_embed(chunk: Any) -> Any:
            return mark_images(chunk, job)

        def ask_text(asked: Any) -> Any:
            return calls.vectors(asked, self.model, TextColumn(EMBED_TEXT), self.dimension, access)

        def ask_image(asked: Any) -> Any:
            return calls.vectors(asked, self.model, Image(EMBED_IMAGE), self.dimension, access)

        if job.text is None:
            vectors = calls.vectors(rows, self.model, self.of, self.dimension, access)
            rows = calls.with_answers(rows, vectors)
        else:
            rows = calls.ask_some(rows, choose_texts_to_embed, ask_text, EMBED_TEXT, 0)
        if job.text is not None and job.image is not None:
            rows = calls.ask_some(rows, choose_images_to_embed, ask_image, EMBED_IMAGE, 1)
        return apply_chunk(rows, check_vectors, dtypes)

    def job(self, build: Build) -> VectorJob:
        """Return what workers need to know."""
        [tokens] = self.part().tokens
        return VectorJob(
            row_part(self.part(), build.flags_behind),
            tokens,
            self.dimension,
            self.of.column if isinstance(self.of, TextColumn) else self.or_text,
            self.of.column if isinstance(self.of, Image) else None,
            str(self.lacking),
        )

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        if self.texts is not None:
            return self.texts
        image = isinstance(self.of, Image)
        text = f", or `{self.or_text}` where it has none," if self.or_text else ""
        return StageGuide(
            does=f"turns `{self.of.column}` of each row{text} into a vector with a "
            f"{'multi-modal' if image else 'text'} model",
            unit="row",
            gives="vectors",
            reads=(InputColumn(self.of.column, True, "what is embedded"),),
            fails="The row keeps all results that other stages brought.",
            reasons=(
                *(MODEL_REASONS if image else CALL_REASONS),
                Reason.DIMENSION_MISMATCH,
                *(() if image else (self.lacking,)),
            ),
            again="The model is called, and paid, only for rows that have no vector.",
        )
