"""Units that are gathered from several rows, and from several tables: the frames of a video, one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators import MaxFrameStageOperator
from airflow_provider_drivepipe.scenario.options import Reprocess, SelectionOptions
from airflow_provider_drivepipe.stages.content import TextColumn
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.source import Gathered, Source
from tests.integration.operator_context import Run
from tests.integration.reader import FAILED, READER, Reader, hook, reader, reading_cloud

pytestmark = pytest.mark.slow

__all__ = ["hook", "reader", "reading_cloud"]

VIDEO = Column("video_path", "string", "the video")
LABELS = "WM_CONCAT(',', label_text) WITHIN GROUP (ORDER BY frame_idx)"
PLACES = "ARRAY_JOIN(SORT_ARRAY(COLLECT_LIST(place)), '+')"
STORY = Generate("story", READER, "{labels} at {places}", columns=("labels", "places"))
BLOCKED, REFUSED = "label/content_blocked", "label/refusal"

Frame = tuple[str | None, int, str | None, str]
"""Video, number, label, and stage/reason when it is not ok."""

FRAMES: tuple[Frame, ...] = (
    ("good", 1, "rain", ""),
    ("good", 0, "sun", ""),
    ("part", 0, None, BLOCKED),
    ("part", 1, "fog", ""),
    ("part", 2, None, "frames/too_dark"),
    ("lost", 0, None, BLOCKED),
    ("lost", 1, None, "frames/too_dark"),
    ("nowhere", 0, "snow", ""),
    ("nowhere", 1, None, REFUSED),
)


class Videos:
    """Two tables that stages have written: frames with labels, and where a video was taken."""

    def __init__(self, hook: MaxFrameHook, table: str) -> None:
        self.hook, self.table = hook, table
        status = ", ".join(f"`{c.name}` {c.type}" for c in STATUS_COLUMNS)
        for name, own in (("f", "frame_idx BIGINT, label_text STRING, note STRING"), ("p", "place STRING")):
            hook.execute_sql(
                f"CREATE TABLE {table}_{name} (video_path STRING, {own}, {status}) PARTITIONED BY (ds STRING)"
            )
        self.frames(FRAMES)
        self.places(("good", "Berlin"), ("good", "Aachen"), ("part", "Cairo"), ("lost", "Delhi"))

    def frames(self, frames: Sequence[Frame], note: str = "") -> None:
        self._insert("f", [(v, str(n), text, note, *self._status(why)) for v, n, text, why in frames])

    def places(self, *places: tuple[str, str]) -> None:
        self._insert("p", [(video, place, *self._status("")) for video, place in places])

    @staticmethod
    def _status(why: str) -> tuple[str, ...]:
        stage, _, reason = why.partition("/")
        status = "filtered" if reason == "too_dark" else "failed" if why else "ok"
        return status, stage, reason, "", "1", "label=0;input=0"

    def _insert(self, name: str, rows: Sequence[Sequence[str | None]]) -> None:
        values = ", ".join(
            "({})".format(", ".join("NULL" if cell is None else f"'{cell}'" for cell in row)) for row in rows
        )
        self.hook.execute_sql(
            f"INSERT OVERWRITE TABLE {self.table}_{name} PARTITION (ds='20261120') VALUES {values}"
        )

    def source(self) -> Source:
        return Source.gather(
            [VIDEO],
            Gathered(
                f"{self.table}_f",
                {Column("labels", "string", "of all frames"): LABELS, Column("frames", "bigint"): "COUNT(*)"},
            ),
            Gathered(f"{self.table}_p", {Column("places", "string"): PLACES}),
        )

    def run(self, *stages: Any, **arguments: Any) -> dict[str, Any]:
        """Run stages over the gathered units."""
        operator = MaxFrameStageOperator(
            task_id="story",
            output_table=f"{self.table}_o",
            stages=stages or (STORY,),
            deferrable=False,
            poll_interval=0.1,
            **{"source": self.source(), **arguments},
        )
        return Run().execute(operator)

    def units(self, columns: str) -> dict[str | None, list[Any]]:
        """Return columns of what is published, by video."""
        rows = self.hook.execute_sql(f"SELECT video_path, {columns} FROM {self.table}_o WHERE ds='20261120'")
        return {video: values for video, *values in rows}


@pytest.fixture
def videos(hook: MaxFrameHook, table: str) -> Videos:
    return Videos(hook, table)


def test_a_unit_says_what_it_lacks_and_is_skipped_where_there_is_nothing(
    videos: Videos, reader: Reader
) -> None:
    report = videos.run()
    assert reader.asked() == ["fog at Cairo", "sun,rain at Aachen+Berlin"]
    f, p = f"{videos.table}_f", f"{videos.table}_p"
    assert videos.units("status, error_stage, error_type, lacking, frames") == {
        "good": ["ok", "", "", "", 2],
        "part": ["ok", "", "", f"2 of 3 rows of {f} are not ok", 1],
        "lost": ["skipped", "label", "content_blocked", f"2 of 2 rows of {f} are not ok", None],
        "nowhere": [
            "skipped",
            "gather",
            "empty_input",
            f"1 of 2 rows of {f} are not ok; {p} has no row",
            1,
        ],
    }
    said = videos.units("error_msg, lacking, story_text")
    assert said["lost"][0] == said["lost"][1]
    assert said["good"][0] == ""
    assert (said["good"][2], said["lost"][2]) == ("read: sun,rain at Aachen+Berlin", None)
    assert report["stages"]["story"] == {"rows_in": 2, "ok": 2, "failed": 0, "filtered": 0, "skipped": 0}
    assert (report["ok"], report["skipped"], report["failed"]) == (2, 2, 0)
    assert report["skipped_reasons"] == {"content_blocked": 1, "empty_input": 1}
    assert report["tokens"]["input"] > 0


def test_what_changes_in_what_is_gathered_is_paid_once_and_nothing_else_is(
    videos: Videos, reader: Reader
) -> None:
    videos.run()
    reader.asked()
    # The same rows in another order, and a column that nobody gathers.
    videos.frames(FRAMES[::-1], note="new")
    videos.run()
    assert reader.asked() == []
    # One more label for one video, and a first one for another.
    better = [("part", 0, "dusk", ""), ("lost", 0, "dawn", "")]
    kept = [frame for frame in FRAMES if frame[:2] not in (("part", 0), ("lost", 0))]
    videos.frames([*kept, *better])
    for asked in (["dawn at Delhi", "dusk,fog at Cairo"], []):
        videos.run()
        assert reader.asked() == asked
    f = f"{videos.table}_f"
    found = videos.units("status, attempt, lacking, story_text")
    assert found["part"] == ["ok", 1, f"1 of 3 rows of {f} are not ok", "read: dusk,fog at Cairo"]
    assert found["lost"][0] == "ok"
    # A second table counts as the first does.
    videos.places(("good", "Berlin"), ("part", "Cairo"), ("lost", "Delhi"), ("nowhere", "Oslo"))
    report = videos.run()
    assert reader.asked() == ["snow at Oslo", "sun,rain at Berlin"]
    assert report["carried_over"] == 2


def test_a_part_is_made_again_for_the_columns_that_it_reads_and_the_rest_is_kept_up_to_date(
    videos: Videos, reader: Reader, reading_cloud: Any
) -> None:
    stages = (STORY, Embed("where", "text-embedding-v4", TextColumn("places"), 8))
    videos.run(*stages)
    reader.asked()
    # A frame that failed fails no more, and says what another one says; and one more is counted.
    videos.frames([*FRAMES[:2], ("part", 1, "fog", ""), *FRAMES[5:]])
    with reading_cloud.control.counting() as done:
        videos.run(*stages)
    assert reader.asked() == []
    assert done.get("model.embed", 0) == done.get("maxframe.submit_dag", 0) == 0
    assert videos.units("lacking, frames, status")["part"] == ["", 1, "ok"]
    videos.places(("good", "Bonn"), ("part", "Cairo"), ("lost", "Delhi"))
    with reading_cloud.control.counting() as done:
        videos.run(*stages)
    assert reader.asked() == ["sun,rain at Bonn"]
    assert done["model.embed"] == 1


def test_a_unit_that_failed_is_repaired_on_its_own(videos: Videos, reader: Reader) -> None:
    reader.answer = lambda told: FAILED if "fog" in told else "a story"
    report = videos.run()
    assert report["failures"] == {"story": {"model_error": 1}}
    reader.asked()
    reader.answer = lambda told: "another story"
    videos.run()
    assert reader.asked() == ["fog at Cairo"]
    assert {video: text for video, (text,) in videos.units("story_text").items()} == {
        "good": "a story", "part": "another story", "lost": None, "nowhere": None
    }  # fmt: skip


def test_limit_budget_and_reprocess(videos: Videos, reader: Reader) -> None:
    def skipped(report: dict[str, Any]) -> dict[str, int]:
        return {k: n for k, n in report["skipped_reasons"].items() if k in ("limit", "budget")}

    assert skipped(videos.run(selection=SelectionOptions(limit=1))) == {"limit": 1}
    assert reader.asked() == ["sun,rain at Aachen+Berlin"]
    videos.places(("good", "Berlin"), ("part", "Cairo"), ("lost", "Delhi"), ("nowhere", "Oslo"))
    assert skipped(videos.run(selection=SelectionOptions(max_calls=2))) == {"budget": 1}
    assert reader.asked() == ["snow at Oslo", "sun,rain at Berlin"]
    assert videos.run(selection=SelectionOptions(reprocess=Reprocess.ALL))["carried_over"] == 0
    assert len(reader.asked()) == 3


def test_rows_without_a_key_are_one_unit_and_rows_that_come_twice_make_no_second_one(
    videos: Videos, reader: Reader
) -> None:
    videos.frames([*FRAMES[:2], FRAMES[0], (None, 0, "hail", ""), ("", 1, "ice", "")])
    videos.places(("good", "Berlin"), ("", "Mars"))
    report = videos.run()
    assert reader.asked() == ["hail,ice at Mars", "sun,rain,rain at Berlin"]
    assert (report["rows_in"], report["filtered_reasons"]) == (2, {})


def test_what_cannot_be_gathered_is_refused_by_name(videos: Videos) -> None:
    source = Source.gather([VIDEO], Gathered("f", {Column("lacking", "string"): "MAX(label_text)"}))
    with pytest.raises(ConfigurationError, match="gathered columns lacking have the same name"):
        source.unit_columns(())
    plain = f"{videos.table}_i"
    videos.hook.execute_sql(
        f"CREATE TABLE {plain} (video_path STRING, status STRING) PARTITIONED BY (ds STRING)"
    )
    places = {Column("labels", "string"): "MAX(status)", Column("places", "string"): "MAX(status)"}
    said = f"table {plain} lacks error_stage, .*, fingerprint, which gathering needs"
    with pytest.raises(ConfigurationError, match=said):
        videos.run(source=Source.gather([VIDEO], Gathered(plain, places)))
