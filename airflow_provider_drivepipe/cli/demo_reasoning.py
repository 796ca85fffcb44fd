"""``drivepipe demo-reasoning``: drawn videos through Airflow to training files, against the local cloud."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.cli import demo_reasoning_report as report
from airflow_provider_drivepipe.cli.activity import activity
from airflow_provider_drivepipe.cli.demo_reasoning_checks import Expected, Fate, Found, problems
from airflow_provider_drivepipe.cli.demo_report import models
from airflow_provider_drivepipe.cli.demo_run import PARTITION, Demo, DemoRun
from airflow_provider_drivepipe.contracts import OssUri, Reason, Status
from airflow_provider_drivepipe.pipelines.reasoning.export import QaExport
from airflow_provider_drivepipe.pipelines.reasoning.quality import Check
from airflow_provider_drivepipe.pipelines.reasoning.videos import VideoProbe
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from maxcompute_local import lifecycle
from maxcompute_local.cli_upload import upload
from maxcompute_local.settings import PROJECT

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

_PREFIX = "reasoning"
_VIDEOS: dict[str, Fate | None] = {
    "drive": None,
    "stop": None,
    "cut_in": None,
    "parked": None,
    "garden": (Status.FILTERED, "admit", Reason.OUT_OF_DOMAIN),
    "corrupt": (Status.FAILED, "video_probe", Reason.NOT_A_VIDEO),
}
"""What is drawn, but for ``corrupt``, and what must become of it."""


class ReasoningDemo(Demo):
    """Videos to questions and answers with reasoning."""

    command = "demo-reasoning"
    description = "Run the reasoning example in Airflow over drawn videos; check and show its training files."
    scenario_file = "reasoning_demo.yaml"

    def upload(self, oss: OssClient, bucket: str) -> None:
        """Make the videos and put them into the bucket."""
        files = _draw(self.home.parent / "reasoning-videos")
        uploaded = upload(oss, bucket, {_key(name): path for name, path in files.items()})
        print(f"  {uploaded} uploaded to bucket {bucket}, {len(files) - uploaded} were there")

    def examine(self, run: DemoRun) -> list[str]:
        """Show the tables and the training files; check them."""
        export = run.steps.tasks[-1].find(QaExport)
        probe = run.steps.tasks[1].find(VideoProbe)
        assert export is not None
        assert probe is not None
        place = f"{export.options.output_prefix}/{run.partition}"
        pointer = json.loads(run.object(f"{place}/manifest.json"))
        found = Found(
            {task.task_id: run.rows(task.output_table.name) for task in run.steps.tasks[:-1]},
            run.xcoms,
            pointer,
            {f["name"]: run.object(f"{place}/{pointer['folder']}/{f['name']}") for f in pointer["files"]},
            run.calls,
            run.messages,
            run.logs,
        )
        page = self._item_page(run, export.options.checks)
        self._show(run, found, self.root / "oss" / str(run.steps.bucket) / place, page)
        root = OssUri(run.settings.oss_endpoint.removeprefix("http://"), str(run.steps.bucket))
        expected = Expected({str(root.join(_key(name))): fate for name, fate in _VIDEOS.items()}, str(root))
        return problems(expected, found, run.secrets, [*run.local_paths, probe.footage.oss.mount_path])

    def _item_page(self, run: DemoRun, checks: Sequence[Check]) -> Path:
        """Write the page that ``drivepipe items`` writes."""
        from airflow_provider_drivepipe.reports.items import read_items, render

        steps = run.steps
        table = run.odps.get_table(steps.tasks[-2].output_table.name)
        page = self.home / f"{steps.scenario}_{PARTITION}_items.html"
        found = read_items(
            steps.scenario,
            table.name,
            [column.name for column in table.table_schema.simple_columns],
            checks,
            PartitionSpec(steps.partition.columns, (PARTITION,)),
            run.query,
            lambda uri: run.object(uri.key),
        )
        page.write_text(render(found), "utf-8")
        return page

    def _show(self, run: DemoRun, found: Found, folder: Path, page: Path) -> None:
        tables = [task.output_table.name for task in run.steps.tasks]
        print(f"\nTasks of partition {run.partition}\n")
        print(report.tasks(found))
        print(f"\n{report.calls(found)}")
        print("\nWho answered\n")
        print(models(found.reports.values()))
        print("\nTraining files\n")
        print(report.files(found))
        print("\nQuality of the items: how many have which flag\n")
        print(report.quality(found))
        print("\nA sample of the items\n")
        print(report.sample(found))
        print("\nWhere it is\n")
        print(f"  tables   {tables[0]} to {tables[-1]} in project {PROJECT}")
        print(f"  look     {page}: ten items with the frames at their times")
        print(f"  files    {folder / found.pointer['folder']}")
        print(f"           named by {folder / 'manifest.json'} (bucket {run.steps.bucket})")
        print(f"  log      {run.log} and {lifecycle.log_file(self.root)}")


def _key(name: str) -> str:
    return f"{_PREFIX}/{name}.mp4"


def _draw(folder: Path) -> dict[str, Path]:
    """Return the files of the videos by name; what an earlier run drew stays."""
    from maxcompute_local.samples.incident_videos import drawn_video

    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.mp4" for name in _VIDEOS}
    with activity() as now:
        for name, path in files.items():
            if not path.exists():
                now.say(f"drawing and encoding {name}")
                unfinished = path.with_suffix(".part")
                unfinished.write_bytes(b"this is no video\n" if name == "corrupt" else drawn_video(name))
                unfinished.replace(path)
    return files


main = ReasoningDemo.main
