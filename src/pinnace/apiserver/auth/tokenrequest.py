"""``serviceaccounts/token``: a TokenRequest answered with a token."""

from __future__ import annotations

from pinnace.api import errors, meta
from pinnace.api.types import Object
from pinnace.apiserver.auth.objects import Lookup
from pinnace.apiserver.auth.tokens import ServiceAccountTokens
from pinnace.core.clock import Clock, timestamp

API_VERSION = "authentication.k8s.io/v1"
DEFAULT_SECONDS = 3600
MINIMUM_SECONDS = 600
MAXIMUM_SECONDS = 1 << 32
_KINDS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class TokenRequests:
    """Creates tokens for ServiceAccounts."""

    def __init__(self, tokens: ServiceAccountTokens, lookup: Lookup, clock: Clock) -> None:
        self._tokens = tokens
        self._lookup = lookup
        self._clock = clock

    def create(self, namespace: str, name: str, request: Object) -> Object:
        """``request`` (its ``spec``) with ``status.token``. Raises ApiError 404, 409, 400, 422."""
        account = self._lookup("serviceaccounts", namespace, name)
        if account is None:
            raise errors.not_found("", "serviceaccounts", name)
        spec: Object = request.get("spec") or {}
        seconds = _seconds(spec.get("expirationSeconds"))
        audiences = [str(a) for a in spec.get("audiences") or ()] or list(self._tokens.audiences)
        reference: Object | None = spec.get("boundObjectRef")
        kind, bound, node = self._bound(namespace, name, reference) if reference else ("", None, None)
        token = self._tokens.issue(
            account, seconds=seconds, audiences=audiences, bound_kind=kind, bound=bound, node=node
        )
        now = self._clock.now()
        return {
            "kind": "TokenRequest",
            "apiVersion": API_VERSION,
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": timestamp(now)},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": token, "expirationTimestamp": timestamp(int(now) + seconds)},
        }

    def _bound(self, namespace: str, account: str, reference: Object) -> tuple[str, Object, Object | None]:
        kind, name = str(reference.get("kind") or ""), str(reference.get("name") or "")
        plural = _KINDS.get(kind)
        if plural is None or reference.get("apiVersion") not in ("v1", None, ""):
            shown = f"{reference.get('apiVersion') or 'v1'}, Kind={kind}"
            raise errors.bad_request(f"cannot bind token to object of type /{shown}")
        bound = self._lookup(plural, "" if kind == "Node" else namespace, name)
        if bound is None:
            raise errors.not_found("", plural, name)
        wanted = reference.get("uid")
        if wanted and wanted != meta.uid(bound):
            why = (
                f"the UID in the bound object reference ({wanted}) does not match the UID in record. The object might "
                "have been deleted and then recreated"
            )
            raise errors.conflict("", plural, name, why)
        node = None
        if kind == "Pod":
            spec = bound.get("spec") or {}
            if spec.get("serviceAccountName") != account:
                raise errors.bad_request(
                    f"cannot bind token for serviceaccount {errors.go_quote(account)} to pod running with different "
                    "serviceaccount name."
                )
            if spec.get("nodeName"):
                node = self._lookup("nodes", "", spec["nodeName"])
        return kind.lower(), bound, node


def _seconds(asked: object) -> int:
    if asked is None:
        return DEFAULT_SECONDS
    field = "spec.expirationSeconds"
    if not isinstance(asked, int) or isinstance(asked, bool):
        problem = errors.type_invalid(field, asked, "must be an integer")
    elif asked < MINIMUM_SECONDS:
        problem = errors.invalid_value(field, asked, "may not specify a duration less than 10 minutes")
    elif asked > MAXIMUM_SECONDS:
        problem = errors.invalid_value(field, asked, "may not specify a duration larger than 2^32 seconds")
    else:
        return asked
    raise errors.invalid("authentication.k8s.io", "TokenRequest", "", [problem])
