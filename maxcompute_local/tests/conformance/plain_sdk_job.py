"""A driving-video job as a MaxFrame user would write it, against the plain SDKs and environment variables.

Lists videos with the OSS paginator, writes a manifest with ``open_writer``, cuts frames in an ``apply_chunk``
UDF with a mount, labels and embeds them, and writes one table. Nothing here knows of this package or of the
local cloud.
"""

import json
import os

import alibabacloud_oss_v2 as oss
import maxframe.dataframe as md
import pandas as pd
from maxframe import new_session
from maxframe.config import options
from maxframe.learn.contrib.llm import ContentPart, ImageContentType
from maxframe.learn.utils import read_odps_model
from maxframe.udf import with_fs_mount, with_python_requirements, with_running_options
from odps import ODPS
from odps import options as odps_options
from odps.models import TableSchema

ENDPOINT = os.environ["OSS_ENDPOINT"].split("://")[-1]
BUCKET = os.environ["OSS_BUCKET"]
PREFIX = os.environ["TABLE_PREFIX"]
MODEL_PROJECT = os.environ["MODEL_PROJECT"]
KEY, SECRET = os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]
OSS_ROOT, MOUNT = f"oss://{ENDPOINT}/{BUCKET}", "/mnt/videos"

config = oss.config.load_default()
config.credentials_provider = oss.credentials.StaticCredentialsProvider(KEY, SECRET)
config.region, config.endpoint = os.environ["OSS_REGION"], os.environ["OSS_ENDPOINT"]
client = oss.Client(config)
o = ODPS(
    os.environ["ODPS_ACCESS_KEY_ID"],
    os.environ["ODPS_ACCESS_KEY_SECRET"],
    project=os.environ["ODPS_PROJECT"],
    endpoint=os.environ["ODPS_ENDPOINT"],
)

manifest = o.create_table(
    f"{PREFIX}_manifest",
    TableSchema.from_lists(["video_path", "size_bytes"], ["string", "bigint"], ["ds"], ["string"]),
    if_not_exists=True,
)
with manifest.open_writer(partition="ds=20261120", create_partition=True) as writer:
    for page in client.list_objects_v2_paginator().iter_page(oss.ListObjectsV2Request(bucket=BUCKET)):
        writer.write([[f"{OSS_ROOT}/{c.key}", c.size] for c in page.contents or [] if c.key.endswith(".mp4")])

options.dag.settings = {"engine_order": ["DPE", "MCSQL"]}
odps_options.catalog.endpoint = f"http://{o.get_catalog_host()}"
session = new_session(o)


@with_fs_mount(OSS_ROOT, MOUNT, storage_options={"role_arn": os.environ["OSS_ROLE_ARN"]})
@with_python_requirements("av", "pillow")
@with_running_options(engine="dpe", cpu=1, memory=2)
def first_frame(chunk, folder):
    import pathlib

    import av

    rows = []
    for path in chunk["video_path"]:
        key = path[len(OSS_ROOT) + 1 :]
        target = pathlib.Path(MOUNT, folder, key.replace("/", "_") + ".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with av.open(f"{MOUNT}/{key}") as video:
                next(video.decode(video=0)).to_image().save(target)
            rows.append([path, f"{OSS_ROOT}/{folder}/{target.name}", "ok", ""])
        except Exception as error:
            rows.append([path, None, "failed", type(error).__name__])
    return pd.DataFrame(rows, columns=["video_path", "image_url", "status", "error_msg"])


videos = md.read_odps_table(f"{PREFIX}_manifest", partitions="ds=20261120")
frames = videos.mf.apply_chunk(
    first_frame,
    output_type="dataframe",
    dtypes=pd.Series(["object"] * 4, index=["video_path", "image_url", "status", "error_msg"]),
    skip_infer=True,
    folder="stills",
).reset_index(drop=True)
frames = frames[frames["status"] == "ok"]


def part():
    return ContentPart.image(
        data=frames["image_url"],
        type=ImageContentType.IMAGE_URL,
        storage_options={"access_key_id": KEY, "access_key_secret": SECRET},
    )


vlm = read_odps_model(os.environ["LABEL_MODEL"], project=MODEL_PROJECT)
labels = vlm.generate(
    frames,
    messages=[{"role": "user", "content": [part(), ContentPart.text("Describe the driving scene as JSON.")]}],
    simple_output=False,
    params={"max_tokens": 1024},
    running_options={"enable_thinking": False, "enable_real_rpm_stats": True},
)
embedder = read_odps_model(os.environ["EMBEDDING_MODEL"], project=MODEL_PROJECT)
vectors = embedder.embed(
    frames, input=[part()], simple_output=False, running_options={"enable_real_rpm_stats": True}
)
combined = md.concat(
    [
        frames,
        labels.rename(columns={"response": "label_response", "success": "label_success"}),
        vectors.rename(columns={"response": "vector_response", "success": "vector_success"}),
    ],
    axis=1,
)


def parse(chunk):
    out = chunk[["video_path", "image_url"]].copy()
    out["label_text"] = [
        json.loads(r)["choices"][0]["message"]["content"] if good else None
        for r, good in zip(chunk["label_response"], chunk["label_success"], strict=True)
    ]
    out["image_embedding"] = [
        json.dumps(json.loads(r)["output"]["embeddings"][0]["embedding"]) if good else None
        for r, good in zip(chunk["vector_response"], chunk["vector_success"], strict=True)
    ]
    return out


final = combined.mf.apply_chunk(
    parse,
    output_type="dataframe",
    dtypes=pd.Series(["object"] * 4, index=["video_path", "image_url", "label_text", "image_embedding"]),
    skip_infer=True,
)
md.to_odps_table(final, f"{PREFIX}_final", overwrite=True, index=False).execute()
session.destroy()

with o.get_table(f"{PREFIX}_final").open_reader() as reader:
    found = [[r["video_path"], r["image_url"], r["label_text"], r["image_embedding"]] for r in reader]
print(json.dumps(found))
