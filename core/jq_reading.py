"""What can be said of a jq program without running it: which steps it names, what it always gives.

It is read word by word, not parsed: where it is unclear, nothing is said.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<field>\.[A-Za-z_]\w*)
      | (?P<variable>\$\s*\w+(?:::\w+)*)
      | (?P<format>@\w+)
      | (?P<number>\.?\d[\d.]*(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_]\w*(?:::\w+)*)
      | (?P<sign>\?//=?|//=?|\|=|[=!<>+*/%-]=|\.\.|.)""",
    re.X | re.S,
)
_STRING_PART = re.compile(r'(?P<text>(?:[^"\\]|\\[^(])*)(?P<end>"|\\\(|\Z)', re.S)
_KEYWORDS = frozenset(
    [
        *("if", "then", "elif", "else", "end", "and", "or", "as", "def", "reduce", "foreach"),
        *("try", "catch", "label", "import", "include"),
    ]
)
_SAME_DOT = frozenset(
    [
        *("select", "first", "limit", "isempty", "error", "range", "has", "test", "contains"),
        *("startswith", "endswith"),
    ]
)
"""Functions whose arguments see what the function does; of others, such as map, who knows."""
_LITERALS = frozenset(("true", "false", "null", "not", "and", "or"))
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    def __str__(self) -> str:
        return "" if self.kind == "string" else self.text

    @property
    def ends_term(self) -> bool:
        """Whether what follows, such as `.x`, belongs to it."""
        if self.kind == "name":
            return self.text not in _KEYWORDS or self.text == "end"
        return self.kind not in ("sign", "number") or self.text in (")", "]", "}", "?", "..", ".")


def steps_named(text: str) -> list[str]:
    """Return the names of steps that a program, one that compiles, asks for: `.steps.NAME`."""
    return _named_in(text, ".steps")


def keys_named(text: str) -> list[str]:
    """Return the keys of its input that a program, one that compiles, asks for: `.KEY`."""
    tokens = list(_tokens(text))
    dots = zip(tokens, _dots(tokens), strict=True)
    return [token.text[1:] for token, is_input in dots if is_input]


def params_named(text: str) -> list[str]:
    """Return the names of params that a program, one that compiles, asks for: `.params.NAME`."""
    return _named_in(text, ".params")


def always(text: str) -> bool:
    """Tell whether what a program gives hangs on nothing that it is given."""
    return all(
        token.kind in ("string", "number")
        or (token.kind == "name" and token.text in _LITERALS)
        or (token.kind == "sign" and token.text not in (".", ".."))
        for token in _tokens(text)
    )


def texts_given(text: str) -> list[str]:
    """Return the texts that stand where a program's result is: `if … then "a" else "b" end`."""
    return list(_results(list(_tokens(text))))


def _results(tokens: Sequence[_Token]) -> Iterator[str]:
    if not tokens:
        return
    if str(tokens[0]) == "[" and str(tokens[-1]) == "]":
        tokens = tokens[1:-1]
    if all(
        token.kind == "string" if number % 2 == 0 else str(token) == ","
        for number, token in enumerate(tokens)
    ):
        yield from (token.text for token in tokens[::2])
        return
    if str(tokens[0]) == "if" and str(tokens[-1]) == "end":
        for branch in _branches(tokens):
            yield from _results(branch)


def _branches(tokens: Sequence[_Token]) -> list[Sequence[_Token]]:
    """Return what stands after each `then` and `else`; nothing if the first `end` is of another."""
    depth, begun, found = 0, None, []
    for number, token in enumerate(tokens):
        word = str(token) if token.kind == "name" and not _is_key(tokens, number) else ""
        if word in ("then", "elif", "else", "end") and depth == 1:
            if begun is not None:
                found.append(tokens[begun:number])
            begun = number + 1 if word in ("then", "else") else None
        if word == "if":
            depth += 1
        elif word == "end":
            depth -= 1
            if depth == 0 and number < len(tokens) - 1:
                return []
    return found


def _named_in(text: str, key: str) -> list[str]:
    tokens = list(_tokens(text))
    return [
        name
        for number, is_input in enumerate(_dots(tokens))
        if is_input and tokens[number].text == key
        if (name := _named_at(tokens, number)) is not None
    ]


