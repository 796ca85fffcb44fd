"""Options of a question, and what is said of them: letter, place, text. Runs in DPE workers: stdlib only.

Never a guess: a word is no letter ("A car is visible"), and what several options fit is none.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_drivepipe.worker.label_parse import encodable
from airflow_provider_drivepipe.worker.reasoning.letters import same

LETTERS = string.ascii_uppercase

_NUMERALS = ("一二三四五六七八九十", "甲乙丙丁戊己庚辛壬癸", "壹贰叁肆伍陆柒捌玖拾")
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_PLACES = {word: place for row in (*_NUMERALS, _WORDS, _ORDINALS) for place, word in enumerate(row)}
_OPEN, _CLOSE = r"[(\[{<\"'“‘《【*_`$]{0,6}", r"[)\]}>\"'”’》】*_`$]{0,6}"
_MARKED = re.compile(
    rf"\s*{_OPEN}\s*([A-Za-z一-十甲乙丙丁戊己庚辛壬癸]|\d{{1,2}})\s*(?:[.)\]:、]|\s[-–—]\s)\s*"
)
_BOXED = re.compile(r"\\(?:boxed|text|mathrm)\{([^{}]*)\}")
_HEAD = re.compile(
    r"(?:so |thus |therefore |hence )?,?\s*(?:(?:i (?:would |will )?)?(?:choose|pick|select|go with)|"
    r"(?:(?:the|my|final|correct|right|best) )*(?:answer|option|choice)\s*(?:is|:)?)\s*:?\s*|"
    r"(?:所以|因此|故|那么)?[,]?\s*(?:(?:正确|最终|最佳)?(?:答案|选项)(?:应该?)?(?:是|为)?|我?(?:应该?|故)?选择?)"
    r"\s*:?\s*",
    re.IGNORECASE,
)
_PLACE = re.compile(
    rf"(?:option|choice)\s*#?({'|'.join(_WORDS)}|\d{{1,2}})|"
    rf"(?:the )?({'|'.join(_ORDINALS)}) (?:option|choice)|"
    r"选项\s*([一二三四五六七八九十]|\d{1,2})|第\s*([一二三四五六七八九十]|\d{1,2})\s*个?(?:选项|项)",
    re.IGNORECASE,
)
_AND = r"\s*(?:[,/&、;+|]\s*(?:and |or )?|\s(?:and|or)\s|[和或与及])\s*"
_SEVERAL = re.compile(rf"(?:(?:either|both) )?({_OPEN}[A-Z]{_CLOSE}(?:{_AND}{_OPEN}[A-Z]{_CLOSE})+)[.]?")
_LONGEST = 2000
_LONGEST_PROSE = 50_000
_BEFORE = 80
_SPACES = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r"\s*\n\s*")

# In prose a letter counts only behind words that say that it is the answer, and before an end or a reason:
# "A", "I" and small letters are words, and letters are names ("lane B", "A车道").
_NO_NAME = r"(?![车柱点区级类型道路座栋号])[\u4e00-\u9fff]"
_BEHIND = r"\s*(?:[-–—.,:;)\]}*\"'”’_`$!?、。\n]|$|(?:because|since|as|for|and|or|but|given|due|is|was)\b)"
_LETTER = rf"(?:[A-Za-z](?![\w'’-])(?={_BEHIND}|\n)|[A-Z](?={_NO_NAME}))"
_LIST = (
    rf"(?:either |both )?{_OPEN}\s*{_LETTER}{_CLOSE}"
    rf"(?:{_AND}(?:option |choice |选项)?{_OPEN}{_LETTER}{_CLOSE})*"
)
_CLAIM = re.compile(
    r"(?:(?i:\b(?:answer|(?:correct|right|best|final|my) (?:option|choice))[\"'*_]*\s*"
    r"(?:(?:is|must be|should be|would be)\b|[:=])\s*:?\s*(?:option |choice |选项)?)|"
    r"(?i:\b(?:i (?:would |will )?|i'd |we )?(?:choose|chose|pick|select|go with)\s*(?:option |choice )?)|"
    r"(?<![不没未别勿])(?:[应故]该?)?选择?(?:的是)?\s*:?\s*(?:选项)?|"
    r"答案(?:应该?|应当|就)?[是为选]?\s*:?\s*(?:选项)?)"
    rf"(?P<claimed>{_LIST})|"
    rf"(?:(?i:\b(?:option|choice)\s*)|选项\s*)?(?<![A-Za-z0-9'’-]){_OPEN}(?P<right>[A-Z]){_CLOSE}"
    r"(?:(?i:\s+is\s+(?:the )?(?:correct|right|best|answer)\b)|\s*(?:选项|项)?(?:是|为)?正确)"
)
_NOT = re.compile(r"[不没未别勿](?:应该?|能|会|要|可)?$|\b(?:not|never)\s*$|n't\s*$", re.IGNORECASE)
_DOUBTS = re.compile(
    r"(?:\b(?:not|never|nor|neither|if|whether)\b|n't\b|[不没未非]|如果|是否)[^.!?。;,\n]*$", re.IGNORECASE
)
"""What may stand before "B is correct" so that it does not say so."""
_LINE = re.compile(
    rf"^\s*{_OPEN}(?:(?i:option|choice)\s+|选项\s*)?{_OPEN}([A-Z]){_CLOSE}[.。!]?{_CLOSE}\s*$", re.MULTILINE
)


class ChoiceError(ValueError):
    """Options that cannot be read; the message says why."""


def plain(text: str) -> str:
    """Return a text in one width of letters, without white space around it."""
    return unicodedata.normalize("NFKC", text).strip()


def answer_part(text: str) -> str:
    """Return a text in one width without the words before an answer, as in "The answer is unknown"."""
    whole = plain(text)
    return whole[_end(_HEAD.match(whole)) :]


def read_options(value: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return options by letter, and the letter of each name that they were given with.

    :param value: a list of texts, an object of names and texts, or JSON of either. Names are letters in any
        width and case, or numbers from 1, also Chinese ones; texts of a list have their place's letter.

    Raises ChoiceError for what cannot be read, for fewer than two options and for equal ones. No options at
    all are none: an open question.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ChoiceError("the options are no JSON list of texts and no object of letters") from error
    if isinstance(value, dict):
        names = {_bare(plain(str(name))): _letter_of_name(str(name)) for name in value}
        given = [(_letter_of_name(str(name)), text) for name, text in value.items()]
    elif isinstance(value, list):
        names = {}
        given = list(zip(LETTERS, _without_marks(value), strict=False))
        if len(value) > len(LETTERS):
            raise ChoiceError(f"there are {len(value)} options, at most {len(LETTERS)} have letters")
    else:
        raise ChoiceError("the options are no JSON list of texts and no object of letters")
    if any(not isinstance(text, str | int | float) or isinstance(text, bool) for _, text in given):
        raise ChoiceError("an option is no text")
    options = {
        letter: " ".join(encodable(str(text)).split()) for letter, text in sorted(given, key=_by_letter)
    }
    if len(options) < len(given):
        raise ChoiceError("two options have the same letter")
    if len(options) == 1:
        raise ChoiceError("there is only one option")
    if any(not text for text in options.values()):
        raise ChoiceError("an option is empty")
    if len({same(text) or text for text in options.values()}) < len(options):
        raise ChoiceError("two options are the same")
    return options, names


def options_in(question: str) -> tuple[str, dict[str, str]]:
    """Return a question without the options at its end, and these by letter, if it has any.

    They stand on lines of their own, behind A, B, C … in this order.
    """
    lines = question.strip().splitlines()
    found: list[str] = []
    for line in reversed(lines):
        mark = _MARKED.match(plain(line))
        if mark is None or not mark[1].isalpha() or not mark[1].isascii():
            break
        found.insert(0, line)
        if mark[1].upper() == "A":
            break
    marks = [_MARKED.match(plain(line)) for line in found]
    letters = [mark[1].upper() for mark in marks if mark is not None]
    if len(found) < 2 or letters != list(LETTERS[: len(found)]):
        return question.strip(), {}
    texts = [plain(line)[mark.end() :].strip() for line, mark in zip(found, marks, strict=True) if mark]
    rest = "\n".join(lines[: len(lines) - len(found)]).strip()
    return rest, dict(zip(letters, texts, strict=True))


def chosen_letter(
    said: str, options: Mapping[str, str], names: Mapping[str, str] | None = None
) -> str | None:
    """Return which option a short answer means: its letter, its text, or both; None unless exactly one.

    Also one that is no option: the answer "E" of four options is "E".

    :param names: that options have beside their letters, see :func:`read_options`.
    """
    text = _BOXED.sub(r"\1", plain(said[:_LONGEST]))
    name = _bare(text)
    if names and name in names:
        return names[name]
    for candidate in (text, answer_part(text)):
        letter = _exact(candidate, options)
        if letter is not None:
            return letter
    return None


def named_letters(said: str, options: Mapping[str, str]) -> set[str]:
    """Return the letters of a short answer that means several: ``A, C``, ``AC``, ``B. <text of A>``."""
    text = _bare(answer_part(said[:_LONGEST]))
    if _SEVERAL.fullmatch(text):
        return set(re.findall("[A-Z]", text))
    if len(text) > 1 and list(text) == sorted(set(text)) and set(text) <= set(options):
        return set(text)
    marked = _marked(text, options)
    return marked if len(marked) > 1 else set()


def claimed_letters(prose: str, options: Mapping[str, str]) -> set[str]:
    """Return the letters that prose calls the answer, also those that are no option.

    Claims count ("the answer is B", "答案是B", "B is correct"); where there is none, lines that are a letter
    and nothing else. Options that prose only mentions do not, and very long prose is not read.
    """
    if len(prose) > _LONGEST_PROSE:
        return set()
    text = _BREAKS.sub("\n", _SPACES.sub(" ", _BOXED.sub(r" answer: \1 ", plain(prose))))
    found: set[str] = set()
    for claim in _CLAIM.finditer(text):
        doubts = _DOUBTS if claim["right"] else _NOT
        if not doubts.search(_before(text, claim)):
            found |= {letter.upper() for letter in _letters_in(claim)}
    found |= {letter for place in _PLACE.finditer(text) for letter in _claimed_place(text, place, options)}
    return found or {line[1] for line in _LINE.finditer(text)}


def _letters_in(claim: re.Match[str]) -> Iterator[str]:
    if claim["right"]:
        yield claim["right"]
    else:
        yield from re.findall(r"(?<![A-Za-z0-9'’])[A-Za-z](?![A-Za-z0-9'’])", claim["claimed"])


def _claimed_place(text: str, place: re.Match[str], options: Mapping[str, str]) -> Iterator[str]:
    """Yield the letter of "选项二" or "the second option" where words before or behind call it the answer."""
    before, behind = _before(text, place), text[place.end() : place.end() + _BEFORE]
    claims = re.search(
        r"(?i:\banswer\s*(?:is|:)|\b(?:choose|pick|select|go with)|答案[是为]?\s*:?|选择?|应)\s*$", before
    )
    right = re.match(r"(?i:\s+is (?:the )?(?:correct|right)\b)|\s*(?:是|为)?正确", behind)
    letter = _letter_at(place, options)
    if (
        letter is not None
        and (claims or right)
        and not _NOT.search(before[: claims.start()] if claims else before)
    ):
        yield letter


def _before(text: str, found: re.Match[str]) -> str:
    return text[max(0, found.start() - _BEFORE) : found.start()]


def _exact(text: str, options: Mapping[str, str]) -> str | None:
    bare = _bare(text)
    if len(bare) == 1 and bare.isascii() and bare.isalpha():
        return bare.upper()
    place = _PLACE.fullmatch(bare)
    if place is not None:
        return _letter_at(place, options)
    fits = [letter for letter, option in options.items() if same(option) == same(text)]
    if fits:
        return fits[0] if len(fits) == 1 else None
    meant = _marked(text, options)
    return meant.pop() if len(meant) == 1 and not named_letters(text, options) else None


def _marked(text: str, options: Mapping[str, str]) -> set[str]:
    """Return the letter before a text, and those of the options with this text; a small one needs it."""
    mark = _MARKED.match(text)
    if mark is None or not mark[1].isascii() or not mark[1].isalpha():
        return set()
    fits = {letter for letter, option in options.items() if same(option) == same(text[mark.end() :])}
    return fits | {mark[1].upper()} if fits or mark[1].isupper() else set()


def _letter_at(place: re.Match[str], options: Mapping[str, str]) -> str | None:
    word = next(group for group in place.groups() if group).lower()
    number = int(word) - 1 if word.isdigit() else _PLACES[word]
    letters = list(options)
    return letters[number] if 0 <= number < len(letters) else None


def _letter_of_name(name: str) -> str:
    word = _bare(plain(name)).lower()
    word = re.sub(r"^(?:option|choice|选项)[\s_]*", "", word)
    if len(word) == 1 and word.isascii() and word.isalpha():
        return word.upper()
    place = int(word) - 1 if word.isascii() and word.isdigit() else _PLACES.get(word, -1)
    if not 0 <= place < len(LETTERS):
        raise ChoiceError(f"{name[:40]!r} is no letter of an option")
    return LETTERS[place]


def _without_marks(texts: list[Any]) -> list[Any]:
    """Return texts without the letters or numbers before them, where each has that of its place."""
    marks = [_MARKED.match(plain(text)) if isinstance(text, str) else None for text in texts]
    places = [_place_of(mark[1]) if mark is not None else -1 for mark in marks]
    if len(texts) < 2 or places != list(range(len(texts))):
        return texts
    return [plain(text)[mark.end() :] for text, mark in zip(texts, marks, strict=True) if mark is not None]


def _place_of(mark: str) -> int:
    if mark.isascii() and mark.isalpha():
        return LETTERS.index(mark.upper())
    return int(mark) - 1 if mark.isdigit() else _PLACES.get(mark, -1)


def _by_letter(option: tuple[str, Any]) -> str:
    return option[0]


def _bare(text: str) -> str:
    """Return a text without quotes, brackets, bold and full stops around it."""
    return text.strip(" \t\r\n()[]{}<>\"'“”‘’《》【】*_`$.。:,;!、")


def _end(found: re.Match[str] | None) -> int:
    return found.end() if found else 0
