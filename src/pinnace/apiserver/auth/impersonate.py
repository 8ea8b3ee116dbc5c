"""Impersonation: ``Impersonate-User`` and its kin, each value authorized as the verb ``impersonate``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from pinnace.api import errors
from pinnace.apiserver.auth.authorize import refused
from pinnace.apiserver.auth.tokens import USER_PREFIX, user_of
from pinnace.apiserver.request import Attributes, Authorizer, User

_AUTHENTICATION = "authentication.k8s.io"
_EXTRA = "impersonate-extra-"
_ANONYMOUS = "system:anonymous"
_UNAUTHENTICATED, _AUTHENTICATED = "system:unauthenticated", "system:authenticated"


class Impersonators:
    """An ``Impersonator`` (see ``request``). A header that was sent more than once has its values joined by
    newlines, which no value can hold; every value is authorized by itself."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def impersonate(self, user: User, headers: Mapping[str, str]) -> User:
        name = headers.get("impersonate-user", "")
        uid = headers.get("impersonate-uid", "")
        groups = tuple(_values(headers.get("impersonate-group", "")))
        extra = {
            unquote(header[len(_EXTRA) :]): tuple(_values(value))
            for header, value in headers.items()
            if header.startswith(_EXTRA)
        }
        if not name:
            if uid or groups or extra:
                wanted = f'Name:"", UID:{errors.go_quote(uid)}, Groups:{_go(groups)}, Extra:{_go_map(extra)}'
                raise errors.bad_request(f"requested &user.DefaultInfo{{{wanted}}} without impersonating a user name")
            return user
        self._authorize_all(user, name, uid, groups, extra)
        return _impersonated(name, uid, groups, extra)

    def _authorize_all(
        self, user: User, name: str, uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]
    ) -> None:
        account = _service_account(name)
        if account is not None:
            self._authorize(user, "", "serviceaccounts", name=account[1], namespace=account[0])
        else:
            self._authorize(user, "", "users", name=name)
        for group in groups:
            self._authorize(user, "", "groups", name=group)
        if uid:
            self._authorize(user, _AUTHENTICATION, "uids", name=uid)
        for key, values in extra.items():
            for value in values:
                self._authorize(user, _AUTHENTICATION, "userextras", name=value, subresource=key)

    def _authorize(
        self, user: User, group: str, resource: str, *, name: str, namespace: str = "", subresource: str = ""
    ) -> None:
        version = "v1" if group else ""
        attributes = Attributes(user, "impersonate", "", group, version, resource, subresource, namespace, name)
        allowed, reason = self._authorizer.authorize(attributes)
        if not allowed:
            raise refused(attributes, reason)


def _go(values: Sequence[str]) -> str:
    """A slice of strings as Go writes it for people who know Go."""
    return f"[]string{{{', '.join(map(errors.go_quote, values))}}}" if values else "[]string(nil)"


def _go_map(extra: Mapping[str, Sequence[str]]) -> str:
    items = ", ".join(f"{errors.go_quote(key)}:{_go(values)}" for key, values in sorted(extra.items()))
    return f"map[string][]string{{{items}}}" if extra else "map[string][]string(nil)"


def _values(header: str) -> Iterator[str]:
    return (value for value in header.split("\n") if value)


def _service_account(name: str) -> tuple[str, str] | None:
    if not name.startswith(USER_PREFIX):
        return None
    namespace, colon, account = name.removeprefix(USER_PREFIX).partition(":")
    return (namespace, account) if colon and namespace and account and ":" not in account else None


def _impersonated(name: str, uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> User:
    account = _service_account(name)
    if account is not None and not groups:
        groups = tuple(group for group in user_of(*account).groups if group != _AUTHENTICATED)
    standing = _UNAUTHENTICATED if name == _ANONYMOUS else _AUTHENTICATED
    if _AUTHENTICATED not in groups and _UNAUTHENTICATED not in groups:
        groups = (*groups, standing)
    return User(name, uid, groups, extra)
