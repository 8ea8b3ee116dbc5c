from typing import Any

import pytest

from pinnace.api import pods, qos


def container(name: str = "c", *, restart: str = "", **resources: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "resources": resources}
    if restart:
        found["restartPolicy"] = restart
    return found


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}


def test_containers_add_up_and_cpu_is_milli() -> None:
    one = container(requests={"cpu": "100m", "memory": "1Mi"})
    two = container(requests={"cpu": "1", "nvidia.com/gpu": "2"})
    assert pods.pod_requests(pod(one, two)) == {"cpu": 1100, "memory": 2**20, "nvidia.com/gpu": 2}


def test_an_init_container_counts_where_it_needs_more() -> None:
    init = container(requests={"cpu": "2", "memory": "1"})
    main = container(requests={"cpu": "1", "memory": "2"})
    assert pods.pod_requests(pod(main, init=(init,))) == {"cpu": 2000, "memory": 2}


def test_sidecars_run_beside_what_follows_them() -> None:
    # The worked example of KEP-753: 1st init 1, sidecar 2, 2nd init 4 (with the sidecar 6), main 3 (with it 5).
    inits = (
        container(requests={"cpu": "1"}),
        container(restart="Always", requests={"cpu": "2"}),
        container(requests={"cpu": "4"}),
    )
    assert pods.pod_requests(pod(container(requests={"cpu": "3"}), init=inits)) == {"cpu": 6000}
    assert pods.pod_requests(pod(container(requests={"cpu": "5"}), init=inits)) == {"cpu": 7000}


def test_overhead_and_pod_level_resources() -> None:
    main = container(requests={"cpu": "1"}, limits={"memory": "10"})
    overhead = {"cpu": "250m", "memory": "5"}
    assert pods.pod_requests(pod(main, overhead=overhead)) == {"cpu": 1250, "memory": 5}
    assert pods.pod_requests(pod(main, overhead=overhead), overhead=False) == {"cpu": 1000}
    assert pods.pod_limits(pod(main, overhead=overhead)) == {"memory": 15}
    level = {"requests": {"cpu": "3", "example.com/x": "1"}, "limits": {"memory": "99"}}
    assert pods.pod_requests(pod(main, resources=level)) == {"cpu": 3000}
    assert pods.pod_limits(pod(main, resources=level)) == {"memory": 99}


def test_stand_ins_for_missing_requests() -> None:
    missing = {"cpu": 100, "memory": 200 * 2**20}
    found = pods.pod_requests(pod(container(requests={"cpu": "0"}), container()), missing=missing)
    assert found == {"cpu": 100, "memory": 400 * 2**20}


def test_texts_read_back() -> None:
    found = {"cpu": 1500, "memory": 2**30, "pods": 3}
    assert pods.texts(found) == {"cpu": "1500m", "memory": "1Gi", "pods": "3"}
    assert pods.amounts(pods.texts(found)) == found


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (pod(container()), "BestEffort"),
        (pod(container(requests={"cpu": "0"})), "BestEffort"),
        (pod(container(requests={"example.com/x": "1"})), "BestEffort"),
        (pod(container(requests=FULL, limits=FULL)), "Guaranteed"),
        (pod(container(requests={"cpu": "1000m", "memory": "1024Mi"}, limits=FULL)), "Guaranteed"),
        (pod(container(requests=FULL, limits={**FULL, "cpu": "2"})), "Burstable"),
        (pod(container(requests=FULL, limits=FULL), container()), "Burstable"),
        (pod(container(requests=FULL, limits=FULL), init=(container(),)), "Burstable"),
        (pod(container(requests={"cpu": "1"})), "Burstable"),
        (pod(container(), resources={"requests": FULL, "limits": FULL}), "Guaranteed"),
        (pod(container(), resources={"requests": FULL}), "Burstable"),
    ],
)
def test_quality_of_service(subject: dict[str, Any], expected: str) -> None:
    assert qos.compute(subject) == expected


def test_the_class_in_the_status_stays() -> None:
    assert qos.pod_qos({"status": {"qosClass": "Guaranteed"}, "spec": {"containers": [container()]}}) == "Guaranteed"
