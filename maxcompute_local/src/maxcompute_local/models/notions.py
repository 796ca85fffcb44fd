"""What a picture shows and a text names alike: weather, time of day, place, traffic, things on the road.

Word lists in English and Chinese, nothing else; whatever they do not hold is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any


class Notion(StrEnum):
    """One thing that can be seen and named."""

    RAIN = "rain"
    FOG = "fog"
    SNOW = "snow"
    CLEAR = "clear weather"
    OVERCAST = "overcast sky"
    DAY = "day"
    DUSK = "dusk"
    NIGHT = "night"
    HIGHWAY = "highway"
    CITY = "city street"
    RURAL = "country road"
    EMPTY = "no traffic"
    LIGHT = "light traffic"
    HEAVY = "heavy traffic"
    VEHICLE = "vehicle ahead"
    LORRY = "lorry"
    PERSON = "pedestrian"
    RED_LIGHT = "red traffic light"
    YELLOW_LIGHT = "yellow traffic light"
    GREEN_LIGHT = "green traffic light"
    STOP = "sudden stop"
    CUT_IN = "vehicle cutting in"
    CALM = "nothing sudden"
    WET = "wet road"
    DRY = "dry road"


GROUPS: tuple[tuple[Notion, ...], ...] = (
    (Notion.RAIN, Notion.FOG, Notion.SNOW, Notion.CLEAR, Notion.OVERCAST),
    (Notion.DAY, Notion.DUSK, Notion.NIGHT),
    (Notion.HIGHWAY, Notion.CITY, Notion.RURAL),
    (Notion.EMPTY, Notion.LIGHT, Notion.HEAVY),
    (Notion.STOP, Notion.CUT_IN, Notion.CALM),
    (Notion.RED_LIGHT, Notion.YELLOW_LIGHT, Notion.GREEN_LIGHT),
    (Notion.WET, Notion.DRY),
    (Notion.VEHICLE,),
    (Notion.LORRY,),
    (Notion.PERSON,),
)
"""Notions of a group exclude each other."""

_LAMP = r"(?:traffic |signal )?(?:light|signal|lamp)s?\b"
_WORDS: Mapping[Notion, str] = {
    Notion.RAIN: r"\brain\w*|\bdrizzl\w*|\bdownpour|雨",
    Notion.FOG: r"\bfog\w*|\bmist\w*|\bhaz[ey]\w*|雾",
    Notion.SNOW: r"\bsnow\w*|雪",
    Notion.CLEAR: r"\bsunny\b|\bsunshine|\bblue sky|\bclear (?:sky|weather|day|conditions)\b"
    r"|\bsky is clear\b|晴",
    Notion.OVERCAST: r"\bovercast\b|\bcloudy\b|阴天|多云",
    Notion.DAY: r"(?<!time of )\bday(?:time|light)?\b|\bnoon\b|白天|日间",
    Notion.DUSK: r"\bdusk\b|\bdawn\b|\btwilight\b|\bsunset\b|\bsunrise\b|黄昏|傍晚|黎明|日落",
    Notion.NIGHT: r"\bnight\w*|\bdark(?:ness)?\b|夜|晚上",
    Notion.HIGHWAY: r"\b(?:high|motor|express|free)ways?\b|高速",
    Notion.CITY: r"\bcity\b|\burban\b|\bstreets?\b|\btown\b|城市|市区|街",
    Notion.RURAL: r"\brural\b|\bcountry(?:side)?\b|\bvillage\b|乡村|乡间|农村",
    Notion.EMPTY: r"\bempty road\b|\b(?:no|without) (?:other )?(?:traffic|vehicles|cars)\b(?! light| sign)"
    r"|没有(?:其他)?车|空旷",
    Notion.LIGHT: r"\b(?:light|little|sparse) traffic\b|\bfew (?:cars|vehicles)\b|车辆稀少|车流稀",
    Notion.HEAVY: r"\b(?:heavy|dense|busy) traffic\b|\btraffic jam|\bcongest\w*|拥堵|堵车|车流密集",
    Notion.VEHICLE: r"\b(?:cars?|vehicles?|vans?) (?:right |close |just |directly )?(?:ahead|in front)\b"
    r"|\blead(?:ing)? (?:car|vehicle)\b|前车|前方(?:有)?(?:的)?车",
    Notion.LORRY: r"\blorr(?:y|ies)\b|\btrucks?\b|卡车|货车",
    Notion.PERSON: r"\bpedestrians?\b|\bwalkers?\b|\bpersons?\b|\bpeople\b|\bchild(?:ren)?\b|行人|路人|小孩",
    Notion.RED_LIGHT: rf"\bred {_LAMP}|\b{_LAMP} (?:is|shows|turns) red\b|红灯",
    Notion.YELLOW_LIGHT: rf"\b(?:yellow|amber) {_LAMP}|\b{_LAMP} (?:is|shows|turns) (?:yellow|amber)\b|黄灯",
    Notion.GREEN_LIGHT: rf"\bgreen {_LAMP}|\b{_LAMP} (?:is|shows|turns) green\b|绿灯",
    Notion.STOP: r"\b(?:sudden(?:ly)?|hard|emergency) (?:stop|brak)\w*|\b(?:brak|stop)\w* (?:suddenly|hard)\b"
    r"|\bbrakes?\b|\bbraking\b|急刹|急停|刹车",
    Notion.CUT_IN: r"\bcut(?:s|ting)?[ -]in\b|\bsuddenly appears\b|加塞|切入",
    Notion.CALM: r"\bnothing (?:sudden|happens|unusual)|\bsteady (?:speed|pace)|\bdrives on\b|平稳|没有突然",
    Notion.WET: r"\bwet\b|\bslippery\b|\bpuddles?\b|湿",
    Notion.DRY: r"\bdry\b|干燥",
}
_PATTERNS = {notion: re.compile(words, re.IGNORECASE) for notion, words in _WORDS.items()}
_NEGATED = re.compile(
    r"(?:\b(?:no|not|without|never|neither|nor)\b[\w ]{0,12}|没有|没|无|不(?:是|下)?)$", re.IGNORECASE
)

_OF_LABEL: Mapping[tuple[str, str], Notion] = {
    ("weather", "rainy"): Notion.RAIN,
    ("weather", "foggy"): Notion.FOG,
    ("weather", "snowy"): Notion.SNOW,
    ("weather", "clear"): Notion.CLEAR,
    ("weather", "partly_cloudy"): Notion.CLEAR,
    ("weather", "overcast"): Notion.OVERCAST,
    ("time_of_day", "daytime"): Notion.DAY,
    ("time_of_day", "dawn_dusk"): Notion.DUSK,
    ("time_of_day", "night"): Notion.NIGHT,
    ("scene_type", "highway"): Notion.HIGHWAY,
    ("scene_type", "city_street"): Notion.CITY,
    ("traffic_density", "none"): Notion.EMPTY,
    ("traffic_density", "light"): Notion.LIGHT,
    ("traffic_density", "heavy"): Notion.HEAVY,
    ("road_surface", "wet"): Notion.WET,
    ("road_surface", "dry"): Notion.DRY,
}
_OF_OBJECT: Mapping[tuple[str, str], Notion] = {
    ("car", "ego_lane"): Notion.VEHICLE,
    ("pedestrian", "ego_lane"): Notion.PERSON,
    ("pedestrian", "left"): Notion.PERSON,
    ("pedestrian", "right"): Notion.PERSON,
}


def named(text: str) -> frozenset[Notion]:
    """Return the notions that a text names, but not those that it denies right before (``no rain``)."""
    return frozenset(
        notion
        for notion, pattern in _PATTERNS.items()
        if any(not _NEGATED.search(text[: match.start()]) for match in pattern.finditer(text))
    )


def seen(label: Mapping[str, Any]) -> frozenset[Notion]:
    """Return the notions that a ``driving-scene/v1`` label of a picture stands for."""
    objects = ((one["class"], one["position"]) for one in label["key_objects"])
    found = [_OF_LABEL.get((key, label[key])) for key in ("weather", "time_of_day", "scene_type")]
    found += [_OF_LABEL.get((key, label[key])) for key in ("traffic_density", "road_surface")]
    found += [_OF_OBJECT.get(one) for one in objects]
    return frozenset(notion for notion in found if notion is not None)


def group_of(notion: Notion) -> tuple[Notion, ...]:
    """Return the notions that exclude each other, among them this one."""
    return next(group for group in GROUPS if notion in group)


def block(notions: Collection[Notion]) -> list[float]:
    """Return one number per notion, in their order: 1 where it is among them; below 0 where another of its
    group is; 0 where nothing is known."""
    values = []
    for notion in Notion:
        group = group_of(notion)
        others = len(group) - 1
        if notion in notions:
            values.append(1.0)
        elif others and any(other in notions for other in group):
            values.append(-1.0 / others)
        else:
            values.append(0.0)
    return values
