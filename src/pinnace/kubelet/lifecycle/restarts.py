"""When a container that ended starts again.

10 s after a failure that follows another, doubling to 300 s; anew after ten minutes of running. The first restart is
immediate. A container that fails at once three times runs at 0, waits 10 s, runs, waits 20 s, runs.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.kubelet import durations
from pinnace.kubelet.lifecycle.situation import BackoffEntry, Waiting, is_sidecar
from pinnace.kubelet.runtime.base import Container

INITIAL = 10.0
MAXIMUM = 300.0


def should_restart(pod: Object, spec: Object, kind_is_init: bool, container: Container) -> bool:
    """Whether the policy wants an ended container back."""
    if kind_is_init:
        if is_sidecar(spec):
            return True
        return container.exit_code != 0 and pod["spec"].get("restartPolicy", "Always") != "Never"
    for rule in spec.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = container.exit_code in (codes.get("values") or ())
        if rule.get("action") == "Restart" and listed is (codes.get("operator") == "In"):
            return True
    policy = spec.get("restartPolicy") or pod["spec"].get("restartPolicy", "Always")
    if policy == "Always":
        return True
    return policy == "OnFailure" and container.exit_code != 0


def remaining(entry: BackoffEntry | None, finished: float, now: float) -> float:
    """Seconds still to wait before a container that ended at ``finished`` may start."""
    if entry is None or _expired(entry, finished):
        return 0.0
    return max(0.0, finished + entry.delay - now)


def following(entry: BackoffEntry | None, finished: float, now: float) -> BackoffEntry:
    """The entry to keep when the container is started again now."""
    if entry is None or _expired(entry, finished):
        return BackoffEntry(INITIAL, now)
    return BackoffEntry(min(entry.delay * 2, MAXIMUM), now)


def _expired(entry: BackoffEntry, finished: float) -> bool:
    return finished - entry.updated > 2 * MAXIMUM


def crash_loop(pod: Object, name: str, entry: BackoffEntry) -> Waiting:
    identity = f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"
    delay = durations.text(entry.delay)
    return Waiting("CrashLoopBackOff", f"back-off {delay} restarting failed container={name} pod={identity}")
