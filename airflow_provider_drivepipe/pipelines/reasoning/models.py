"""The stages of this family that ask models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.pipelines.reasoning.packs import MODES, Pack
from airflow_provider_drivepipe.pipelines.reasoning.schemas import answer_schema
from airflow_provider_drivepipe.stages.content import Content
from airflow_provider_drivepipe.stages.generate import Generate, Variant
from airflow_provider_drivepipe.stages.stage import Build, Part, RowStage, Site, StageGuide
from airflow_provider_drivepipe.stages.worker_call import apply_chunk, row_part
from airflow_provider_drivepipe.worker.reasoning.decisions import admit

_ACCOUNTS = ("global_caption", "dense_caption", "chunk_caption", "highlight", "description")
"""Steps that must tell what is seen: an answer that does not is no answer."""
MODE = "mode"
"""Column that says of a video ``anomaly`` or ``normal``."""


@dataclass(frozen=True)
class Asking:
    """What the asking stages of a scenario have in common.

    :param mode: of all videos, or None where a column says it of each.
    """

    vlm: str
    llm: str
    pack: Pack
    mode: str | None
    max_tokens: int = 4096
    repair_rounds: int = 1

    def watch(self, step: str, *, sees: Content, needs: tuple[str, ...] = (), by: str = MODE) -> Generate:
        """Return a stage that asks about a video, or a piece of it."""
        return self._ask(step, self.vlm, (sees,), needs, by)

    def read(self, step: str, *, needs: tuple[str, ...] = (), by: str = MODE) -> Generate:
        """Return a stage that asks about texts."""
        return self._ask(step, self.llm, (), needs, by)

    def _ask(
        self, step: str, model: str, media: tuple[Content, ...], needs: tuple[str, ...], by: str
    ) -> Generate:
        schema = answer_schema(step, self.pack.language)
        common: dict[str, Any] = {
            "media": media,
            "schema": schema,
            "needs": needs,
            "prompt_name": self.pack.title,
            "max_tokens": self.max_tokens,
            "repair_rounds": self.repair_rounds,
            "flat_columns": step == "filter",
            "must_tell": step in _ACCOUNTS,
        }
        prompts = self.pack.prompts
        if step in prompts:
            return Generate(step, model, prompts[step].text, columns=prompts[step].columns, **common)
        if self.mode is not None:
            prompt = prompts[f"{step}.{self.mode}"]
            return Generate(step, model, prompt.text, columns=prompt.columns, **common)
        of_modes = {mode: prompts[f"{step}.{mode}"] for mode in MODES}
        columns = tuple(dict.fromkeys(c for prompt in of_modes.values() for c in prompt.columns))
        variants = tuple(Variant(mode, prompt.text) for mode, prompt in of_modes.items())
        return Generate(
            step, model, of_modes["normal"].text, columns=columns, by=by, variants=variants, **common
        )

    def questions(self, types: tuple[str, ...]) -> Generate:
        """Return the stage that asks for one type of question per row, which ``qa_key`` names."""
        modes = (self.mode,) if self.mode else MODES
        keys = {f"qa.{type_}.{mode}": f"qa.{type_}" for type_ in types for mode in modes}
        spoken_of = dict.fromkeys(c for key in keys for c in self.pack.prompts[key].columns)
        columns = tuple("description_text" if c == "description" else c for c in spoken_of)
        variants = tuple(
            Variant(
                key,
                self.pack.prompts[key].text.replace("{description}", "{description_text}"),
                answer_schema(step, self.pack.language),
            )
            for key, step in keys.items()
        )
        return Generate(
            "qa",
            self.llm,
            "",
            columns=columns,
            by="qa_key",
            variants=variants,
            prompt_name=self.pack.title,
            max_tokens=self.max_tokens,
            repair_rounds=self.repair_rounds,
        )


@dataclass(frozen=True)
class Admit(RowStage):
    """Leaves videos out that do not belong to the domain, as the filter's answer says."""

    name = "admit"
    model = None

    def part(self) -> Part:
        """Return what it adds to a row."""
        return Part(
            self.name,
            (Column("admitted", "boolean", "whether the video belongs to the domain"),),
            "admitted",
            needs=("filter",),
        )

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return nothing: the answer alone decides."""
        return {}

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with the decision."""
        dtypes, part = dict(rows.dtypes), row_part(self.part(), build.flags_behind)

        def leave_out(chunk: Any) -> Any:
            return admit(chunk, part, tuple(dtypes))

        return apply_chunk(rows, leave_out, dtypes)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="leaves out videos that do not belong to the domain",
            unit="video",
            gives="videos of the domain",
            reads=(),
            fails="A video that does not belong to the domain is `filtered`, with the model's reason.",
            reasons=(Reason.OUT_OF_DOMAIN,),
            again="The decision follows from the filter's answer, without a call.",
        )
