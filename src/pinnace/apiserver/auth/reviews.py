"""The reviews: questions about tokens and permissions, answered and stored nowhere.

Each is a create-only resource; its handler takes what was posted, who asks and the path's namespace, and returns what
to answer. Raises ApiError for what cannot be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pinnace.api import errors
from pinnace.api.types import Object
from pinnace.apiserver.auth import rules
from pinnace.apiserver.auth.authorize import Authorizers
from pinnace.apiserver.auth.jwt import TokenError
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.auth.tokens import ServiceAccountTokens
from pinnace.apiserver.request import Attributes, User
from pinnace.core.clock import Clock, timestamp

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
#: ``(posted, who asks, namespace of the path)`` to the answer.
Handler = Callable[[Object, User, str], Object]


class Reviews:
    """``handlers`` are by group and plural."""

    def __init__(
        self, authorizers: Authorizers, rbac: RbacAuthorizer, tokens: ServiceAccountTokens, clock: Clock
    ) -> None:
        self._authorizers = authorizers
        self._rbac = rbac
        self._tokens = tokens
        self._clock = clock
        self.handlers: Mapping[tuple[str, str], Handler] = {
            (AUTHENTICATION, "tokenreviews"): self.token,
            (AUTHENTICATION, "selfsubjectreviews"): self.self_subject,
            (AUTHORIZATION, "subjectaccessreviews"): self.subject_access,
            (AUTHORIZATION, "localsubjectaccessreviews"): self.local_subject_access,
            (AUTHORIZATION, "selfsubjectaccessreviews"): self.self_subject_access,
            (AUTHORIZATION, "selfsubjectrulesreviews"): self.self_subject_rules,
        }

    def token(self, review: Object, user: User, namespace: str) -> Object:
        spec = _spec(review)
        token = str(spec.get("token") or "")
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        asked = tuple(spec.get("audiences") or ()) or self._tokens.audiences
        status: Object = {}
        try:
            verified = self._tokens.verify(token, asked)
        except TokenError as error:
            status["user"] = {}
            status["error"] = f"[invalid bearer token, {error}]"
        else:
            status["authenticated"] = True
            status["user"] = user_info(verified.user)
            status["audiences"] = list(verified.audiences)
        return _answer(AUTHENTICATION, "TokenReview", review, status)

    def self_subject(self, review: Object, user: User, namespace: str) -> Object:
        answer = _answer(AUTHENTICATION, "SelfSubjectReview", review, {"userInfo": user_info(user)})
        answer.pop("spec", None)
        answer["metadata"] = {"creationTimestamp": timestamp(self._clock.now())}
        return answer

    def subject_access(self, review: Object, user: User, namespace: str) -> Object:
        return self._access("SubjectAccessReview", review, _subject(review, "SubjectAccessReview"))

    def local_subject_access(self, review: Object, user: User, namespace: str) -> Object:
        kind = "LocalSubjectAccessReview"
        asked = (_spec(review).get("resourceAttributes") or {}).get("namespace") or ""
        if _spec(review).get("nonResourceAttributes"):
            problem = errors.invalid_value("spec.nonResourceAttributes", None, "disallowed on this kind of request")
            raise errors.invalid(AUTHORIZATION, kind, "", [problem])
        if asked != namespace:
            problem = errors.invalid_value("spec.resourceAttributes.namespace", asked, "must match metadata.namespace")
            raise errors.invalid(AUTHORIZATION, kind, "", [problem])
        return self._access(kind, review, _subject(review, kind))

    def self_subject_access(self, review: Object, user: User, namespace: str) -> Object:
        return self._access("SelfSubjectAccessReview", review, user)

    def _access(self, kind: str, review: Object, subject: User) -> Object:
        allowed, reason = self._authorizers.authorize(_attributes(review, kind, subject))
        status: Object = {"allowed": allowed}
        if reason:
            status["reason"] = reason
        return _answer(AUTHORIZATION, kind, review, status)

    def self_subject_rules(self, review: Object, user: User, namespace: str) -> Object:
        wanted = str(_spec(review).get("namespace") or "")
        if not wanted:
            raise errors.bad_request("no namespace on request")
        found, problem = self._rbac.rules(user, wanted)
        shown = [rules.decompile(rule) for rule in dict.fromkeys(found)]
        status: Object = {
            "resourceRules": [rule for rule in shown if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in shown if "nonResourceURLs" in rule],
            "incomplete": bool(problem),
        }
        if problem:
            status["evaluationError"] = problem
        return _answer(AUTHORIZATION, "SelfSubjectRulesReview", {"spec": {}}, status)


def user_info(user: User) -> Object:
    """The ``UserInfo`` object."""
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return info


def _spec(review: Object) -> Object:
    spec = review.get("spec")
    return spec if isinstance(spec, dict) else {}


def _answer(group: str, kind: str, review: Object, status: Object) -> Object:
    return {
        "kind": kind,
        "apiVersion": f"{group}/v1",
        "metadata": review.get("metadata") or {},
        "spec": _spec(review),
        "status": status,
    }


def _subject(review: Object, kind: str) -> User:
    spec = _spec(review)
    name, groups = str(spec.get("user") or ""), tuple(spec.get("groups") or ())
    if not name and not groups:
        problem = errors.invalid_value("spec.user", "", "at least one of user or group must be specified")
        raise errors.invalid(AUTHORIZATION, kind, "", [problem])
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(name, str(spec.get("uid") or ""), groups, extra)


def _attributes(review: Object, kind: str, subject: User) -> Attributes:
    spec = _spec(review)
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        detail = (
            "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            if resource is None
            else "cannot be specified in combination with resourceAttributes"
        )
        field = "spec.resourceAttributes" if resource is None else "spec.nonResourceAttributes"
        raise errors.invalid(AUTHORIZATION, kind, "", [errors.invalid_value(field, path, detail)])
    if path is not None:
        return Attributes(subject, str(path.get("verb") or ""), str(path.get("path") or ""))
    assert resource is not None
    return Attributes(
        subject,
        str(resource.get("verb") or ""),
        group=str(resource.get("group") or ""),
        version=str(resource.get("version") or ""),
        resource=str(resource.get("resource") or ""),
        subresource=str(resource.get("subresource") or ""),
        namespace=str(resource.get("namespace") or ""),
        name=str(resource.get("name") or ""),
    )
