"""``drivepipe demo``: real video files through Airflow to a labelled partition, against the local cloud."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.cli import demo_report
from airflow_provider_drivepipe.cli.demo_checks import LABELS_TASK, Expected, Found, problems
from airflow_provider_drivepipe.cli.demo_data import upload_demo_videos
from airflow_provider_drivepipe.cli.demo_run import PARTITION, Demo, DemoRun
from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.stages.embed import Embed
from maxcompute_local import lifecycle
from maxcompute_local.settings import PROJECT

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

SCENARIO_FILE = "driving_demo.yaml"


class DrivingDemo(Demo):
    """Videos to frames with labels and embeddings."""

    command = "demo"
    description = "Run the example DAG in Airflow over drawn driving videos; check and show the result."
    scenario_file = SCENARIO_FILE

    def upload(self, oss: OssClient, bucket: str) -> None:
        """Make the videos and put them into the bucket."""
        self._videos = upload_demo_videos(self.home.parent / "demo-videos", oss, bucket)

    def examine(self, run: DemoRun) -> list[str]:
        """Show the frames with their labels; check them."""
        extraction = run.steps.tasks[1].find(FrameExtraction)
        assert extraction is not None
        expected, found = self._read_back(run, extraction)
        self._show(run, found, extraction)
        return problems(expected, found, run.secrets, [*run.local_paths, extraction.oss.mount_path])

    def _read_back(self, run: DemoRun, extraction: FrameExtraction) -> tuple[Expected, Found]:
        import alibabacloud_oss_v2 as sdk

        manifest, labels = run.steps.tasks
        embedding = labels.find(Embed)
        assert run.steps.bucket is not None
        assert embedding is not None
        prefix = f"{extraction.frames.frames_prefix}/{run.partition}/"
        pages = run.oss.list_objects_v2_paginator().iter_page(
            sdk.ListObjectsV2Request(bucket=run.steps.bucket, prefix=prefix)
        )
        expected = Expected(
            self._videos,
            Fraction(extraction.frames.fps or 0),
            embedding.dimension or 0,
            OssUri(run.settings.oss_endpoint.removeprefix("http://"), run.steps.bucket),
        )
        found = Found(
            manifest=run.rows(manifest.output_table.name),
            labels=run.rows(labels.output_table.name),
            xcoms=run.xcoms,
            frame_keys=[str(each.key) for page in pages for each in page.contents or []],
            messages=run.messages,
            logs=run.logs,
        )
        return expected, found

    def _contact_sheet(self, run: DemoRun) -> Path:
        """Write the page that ``drivepipe frames`` writes."""
        from airflow_provider_drivepipe.reports.contact_sheet import read_sheet, render
        from airflow_provider_drivepipe.scenario.partition import PartitionSpec

        steps = run.steps
        table = run.odps.get_table(steps.tasks[-1].output_table.name)
        columns = [column.name for column in table.table_schema.simple_columns]
        partition = PartitionSpec(steps.partition.columns, (PARTITION,))
        sheet = read_sheet(
            steps.scenario, steps.tasks[-1], columns, partition, run.query, lambda uri: run.object(uri.key)
        )
        page = self.home / f"{steps.scenario}_{PARTITION}.html"
        page.write_text(render(sheet), "utf-8")
        return page

    def _show(self, run: DemoRun, found: Found, extraction: FrameExtraction) -> None:
        manifest, labels = run.steps.tasks
        page = self._contact_sheet(run)
        print(f"\nStages of partition {run.partition}\n")
        print(demo_report.stage_table(found))
        print()
        print(demo_report.totals(found))
        print("\nWho answered\n")
        print(demo_report.models([found.report(LABELS_TASK)]))
        print(f"\nA sample of {labels.output_table.name}\n")
        print(demo_report.sample(found))
        folder = self.root / "oss" / str(run.steps.bucket) / extraction.frames.frames_prefix
        print("\nWhere it is\n")
        print(f"  tables   {manifest.output_table.name}, {labels.output_table.name} in project {PROJECT}")
        print(f"  look     {page}")
        print(f"  frames   {folder} (bucket {run.steps.bucket})")
        print(f"  log      {run.log} and {lifecycle.log_file(self.root)}")


main = DrivingDemo.main
