"""PodSecurity: namespaces say by label which Pod Security Standard their Pods must meet, and which to warn about.

``pod-security.kubernetes.io/enforce`` refuses Pods, ``warn`` warns of Pods and of workloads whose template does not
meet it. ``audit`` needs an audit log and does nothing. Versions of the standards before the newest are checked as the
newest. What the standards demand is in ``podstandards``.
"""

from __future__ import annotations

from pinnace.api import errors, meta
from pinnace.api.types import Object
from pinnace.apiserver.admission import podstandards
from pinnace.apiserver.admission.base import CREATE, UPDATE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes

LABEL = "pod-security.kubernetes.io/"
_TEMPLATES = {
    ("", "replicationcontrollers"): ("spec", "template", "spec"),
    ("", "podtemplates"): ("template", "spec"),
    ("apps", "daemonsets"): ("spec", "template", "spec"),
    ("apps", "deployments"): ("spec", "template", "spec"),
    ("apps", "replicasets"): ("spec", "template", "spec"),
    ("apps", "statefulsets"): ("spec", "template", "spec"),
    ("batch", "jobs"): ("spec", "template", "spec"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template", "spec"),
}


class PodSecurity:
    name = "PodSecurity"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        if (group, plural) == ("", "pods"):
            return (subresource, operation) in (("", CREATE), ("ephemeralcontainers", UPDATE))
        if subresource or operation not in (CREATE, UPDATE):
            return False
        return (group, plural) == ("", "namespaces") or (group, plural) in _TEMPLATES

    def admit(self, attributes: AdmissionAttributes) -> None:
        row, obj = attributes.resource, attributes.object
        if obj is None:
            return
        if (row.group, row.plural) == ("", "namespaces"):
            _check_labels(obj)
            return
        namespace = self._view.get("", "namespaces", "", attributes.namespace)
        labels = meta.labels(namespace) if namespace is not None else {}
        if not any(label.startswith(LABEL) for label in labels):
            return
        if (row.group, row.plural) == ("", "pods"):
            level, shown, found = _violations(obj.get("spec"), labels, "enforce")
            if found:
                raise refuse(attributes, f'violates PodSecurity "{shown}": {found}')
            spec = obj.get("spec")
        else:
            spec, level = obj, ""
            for step in _TEMPLATES[row.group, row.plural]:
                spec = (spec or {}).get(step)
        if labels.get(LABEL + "warn") != level or not level:
            _, shown, found = _violations(spec, labels, "warn")
            if found:
                attributes.warnings.append(f'would violate PodSecurity "{shown}": {found}')


def _violations(spec: Object | None, labels: dict[str, str], mode: str) -> tuple[str, str, str]:
    """The mode's level, that with its version, and what of ``spec`` violates it ("" for nothing)."""
    level = labels.get(LABEL + mode, podstandards.PRIVILEGED)
    shown = f"{level}:{labels.get(f'{LABEL}{mode}-version', 'latest')}"
    if not isinstance(spec, dict):
        return level, shown, ""
    return level, shown, ", ".join(podstandards.violations(spec, level))


def _check_labels(namespace: Object) -> None:
    """A level that does not exist is refused where it is set. Raises ApiError 422."""
    problems = [
        errors.invalid_value(f"metadata.labels[{label}]", value, f"must be one of {', '.join(podstandards.LEVELS)}")
        for label, value in sorted(meta.labels(namespace).items())
        if label.removeprefix(LABEL) in ("enforce", "warn", "audit") and label.startswith(LABEL)
        if value not in podstandards.LEVELS
    ]
    if problems:
        raise errors.invalid("", "Namespace", meta.name(namespace), problems)
