"""The Pod Security Standards, baseline and restricted, as checks on a Pod's spec.

Each check yields nothing, or one text ``what (where and how)`` as every client knows it. Baseline's come first, then
restricted's, each by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pinnace.api.errors import go_quote
from pinnace.api.types import Object

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)

_BASELINE_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ]
)
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)

Check = Callable[[Object], Iterator[str]]


def violations(spec: Object, level: str) -> Iterator[str]:
    """What of a Pod's ``spec`` the level forbids."""
    if level == BASELINE:
        checks: Iterable[Check] = _BASELINE
    elif level == RESTRICTED:
        checks = (*(check for check in _BASELINE if check not in _REPLACED), *_RESTRICTED)
    else:
        return
    for check in checks:
        yield from check(spec)


# -- reading a spec


def _containers(spec: Object) -> Iterator[Object]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            if isinstance(container, dict):
                yield container


def _context(part: Object) -> Object:
    context = part.get("securityContext")
    return context if isinstance(context, dict) else {}


def _child(part: Object, field: str) -> Object:
    value = part.get(field)
    return value if isinstance(value, dict) else {}


def _names(spec: Object, wrong: Callable[[Object], bool]) -> list[str]:
    return [str(container.get("name")) for container in _containers(spec) if wrong(container)]


def _listed(what: str, names: Iterable[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    quoted = [go_quote(name) for name in names]
    return f"{what}{'s' if len(quoted) > 1 else ''} {', '.join(quoted)}"


def _is_windows(spec: Object) -> bool:
    return _child(spec, "os").get("name") == "windows"


# -- baseline


def _host_namespaces(spec: Object) -> Iterator[str]:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if used:
        yield f"host namespaces ({', '.join(used)})"


def _host_paths(spec: Object) -> Iterator[str]:
    used = [str(volume.get("name")) for volume in spec.get("volumes") or () if (volume or {}).get("hostPath")]
    if used:
        yield f"hostPath volumes ({_listed('volume', used)})"


def _host_ports(spec: Object) -> Iterator[str]:
    def ports(container: Object) -> list[int]:
        return [port["hostPort"] for port in container.get("ports") or () if (port or {}).get("hostPort")]

    names = _names(spec, lambda container: bool(ports(container)))
    if names:
        used = sorted({str(port) for container in _containers(spec) for port in ports(container)})
        verb, plural = ("use", "s") if len(names) > 1 else ("uses", "s" if len(used) > 1 else "")
        if len(names) > 1 and len(used) == 1:
            plural = ""
        yield f"hostPort ({_listed('container', names)} {verb} hostPort{plural} {', '.join(used)})"


def _privileged(spec: Object) -> Iterator[str]:
    names = _names(spec, lambda container: bool(_context(container).get("privileged")))
    if names:
        yield f"privileged ({_listed('container', names)} must not set securityContext.privileged=true)"


def _added(container: Object) -> list[str]:
    return list(_child(_context(container), "capabilities").get("add") or ())


def _capabilities(spec: Object) -> Iterator[str]:
    forbidden = sorted({c for container in _containers(spec) for c in _added(container)} - _BASELINE_CAPABILITIES)
    if forbidden:
        names = _names(spec, lambda container: not _BASELINE_CAPABILITIES.issuperset(_added(container)))
        shown = ", ".join(map(go_quote, forbidden))
        yield (
            f"non-default capabilities ({_listed('container', names)} must not include {shown} in "
            "securityContext.capabilities.add)"
        )


def _profiles(spec: Object, field: str, bad: Callable[[str], bool]) -> Iterator[str]:
    """Who sets ``securityContext.<field>.type`` to something bad, and the bad values."""

    def value(part: Object) -> str | None:
        held = _child(_context(part), field).get("type")
        return held if isinstance(held, str) else None

    def is_bad(part: Object) -> bool:
        held = value(part)
        return held is not None and bad(held)

    setters = ["pod"] if is_bad(spec) else []
    names = _names(spec, is_bad)
    if names:
        setters.append(_listed("container", names))
    if setters:
        values = sorted({str(value(part)) for part in (spec, *_containers(spec)) if is_bad(part)})
        yield f"{' and '.join(setters)} must not set securityContext.{field}.type to {', '.join(map(go_quote, values))}"


def _app_armor(spec: Object) -> Iterator[str]:
    for found in _profiles(spec, "appArmorProfile", lambda kind: kind not in ("RuntimeDefault", "Localhost")):
        yield f"forbidden AppArmor profile ({found})"


def _seccomp_baseline(spec: Object) -> Iterator[str]:
    for found in _profiles(spec, "seccompProfile", lambda kind: kind == "Unconfined"):
        yield f"seccompProfile ({found})"


def _proc_mount(spec: Object) -> Iterator[str]:
    def wrong(container: Object) -> bool:
        return _context(container).get("procMount") not in (None, "Default")

    names = _names(spec, wrong)
    if names and spec.get("hostUsers") is not False:
        used = sorted({str(_context(c)["procMount"]) for c in _containers(spec) if wrong(c)})
        shown = ", ".join(map(go_quote, used))
        yield f"procMount ({_listed('container', names)} must not set securityContext.procMount to {shown})"


def _selinux(spec: Object) -> Iterator[str]:
    def options(part: Object) -> Object:
        return _child(_context(part), "seLinuxOptions")

    def wrong(part: Object) -> bool:
        held = options(part)
        return bool((held.get("type") or "") not in _SELINUX_TYPES or held.get("user") or held.get("role"))

    setters = ["pod"] if wrong(spec) else []
    names = _names(spec, wrong)
    if names:
        setters.append(_listed("container", names))
    if not setters:
        return
    parts = (spec, *_containers(spec))
    types = sorted({str(options(p).get("type")) for p in parts if (options(p).get("type") or "") not in _SELINUX_TYPES})
    bad = [f"type{'s' if len(types) > 1 else ''} {', '.join(map(go_quote, types))}"] if types else []
    bad += [f"{field} may not be set" for field in ("user", "role") if any(options(p).get(field) for p in parts)]
    yield f"seLinuxOptions ({' and '.join(setters)} set forbidden securityContext.seLinuxOptions: {'; '.join(bad)})"


def _sysctls(spec: Object) -> Iterator[str]:
    used = [str(s.get("name")) for s in _context(spec).get("sysctls") or () if s.get("name") not in _SYSCTLS]
    if used:
        yield f"forbidden sysctls ({', '.join(used)})"


def _host_process(spec: Object) -> Iterator[str]:
    def wrong(part: Object) -> bool:
        return bool(_child(_context(part), "windowsOptions").get("hostProcess"))

    setters = ["pod"] if wrong(spec) else []
    names = _names(spec, wrong)
    if names:
        setters.append(_listed("container", names))
    if setters:
        yield f"hostProcess ({' and '.join(setters)} must not set securityContext.windowsOptions.hostProcess=true)"


# -- restricted


def _privilege_escalation(spec: Object) -> Iterator[str]:
    names = _names(spec, lambda container: _context(container).get("allowPrivilegeEscalation") is not False)
    if names and not _is_windows(spec):
        shown = _listed("container", names)
        yield f"allowPrivilegeEscalation != false ({shown} must set securityContext.allowPrivilegeEscalation=false)"


def _capabilities_restricted(spec: Object) -> Iterator[str]:
    if _is_windows(spec):
        return
    found = []
    names = _names(spec, lambda c: "ALL" not in (_child(_context(c), "capabilities").get("drop") or ()))
    if names:
        found.append(f'{_listed("container", names)} must set securityContext.capabilities.drop=["ALL"]')
    forbidden = sorted({c for container in _containers(spec) for c in _added(container)} - {"NET_BIND_SERVICE"})
    if forbidden:
        names = _names(spec, lambda container: bool(set(_added(container)) - {"NET_BIND_SERVICE"}))
        shown = ", ".join(map(go_quote, forbidden))
        found.append(f"{_listed('container', names)} must not include {shown} in securityContext.capabilities.add")
    if found:
        yield f"unrestricted capabilities ({'; '.join(found)})"


def _volume_types(spec: Object) -> Iterator[str]:
    used: list[tuple[str, str]] = []
    for volume in spec.get("volumes") or ():
        kind = next((key for key, value in sorted((volume or {}).items()) if key != "name" and value is not None), None)
        if kind is not None and kind not in _VOLUMES:
            used.append((str(volume.get("name")), kind))
    if used:
        types = sorted({kind for _, kind in used})
        verb = "use" if len(used) > 1 else "uses"
        plural = "s" if len(types) > 1 else ""
        yield (
            f"restricted volume types ({_listed('volume', [name for name, _ in used])} {verb} restricted volume "
            f"type{plural} {', '.join(map(go_quote, types))})"
        )


def _run_as_non_root(spec: Object) -> Iterator[str]:
    if spec.get("hostUsers") is False:
        return  # root in the container is not root on the node
    wrong = ["pod"] if _context(spec).get("runAsNonRoot") is False else []
    false = _names(spec, lambda container: _context(container).get("runAsNonRoot") is False)
    if false:
        wrong.append(_listed("container", false))
    if wrong:
        yield f"runAsNonRoot != true ({' and '.join(wrong)} must not set securityContext.runAsNonRoot=false)"
        return
    if _context(spec).get("runAsNonRoot") is True:
        return
    unset = _names(spec, lambda container: _context(container).get("runAsNonRoot") is None)
    if unset:
        shown = _listed("container", unset)
        yield f"runAsNonRoot != true (pod or {shown} must set securityContext.runAsNonRoot=true)"


def _run_as_user(spec: Object) -> Iterator[str]:
    if spec.get("hostUsers") is False:
        return

    def is_root(part: Object) -> bool:
        user: Any = _context(part).get("runAsUser")
        return user == 0 and user is not None

    wrong = ["pod"] if is_root(spec) else []
    names = _names(spec, is_root)
    if names:
        wrong.append(_listed("container", names))
    if wrong:
        yield f"runAsUser=0 ({' and '.join(wrong)} must not set runAsUser=0)"


def _seccomp_restricted(spec: Object) -> Iterator[str]:
    if _is_windows(spec):
        return
    good = ("RuntimeDefault", "Localhost")
    for found in _profiles(spec, "seccompProfile", lambda kind: kind not in good):
        yield f"seccompProfile ({found})"
        return
    if _child(_context(spec), "seccompProfile").get("type") in good:
        return
    unset = _names(spec, lambda container: _child(_context(container), "seccompProfile").get("type") is None)
    if unset:
        yield (
            f"seccompProfile (pod or {_listed('container', unset)} must set securityContext.seccompProfile.type to "
            '"RuntimeDefault" or "Localhost")'
        )


_BASELINE: tuple[Check, ...] = (
    _app_armor,
    _capabilities,
    _host_namespaces,
    _host_paths,
    _host_ports,
    _privileged,
    _proc_mount,
    _selinux,
    _seccomp_baseline,
    _sysctls,
    _host_process,
)
#: What a stricter check of the restricted level stands for.
_REPLACED: tuple[Check, ...] = (_capabilities, _host_paths, _seccomp_baseline)
_RESTRICTED: tuple[Check, ...] = (
    _privilege_escalation,
    _capabilities_restricted,
    _volume_types,
    _run_as_non_root,
    _run_as_user,
    _seccomp_restricted,
)
