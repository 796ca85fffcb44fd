"""A job written against the plain SDKs runs unchanged on the local cloud."""

import json
import os
import subprocess
import sys
from pathlib import Path

import alibabacloud_oss_v2 as oss
import av
import numpy as np


def write_video(path: Path) -> Path:
    """Encode two seconds of a grey video."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(50):
            picture = np.full((64, 96, 3), 8 + 4 * number, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


def test_plain_sdk_job(local_cloud, oss_client, bucket, table, tmp_path):
    good = write_video(tmp_path / "good.mp4").read_bytes()
    for key, body in {"a/front.mp4": good, "b/front.mp4": good, "bad.mp4": b"no video"}.items():
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))
    settings = local_cloud.settings
    environment = {
        **os.environ,
        "ODPS_ENDPOINT": settings.odps_endpoint,
        "ODPS_PROJECT": local_cloud.project,
        "ODPS_ACCESS_KEY_ID": settings.access_key_id,
        "ODPS_ACCESS_KEY_SECRET": settings.access_key_secret,
        "OSS_ENDPOINT": settings.oss_endpoint,
        "OSS_REGION": local_cloud.region,
        "OSS_BUCKET": bucket,
        "OSS_ACCESS_KEY_ID": settings.access_key_id,
        "OSS_ACCESS_KEY_SECRET": settings.access_key_secret,
        "OSS_ROLE_ARN": "acs:ram::0:role/any",
        "MODEL_PROJECT": "bigdata_public_modelset",
        "LABEL_MODEL": "qwen3-vl-plus",
        "EMBEDDING_MODEL": "qwen3-vl-embedding",
        "TABLE_PREFIX": table,
    }
    script = Path(__file__).with_name("plain_sdk_job.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout.splitlines()[-1])
    assert sorted(r[0].rsplit("/", 2)[-2] for r in rows) == ["a", "b"]
    for _, url, label, vector in rows:
        assert url.startswith(f"oss://{settings.oss_endpoint.removeprefix('http://')}/{bucket}/stills/")
        assert "weather" in json.loads(label)
        assert len(json.loads(vector)) > 1
