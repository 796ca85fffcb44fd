"""The demo's videos: made once, uploaded when OSS does not have them yet."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Make the videos in a process of its own, unless they are there from an earlier run."""
    from maxcompute_local.samples import driving_videos as demo_videos

    videos = list(demo_videos.DEMO_VIDEOS)
    stamp = folder / "complete"
    wanted = hashlib.sha256(repr(videos).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and all((folder / v.key).exists() for v in videos):
        print(f"  {len(videos)} files are there from an earlier run")
        return videos
    print(f"  drawing and encoding {len(videos)} files; this takes half a minute", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    code = (
        "import sys; from pathlib import Path; "
        f"from {demo_videos.__name__} import write_demo_videos; write_demo_videos(Path(sys.argv[1]))"
    )
    with child([sys.executable, "-c", code, str(folder)]) as process:
        output, _ = process.communicate()
    if process.returncode != 0:
        raise CommandError(f"the demo's videos could not be made:\n{output}")
    stamp.write_text(wanted)
    print(f"  made in {time.monotonic() - begun:.0f} s")
    return videos
