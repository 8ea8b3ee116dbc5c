"""Security contexts, as CRI takes them."""

from __future__ import annotations

from pathlib import Path

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.kubelet.pods.env import config_error
from pinnace.kubelet.runtime.base import Config, Image

MASKED = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def _namespaces(pod: Object) -> Config:
    spec = pod["spec"]
    pid = "NODE" if spec.get("hostPID") else "POD" if spec.get("shareProcessNamespace") else "CONTAINER"
    return {
        "network": "NODE" if spec.get("hostNetwork") else "POD",
        "pid": pid,
        "ipc": "NODE" if spec.get("hostIPC") else "POD",
    }


def _seccomp(profile: Object | None, profiles: Path) -> Config:
    kind = (profile or {}).get("type") or "Unconfined"
    if kind == "Localhost" and profile is not None:
        return {"profile_type": "Localhost", "localhost_ref": str(profiles / profile.get("localhostProfile", ""))}
    return {"profile_type": kind}


def groups(pod: Object) -> list[int]:
    context = pod["spec"].get("securityContext") or {}
    found = [int(group) for group in context.get("supplementalGroups") or ()]
    if context.get("fsGroup") is not None:
        found.append(int(context["fsGroup"]))
    return found


def sandbox_security(pod: Object) -> Config:
    context = pod["spec"].get("securityContext") or {}
    containers = [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]
    privileged = any((c.get("securityContext") or {}).get("privileged") for c in containers)
    found: Config = {
        "namespace_options": _namespaces(pod),
        "supplemental_groups": groups(pod),
        "privileged": privileged,
        "seccomp": {"profile_type": "RuntimeDefault"},
    }
    for field, target in (("runAsUser", "run_as_user"), ("runAsGroup", "run_as_group")):
        if context.get(field) is not None:
            found[target] = {"value": int(context[field])}
    if "run_as_group" in found and "run_as_user" not in found:
        del found["run_as_group"]  # CRI refuses a group without a user
    return found


def container_security(
    pod: Object, spec: Object, image: Image, target: str = "", *, profiles: Path = Path("seccomp")
) -> Config:
    """``target`` is the container whose processes it shares; ``profiles`` holds the node's seccomp profiles. Raises
    StartFailure if the container must not run as root but would."""
    outer = pod["spec"].get("securityContext") or {}
    own = spec.get("securityContext") or {}

    def chosen(field: str) -> object:
        return own[field] if own.get(field) is not None else outer.get(field)

    user, group = chosen("runAsUser"), chosen("runAsGroup")
    if chosen("runAsNonRoot"):
        _check_not_root(pod, spec, user, image)
    privileged = bool(own.get("privileged"))
    unmasked = privileged or own.get("procMount") == "Unmasked"
    capabilities = own.get("capabilities") or {}
    namespaces = _namespaces(pod)
    if target:
        namespaces |= {"pid": "TARGET", "target_id": target}
    found: Config = {
        "namespace_options": namespaces,
        "privileged": privileged,
        "readonly_rootfs": bool(own.get("readOnlyRootFilesystem")),
        "no_new_privs": own.get("allowPrivilegeEscalation") is False,
        "supplemental_groups": groups(pod),
        "masked_paths": [] if unmasked else MASKED,
        "readonly_paths": [] if unmasked else READ_ONLY,
        "seccomp": _seccomp(None if privileged else own.get("seccompProfile") or outer.get("seccompProfile"), profiles),
        "capabilities": {
            "add_capabilities": list(capabilities.get("add") or ()),
            "drop_capabilities": list(capabilities.get("drop") or ()),
        },
    }
    if user is not None:
        found["run_as_user"] = {"value": int(str(user))}
    elif group is not None:
        found["run_as_user"] = (
            {"value": int(image.user.partition(":")[0] or 0)} if image.user.isdigit() else {"value": 0}
        )
    if group is not None:
        found["run_as_group"] = {"value": int(str(group))}
    return found


def _check_not_root(pod: Object, spec: Object, user: object, image: Image) -> None:
    where = f'(pod: "{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})", container: {spec["name"]})'
    if user is not None:
        if int(str(user)) == 0:
            raise config_error(f"container's runAsUser breaks non-root policy {where}")
        return
    if not image.user:
        raise config_error(f"container has runAsNonRoot and image will run as root {where}")
    if not image.user.isdigit():
        raise config_error(
            f"container has runAsNonRoot and image has non-numeric user ({image.user}), "
            f"cannot verify user is non-root {where}"
        )
    if int(image.user) == 0:
        raise config_error(f"container has runAsNonRoot and image will run as root {where}")