def _named_at(tokens: Sequence[_Token], number: int) -> str | None:
    """Return the name in `.steps.NAME`, `.steps["NAME"]` or `.steps."NAME"` that begins here."""
    rest = [token for token in tokens[number + 1 : number + 5] if str(token) != "?"]
    if rest and rest[0].kind == "field":
        return rest[0].text[1:]
    if len(rest) < 2 or rest[1].kind != "string":
        return None
    if str(rest[0]) == "." or (str(rest[0]) == "[" and len(rest) > 2 and str(rest[2]) == "]"):
        return rest[1].text
    return None


@dataclass
class _Level:
    """A part of a program in brackets, or between `if` and `end`.

    `dot` is whether `.` is the program's input now, `start` whether it was at the beginning;
    `binds` is whether the next `|` ends a binding, and so changes nothing.
    """

    start: bool
    dot: bool
    opener: str = ""
    binds: bool = False


def _dots(tokens: Sequence[_Token]) -> Iterator[bool]:
    """Yield for each token whether it begins a path into the program's input."""
    levels = [_Level(True, True)]
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else None
        begins = before is None or not before.ends_term
        yield levels[-1].dot and token.kind == "field" and begins
        if token.kind == "sign":
            _sign(levels, token.text, before)
        elif token.kind == "name" and not _is_key(tokens, number):
            _keyword(levels, token.text)
        if not levels:
            levels = [_Level(False, False)]


def _is_key(tokens: Sequence[_Token], number: int) -> bool:
    return number + 1 < len(tokens) and str(tokens[number + 1]) == ":"


def _sign(levels: list[_Level], sign: str, before: _Token | None) -> None:
    level = levels[-1]
    if sign in _OPEN:
        dot = level.dot and (sign != "(" or _same_dot(before))
        if sign == "(" and before is not None and before.kind == "variable":
            level.binds = False  # it was `reduce … as $x (`
        levels.append(_Level(dot, dot, sign))
    elif sign in _CLOSE or (sign == ";" and level.opener == "def"):
        levels.pop()
    elif sign == ";":
        level.dot = level.start
    elif sign == "|" and level.binds:
        level.binds = False
    elif sign in ("|", "|="):
        level.dot = False


def _same_dot(before: _Token | None) -> bool:
    """Tell whether `.` is in these brackets what it is outside."""
    if before is None or before.kind in ("field", "format", "string"):
        return True
    if before.kind == "name":
        return before.text in _KEYWORDS or before.text in _SAME_DOT
    return before.kind != "variable" and before.text not in ("]", "}")


def _keyword(levels: list[_Level], word: str) -> None:
    level = levels[-1]
    if word == "if":
        levels.append(_Level(level.dot, level.dot, word))
    elif word == "def":
        levels.append(_Level(False, False, word))
    elif word in ("then", "elif", "else"):
        level.dot = level.start
    elif word == "end":
        levels.pop()
    elif word in ("as", "label"):
        level.binds = True
    elif word == "catch":
        level.dot = False


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the words of a program; what a text has put into it stands in brackets after it."""
    place = 0
    nested: list[int] = []
    depth = 0
    while place < len(text):
        if text[place] == '"':
            token, place, opened = _string(text, place + 1)
            yield token
        else:
            found = _WORD.match(text, place)
            assert found is not None  # any character is a sign
            place, opened = found.end(), False
            if found.lastgroup != "space":
                yield _Token(str(found.lastgroup), found[0])
            depth += (found[0] == "(") - (found[0] == ")")
            if nested and depth < nested[-1]:
                nested.pop()
                token, place, opened = _string(text, place)
        if opened:
            yield _Token("sign", "(")
            depth += 1
            nested.append(depth)


def _string(text: str, place: int) -> tuple[_Token, int, bool]:
    """Return a text from after its quote to its end, or to what is put into it: then True."""
    found = _STRING_PART.match(text, place)
    assert found is not None
    opened = found["end"] == "\\("
    if opened:
        return _Token("format", ""), found.end(), True
    try:
        value = json.loads(f'"{found["text"]}"', strict=False)
    except ValueError:
        return _Token("format", ""), found.end(), False
    return _Token("string", value), found.end(), False
