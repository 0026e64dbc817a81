"""What is wrong with a text that is not JSON, in the words AWS uses: those of the Jackson parser.

ValidateStateMachineDefinition gives them as an ``INVALID_JSON_DESCRIPTION`` diagnostic, StartExecution as an
``InvalidExecutionInput``. Two are recorded (conformance §8.2, §8.3); the others are Jackson's own messages for the same
situations, in the versions (2.10 to 2.15) that word the recorded ones so. Columns are Jackson's too: one past the last
character it took.

The text is scanned once, without recursion, and only when Python's parser has refused it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

_VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_SHOWN = 500  # characters of the source Jackson quotes
_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_WORD = re.compile(r"[\w$]*")
_DIGITS = re.compile(r"[0-9]*")
_ESCAPES = '"\\/bfnrt'
_NOT_A_NUMBER = "enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow"
_TYPES = {"{": "START_OBJECT", "[": "START_ARRAY", '"': "VALUE_STRING"}
_KINDS = {"{": "Object", "[": "Array"}
_CLOSERS = {"{": "}", "[": "]"}


class Problem(NamedTuple):
    """The first thing that keeps a text from being JSON: Jackson's message, and where (from 1)."""

    message: str
    line: int
    column: int
    text: str

    @property
    def location(self) -> str:
        """``[Source: (String)"…"; line: 1, column: 4]``, as AWS gives it for a diagnostic's location."""
        return _source(self.text, self.line, self.column)

    @property
    def full(self) -> str:
        """The message with its location, as AWS gives it for a diagnostic's message."""
        return f"{self.message}\n at {self.location}"


def problem(text: str) -> Problem | None:
    """Return what Jackson says against *text*, or None where it takes it."""
    try:
        _Scanner(text).document()
    except _Found as e:
        line, column = _position(text, e.at)
        return Problem(e.message, line, column + e.taken, text)
    return None


class _Found(Exception):  # noqa: N818 - carries the first problem out of the scanner
    def __init__(self, message: str, at: int, taken: int) -> None:
        super().__init__(message)
        self.message, self.at, self.taken = message, at, taken


def _position(text: str, at: int) -> tuple[int, int]:
    start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    lines = text.count("\n", 0, at) + text.count("\r", 0, at) - text.count("\r\n", 0, at)
    return lines + 1, at - start + 1


def _source(text: str, line: int, column: int) -> str:
    more = len(text) - _SHOWN
    shown = f'"{text[:_SHOWN]}"' + (f"[truncated {more} chars]" if more > 0 else "")
    return f"[Source: (String){shown}; line: {line}, column: {column}]"


def _named(char: str) -> str:
    code = ord(char)
    if code < 32:
        return f"(CTRL-CHAR, code {code})"
    return f"'{char}' (code {code}" + (f" / 0x{code:x})" if code > 255 else ")")


