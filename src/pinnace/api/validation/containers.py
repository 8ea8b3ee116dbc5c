"""Containers of a Pod spec: names, ports, environment, mounts, probes, life cycle, resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pinnace.api import formats as f
from pinnace.api.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_field,
    not_supported,
    required,
    too_many,
)
from pinnace.api.types import Object
from pinnace.api.validation import references, security
from pinnace.api.validation.common import descending_path, port_or_name, requirements
from pinnace.api.validation.metadata import NEGATIVE, wrong

Errors = list[FieldError]

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_READ_ONLY = ("Disabled", "Enabled", "IfPossible")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_MORE_HANDLERS = "may not specify more than 1 handler type"
_ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"


@dataclass(slots=True)
class Context:
    """What checks of a container need to know of its Pod."""

    spec: Object
    volumes: dict[str, Object]
    claims: set[str]

    @property
    def host_users(self) -> bool:
        return self.spec.get("hostUsers") is not False


def _ports(errors: Errors, field: str, ports: list[Object]) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        name, number, host = port.get("name"), port.get("containerPort"), port.get("hostPort")
        if name:
            if problems := f.port_name(name):
                wrong(errors, f"{field}[{index}].name", name, problems)
            elif name in names:
                errors.append(duplicate(f"{field}[{index}].name", name))
            names.add(name)
        if not number:
            errors.append(required(f"{field}[{index}].containerPort"))
        elif not 0 < number < 65536:
            wrong(errors, f"{field}[{index}].containerPort", number, f.port_number(number))
        if host and not 0 < host < 65536:
            wrong(errors, f"{field}[{index}].hostPort", host, f.port_number(host))
        protocol = port.get("protocol")
        if not protocol:
            errors.append(required(f"{field}[{index}].protocol"))
        elif protocol not in PROTOCOLS:
            errors.append(not_supported(f"{field}[{index}].protocol", protocol, PROTOCOLS))


def _file_key(errors: Errors, field: str, ref: Object) -> None:
    key, volume, path = ref.get("key"), ref.get("volumeName"), ref.get("path")
    if not key:
        errors.append(required(f"{field}.key"))
    else:
        wrong(errors, f"{field}.key", key, f.env_name(key))
    if not volume:
        errors.append(required(f"{field}.volumeName"))
    else:
        wrong(errors, f"{field}.volumeName", volume, f.dns_label(volume))
    if not path:
        errors.append(required(f"{field}.path"))
    elif ".." in path.split("/"):
        errors.append(invalid_value(f"{field}.path", path, "must not contain '..'"))


def _value_from(errors: Errors, field: str, value: str | None, source: Object) -> None:
    found = 0
    if (ref := source.get("fieldRef")) is not None:
        found += 1
        references.field_ref(errors, f"{field}.fieldRef", ref, references.ENV_FIELDS)
    if (ref := source.get("resourceFieldRef")) is not None:
        found += 1
        references.resource_ref(errors, f"{field}.resourceFieldRef", ref, volume=False)
    for key in ("configMapKeyRef", "secretKeyRef"):
        if (ref := source.get(key)) is not None:
            found += 1
            references.key_ref(errors, f"{field}.{key}", ref)
    if (ref := source.get("fileKeyRef")) is not None:
        found += 1
        _file_key(errors, f"{field}.fileKeyRef", ref)
    if not found:
        why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(invalid_value(field, "", why))
    elif value:
        errors.append(invalid_value(field, "", "may not be specified when `value` is not empty"))
    elif found > 1:
        errors.append(invalid_value(field, "", "may not have more than one field specified at a time"))


def _env(errors: Errors, field: str, variables: list[Object]) -> None:
    for index, variable in enumerate(variables):
        name, source = variable.get("name"), variable.get("valueFrom")
        if not name:
            errors.append(required(f"{field}[{index}].name"))
        elif problems := f.env_name(name):
            wrong(errors, f"{field}[{index}].name", name, problems)
        if source is not None:
            _value_from(errors, f"{field}[{index}].valueFrom", variable.get("value"), source)


def _env_from(errors: Errors, field: str, sources: list[Object]) -> None:
    for index, source in enumerate(sources):
        at = f"{field}[{index}]"
        if source.get("prefix"):
            wrong(errors, f"{at}.prefix", source["prefix"], f.env_name(source["prefix"]))
        found = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in found:
            name = source[key].get("name")
            if not name:
                errors.append(required(f"{at}.{key}.name"))
            else:
                wrong(errors, f"{at}.{key}.name", name, f.name_check(f.dns_subdomain)(name, True))
        if not found:
            errors.append(invalid_value(field, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(found) > 1:
            errors.append(invalid_value(field, "", "may not have more than one field specified at a time"))


def _mounts(errors: Errors, field: str, container: Object, context: Context) -> None:
    devices = {d.get("name"): d.get("devicePath") for d in container.get("volumeDevices") or ()}
    paths: set[str] = set()
    for index, mount in enumerate(container["volumeMounts"]):
        at, name, path = f"{field}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        if name not in context.volumes:
            errors.append(not_found_field(f"{at}.name", name))
        if not path:
            errors.append(required(f"{at}.mountPath"))
        if path in paths:
            errors.append(invalid_value(f"{at}.mountPath", path, "must be unique"))
        paths.add(path)
        if name in devices:
            errors.append(invalid_value(f"{at}.name", name, "must not already exist in volumeDevices"))
        if path in devices.values():
            why = "must not already exist as a path in volumeDevices"
            errors.append(invalid_value(f"{at}.mountPath", path, why))
        sub_path, expression = mount.get("subPath"), mount.get("subPathExpr")
        if sub_path:
            descending_path(errors, f"{field}.subPath", sub_path)
        if expression:
            if sub_path:
                why = "subPathExpr and subPath are mutually exclusive"
                errors.append(invalid_value(f"{at}.subPathExpr", expression, why))
            descending_path(errors, f"{field}.subPathExpr", expression)
        _mount_modes(errors, field, mount, container)


def _mount_modes(errors: Errors, field: str, mount: Object, container: Object) -> None:
    propagation, read_only = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None:
        at = f"{field}.mountPropagation"
        if propagation not in _PROPAGATIONS:
            errors.append(not_supported(at, propagation, _PROPAGATIONS))
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            why = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(forbidden_field(at, why))
    if read_only is not None:
        at = f"{field}.recursiveReadOnly"
        if read_only not in _READ_ONLY:
            errors.append(not_supported(at, read_only, _READ_ONLY))
        elif read_only != "Disabled":
            if not mount.get("readOnly"):
                errors.append(forbidden_field(at, "may only be specified when readOnly is true"))
            if propagation not in (None, "None"):
                why = "may only be specified when mountPropagation is None or not specified"
                errors.append(forbidden_field(at, why))


def _devices(errors: Errors, field: str, container: Object, context: Context) -> None:
    mounts = {m.get("name"): m.get("mountPath") for m in container.get("volumeMounts") or ()}
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container["volumeDevices"]):
        at, name, path = f"{field}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        volume = context.volumes.get(name)
        if not name:
            errors.append(required(f"{at}.name"))
        if name in names:
            errors.append(invalid_value(f"{at}.name", name, "must be unique"))
        if volume is None:
            errors.append(not_found_field(f"{at}.name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid_value(f"{at}.name", name, why))
        if not path:
            errors.append(required(f"{at}.devicePath"))
        if path in paths:
            errors.append(invalid_value(f"{at}.devicePath", path, "must be unique"))
        if ".." in path.split("/"):
            errors.append(invalid_value(f"{at}.devicePath", path, "can not contain backsteps ('..')"))
        if name in mounts:
            errors.append(invalid_value(f"{at}.name", name, "must not already exist in volumeMounts"))
        if path in mounts.values():
            errors.append(invalid_value(f"{at}.devicePath", path, "must not already exist as a path in volumeMounts"))
        names.add(name)
        paths.add(path)


def _claims(errors: Errors, field: str, claims: list[Object], context: Context) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{field}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(required(at))
            continue
        key = f"{name}/{claim['request']}" if claim.get("request") else name
        if key in seen or name in seen:
            errors.append(duplicate(at, key))
        seen.add(key)
        if name not in context.claims:
            known = f": {', '.join(sorted(context.claims))}" if context.claims else " which is empty"
            error = not_found_field(at, name)
            why = f"{error.message}: must be one of the names in pod.spec.resourceClaims{known}"
            errors.append(FieldError(error.type, at, why))


def _http_get(errors: Errors, field: str, action: Object) -> None:
    if not action.get("path"):
        errors.append(required(f"{field}.path"))
    port_or_name(errors, f"{field}.port", action.get("port"))
    scheme = action.get("scheme")
    if scheme not in ("HTTP", "HTTPS"):
        errors.append(not_supported(f"{field}.scheme", scheme or "", ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        wrong(errors, f"{field}.httpHeaders", header.get("name") or "", f.http_header(header.get("name") or ""))


def _handler(errors: Errors, field: str, handler: Object, grace: int | None, kinds: tuple[str, ...]) -> None:
    found = [key for key in kinds if handler.get(key) is not None]
    if not found:
        errors.append(required(field, "must specify a handler type"))
        return
    kind = found[0]
    action, at = handler[kind], f"{field}.{kind}"
    if kind == "exec":
        if not action.get("command"):
            errors.append(required(f"{at}.command"))
    elif kind == "httpGet":
        _http_get(errors, at, action)
    elif kind == "sleep":
        seconds = action.get("seconds") or 0
        if grace is not None and not 0 <= seconds <= grace:
            why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            errors.append(invalid_value(at, seconds, why))
    else:
        port_or_name(errors, f"{at}.port", action.get("port"))
    for key in found[1:]:
        errors.append(forbidden_field(f"{field}.{key}", _MORE_HANDLERS))


_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_LIFECYCLE_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def _probe(errors: Errors, field: str, probe: Object, kind: str, grace: int | None) -> None:
    _handler(errors, field, probe, grace, _PROBE_HANDLERS)
    for key in _PROBE_NUMBERS:
        value = probe.get(key)
        if value is not None and value < 0:
            errors.append(invalid_value(f"{field}.{key}", value, NEGATIVE))
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        errors.append(invalid_value(f"{field}.terminationGracePeriodSeconds", own_grace, "must be greater than 0"))
    if kind == "readinessProbe":
        if own_grace is not None:
            why = "must not be set for readinessProbes"
            errors.append(invalid_value(f"{field}.terminationGracePeriodSeconds", own_grace, why))
    elif probe.get("successThreshold") != 1:
        errors.append(invalid_value(f"{field}.successThreshold", probe.get("successThreshold") or 0, "must be 1"))


def _running(errors: Errors, field: str, container: Object, spec: Object) -> None:
    """Life cycle and probes of a container that keeps running."""
    grace = spec.get("terminationGracePeriodSeconds")
    lifecycle = container.get("lifecycle")
    if lifecycle is not None:
        for hook in ("postStart", "preStop"):
            if lifecycle.get(hook) is not None:
                _handler(errors, f"{field}.lifecycle.{hook}", lifecycle[hook], grace, _LIFECYCLE_HANDLERS)
        if lifecycle.get("stopSignal") is not None and not (spec.get("os") or {}).get("name"):
            why = "may not be set for containers with empty `spec.os.name`"
            errors.append(forbidden_field(f"{field}.lifecycle.stopSignal", why))
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe is not None:
            _probe(errors, f"{field}.{kind}", probe, kind, grace)


def _resize_policy(errors: Errors, field: str, policies: list[Object], spec: Object) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            errors.append(duplicate(f"{field}[{index}]", resource))
        seen.add(resource)
        for value, allowed in ((resource, ("cpu", "memory")), (restart, ("NotRequired", "RestartContainer"))):
            if not value:
                errors.append(required(field))
            elif value not in allowed:
                errors.append(not_supported(field, value, allowed))
        if spec.get("restartPolicy") == "Never" and restart != "NotRequired":
            why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            errors.append(invalid_value(field, restart, why))


def _restart_policy(errors: Errors, field: str, container: Object) -> None:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None:
        if rules:
            why = "must specify restartPolicy when restart rules are used"
            errors.append(required(f"{field}.restartPolicy", why))
    elif policy not in _RESTART_POLICIES:
        errors.append(not_supported(f"{field}.restartPolicy", policy, _RESTART_POLICIES))
    if len(rules) > 20:
        errors.append(too_many(f"{field}.restartPolicyRules", len(rules), 20))
    for index, rule in enumerate(rules):
        at, codes = f"{field}.restartPolicyRules[{index}]", rule.get("exitCodes")
        if rule.get("action") not in ("Restart", "RestartAllContainers"):
            errors.append(not_supported(f"{at}.action", rule.get("action") or "", ("Restart", "RestartAllContainers")))
        if codes is None:
            errors.append(required(f"{at}.exitCodes", "must be specified"))
        elif codes.get("operator") not in ("In", "NotIn"):
            errors.append(not_supported(f"{at}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn")))


def _common(errors: Errors, field: str, container: Object, context: Context) -> None:
    name = container.get("name")
    if not name:
        errors.append(required(f"{field}.name"))
    elif problems := f.dns_label(name):
        wrong(errors, f"{field}.name", name, problems)
    if not container.get("image"):
        errors.append(required(f"{field}.image"))
    policy = container.get("terminationMessagePolicy")
    if policy not in _MESSAGE_POLICIES:
        if not policy:
            errors.append(required(f"{field}.terminationMessagePolicy"))
        else:
            errors.append(not_supported(f"{field}.terminationMessagePolicy", policy, _MESSAGE_POLICIES))
    if ports := container.get("ports"):
        _ports(errors, f"{field}.ports", ports)
    if env := container.get("env"):
        _env(errors, f"{field}.env", env)
    if env_from := container.get("envFrom"):
        _env_from(errors, f"{field}.envFrom", env_from)
    if container.get("volumeMounts"):
        _mounts(errors, f"{field}.volumeMounts", container, context)
    if container.get("volumeDevices"):
        _devices(errors, f"{field}.volumeDevices", container, context)
    pull = container.get("imagePullPolicy")
    if pull not in PULL_POLICIES:
        if not pull:
            errors.append(required(f"{field}.imagePullPolicy"))
        else:
            errors.append(not_supported(f"{field}.imagePullPolicy", pull, PULL_POLICIES))
    if resources := container.get("resources"):
        requirements(errors, f"{field}.resources", resources)
        if resources.get("claims"):
            _claims(errors, f"{field}.resources.claims", resources["claims"], context)
    if policies := container.get("resizePolicy"):
        _resize_policy(errors, f"{field}.resizePolicy", policies, context.spec)
    security_context = container.get("securityContext")
    if security_context:
        security.container(errors, f"{field}.securityContext", security_context, context.host_users)


def _host_ports(errors: Errors, field: str, containers: list[Object], first: int = 0) -> None:
    taken: set[str] = set()
    for index, container in enumerate(containers, first):
        for position, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in taken:
                errors.append(duplicate(f"{field}[{index}].ports[{position}].hostPort", key))
            taken.add(key)


def main(errors: Errors, field: str, containers: list[Object], context: Context) -> None:
    """``spec.containers``."""
    if not containers:
        errors.append(required(field))
        return
    names: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{field}[{index}]"
        _common(errors, at, container, context)
        name = container.get("name") or ""
        if name in names:
            errors.append(duplicate(f"{at}.name", name))
        names.add(name)
        _running(errors, at, container, context.spec)
        if "restartPolicy" in container or "restartPolicyRules" in container:
            _restart_policy(errors, at, container)
    _host_ports(errors, field, containers)


def init(errors: Errors, field: str, containers: list[Object], context: Context) -> None:
    """``spec.initContainers``."""
    names = {c.get("name") for c in context.spec.get("containers") or ()}
    for index, container in enumerate(containers):
        at, name = f"{field}[{index}]", container.get("name") or ""
        _common(errors, at, container, context)
        _restart_policy(errors, at, container)
        if name and name in names:
            errors.append(duplicate(f"{at}.name", name))
        names.add(name)
        _host_ports(errors, field, [container])
        if container.get("restartPolicy") == "Always":
            _running(errors, at, container, context.spec)
            continue
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(key) is not None:
                errors.append(forbidden_field(f"{at}.{key}", _ONLY_SIDECARS))
        for position, policy in enumerate(container.get("resizePolicy") or ()):
            if policy.get("restartPolicy") == "RestartContainer":
                why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                where = f"{at}.resizePolicy[{position}].restartPolicy"
                errors.append(invalid_value(where, "RestartContainer", why))


_NOT_EPHEMERAL = ("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy")


def ephemeral(errors: Errors, field: str, containers: list[Object], context: Context) -> None:
    """``spec.ephemeralContainers``."""
    others = {c.get("name") for key in ("containers", "initContainers") for c in context.spec.get(key) or ()}
    names = set(others)
    why = "cannot be set for an Ephemeral Container"
    for index, container in enumerate(containers):
        at, name, target = f"{field}[{index}]", container.get("name") or "", container.get("targetContainerName")
        _common(errors, at, container, context)
        if name in names:
            errors.append(duplicate(f"{at}.name", name))
        names.add(name)
        if target and target not in others:
            errors.append(not_found_field(f"{at}.targetContainerName", target))
        for key in _NOT_EPHEMERAL:
            if container.get(key):
                errors.append(forbidden_field(f"{at}.{key}", why))
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    errors.append(forbidden_field(f"{at}.volumeMounts[{position}].{key}", why))


def trimmed_images(errors: Errors, field: str, containers: list[Any]) -> None:
    for index, container in enumerate(containers):
        image = container.get("image") or ""
        if image != image.strip():
            why = "must not have leading or trailing whitespace"
            errors.append(invalid_value(f"{field}[{index}].image", image, why))
