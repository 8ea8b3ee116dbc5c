"""CustomResourceDefinitions for tests, and putting them into a cluster."""

from __future__ import annotations

import itertools
from typing import Any

from tests.clusters import Api, wait_for

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_groups = itertools.count()


def object_schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def version(name: str = "v1", schema: Any = None, *, storage: bool = True, **more: Any) -> dict[str, Any]:
    """A served version; anything goes in its objects without a ``schema``."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": free if schema is None else schema},
        **more,
    }


def definition(*versions: Any, group: str = "", scope: str = "Namespaced", kind: str = "Widget", **spec: Any) -> Any:
    """Of ``widgets`` in a group of its own."""
    group = group or f"g{next(_groups)}.example.com"
    plural = kind.lower() + "s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": list(versions or [version()]),
            **spec,
        },
    }


class Custom:
    """A definition that has been put into a cluster."""

    def __init__(self, api: Api, made: Any, namespace: str = "") -> None:
        self.api = api
        self.made = made
        self.name: str = made["metadata"]["name"]
        self.group: str = made["spec"]["group"]
        self.plural: str = made["spec"]["names"]["plural"]
        self.kind: str = made["spec"]["names"]["kind"]
        self.namespace = namespace

    @property
    def path(self) -> str:
        return f"{DEFINITIONS}/{self.name}"

    def read(self) -> Any:
        return self.api("GET", self.path).json

    def condition(self, type: str) -> Any:
        conditions = (self.read().get("status") or {}).get("conditions") or ()
        return next((held for held in conditions if held["type"] == type), {})

    def collection(self, version: str = "v1") -> str:
        space = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"/apis/{self.group}/{version}{space}/{self.plural}"

    def item(self, name: str, version: str = "v1", subresource: str = "") -> str:
        return f"{self.collection(version)}/{name}" + (f"/{subresource}" if subresource else "")

    def object(self, name: str, version: str = "v1", **fields: Any) -> Any:
        return {
            "apiVersion": f"{self.group}/{version}",
            "kind": self.kind,
            "metadata": {"name": name, **fields.pop("metadata", {})},
            **fields,
        }

    def create(self, name: str, version: str = "v1", **fields: Any) -> Any:
        return self.api("POST", self.collection(version), self.object(name, version, **fields))

    def get(self, name: str, version: str = "v1") -> Any:
        return self.api("GET", self.item(name, version))

    def merge(self, name: str, patch: Any, subresource: str = "", version: str = "v1") -> Any:
        headers = {"Content-Type": "application/merge-patch+json"}
        return self.api("PATCH", self.item(name, version, subresource), patch, headers=headers)

    def change(self, **spec: Any) -> Any:
        """Merge-patch the definition's spec."""
        return self.api("PATCH", self.path, {"spec": spec}, headers={"Content-Type": "application/merge-patch+json"})

    def delete(self) -> None:
        self.api("DELETE", self.path)
        wait_for(lambda: self.api("GET", self.path).status == 404, f"the end of {self.name}")


def install(api: Api, made: Any, namespace: str = "") -> Custom:
    """Create the definition; wait until it is established."""
    answer = api("POST", DEFINITIONS, made)
    assert answer.status == 201, answer.body
    custom = Custom(api, made, namespace)
    wait_for(lambda: custom.condition("Established").get("status") == "True", f"{custom.name} to be established")
    return custom


def message(answer: Any) -> str:
    """What a refusal says."""
    assert answer.status >= 400, answer.body
    found: str = answer.json["message"]
    return found
