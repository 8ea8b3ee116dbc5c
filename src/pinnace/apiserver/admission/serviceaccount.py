"""ServiceAccount: every Pod acts as a service account and gets its token, unless it or the account says no.

The token, the cluster's root certificate and the namespace are one projected volume, mounted where client libraries
look. A namespace's ``default`` account is waited for, since it is made right after the namespace; any other that does
not exist is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, UPDATE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.core.clock import Clock

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
EXPIRATION_SECONDS = 3607
DEFAULT = "default"
#: Seconds to wait for the default account.
PATIENCE = 1.5
MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccount:
    name = "ServiceAccount"

    def __init__(self, view: View, clock: Clock, *, always: bool = True) -> None:
        """Not ``always``: only once controllers have made accounts; where there are none, nobody could make a Pod."""
        self._view = view
        self._clock = clock
        self._always = always

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        if (group, plural) != ("", "pods"):
            return False
        return (operation == CREATE and not subresource) or (
            operation == UPDATE and subresource == "ephemeralcontainers"
        )

    def admit(self, attributes: AdmissionAttributes) -> Awaitable[None] | None:
        if not self._always and self._view.get("", "serviceaccounts", "kube-system", DEFAULT) is None:
            return None
        spec = (attributes.object or {}).get("spec")
        account = None
        if isinstance(spec, dict) and attributes.operation == CREATE:
            wanted = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT
            if wanted == DEFAULT:
                account = self._view.get("", "serviceaccounts", attributes.namespace, DEFAULT)
                if account is None:
                    return self._admit_later(attributes)
        self._admit(attributes, account)
        return None

    async def _admit_later(self, attributes: AdmissionAttributes) -> None:
        await self._view.wait("serviceaccounts", attributes.namespace, DEFAULT, self._clock, PATIENCE)
        self._admit(attributes)

    def _admit(self, attributes: AdmissionAttributes, account: Object | None = None) -> None:
        """``account``: the one that the Pod is about, if it has been looked up already."""
        pod = attributes.object
        spec = (pod or {}).get("spec")
        if pod is None or not isinstance(spec, dict) or attributes.operation != CREATE:
            return
        if MIRROR in meta.annotations(pod):
            self._check_mirror(attributes, spec)
            return
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec.get("serviceAccount") or DEFAULT
        name = spec["serviceAccount"] = spec["serviceAccountName"]
        if account is None:
            account = self._view.get("", "serviceaccounts", attributes.namespace, str(name))
        if account is None:
            where = f"{attributes.namespace}/{name}"
            raise refuse(attributes, f'error looking up service account {where}: serviceaccount "{name}" not found')
        if meta.annotations(account).get(_ENFORCE) == "true":
            self._check_secrets(attributes, spec, account)
        if _mounts_token(spec, account):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = meta.copy(account["imagePullSecrets"])

    def _check_mirror(self, attributes: AdmissionAttributes, spec: Object) -> None:
        if spec.get("serviceAccountName"):
            raise refuse(attributes, "a mirror pod may not reference service accounts")
        if any((volume or {}).get("secret") for volume in spec.get("volumes") or ()):
            raise refuse(attributes, "a mirror pod may not reference secrets")
        for volume in spec.get("volumes") or ():
            sources = ((volume or {}).get("projected") or {}).get("sources") or ()
            if any(source.get("serviceAccountToken") for source in sources):
                raise refuse(attributes, "a mirror pod may not use ServiceAccountToken volume projections")

    def _check_secrets(self, attributes: AdmissionAttributes, spec: Object, account: Object) -> None:
        """``spec`` may use only the secrets that the account lists."""
        listed = {secret.get("name") for secret in account.get("secrets") or ()}
        for volume in spec.get("volumes") or ():
            used = (volume.get("secret") or {}).get("secretName")
            if used and used not in listed:
                raise refuse(
                    attributes,
                    f'volume with secret.secretName="{used}" is not allowed because service account '
                    f"{meta.name(account)} does not reference that secret",
                )
        for field in ("initContainers", "containers"):
            for container in spec.get(field) or ():
                for entry in container.get("env") or ():
                    used = ((entry.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
                    if used and used not in listed:
                        raise refuse(
                            attributes,
                            f"{'init ' if field != 'containers' else ''}container {container.get('name')} with envVar "
                            f'{entry.get("name")} referencing secret.secretName="{used}" is not allowed because '
                            f"service account {meta.name(account)} does not reference that secret",
                        )
        pulls = {secret.get("name") for secret in account.get("imagePullSecrets") or ()}
        for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
            if secret.get("name") not in pulls:
                raise refuse(
                    attributes,
                    f'imagePullSecrets[{index}].name="{secret.get("name")}" is not allowed because service account '
                    f"{meta.name(account)} does not reference that imagePullSecret",
                )


def _mounts_token(spec: Object, account: Object) -> bool:
    said = spec.get("automountServiceAccountToken")
    if said is None:
        said = account.get("automountServiceAccountToken")
    return said is not False


def _mount_token(spec: Object) -> None:
    """Mount the token's volume in every container that has nothing mounted there."""
    volumes = spec.get("volumes") or []
    volume_name = next(
        (str(volume["name"]) for volume in volumes if str(volume.get("name", "")).startswith(VOLUME_PREFIX)), ""
    )
    exists = bool(volume_name)
    if not exists:
        volume_name = VOLUME_PREFIX + meta.random_suffix()
    mounted = False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            if not isinstance(container, dict):
                continue
            mounts = container.get("volumeMounts") or []
            if mounts and any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                continue
            mount = {"name": volume_name, "readOnly": True, "mountPath": MOUNT_PATH}
            container["volumeMounts"] = [*mounts, mount]
            mounted = True
    if mounted and not exists:
        spec["volumes"] = [*volumes, token_volume(volume_name)]


def token_volume(name: str) -> Object:
    """The projected volume of token, root certificate and namespace."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": EXPIRATION_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 420,
        },
    }
