"""Options of a question and their letters: shuffled, and called right. Runs in DPE workers: stdlib only.

A model writes its options in an order of its own and may call them by letter. Training data have another
order, so letters in a reasoning are changed where it is certain which are meant, and refused where it is not.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence

from airflow_provider_drivepipe.worker.label_normalise import fold

LETTERS = "ABCDEFGH"
_VERBS = "is|was|are|were|and|or|because|since|as|but|can|could|would|does|says|states|fits|matches|describes"
_ENDS = r"(?![A-Za-z0-9_-]|['’](?!s\b))"
# "Answer: A car stops" names no option.
_LETTER = rf"(?:A{_ENDS}(?!\s+(?!(?:{_VERBS})\b)[a-z])|[B-H]{_ENDS})"
_LIST = rf"{_LETTER}(?:(?:\s*[,/&、]\s*(?:and |or )?|\s+(?:and|or|to)\s+|\s*[和或与及]\s*){_LETTER})*"
_PREFIX = re.compile(r"\s*[(（\[]?([A-H])(?:[.)）\]:：、．]|\s*[-–—]\s)\s*")
_ONLY = re.compile(
    r"(?i:(?:the )?(?:option|choice|answer)\s*(?:is)?\s*:?\s*|选项\s*)?[(（\[]?([A-Ha-h])[.)）\]:。]*"
)
_NAMED = re.compile(
    rf"(?:(?i:\b(?:options?|choices?|alternatives?)\s*[#:]?\s*[(（\[\"'*]*)|选项\s*[(（\"“]?|选择?\s*|"
    rf"(?i:\banswers?\s*(?:is|are|would be|must be|should be|:)?\s*(?:option |choice )?[(（\[\"'*]*)|"
    rf"答案(?:应该|应)?[是为]?\s*[:：]?\s*)(?P<letters>{_LIST})|"
    rf"(?<![A-Za-z0-9_'’-])(?P<alone>[A-H])(?=\s*(?:选项|项))"
)
_RIGHT = re.compile(
    rf"(?i:\banswer\s*(?:is|would be|must be|should be|:)\s*(?:option |choice )?[(（\[\"'*]*)"
    rf"(?P<one>{_LETTER})|"
    rf"(?i:\b(?:option|choice)\s*[(（\[\"'*]*)(?P<two>{_LETTER})[)）\]\"'*]*"
    rf"(?i:\s+is (?:the )?(?:correct|right|true))|"
    rf"(?:答案(?:应该|应)?[是为]?\s*[:：]?\s*|[应故]选择?\s*)(?:选项)?(?P<three>{_LETTER})|"
    rf"选项\s*(?P<four>{_LETTER})\s*(?:是|为)?(?:正确|对)"
)
_BY_PLACE = re.compile(
    r"\b(?:all|none|both|any|either|neither|one) of the (?:above|below|other options|others|previous)\b|"
    r"\b(?:first|second|third|fourth|last|1st|2nd|3rd|4th) (?:two )?(?:option|choice|alternative)s?\b|"
    r"\b(?:options?|choices?) \(?(?-i:[a-h]|[1-8])\b|\b(?:option|choice) (?:one|two|three|four)\b|"
    r"以上(?:选项|答案|各项|[都皆均全])|上述选项|前[一二三两]项|第[一二三四1-4]个?(?:选项|项)|选项[一二三四1-8]",
    re.IGNORECASE,
)
_NAMES_THINGS = (
    r"(?i:vehicle|car|truck|van|bus|bike|cyclist|driver|person|pedestrian|lane|pillar|point|event|moment|part|"
    r"phase|zone|area|gate|exit|road|route|street|line|sign|class|type|level|camera|object|segment|scene|agent|"
    r"车辆?|车道|点|事件|时刻|阶段|区域?|出口|行人|类型?)"
)
_LONGEST_NAME = 20
_BARE = re.compile(
    rf"(?<![A-Za-z0-9_'’.-])(?P<letter>[A-H]){_ENDS}"
    rf"(?P<behind>\s*[).:,;，。；、]|\s+(?:{_VERBS})\b|\s*$|\s*[\u4e00-\u9fff])?"
)


def without_letters(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the texts of options and the letter of each: the one before its text, else that of its place.

    Letters before texts are taken off only where all options have one, each another.
    """
    found = [_PREFIX.match(option) for option in options]
    letters = [match[1] for match in found if match is not None]
    if len(set(letters)) < len(options):
        return [option.strip() for option in options], list(LETTERS[: len(options)])
    return [
        option[match.end() :].strip() for option, match in zip(options, found, strict=True) if match
    ], letters


