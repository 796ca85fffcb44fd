"""The demo's videos: made once, uploaded when OSS does not have them yet."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.cli.activity import activity
from airflow_provider_drivepipe.cli.child import child
from airflow_provider_drivepipe.cli.errors import CommandError
from maxcompute_local.cli_upload import upload

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

    from maxcompute_local.samples.driving_videos import DemoVideo


def upload_demo_videos(folder: Path, oss: OssClient, bucket: str) -> list[DemoVideo]:
    """Make the demo's videos below ``folder`` and put them into ``bucket``; what is there already stays.

    Raises CommandError when the videos cannot be made.
    """
    videos = _make(folder)
    uploaded = upload(oss, bucket, {video.key: folder / video.key for video in videos})
    print(f"  {uploaded} uploaded to bucket {bucket}, {len(videos) - uploaded} were there")
    return videos


def _make(folder: Path) -> list[DemoVideo]:
    """Make the videos in a process of its own, but for those that are there from an earlier run."""
    from maxcompute_local.samples import driving_videos as demo_videos

    videos = list(demo_videos.DEMO_VIDEOS)
    stamp = folder / "drawn"
    wanted = hashlib.sha256(repr(videos).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(wanted)
    if all((folder / video.key).exists() for video in videos):
        print(f"  {len(videos)} files are there from an earlier run")
        return videos
    missing = demo_videos.missing_videos(folder)
    print(f"  drawing and encoding {len(missing)} videos; this takes half a minute on two cores", flush=True)
    begun = time.monotonic()
    code = (
        f"import sys; from pathlib import Path; from {demo_videos.__name__} import *; "
        "write_demo_videos(Path(sys.argv[1]), report=say_progress)"
    )
    said = []
    with activity() as now, child([sys.executable, "-c", code, str(folder)]) as process:
        now.say("drawing", total=sum(video.effort for video in missing))
        for line in process.stdout or ():
            try:
                now.advance(float(line))
            except ValueError:
                said.append(line)
        process.wait()
    if process.returncode != 0:
        raise CommandError(f"the demo's videos could not be made:\n{''.join(said)}")
    print(f"  made in {time.monotonic() - begun:.0f} s")
    return videos
