"""Two scenario files never write the same: `drivepipe validate` and the loader refuse the second one."""

import pytest

from airflow_provider_drivepipe.cli import validate
from airflow_provider_drivepipe.factory import load_scenarios

VIDEOS = """
scenario_name: {name}
input_shape: video_table
targets: [frame-extraction]
oss_bucket: my-bucket
source_table: my_videos
output_table: {name}_frames
"""
LISTING = """
scenario_name: {name}
input_shape: oss_prefix
targets: [manifest]
oss_bucket: my-bucket
video_input_table: listing
"""
IMAGES = """
scenario_name: {name}
input_shape: image_table
targets: [image-preparation]
oss_bucket: my-bucket
source_table: my_images
output_table: {name}_images
"""


@pytest.mark.parametrize(
    ("text", "both", "said"),
    [
        (
            VIDEOS,
            "frames_prefix: shared",
            "frames_prefix: {a} writes pictures below shared/ of my-bucket too",
        ),
        (
            IMAGES,
            "prepared_prefix: shared",
            "prepared_prefix: {a} writes pictures below shared/ of my-bucket",
        ),
        (LISTING, "", "video_input_table: {a} writes table listing too"),
        (VIDEOS, "split_video: null", None),
        (IMAGES, "prepared_prefix: shared\nprepared_images: features", None),
        (LISTING, "partition_fixed: {{region: {name}}}", None),
        (LISTING, "conn_id: {name}", None),
    ],
)
def test_what_two_scenarios_write(tmp_path, capsys, text, both, said):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text((text + both + "\n").format(name=name))
    code = validate.main([str(tmp_path)])
    if said is None:
        assert code == 0, capsys.readouterr().err
        assert set(load_scenarios(tmp_path)) == {"drivepipe_a", "drivepipe_b"}
        return
    assert code == 1
    assert f"{tmp_path / 'b.yaml'}:1: " + said.format(a=tmp_path / "a.yaml") in capsys.readouterr().err
    assert set(load_scenarios(tmp_path)) == {"drivepipe_a", "drivepipe_broken_b"}
