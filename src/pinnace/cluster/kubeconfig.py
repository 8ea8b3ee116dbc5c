"""Kubeconfig files: one context written for a cluster, everything else in the file left as it was.

Written in one step, mode 0600, through symbolic links. A file that is not a kubeconfig is refused, not replaced.
PyYAML is imported only for a file that already exists.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import orjson

from pinnace.cluster.errors import ClusterError, Exit
from pinnace.cluster.pki import write_atomic

log = logging.getLogger(__name__)


def write_kubeconfig(
    path: Path, *, context: str, server: str, ca: bytes, certificate: bytes, key: bytes
) -> Callable[[], None]:
    """Add or replace ``context`` (its cluster and user have the same name) and make it current. The certificates and
    the key are PEM. Returns how to undo it, which leaves a file alone that was written since. Raises ClusterError."""
    entries = _entries(context, context, context, server, ca, certificate_user(certificate, key))
    path = _resolved(path)
    config = _load(path)
    before = path.read_bytes() if path.exists() else None
    if config is None:
        text = _new_text(entries, context)
    else:
        for section, entry in entries.items():
            config[section] = [e for e in _section(path, config, section) if e.get("name") != context] + [entry]
        config["current-context"] = context
        text = _dump(config)
    save(path, text)
    return lambda: _put_back(path, text, before)


def certificate_user(certificate: bytes, key: bytes) -> dict[str, Any]:
    """A kubeconfig's user with these PEMs."""
    return {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }


def part_kubeconfig(name: str, *, server: str, ca: bytes, user: dict[str, Any]) -> bytes:
    """The kubeconfig of a part that runs on its own as the user ``name``, with kubeadm's names for the rest."""
    context = f"{name}@kubernetes"
    return _new_text(_entries("kubernetes", context, name, server, ca, user), context)


def _entries(
    cluster: str, context: str, name: str, server: str, ca: bytes, user: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    return {
        "clusters": {
            "name": cluster,
            "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()},
        },
        "contexts": {"name": context, "context": {"cluster": cluster, "user": name}},
        "users": {"name": name, "user": user},
    }


def _put_back(path: Path, written: bytes, before: bytes | None) -> None:
    try:
        if path.read_bytes() != written:
            return
        if before is None:
            path.unlink()
        else:
            write_atomic(path, before, 0o600)
    except OSError as error:
        log.warning("the kubeconfig %s still has the context of a cluster that did not start: %s", path, error)


def remove_kubeconfig(path: Path, *, context: str, server: str) -> None:
    """Take ``context``, its cluster and its user out again; no effect if they or the file are not there, or if the
    context has come to mean another ``server``."""
    path = _resolved(path)
    config = _load(path)
    if config is None:
        return
    clusters = (e for e in _section(path, config, "clusters") if e.get("name") == context)
    if not any((e.get("cluster") or {}).get("server") == server for e in clusters):
        return
    for section in ("clusters", "contexts", "users"):
        config[section] = [e for e in _section(path, config, section) if e.get("name") != context]
    if config.get("current-context") == context:
        config["current-context"] = ""
    save(path, _dump(config))


def _resolved(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise ClusterError(Exit.ERROR, f"kubeconfig {path}: {error}") from error


def _load(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterError(
            Exit.NOT_PERMITTED, f"cannot read the kubeconfig {path}: {error.strerror}; choose another: --kubeconfig"
        ) from error
    except UnicodeDecodeError as error:
        raise _refused(path, "it is not text") from error
    if not text.strip():
        return None
    import yaml

    class Loader(yaml.SafeLoader):
        """Leaves times as the text they are."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        config = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _refused(path, f"{error.problem}{line}") from error
    except yaml.YAMLError as error:
        raise _refused(path, str(error)) from error
    if config is None:  # comments only
        return None
    if not isinstance(config, dict):
        raise _refused(path, "it holds no mapping")
    return config


def _section(path: Path, config: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = config.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _refused(path, f"{name} is not a list of named entries")
    return cast(list[dict[str, Any]], entries)


def _refused(path: Path, why: str) -> ClusterError:
    return ClusterError(
        Exit.ERROR, f"{path} is no kubeconfig ({why}) and was left alone; repair it or choose another: --kubeconfig"
    )


def _new_text(entries: dict[str, dict[str, Any]], context: str) -> bytes:
    lines = ["apiVersion: v1", "kind: Config", "preferences: {}", f"current-context: {_quoted(context)}"]
    for section, entry in entries.items():
        lines.append(f"{section}:")
        for position, (name, value) in enumerate(entry.items()):
            lead = "  " if position else "- "
            if isinstance(value, dict):
                lines.append(f"{lead}{name}:")
                lines += [f"    {inner}: {_quoted(text)}" for inner, text in value.items()]
            else:
                lines.append(f"{lead}{name}: {_quoted(value)}")
    return "\n".join(lines).encode() + b"\n"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()  # JSON strings are YAML strings


def _dump(config: dict[str, Any]) -> bytes:
    import yaml

    return yaml.safe_dump(config, sort_keys=False, encoding="utf-8", allow_unicode=True)


def save(path: Path, text: bytes) -> None:
    """Raises ClusterError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, text, 0o600)
    except OSError as error:
        raise ClusterError(
            Exit.NOT_PERMITTED, f"cannot write the kubeconfig {path}: {error.strerror}; choose another: --kubeconfig"
        ) from error
