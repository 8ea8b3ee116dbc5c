"""A node's KubeletConfiguration: the fields of upstream's file that this kubelet has, with upstream's defaults.

A field that it does not have is refused by name, rather than ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pinnace.api import quantity
from pinnace.kubelet import durations

API_VERSION = "kubelet.config.k8s.io/v1beta1"
#: The priority from which on Pods are critical.
SYSTEM_CRITICAL = 2_000_000_000
EVICTION_HARD = {
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
}
_LEAST = {"available": "1Gi", "inodesFree": "1%"}
SIGNALS = (*EVICTION_HARD, "pid.available")
_DURATIONS = (
    "evictionPressureTransitionPeriod",
    "imageMaximumGCAge",
    "imageMinimumGCAge",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
)
_PERCENTAGES = ("imageGCHighThresholdPercent", "imageGCLowThresholdPercent")


class ConfigurationError(ValueError):
    """A configuration that cannot be used; the text says which field and why."""


@dataclass(slots=True)
class Configuration:
    """Durations in seconds. ``staticPodPath`` "" is no directory; ``healthzPort`` 0 is no server."""

    allowedUnsafeSysctls: list[str] = field(default_factory=list)
    containerLogMaxFiles: int = 5
    containerLogMaxSize: str = "10Mi"
    evictionHard: dict[str, str] = field(default_factory=lambda: dict(EVICTION_HARD))
    evictionPressureTransitionPeriod: float = 300.0
    healthzBindAddress: str = "127.0.0.1"
    healthzPort: int = 10248
    imageGCHighThresholdPercent: int = 85
    imageGCLowThresholdPercent: int = 80
    imageMaximumGCAge: float = 0.0
    imageMinimumGCAge: float = 120.0
    maxPods: int = 110
    port: int = 10250
    shutdownGracePeriod: float = 0.0
    shutdownGracePeriodByPodPriority: list[dict[str, int]] = field(default_factory=list)
    shutdownGracePeriodCriticalPods: float = 0.0
    staticPodPath: str = ""

    def shown(self) -> dict[str, Any]:
        """As ``/configz`` and the file have it."""
        body: dict[str, Any] = {"kind": "KubeletConfiguration", "apiVersion": API_VERSION}
        for item in fields(self):
            value = getattr(self, item.name)
            body[item.name] = durations.text(value) if item.name in _DURATIONS else value
        return body

    def shutdown_periods(self) -> list[tuple[int, int]]:
        """Priority and seconds of each group of Pods that ends together when the node shuts down, the lowest first;
        none if the node shuts down without waiting."""
        if self.shutdownGracePeriodByPodPriority:
            groups = self.shutdownGracePeriodByPodPriority
            return sorted((int(g["priority"]), int(g["shutdownGracePeriodSeconds"])) for g in groups)
        if not self.shutdownGracePeriod:
            return []
        critical = int(self.shutdownGracePeriodCriticalPods)
        return [(0, int(self.shutdownGracePeriod) - critical), (SYSTEM_CRITICAL, critical)]


def of_a_shared_machine(static_pods: str) -> Configuration:
    """For a node on a machine that others use too: a share of the whole disk would end Pods for files that are none of
    theirs, and so the least that is kept free is fixed."""
    least = {f"{disk}.{what}": limit for disk in ("imagefs", "nodefs") for what, limit in _LEAST.items()}
    return Configuration(evictionHard={**EVICTION_HARD, **least}, staticPodPath=static_pods)


def load(path: Path, defaults: Configuration) -> Configuration:
    """The file's configuration over ``defaults``; these if there is no file. Raises ConfigurationError."""
    import yaml

    try:
        text = path.read_text()
    except FileNotFoundError:
        return defaults
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    try:
        body = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return parse(body or {}, defaults)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def parse(body: object, defaults: Configuration) -> Configuration:
    """Raises ConfigurationError."""
    if not isinstance(body, Mapping):
        raise ConfigurationError("expected an object of kind KubeletConfiguration")
    if body.get("kind", "KubeletConfiguration") != "KubeletConfiguration":
        raise ConfigurationError(f"kind: expected KubeletConfiguration, found {body['kind']!r}")
    if body.get("apiVersion", API_VERSION) != API_VERSION:
        raise ConfigurationError(f"apiVersion: expected {API_VERSION}, found {body['apiVersion']!r}")
    known = {item.name: getattr(defaults, item.name) for item in fields(defaults)}
    given = {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
    if unknown := sorted(str(key) for key in given if key not in known):
        raise ConfigurationError(f"{unknown[0]}: not a field that this kubelet has; it has {', '.join(sorted(known))}")
    for name, value in given.items():
        known[name] = _checked(name, value, known[name])
    made = Configuration(**known)
    _check_together(made)
    return made


def _checked(name: str, value: object, default: object) -> object:
    if name in _DURATIONS:
        try:
            return durations.parse(str(value))
        except ValueError as error:
            raise ConfigurationError(f"{name}: {error}") from error
    if type(value) is not type(default):
        raise ConfigurationError(f"{name}: expected {_WORDS[type(default)]}, found {value!r}")
    if isinstance(value, int) and value < 0:
        raise ConfigurationError(f"{name}: must not be negative, found {value}")
    if name in _PERCENTAGES and isinstance(value, int) and value > 100:
        raise ConfigurationError(f"{name}: expected a percentage, found {value}")
    if isinstance(value, int) and name in ("port", "healthzPort") and value > 65535:
        raise ConfigurationError(f"{name}: expected a port, found {value}")
    if isinstance(value, list) and name == "allowedUnsafeSysctls" and any(not isinstance(one, str) for one in value):
        raise ConfigurationError(f"{name}: expected names, found {value!r}")
    if isinstance(value, dict):
        return {**_object(default), **{str(key): str(one) for key, one in value.items()}}
    return value


def _object(value: object) -> dict[str, str]:
    return dict(value) if isinstance(value, dict) else {}


_WORDS = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


def _check_together(made: Configuration) -> None:
    if made.imageGCLowThresholdPercent >= made.imageGCHighThresholdPercent:
        raise ConfigurationError(
            f"imageGCLowThresholdPercent: must be less than imageGCHighThresholdPercent "
            f"({made.imageGCHighThresholdPercent}), found {made.imageGCLowThresholdPercent}"
        )
    if made.shutdownGracePeriodCriticalPods > made.shutdownGracePeriod:
        raise ConfigurationError("shutdownGracePeriodCriticalPods: must not be more than shutdownGracePeriod")
    for group in made.shutdownGracePeriodByPodPriority:
        if not isinstance(group, dict) or set(group) != {"priority", "shutdownGracePeriodSeconds"}:
            raise ConfigurationError(
                "shutdownGracePeriodByPodPriority: expected entries of priority and shutdownGracePeriodSeconds, "
                f"found {group!r}"
            )
        if any(type(number) is not int for number in group.values()):
            raise ConfigurationError(f"shutdownGracePeriodByPodPriority: expected whole numbers, found {group!r}")
    if made.containerLogMaxFiles < 2:
        raise ConfigurationError(f"containerLogMaxFiles: must be more than 1, found {made.containerLogMaxFiles}")
    for signal, limit in made.evictionHard.items():
        if signal not in SIGNALS:
            raise ConfigurationError(f"evictionHard: unknown signal {signal!r}; there are {', '.join(SIGNALS)}")
        try:
            threshold(limit, 100)
        except ValueError as error:
            raise ConfigurationError(f"evictionHard: {signal}: {error}") from error
    try:
        quantity.value(made.containerLogMaxSize)
    except ValueError as error:
        raise ConfigurationError(f"containerLogMaxSize: {error}") from error


def threshold(limit: str, capacity: int) -> int:
    """A threshold that is a quantity or a percentage of ``capacity``. Raises ValueError."""
    if limit.endswith("%"):
        return int(capacity * float(limit[:-1]) / 100)
    return quantity.value(limit)
