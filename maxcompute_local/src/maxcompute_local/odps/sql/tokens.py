"""A cursor over the tokens of a DDL statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot.tokens import TokenType

from maxcompute_local.odps import errors
from maxcompute_local.odps.sql import dialect

_QUOTED = (TokenType.STRING, TokenType.IDENTIFIER)


@dataclass(frozen=True)
class Word:
    """A token: its text without quotes, its kind, and the offsets of its first and last character."""

    text: str
    kind: TokenType
    start: int
    end: int

    def is_keyword(self, keyword: str) -> bool:
        """Return whether this is the given keyword or sign, unquoted."""
        return self.kind not in _QUOTED and self.text.upper() == keyword


class Cursor:
    """Reads a statement word by word; what it does not find is a ParseError naming the word there."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._position = 0
        self._words: list[Word] = []
        for token in dialect.tokenize(sql):
            # The tokenizer joins some keywords, e.g. PARTITIONED BY.
            texts = [token.text] if token.token_type in _QUOTED else token.text.split()
            self._words += [Word(text, token.token_type, token.start, token.end) for text in texts]

    @property
    def at_end(self) -> bool:
        """Return whether all words are read."""
        return self._position >= len(self._words)

    def sees(self, *keywords: str) -> bool:
        """Return whether the next words are these keywords."""
        ahead = self._words[self._position : self._position + len(keywords)]
        return len(ahead) == len(keywords) and all(
            word.is_keyword(keyword) for word, keyword in zip(ahead, keywords, strict=True)
        )

    def accept(self, *keywords: str) -> bool:
        """Read these keywords if they come next, and return whether they did."""
        found = self.sees(*keywords)
        if found:
            self._position += len(keywords)
        return found

    def expect(self, *keywords: str) -> None:
        """Read these keywords, which must come next."""
        if not self.accept(*keywords):
            raise self.unexpected(f"expected {' '.join(keywords)}")

    def expect_end(self) -> None:
        """Raise a ParseError unless all words are read."""
        if not self.at_end:
            raise self.unexpected("not supported here")

    def next(self) -> Word:
        """Read one word."""
        if self.at_end:
            raise errors.parse_error("unexpected end of the statement", len(self._sql))
        self._position += 1
        return self._words[self._position - 1]

    def name(self) -> str:
        """Read an identifier."""
        word = self.next()
        if word.kind != TokenType.IDENTIFIER and not word.text.replace("_", "a").isalnum():
            self._position -= 1
            raise self.unexpected("expected a name")
        return word.text

    def qualified_name(self) -> list[str]:
        """Read an identifier of one to three parts."""
        parts = [self.name()]
        while self.accept("."):
            parts.append(self.name())
        return parts

    def string(self) -> str:
        """Read a string literal."""
        if not self.at_end and self._words[self._position].kind == TokenType.STRING:
            return self.next().text
        raise self.unexpected("expected a string")

    def number(self) -> int:
        """Read a whole number."""
        word = self.next()
        if not word.text.isdigit():
            self._position -= 1
            raise self.unexpected("expected a number")
        return int(word.text)

    def literal(self) -> str:
        """Read a string or number as text."""
        word = self.next()
        if word.kind not in (TokenType.STRING, TokenType.NUMBER):
            self._position -= 1
            raise self.unexpected("expected a literal")
        return word.text

    def type_text(self) -> str:
        """Read a type such as ``array<decimal(10,2)>`` and return it as written."""
        start = end = None
        depth = 0
        while not self.at_end:
            word = self._words[self._position]
            opens, closes = word.text in ("(", "<"), word.text.count(">") + (word.text == ")")
            if depth == 0 and end is not None and not opens:
                break
            if closes > depth:
                break
            depth += opens - closes
            start = word.start if start is None else start
            end = word.end
            self._position += 1
        if start is None or end is None:
            raise self.unexpected("expected a type")
        return self._sql[start : end + 1]

    def sees_within(self, keyword: str, wanted: Sequence[str]) -> bool:
        """Return whether any of some words stands in the parentheses behind the next word, a keyword."""
        if not self.sees(keyword, "("):
            return False
        return any(word.is_keyword(one) for word in self._inside(self._position + 1)[0] for one in wanted)

    def in_parentheses(self) -> str:
        """Read everything in parentheses and return it as written."""
        if not self.sees("("):
            raise self.unexpected("expected (")
        inside, end = self._inside(self._position)
        self._position = end
        if not inside:
            raise self.unexpected("expected something in parentheses")
        return self._sql[inside[0].start : inside[-1].end + 1]

    def _inside(self, start: int) -> tuple[list[Word], int]:
        """Return the words in the parentheses that open at a position, and the position behind them."""
        depth = 0
        for i, word in enumerate(self._words[start:], start):
            depth += word.is_keyword("(") - word.is_keyword(")")
            if depth == 0:
                return self._words[start + 1 : i], i + 1
        raise errors.parse_error("unexpected end of the statement, expected )", len(self._sql))

    def rest(self) -> str:
        """Read everything that is left and return it as written."""
        if self.at_end:
            return ""
        text = self._sql[self._words[self._position].start :]
        self._position = len(self._words)
        return text

    def unexpected(self, why: str) -> errors.OdpsError:
        """Return the ParseError for the next word."""
        if self.at_end:
            return errors.parse_error(f"unexpected end of the statement, {why}", len(self._sql))
        word = self._words[self._position]
        return errors.parse_error(f"invalid token '{word.text}', {why}", word.start)
