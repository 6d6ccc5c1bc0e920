"""Text for people: without keys, without what a terminal obeys, in one line, of bounded length.

Whatever is shown may hold what users gave by mistake (a key in an address or an option) or what files of others hold
(control characters). Every deliberate error and every line of a command goes through here.
"""

from __future__ import annotations

import re

LONGEST = 2000  # characters of a line; of a longer one its start and its end, where the remedy stands
READ = LONGEST  # characters at both ends that are looked through: the time grows with their square
HIDDEN = "..."
_ADDRESS = r"\b[A-Za-z][A-Za-z0-9+.-]*:/{1,2}"  # a path makes one slash of two
_BEFORE_HOST = re.compile(rf"({_ADDRESS})[^\s'\"<>|]*@")
_OPTIONS = re.compile(rf"({_ADDRESS}[^\s'\"?]*)\?[^\s'\")]*=[^\s'\")]*")
_SECRET = r"(?:secret|token(?!s|iz)|passw(?:or)?d|api[_-]?key|access[_-]?key|credential)"
_NAMED = re.compile(rf"(?i)([\w.-]*{_SECRET}(?![\w-]*_(?:path|file|mode))[\w-]*['\"]?\s*[=:]\s*)([^\s,;]+)")
_FLAG = re.compile(rf"(?i)(--?[\w-]*{_SECRET}[\w-]*\s+)([^\s,;-][^\s,;]*)")
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b")
# C0 and C1, what turns the direction of writing, line and paragraph separators, halves of characters
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def without_keys_in(text: str) -> str:
    """Text whose addresses have neither keys nor options, and whose named secrets have no values."""
    text = _OPTIONS.sub(r"\1", _BEFORE_HOST.sub(rf"\1{HIDDEN}@", text))
    return _KEY_ID.sub(HIDDEN, _FLAG.sub(rf"\1{HIDDEN}", _NAMED.sub(rf"\1{HIDDEN}", text)))


def one_line(text: object) -> str:
    """What may be shown of any text, in one line."""
    whole = str(text)
    if (
        len(whole) > 2 * READ
    ):  # what is looked for takes time as the square of the length; far more than is shown is read
        whole = f"{whole[:READ]} {whole[-READ:]}"
    plain = without_keys_in(whole.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))
    plain = _OBEYED.sub("?", plain)
    if len(plain) <= LONGEST:
        return plain
    end = LONGEST // 4
    return f"{plain[: LONGEST - end - 5]} ... {plain[-end:]}"


def some_lines(text: object) -> str:
    """What may be shown of text that has several lines, each by itself."""
    return "\n".join(one_line(line) for line in str(text).split("\n"))
