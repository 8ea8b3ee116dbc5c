"""Deletes the Pods of a namespace that ended long ago: ``python sweep.py --namespace build --older-than 3600``."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

import kubernetes


def ended_at(pod: kubernetes.client.V1Pod) -> datetime | None:
    """When the last of its containers ended; None while one runs."""
    if pod.status.phase not in ("Succeeded", "Failed"):
        return None
    states = [status.state.terminated for status in pod.status.container_statuses or ()]
    return max((state.finished_at for state in states if state), default=pod.metadata.creation_timestamp)


def sweep(api: kubernetes.client.CoreV1Api, namespace: str, older_than: timedelta, now: datetime) -> list[str]:
    """The names of the Pods that were deleted."""
    swept = []
    for pod in api.list_namespaced_pod(namespace).items:
        ended = ended_at(pod)
        if ended is None or now - ended < older_than:
            continue
        try:
            api.delete_namespaced_pod(pod.metadata.name, namespace)
        except kubernetes.client.ApiException as error:
            if error.status != 404:  # somebody else was quicker
                raise
        swept.append(pod.metadata.name)
    return swept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--older-than", type=int, default=3600, help="seconds")
    options = parser.parse_args()
    kubernetes.config.load_kube_config()
    with kubernetes.client.ApiClient() as connection:
        api = kubernetes.client.CoreV1Api(connection)
        for name in sweep(api, options.namespace, timedelta(seconds=options.older_than), datetime.now(UTC)):
            print(f"deleted {name}")


if __name__ == "__main__":
    main()