def chosen(answer: str, options: Sequence[str], letters: Sequence[str]) -> int | None:
    """Return which option an answer means: by its text, its letter, or both; None unless exactly one.

    :param letters: of the options, as the one who answers knows them.
    """
    folded = [same(option) for option in options]
    if folded.count(same(answer)) == 1:
        return folded.index(same(answer))
    only = _ONLY.fullmatch(unicodedata.normalize("NFKC", answer).strip(" \t\n\"'*`"))
    if only is not None:
        letter = only[1].upper()
        return letters.index(letter) if letter in letters else None
    prefix = _PREFIX.match(answer)
    if prefix is None or prefix[1] not in letters:
        return None
    at = letters.index(prefix[1])
    return at if folded[at] == same(answer[prefix.end() :]) else None


def same(text: str) -> str:
    """Return a text as it is compared: case, width, white space and punctuation at its ends do not matter."""
    return fold(" ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .。!;,*\"'`“”‘’"))


def shuffled(options: Sequence[str], key: str) -> list[int]:
    """Return the places of options in an order that ``key`` decides, the same in every version of Python."""
    return sorted(
        range(len(options)), key=lambda at: hashlib.sha256(f"{key}\0{options[at]}".encode()).digest()
    )


def names_others(text: str, letters: Sequence[str]) -> bool:
    """Return whether a text (an option, a question) speaks of options by letter or by place."""
    return bool(_BY_PLACE.search(text)) or _NAMED.search(text) is not None or _has_bare_letter(text, letters)


def relettered(text: str, moves: Mapping[str, str], right: str) -> str | None:
    """Return a reasoning with the letters of options changed; None where it is not certain what it means.

    Certain are letters behind "option", "choice", "answer (is)" and their Chinese likes, when each is that of
    an option, the one called right is the right one, and no other letter stands alone.

    :param moves: by letter that the model knew, the letter now.
    :param right: the right option's letter that the model knew.
    """
    claims = {letter for found in _RIGHT.finditer(text) for letter in found.groups() if letter}
    if _BY_PLACE.search(text) or claims - {right}:
        return None
    parts, rest, at = [], [], 0
    for found in _NAMED.finditer(text):
        start, end = found.span("letters" if found["letters"] else "alone")
        named = re.findall("[A-H]", text[start:end]) if found["letters"] else [found["alone"]]
        if any(letter not in moves for letter in named):
            return None
        rest.append(text[at : found.start()])
        parts += [text[at:start], re.sub("[A-H]", lambda one: moves[one[0]], text[start:end])]
        at = end
    rest.append(text[at:])
    if any(_has_bare_letter(part, list(moves)) for part in rest):
        return None
    return "".join([*parts, text[at:]])


def _has_bare_letter(text: str, letters: Sequence[str]) -> bool:
    """Return whether a letter of an option stands alone, neither an article nor the name of a thing."""
    for found in _BARE.finditer(text):
        before = text[max(0, found.start() - _LONGEST_NAME) : found.start()].rstrip()
        named = re.search(rf"(?:^|[^a-zA-Z]){_NAMES_THINGS}s?$", before) is not None
        article = found["letter"] == "A" and found["behind"] is None
        if found["letter"] in letters and not named and not article:
            return True
    return False
