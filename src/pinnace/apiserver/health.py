"""/healthz, /livez, /readyz: named checks, each also at its own path."""

from __future__ import annotations

from collections.abc import Callable

from pinnace.apiserver.request import Request
from pinnace.apiserver.response import Response, text

#: What is wrong, or None.
Check = Callable[[], str | None]


class Health:
    """``live`` checks say that the process works; ``ready`` ones also that it can serve."""

    def __init__(self) -> None:
        self.live: dict[str, Check] = {"ping": lambda: None, "log": lambda: None}
        self.ready: dict[str, Check] = {}

    def answer(self, request: Request) -> Response | None:
        """None for another path."""
        root, _, name = request.path.strip("/").partition("/")
        if root in ("livez", "healthz"):
            checks = dict(self.live)
        elif root == "readyz":
            checks = {**self.live, **self.ready}
        else:
            return None
        if name:
            check = checks.get(name)
            if check is None:
                return text(404, "404 page not found\n")
            why = check()
            return text(200, "ok") if why is None else text(500, f"internal server error: {why}\n")
        return _report(root, checks, request)


def _report(root: str, checks: dict[str, Check], request: Request) -> Response:
    query = request.query
    excluded = set(filter(None, query.get("exclude", "").split(",")))
    lines, failed = [], []
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok\n")
            continue
        why = check()
        if why is None:
            lines.append(f"[+]{name} ok\n")
        else:
            failed.append(name)
            lines.append(f"[-]{name} failed: {why}\n")
    report = "".join(lines)
    if failed:
        return text(500, f"{report}{root} check failed\n")
    if "verbose" in query:
        return text(200, f"{report}{root} check passed\n")
    return text(200, "ok")
