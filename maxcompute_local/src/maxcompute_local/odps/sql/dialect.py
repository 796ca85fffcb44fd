"""MaxCompute as a sqlglot dialect: Hive's grammar with our list of functions."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.hive import Hive
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.parsers.hive import HiveParser
from sqlglot.tokens import Token, TokenType

from maxcompute_local.odps import errors

_FUNCTION_PARSERS = ("CAST", "EXTRACT", "TRIM")
_TRIMS = {"BOTH": "TRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}
# Before anything else, BOTH and the like are names of columns.
_BEHIND_A_TRIM = (TokenType.STRING, TokenType.VAR, TokenType.IDENTIFIER, TokenType.NULL, TokenType.FROM)


class MaxComputeParser(HiveParser):
    """Hive's parser, to which a function is a name with arguments: what it means is decided later."""

    STRICT_CAST = True
    FUNCTIONS: dict[str, object] = {}  # noqa: RUF012 - the base class declares it
    ARRAY_CONSTRUCTORS: dict[str, object] = {}  # noqa: RUF012 - the base class declares it
    NO_PAREN_FUNCTIONS: dict[object, object] = {}  # noqa: RUF012 - the base class declares it
    FUNCTION_PARSERS = {  # noqa: RUF012 - the base class declares it
        name: parse for name, parse in HiveParser.FUNCTION_PARSERS.items() if name in _FUNCTION_PARSERS
    }

    def _parse_types(
        self,
        check_func: bool = False,
        schema: bool = False,
        allow_identifiers: bool = True,
        with_collation: bool = False,
    ) -> exp.Expr | None:
        # Hive's own method drops the length of VARCHAR(n) outside of schemas, where MaxCompute keeps it.
        parsed: exp.Expr | None = super(HiveParser, self)._parse_types(
            check_func=check_func,
            schema=schema,
            allow_identifiers=allow_identifiers,
            with_collation=with_collation,
        )
        return parsed

    def _parse_trim(self) -> exp.Expr:
        """Read ``TRIM(s)``, ``TRIM(s, x)`` and ``TRIM([BOTH | LEADING | TRAILING] [x] FROM s)``."""
        written = self._tokens[self._index - 2]
        is_word = self._next is not None and self._next.token_type in _BEHIND_A_TRIM
        word = self._curr.text.upper() if is_word else ""
        name = _TRIMS.get(word, "TRIM")
        if word in _TRIMS:
            self._advance()
        arguments = [] if self._curr.token_type == TokenType.FROM else self._parse_csv(self._parse_bitwise)
        if self._match(TokenType.FROM) and len(arguments) < 2:
            arguments.insert(0, self._parse_bitwise())
        elif word in _TRIMS:
            self.raise_error(f"{word} needs FROM")
        return self.expression(exp.Anonymous(this=name, expressions=arguments).update_positions(written))


class MaxCompute(Hive):
    """The dialect."""

    Parser = MaxComputeParser

    class Tokenizer(Hive.Tokenizer):
        """Hive's tokenizer without statements that swallow the rest of the text."""

        COMMANDS: set[object] = set()  # noqa: RUF012 - the base class declares it


def tokenize(sql: str) -> list[Token]:
    """Return the tokens of a statement; a ParseError if it cannot be read."""
    try:
        tokens: list[Token] = MaxCompute().tokenize(sql)
    except TokenError as error:
        raise errors.parse_error(str(error)) from error
    return tokens


def parse(sql: str) -> exp.Expr:
    """Return the syntax tree of one statement; a ParseError if it cannot be read."""
    try:
        trees = MaxCompute().parse(sql)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        where = first.get("highlight") or ""
        column = first.get("col") or 1
        text = f"{first.get('description') or error} near '{where}'"
        raise errors.parse_error(text, column - 1) from error
    except SqlglotError as error:
        raise errors.parse_error(str(error)) from error
    if len(trees) != 1 or trees[0] is None:
        raise errors.parse_error("one statement expected")
    return trees[0]