class _Scanner:
    """Reads a document from left to right; raises `_Found` at the first thing Jackson would not take."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.open: list[tuple[str, int]] = []  # each bracket not closed yet, and where it stands
        self.first = True  # whether a bracket was just opened

    def fail(self, message: str, at: int | None = None, *, taken: int = 0) -> NoReturn:
        """Stop at *at* (or here); *taken* characters more have been read, of which none counts as a line's end."""
        raise _Found(message, self.at if at is None else at, taken)

    def unexpected(self, what: str, *, within: str = "") -> NoReturn:
        """Refuse the character here; Jackson has taken it when it says so."""
        char = self.text[self.at]
        self.fail(f"Unexpected character ({_named(char)}){within}: {what}", self.at + 1)

    def ended(self, what: str) -> NoReturn:
        self.fail(f"Unexpected end-of-input{what}", len(self.text))

    @property
    def here(self) -> str:
        """The character that comes next, or the empty string."""
        return self.text[self.at : self.at + 1]

    @property
    def kind(self) -> str:
        """What the innermost bracket opened, as Jackson calls it."""
        return _KINDS[self.open[-1][0]] if self.open else "root"

    def take(self, rx: re.Pattern[str]) -> str:
        m = rx.match(self.text, self.at)
        found = m[0] if m else ""
        self.at += len(found)
        return found

    def space(self) -> None:
        self.take(_SPACE)
        if self.here and self.here < " ":
            self.fail(
                f"Illegal character ({_named(self.here)}): only regular white space (\\r, \\n, \\t) is allowed between "
                "tokens",
                self.at + 1,
            )

    # ── structure ────────────────────────────────────────────────────────────────────────────────────────────────────

    def document(self) -> None:
        self.space()
        if not self.here:
            self.fail("No content to map due to end-of-input")
        self.value()
        while self.open:
            self.member()
        self.space()
        if self.here:
            kind = _TYPES.get(self.here, "VALUE_NUMBER_INT" if self.here in "-0123456789" else "VALUE_NULL")
            start = self.at
            self.value()
            self.fail(f"Trailing token (of type {kind}) found after value: not allowed", start + 1)

    def member(self) -> None:
        """One element of the innermost array or object, or its end."""
        bracket, start = self.open[-1]
        first, self.first = self.first, False
        self.space()
        if not self.here:
            source = _source(self.text, *_position(self.text, start))
            self.ended(f": expected close marker for {self.kind} (start marker at {source})")
        if self.here in "]}":
            self.close(bracket, start)
            return
        if not first:
            if self.here != ",":
                self.unexpected(f"was expecting comma to separate {self.kind} entries")
            self.at += 1
            self.space()
            if not self.here:
                self.fail(f"Unexpected end-of-input within/between {self.kind} entries")
        if bracket == "{":
            self.name()
        self.value()

    def close(self, bracket: str, start: int) -> None:
        closer = _CLOSERS[bracket]
        if self.here != closer:
            source = _source(self.text, *_position(self.text, start))
            self.fail(
                f"Unexpected close marker '{self.here}': expected '{closer}' (for {self.kind} starting at {source})",
                self.at + 1,
            )
        self.at += 1
        self.open.pop()

    def name(self) -> None:
        if self.here != '"':
            self.unexpected("was expecting double-quote to start field name")
        self.string("name", " in field name")
        self.space()
        if not self.here:
            self.ended(f" within/between {self.kind} entries")
        if self.here != ":":
            self.unexpected("was expecting a colon to separate field name and value")
        self.at += 1
        self.space()
        if not self.here:
            self.ended(f" within/between {self.kind} entries")

    # ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def value(self) -> None:
        """A scalar, or the bracket that opens an array or an object."""
        char = self.here
        if char in "{[":
            self.open.append((char, self.at))
            self.at, self.first = self.at + 1, True
        elif char == '"':
            self.string("string value", ": was expecting closing quote for a string value")
        elif char == "-" or "0" <= char <= "9":
            self.number()
        elif char == "}":
            self.unexpected("expected a value")
        elif char.isalpha() or char in "_$":
            self.word()
        else:
            self.unexpected(f"expected a valid value {_VALUES}")

    def word(self) -> None:
        start = self.at
        word = self.take(_WORD)
        if word in ("NaN", "Infinity"):
            self.fail(f"Non-standard token '{word}': {_NOT_A_NUMBER}")
        if word not in ("true", "false", "null"):
            self.fail(f"Unrecognized token '{self.text[start : self.at]}': was expecting {_VALUES}")

    def string(self, what: str, at_end: str) -> None:
        self.at += 1
        while True:
            self.take(_PLAIN)
            char = self.here
            if not char:
                self.ended(at_end)
            if char < " ":
                self.fail(
                    f"Illegal unquoted character ({_named(char)}): has to be escaped using backslash to be included in "
                    f"{what}",
                    taken=1,
                )
            self.at += 1
            if char == '"':
                return
            self.escape()

    def escape(self) -> None:
        char = self.here
        if not char:
            self.ended(" in character escape sequence")
        if char not in _ESCAPES and char != "u":
            self.fail(f"Unrecognized character escape {_named(char)}", self.at + 1)
        self.at += 1
        for _ in range(4 if char == "u" else 0):
            if not self.here:
                self.ended(" in character escape sequence")
            if self.here not in "0123456789abcdefABCDEF":
                self.unexpected("expected a hex-digit for character escape sequence")
            self.at += 1

    def number(self) -> None:
        if self.here == "-":
            self.at += 1
            self.digit("expected digit (0-9) to follow minus sign, for valid numeric value")
        if self.here == "0" and self.text[self.at + 1 : self.at + 2].isdigit():
            self.fail("Invalid numeric value: Leading zeroes not allowed", self.at + 2)
        self.take(_DIGITS)
        if self.here == ".":
            self.at += 1
            self.digit("Decimal point not followed by a digit")
            self.take(_DIGITS)
        if self.here in ("e", "E"):
            self.at += 1
            if self.here in ("+", "-"):
                self.at += 1
            self.digit("Exponent indicator not followed by a digit")
            self.take(_DIGITS)
        if not self.open and self.here not in ("", " ", "\t", "\r", "\n"):
            self.unexpected("Expected space separating root-level values")

    def digit(self, what: str) -> None:
        if not self.here:
            self.ended(" in a Number value")
        if not "0" <= self.here <= "9":
            self.unexpected(what, within=" in numeric value")
