"""Admission webhooks, as their users see them: with stock kubectl, and a webhook of its own authority."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.clusters import Api, Cluster
from tests.tools import Kubectl
from tests.webhooks import Webhook, deny, serving

GROUP = "/apis/admissionregistration.k8s.io/v1"
_names = itertools.count()
Configure = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    with serving(tmp_path_factory.mktemp("webhook"), "hook.default.svc") as webhook:
        yield webhook


@pytest.fixture
def webhook(server: Webhook) -> Webhook:
    server.answers.clear()
    server.raw.clear()
    server.requests.clear()
    server.headers.clear()
    return server


@pytest.fixture
def configure(bare_api: Api, bare_namespace: str, webhook: Webhook) -> Iterator[Configure]:
    """Makes a configuration with one webhook for the test's namespace, by default for ConfigMaps and all operations."""
    made: list[str] = []

    def new(how: str = "validating", path: str = "/", **hook: Any) -> str:
        name = f"hook-{next(_names)}"
        body = {
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": f"{name}.example.com",
                    "clientConfig": webhook.config(path),
                    "rules": [rule("configmaps")],
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bare_namespace}},
                    **hook,
                }
            ],
        }
        url = f"{GROUP}/{how}webhookconfigurations"
        answer = bare_api("POST", url, body)
        assert answer.status == 201, answer.body
        made.append(f"{url}/{name}")
        return f"{name}.example.com"

    yield new
    for url in made:
        assert bare_api("DELETE", url).status == 200


def rule(*resources: str, groups: tuple[str, ...] = ("",), operations: tuple[str, ...] = ("*",), **more: Any) -> Any:
    return {
        "apiGroups": list(groups),
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
        **more,
    }


@pytest.fixture
def kubectl(bare: Cluster, bare_namespace: str) -> Kubectl:
    return bare.kubectl().within(bare_namespace)


def test_a_denial_is_shown_with_its_message(kubectl: Kubectl, configure: Configure, webhook: Webhook) -> None:
    webhook.answers["/"] = lambda _: deny("no, thanks", reason="Forbidden")
    name = configure()
    done = kubectl.run("create", "configmap", "a")
    assert done.returncode == 1
    assert (
        done.stderr == f'error: failed to create configmap: admission webhook "{name}" denied the request: no, thanks\n'
    )
    assert kubectl("get", "configmaps", "-o", "name") == ""
