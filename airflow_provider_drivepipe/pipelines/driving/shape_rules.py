"""Which targets go with which input shape; what is refused, why, and the nearest that works."""

from __future__ import annotations

from collections.abc import Iterator

MODEL_TARGETS = ("labeling", "embedding", "label-embedding")

_BEHIND_IMAGES = ("image-preparation", *MODEL_TARGETS)
ALLOWED: dict[str, tuple[str, ...]] = {
    "oss_prefix": ("manifest", "frame-extraction", *_BEHIND_IMAGES),
    "video_table": ("frame-extraction", *_BEHIND_IMAGES),
    "clip_dir_table": ("keyframe-expansion", *_BEHIND_IMAGES),
    "image_table": _BEHIND_IMAGES,
    "labeled_image_table": ("image-preparation", "embedding", "label-embedding"),
}
"""The targets of each input shape, in the order in which they are made."""

_DEFAULT = {
    "oss_prefix": ("manifest",),
    "video_table": ("frame-extraction",),
    "clip_dir_table": ("keyframe-expansion",),
    "image_table": ("labeling",),
    "labeled_image_table": ("embedding",),
}
_ORIGIN = {
    "manifest": "a manifest is listed from OSS: use input_shape oss_prefix",
    "frame-extraction": "frames are cut from videos: use input_shape video_table",
    "keyframe-expansion": "keyframes are taken from the directories of clips: use input_shape clip_dir_table",
    "labeling": "its images have labels already: use input_shape image_table to label them anew",
}
"""Why a target does not go with a shape, and which shape it goes with."""


def nearest(shape: str, targets: set[str]) -> list[str]:
    """Return the targets that work and come closest to ``targets``; these themselves where they work."""
    allowed = ALLOWED[shape]
    kept = targets.intersection(allowed) or set(_DEFAULT[shape])
    if shape == "oss_prefix":
        kept.add("manifest")
    if shape == "video_table" or (shape == "oss_prefix" and kept.intersection(_BEHIND_IMAGES)):
        kept.add("frame-extraction")
    if "label-embedding" in kept and shape != "labeled_image_table":
        kept.add("labeling")
    return [target for target in allowed if target in kept]


def shape_problems(shape: str, targets: set[str]) -> Iterator[str]:
    """Yield what is wrong with the targets of a shape, a line for each problem; nothing for unknown ones."""
    if shape not in ALLOWED or not targets:
        return
    works = f"as in [{', '.join(nearest(shape, targets))}]"
    for target in sorted(targets.intersection(_ORIGIN).difference(ALLOWED[shape])):
        yield f"{_ORIGIN[target]}, or remove {target}, {works}"
    lacking = [target for target in nearest(shape, targets) if target not in targets]
    if "manifest" in lacking:
        yield f"oss_prefix starts with a listing: add manifest, {works}, or use input_shape video_table"
    asked = " and ".join(target for target in _BEHIND_IMAGES if target in targets)
    if "frame-extraction" in lacking and asked:
        yield f"{asked} of videos needs frames: add frame-extraction, {works}"
    if "labeling" in lacking and "label-embedding" in targets:
        yield (
            f"label-embedding needs labels: add labeling, {works}, or use input_shape labeled_image_table "
            "for labels that are there already"
        )


def has_intermediate(shape: str, targets: set[str]) -> bool:
    """Whether there can be a table between the images and the models."""
    makes_images = shape in ("oss_prefix", "video_table", "clip_dir_table") or "image-preparation" in targets
    return makes_images and bool(targets.intersection(MODEL_TARGETS))
