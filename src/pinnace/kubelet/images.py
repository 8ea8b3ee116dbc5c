"""Images: fetching them as a Pod's pull policy says, and taking them in from files.

A pull that failed is not tried again before its back-off (10 s doubling to 300 s per Pod and image) is over.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from pinnace.api import meta
from pinnace.api.resources import SECRETS
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL, WARNING, Recorder
from pinnace.core.clock import Clock
from pinnace.kubelet.credentials import CredentialsError, for_image
from pinnace.kubelet.lifecycle.restarts import INITIAL, MAXIMUM
from pinnace.kubelet.objects import ObjectCache
from pinnace.kubelet.pods.failure import StartFailure
from pinnace.kubelet.runtime.base import Config, Image, Runtime, RuntimeFailure

log = logging.getLogger(__name__)

_NAME = re.compile(
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])"
    r"(?::[0-9]+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
#: Seconds that a fresh pull error is shown as such before it is shown as a back-off.
FRESH = 2.0


def normalize(image: str) -> str:
    """The full reference: ``nginx`` is ``docker.io/library/nginx:latest``. Raises ValueError."""
    if not _NAME.fullmatch(image):
        raise ValueError(f'couldn\'t parse image name "{image}": {_malformed(image)}')
    name, at, digest = image.partition("@")
    head, slash, rest = name.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, rest = "docker.io", name
    if head == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    if ":" not in rest and not at:
        rest += ":latest"
    return f"{head}/{rest}{at}{digest}"


def _malformed(image: str) -> str:
    head, slash, rest = image.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost" or head != head.lower()):
        rest = image if slash else f"library/{image}"
    repository = rest.partition("@")[0].partition(":")[0]
    if repository != repository.lower():
        return f"invalid reference format: repository name ({repository}) must be lowercase"
    return "invalid reference format"


def pull_policy(spec: Object) -> str:
    policy = spec.get("imagePullPolicy")
    if policy:
        return str(policy)
    image = spec["image"]
    latest = "@" not in image and (":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest"))
    return "Always" if latest else "IfNotPresent"


@dataclass(slots=True)
class _Failure:
    until: float
    delay: float
    message: str
    reason: str


class Puller:
    """Of one node."""

    __slots__ = ("_clock", "_failures", "_objects", "_recorder", "_runtime")

    def __init__(self, runtime: Runtime, recorder: Recorder, clock: Clock, objects: ObjectCache | None = None) -> None:
        self._objects = objects
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock
        self._failures: dict[tuple[str, str], _Failure] = {}

    def forget(self, uid: str) -> None:
        for key in [key for key in self._failures if key[0] == uid]:
            del self._failures[key]
        if self._objects is not None:
            self._objects.release(f"{uid}/pull")

    async def look(self, pod: Object) -> dict[str, Image]:
        """What is there already for the containers that start first in a Pod, by their names. What cannot be told now
        is left to ``ensure``."""
        first = (pod["spec"].get("initContainers") or ())[:1] or pod["spec"]["containers"]
        asked: dict[str, Image | None] = {}
        found = {}
        for spec in first:
            name = str(spec["image"])
            if pull_policy(spec) == "Always":
                continue
            if name not in asked:
                try:
                    asked[name] = await self._runtime.image(normalize(name))
                except (ValueError, RuntimeFailure, TimeoutError) as error:
                    log.debug("cannot look ahead for image %s: %s", name, error)
                    asked[name] = None
            if (image := asked[name]) is not None:
                found[spec["name"]] = image
        return found

    async def ensure(
        self, pod: Object, spec: Object, sandbox: Config, *, field_path: str, known: Image | None = None
    ) -> Image:
        """The image to create a container from, once it is there; ``known`` is what ``look`` has found just now. Raises
        StartFailure."""
        image = str(spec["image"])
        try:
            full = normalize(image)
        except ValueError as error:
            message = f'Failed to apply default image tag "{image}": {error}'
            self._recorder.event(pod, WARNING, "InspectFailed", message, field_path=field_path)
            raise _refused("InvalidImageName", message) from error
        policy = pull_policy(spec)
        if policy != "Always" or not self._runtime.real:
            try:
                found = known or await self._runtime.image(full)
            except RuntimeFailure as error:
                message = f'Failed to inspect image "{image}": {error}'
                self._recorder.event(pod, WARNING, "InspectFailed", message, field_path=field_path)
                raise _refused("ImageInspectError", message) from error
            if found is not None:
                text = f'Container image "{image}" already present on machine and can be accessed by the pod'
                self._recorder.event(pod, NORMAL, "Pulled", text, field_path=field_path)
                return found
            if policy == "Never":
                message = f'Container image "{image}" is not present with pull policy of Never'
                self._recorder.event(pod, WARNING, "ErrImageNeverPull", message, field_path=field_path)
                raise _refused("ErrImageNeverPull", message)
        return await self._pull(pod, image, full, policy, sandbox, field_path)

    async def _pull(self, pod: Object, image: str, full: str, policy: str, sandbox: Config, path: str) -> Image:
        key = meta.uid(pod), full
        last = self._failures.get(key)
        now = self._clock.now()
        if last is not None and now < last.until:
            text = f'Back-off pulling image "{image}"'
            self._recorder.event(pod, NORMAL, "BackOff", text, field_path=path)
            self._recorder.event(pod, WARNING, "Failed", "Error: ImagePullBackOff", field_path=path)
            shown = f"{text}: {last.reason}: {last.message}"
            raise StartFailure("ImagePullBackOff", shown, hold=last.until - now)
        self._recorder.event(pod, NORMAL, "Pulling", f'Pulling image "{image}"', field_path=path)
        began = self._clock.monotonic()
        try:
            reference = await self._pull_with(await self._credentials(pod, full), full, sandbox)
        except (RuntimeFailure, CredentialsError, TimeoutError) as error:
            delay = INITIAL if last is None or now - last.until > MAXIMUM else min(last.delay * 2, MAXIMUM)
            message = _describe(full, error)
            self._failures[key] = _Failure(self._clock.now() + delay, delay, message, "ErrImagePull")
            self._recorder.event(pod, WARNING, "Failed", f'Failed to pull image "{image}": {message}', field_path=path)
            raise StartFailure(
                "ErrImagePull", message, event="Failed", event_message="Error: ErrImagePull", hold=FRESH
            ) from error
        self._failures.pop(key, None)
        found = await self._runtime.image(reference)
        took = f"{round((self._clock.monotonic() - began) * 1000)}ms"
        size = found.size if found is not None else 0
        text = f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: {size} bytes.'
        self._recorder.event(pod, NORMAL, "Pulled", text, field_path=path)
        return found if found is not None else Image(reference)

    async def _credentials(self, pod: Object, full: str) -> list[dict[str, str]]:
        found, missing = [], []
        for reference in pod["spec"].get("imagePullSecrets") or ():
            name = reference.get("name")
            if not name or self._objects is None:
                continue
            user = f"{meta.uid(pod)}/pull"
            secret = await self._objects.get(SECRETS, meta.namespace(pod), name, user, lambda: None)
            if secret is None:
                missing.append(name)
            else:
                found.append(secret)
        if missing:
            text = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            self._recorder.event(pod, WARNING, "FailedToRetrieveImagePullSecret", text)
        return for_image(found, full)

    async def _pull_with(self, credentials: list[dict[str, str]], full: str, sandbox: Config) -> str:
        """Pull with the first credentials that the registry takes, without any if there are none."""
        for auth in credentials[:-1]:
            try:
                return await self._runtime.pull(full, auth, sandbox)
            except RuntimeFailure as error:
                log.info("cannot pull %s with one of the Pod's credentials: %s", full, error)
        return await self._runtime.pull(full, credentials[-1] if credentials else None, sandbox)


def _refused(reason: str, message: str) -> StartFailure:
    return StartFailure(reason, message, event="Failed", event_message=f"Error: {reason}")


def _describe(full: str, error: Exception) -> str:
    code = "DeadlineExceeded" if isinstance(error, TimeoutError) else getattr(error, "code", "UNKNOWN")
    shown = "".join(part.capitalize() for part in code.split("_")) if "_" in code or code.isupper() else code
    return f"rpc error: code = {shown} desc = {error or 'the pull took too long'}"
