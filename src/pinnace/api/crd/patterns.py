"""Regular expressions of users: Go's syntax (RE2), matched in time linear in the text, whatever the pattern.

Python's own engine may take for ever on patterns as short as ``(a+)+$``; so patterns in schemas and validation rules
never reach it. The engine (google-re2) is imported when the first pattern comes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

#: What Go says for RE2's words.
_GO_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "unexpected )": "unexpected )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}
#: Memory that one compiled pattern may take.
_MEMORY = 1 << 20


class PatternError(ValueError):
    """A pattern that does not parse; ``str(error)`` is what Go says of it."""


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Any:
    """The engine's own object: ``search(text)``, ``finditer(text)``. Raises PatternError."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise PatternError(_go_error(error.args[0])) from None


def _go_error(said: Any) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    what, colon, where = text.partition(": ")
    what = _GO_WORDS.get(what, what)
    return f"error parsing regexp: {what}: `{where}`" if colon else f"error parsing regexp: {what}"


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found anywhere in a text. Raises PatternError."""
    search = compiled(pattern).search
    return lambda text: search(text) is not None
