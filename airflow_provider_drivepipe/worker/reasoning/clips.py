"""Cuts a clip out of a video, as an MP4 without sound. Runs in DPE workers: standard library, numpy and PyAV.

Where the frames begin at a key frame and the next frame outside begins at one too, their packets are copied
and nothing is decoded. Else they are decoded and encoded again, as H.264: every PyAV wheel that may be
installed (16 to 18) brings libx264, whereas libopenh264 is in 16 and 17 only.

A copy keeps the size and the bit rate of the video; damage that shows neither in its packets' flags nor as a
hole in them is copied too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.reasoning.footage import Footage, Picture, Span, upright_pixels

COPIED_CODECS = ("h264", "hevc")
"""What is copied as it is: what everything that plays MP4 can be expected to read."""

_ENCODER = "libx264"
# One thread and no macroblock tree: the same frames give the same bytes; with x264's tree they sometimes do
# not. No B-frames: the clip starts at 0 in every player.
_ENCODER_OPTIONS = {"preset": "veryfast", "threads": "1", "bf": "0", "x264-params": "mbtree=0"}


@dataclass(frozen=True)
class ClipRules:
    """How clips are encoded where they cannot be copied.

    :param max_side: longest side of the picture in pixels; smaller videos keep their size.
    :param crf: quality of x264, 0 (best) to 51.
    """

    max_side: int = 1280
    crf: int = 26

    def check(self) -> None:
        """Raise ValueError for rules that no clip can follow."""
        if self.max_side < 16 or not 0 <= self.crf <= 51:
            raise ValueError("the longest side of a clip is at least 16 pixels, its CRF 0 to 51")


def cut_clip(footage: Footage, span: Span, rules: ClipRules) -> bytes:
    """Return the frames of ``span`` as an MP4; raise VideoError ``decode_error`` when one is damaged."""
    copied = _copied(footage, span)
    if copied is not None:
        return copied
    return footage.decode(range(span.first, span.stop), lambda pictures: _encoded(footage, pictures, rules))


def _copied(footage: Footage, span: Span) -> bytes | None:
    """Return the clip without decoding it; None where that cannot be, or does not give a clean start."""
    import av

    if footage.rotation or footage.stream.codec_context.name not in COPIED_CODECS:
        # Not every reader turns pictures as the file wants it.
        return None
    packets = footage.packets(span)
    if packets is None:
        return None
    start = packets[0].pts
    content = io.BytesIO()
    try:
        with _new_mp4(content) as out:
            stream = out.add_stream_from_template(footage.stream)
            for packet in packets:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
                out.mux(packet)
        with av.open(io.BytesIO(content.getvalue())) as clip:
            first = next(clip.decode(video=0), None)
    except av.error.FFmpegError:
        return None
    # Key frames that are none show themselves: decoders leave out what is not whole.
    starts_clean = first is not None and not first.is_corrupt and not first.pts
    return content.getvalue() if starts_clean else None


def _encoded(footage: Footage, pictures: Iterator[Picture], rules: ClipRules) -> bytes:
    import av

    width, height = _clip_size(footage.width, footage.height, rules.max_side)
    content = io.BytesIO()
    with _new_mp4(content) as out:
        rate = footage.frame_count / footage.duration
        options = {**_ENCODER_OPTIONS, "crf": str(rules.crf)}
        stream = out.add_stream(_ENCODER, rate=rate.limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = footage.time_base
        scaler = av.video.reformatter.VideoReformatter()
        start = None
        for picture in pictures:
            start = picture.pts if start is None else start
            if footage.rotation:
                pixels = upright_pixels(picture.frame, width, height, footage.rotation)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            else:
                frame = scaler.reformat(picture.frame, width, height, format="yuv420p")
            frame.pts, frame.time_base = picture.pts - start, footage.time_base
            # Left as they are, the kinds of the source's pictures would be asked for in the clip.
            frame.pict_type = av.video.frame.PictureType.NONE
            try:
                out.mux(stream.encode(frame))
            except av.error.FFmpegError as error:
                raise VideoError(
                    Reason.DECODE_ERROR, f"encoding a clip failed: {type(error).__name__}"
                ) from error
        out.mux(stream.encode())
    return content.getvalue()


def _new_mp4(content: io.BytesIO) -> Any:
    import av

    # Bit-exact: no names of versions in the file.
    return av.open(content, "w", format="mp4", options={"fflags": "+bitexact"})


def _clip_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Return even sides, as H.264 wants them, the longest at most ``max_side``."""
    scale = min(Fraction(1), Fraction(max_side, max(width, height)))
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)
