"""Security contexts of Pods and containers."""

from __future__ import annotations

import re

from pinnace.api import formats as f
from pinnace.api.errors import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from pinnace.api.types import Object
from pinnace.api.validation.common import descending_path
from pinnace.api.validation.metadata import wrong

Errors = list[FieldError]

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_PATTERN = rf"^({_SYSCTL}([\./]))*{_SYSCTL}$"
_sysctl = re.compile(_SYSCTL_PATTERN)


def _ids(errors: Errors, field: str, context: Object, keys: tuple[str, ...]) -> None:
    for key in keys:
        value = context.get(key)
        if value is not None:
            wrong(errors, f"{field}.{key}", value, f.user_id(value))


def _seccomp(errors: Errors, field: str, profile: Object | None) -> None:
    if profile is None:
        return
    type, local = profile.get("type"), profile.get("localhostProfile")
    if not type:
        errors.append(required(f"{field}.type", "type is required when seccompProfile is set"))
    elif type not in _PROFILES:
        errors.append(not_supported(f"{field}.type", type, _PROFILES))
    if type == "Localhost":
        if local is None:
            errors.append(required(f"{field}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            descending_path(errors, f"{field}.localhostProfile", local)
    elif local is not None:
        why = "can only be set when seccomp type is Localhost"
        errors.append(invalid_value(f"{field}.localhostProfile", profile, why))


def _app_armor(errors: Errors, field: str, profile: Object | None) -> None:
    if profile is None:
        return
    type, local, at = profile.get("type"), profile.get("localhostProfile"), f"{field}.localhostProfile"
    if type == "Localhost":
        if local is None:
            errors.append(required(at, "must be set when AppArmor type is Localhost"))
        elif local != local.strip():
            errors.append(invalid_value(at, local, "must not be padded with whitespace"))
        elif not local:
            errors.append(required(at, "must be set when AppArmor type is Localhost"))
        if local and len(local) > 4095:
            errors.append(too_long(at, 4095))
    elif type in _PROFILES:
        if local is not None:
            errors.append(invalid_value(at, local, "can only be set when AppArmor type is Localhost"))
    elif not type:
        errors.append(required(f"{field}.type", "type is required when appArmorProfile is set"))
    else:
        errors.append(not_supported(f"{field}.type", type, _PROFILES))


def container(errors: Errors, field: str, context: Object, host_users: bool) -> None:
    _ids(errors, field, context, ("runAsUser", "runAsGroup"))
    proc_mount = context.get("procMount")
    if proc_mount is not None:
        if proc_mount not in ("Default", "Unmasked"):
            errors.append(not_supported(f"{field}.procMount", proc_mount, ("Default", "Unmasked")))
        if host_users and proc_mount == "Unmasked":
            why = "`hostUsers` must be false to use `Unmasked`"
            errors.append(invalid_value(f"{field}.procMount", proc_mount, why))
    _seccomp(errors, f"{field}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid_value(field, context, why))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid_value(field, context, why))
    _app_armor(errors, f"{field}.appArmorProfile", context.get("appArmorProfile"))


def pod(errors: Errors, field: str, context: Object, spec: Object) -> None:
    _ids(errors, field, context, ("fsGroup", "runAsUser", "runAsGroup"))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        wrong(errors, f"{field}.supplementalGroups[{index}]", group, f.user_id(group))
    _sysctls(errors, f"{field}.sysctls", context.get("sysctls") or [], spec)
    _choice(errors, f"{field}.fsGroupChangePolicy", context.get("fsGroupChangePolicy"), ("Always", "OnRootMismatch"))
    _seccomp(errors, f"{field}.seccompProfile", context.get("seccompProfile"))
    _app_armor(errors, f"{field}.appArmorProfile", context.get("appArmorProfile"))
    _choice(errors, f"{field}.supplementalGroupsPolicy", context.get("supplementalGroupsPolicy"), ("Merge", "Strict"))
    _choice(errors, f"{field}.seLinuxChangePolicy", context.get("seLinuxChangePolicy"), ("MountOption", "Recursive"))


def _choice(errors: Errors, field: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        errors.append(not_supported(field, value, allowed))


def _sysctls(errors: Errors, field: str, sysctls: list[Object], spec: Object) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at, name = f"{field}[{index}].name", sysctl.get("name") or ""
        if not name:
            errors.append(required(at))
        elif len(name) > 253 or not _sysctl.match(name):
            why = f"must have at most 253 characters and match regex {_SYSCTL_PATTERN}"
            errors.append(invalid_value(at, name, why))
        elif name in seen:
            errors.append(duplicate(at, name))
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(invalid_value(at, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
            errors.append(invalid_value(at, name, "may not be specified when 'hostIPC' is true"))


def linux_only(errors: Errors, field: str, spec: Object) -> None:
    """For ``spec.os.name: linux``: no Windows options anywhere."""
    why = "windows options cannot be set for a linux pod"
    if (spec.get("securityContext") or {}).get("windowsOptions"):
        errors.append(forbidden_field(f"{field}.securityContext.windowsOptions", why))
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for index, item in enumerate(spec.get(key) or ()):
            if (item.get("securityContext") or {}).get("windowsOptions"):
                errors.append(forbidden_field(f"{field}.{key}[{index}].securityContext.windowsOptions", why))
