"""What type checking says of policies, without a cluster."""

from __future__ import annotations

from typing import Any

from pinnace.api import builtin, typechecking
from pinnace.api.types import Object

REGISTRY = builtin.registry()


def warned(*validations: Any, groups: tuple[str, ...] = ("apps",), resource: str = "deployments", **spec: Any) -> Any:
    rule = {"apiGroups": list(groups), "apiVersions": ["v1"], "operations": ["*"], "resources": [resource]}
    policy: Object = {"spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": list(validations), **spec}}
    return typechecking.warnings(policy, REGISTRY)


def test_the_documentations_example() -> None:
    [warning] = warned({"expression": "object.replicas > 1"})
    assert warning == {
        "fieldRef": "spec.validations[0].expression",
        "warning": "apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:7: undefined field 'replicas'\n"
        " | object.replicas > 1\n | ......^\n",
    }


def test_what_is_right_is_not_warned_of() -> None:
    assert not warned(
        {"expression": "object.spec.replicas > 1 && oldObject.metadata.labels['a'] == 'b'"},
        {"expression": "object.spec.template.spec.containers.all(c, c.image.startsWith('x') && has(c.resources))"},
        {"expression": "object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')"},
        {"expression": "object.spec.strategy.rollingUpdate.maxSurge == '10%'", "messageExpression": "object.kind"},
        {"expression": "object.metadata.managedFields.all(m, m.fieldsV1 != null)"},
    )
    assert not warned({"expression": "object.nothing"}, groups=("*",))
    assert not warned({"expression": "object.nothing"}, resource="deployments/scale")


def test_variables_parameters_and_messages_have_types_too() -> None:
    found = warned(
        {"expression": "variables.count == 'a'", "messageExpression": "string(params.daat.x)"},
        variables=[{"name": "count", "expression": "object.spec.replicas"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    assert [warning["fieldRef"].rpartition(".")[2] for warning in found] == ["expression", "messageExpression"]
    assert "found no matching overload for '_==_' applied to '(int, string)'" in found[0]["warning"]
    assert "undefined field 'daat'" in found[1]["warning"]


def test_every_kind_is_checked() -> None:
    rules = [
        {
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "operations": ["*"],
            "resources": ["replicasets", "deployments"],
        },
        {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["jobs"]},
    ]
    [warning] = warned({"expression": "object.spec.replicas > 1"}, matchConstraints={"resourceRules": rules})
    assert warning["warning"].startswith("batch/v1, Kind=Job: ")
    [warning] = warned({"expression": "object.x"}, matchConstraints={"resourceRules": rules})
    assert [line.partition(":")[0] for line in warning["warning"].splitlines() if "Kind=" in line] == [
        "apps/v1, Kind=Deployment",
        "apps/v1, Kind=ReplicaSet",
        "batch/v1, Kind=Job",
    ]
