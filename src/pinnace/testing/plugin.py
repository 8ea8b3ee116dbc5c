"""The pytest plugin: fixtures ``pinnace``, ``namespace`` and ``pinnace_factory``.

pytest imports this module whenever it starts: it imports no more than pytest until a test asks for a cluster. A run
(with pytest-xdist: a worker) has one cluster for each choice of options that its tests make.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from pinnace.testing.environment import Environment
    from pinnace.testing.handle import Pinnace
    from pinnace.testing.options import Options

Factory = Callable[..., "Pinnace"]

_INI = {
    "pinnace_virtual_time": ("bool", "run the test clusters on virtual time"),
    "pinnace_simulated_nodes": ("string", "how many simulated nodes test clusters have"),
    "pinnace_parts": ("string", "which parts of test clusters run, comma-separated"),
}
MARKER = "pinnace(virtual_time=False, simulated_nodes=1, parts=...): what cluster the test's `pinnace` fixture is"


class _Unrewritten(MetaPathFinder):
    """Imports Pinnace as any library.

    pytest would rewrite the asserts of the whole package, since a plugin is in it: every module parsed again at a
    machine's first run, and in the threads in which a starting cluster imports, where Python 3.11 counts the parser's
    depth for all of them together ("SystemError: AST constructor recursion depth mismatch").
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith("pinnace.") else None


def pytest_addoption(parser: pytest.Parser) -> None:
    sys.meta_path.insert(0, _Unrewritten())  # before pytest's, and before any conftest.py imports
    for name, (kind, text) in _INI.items():
        parser.addini(name, text, type=cast(Any, kind), default=None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.stash[_CLUSTERS] = _Clusters()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A marker's options reach the session's fixture as its parameter, which the test's name does not show."""
    if "pinnace" not in metafunc.fixturenames:
        return
    choices: dict[str, Any] = {}
    for marker in reversed(list(metafunc.definition.iter_markers("pinnace"))):  # the closest last
        if marker.args:
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: the pinnace marker takes keywords only: {MARKER}")
        choices.update(marker.kwargs)
    if choices:
        hidden = getattr(pytest, "HIDDEN_PARAM", "pinnace")  # since pytest 8.4
        metafunc.parametrize("pinnace", [choices], indirect=True, scope="session", ids=[hidden])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """KUBECONFIG leads to the cluster while a test that has it runs, and in all others to what it led to before."""
    fixtures = getattr(item, "fixturenames", ())
    if "pinnace" not in fixtures and "pinnace_factory" not in fixtures:
        return (yield)
    from pinnace.testing.environment import Environment

    clusters = item.config.stash[_CLUSTERS]
    clusters.environment = environment = Environment()
    if "pinnace" in fixtures:
        params = getattr(getattr(item, "callspec", None), "params", {})
        running = clusters.known.get(_options(item.config, params.get("pinnace") or {}))
        if running is not None:  # the fixture will not be set up again
            environment.lead(running.kubeconfig)
    try:
        return (yield)
    finally:
        clusters.end_of_test()
        environment.restore()


def pytest_sessionfinish(session: pytest.Session) -> None:
    clusters = session.config.stash.get(_CLUSTERS, None)
    if clusters is not None:
        clusters.stop()


class _Clusters:
    """The clusters of a run, by their options; and those that tests made for themselves."""

    def __init__(self) -> None:
        self.known: dict[Options, Pinnace] = {}
        self.made: list[Pinnace] = []
        self.namespaces = itertools.count(1)
        self.environment: Environment | None = None

    def get(self, options: Options) -> Pinnace:
        found = self.known.get(options)
        if found is None:
            from pinnace.testing.handle import Pinnace

            found = self.known[options] = Pinnace(options)
            try:
                found.start()
            except BaseException:
                del self.known[options]
                raise
        if self.environment is not None:
            self.environment.lead(found.kubeconfig)
        return found

    def end_of_test(self) -> None:
        for cluster in (*self.known.values(), *self.made):
            cluster.faults.clear()

    def stop(self) -> None:
        for cluster in (*self.known.values(), *self.made):
            cluster.stop()
        self.known.clear()
        self.made.clear()


_CLUSTERS = pytest.StashKey[_Clusters]()


def _options(config: pytest.Config, choices: dict[str, Any]) -> Options:
    """What pyproject.toml or pytest.ini says, and ``choices`` over it. Raises pytest.UsageError."""
    from pinnace.testing.options import Options

    said = {name.removeprefix("pinnace_"): config.getini(name) for name in _INI}
    chosen: dict[str, Any] = {name: value for name, value in said.items() if value not in (None, "")}
    if "simulated_nodes" in chosen:
        text = str(chosen["simulated_nodes"])
        chosen["simulated_nodes"] = int(text) if text.isdecimal() else text
    try:
        return Options().changed({**chosen, **choices})
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def pinnace(request: pytest.FixtureRequest) -> Pinnace:
    """A running Kubernetes cluster with simulated nodes: ``.client()``, ``.kubeconfig``, ``.url``, ``.env``,
    ``.faults``, ``.nodes``, and with ``virtual_time`` ``.advance("10m")``. KUBECONFIG leads to it. The run shares it;
    the marker ``pinnace`` and the ini options ``pinnace_*`` say what kind it is."""
    return request.config.stash[_CLUSTERS].get(_options(request.config, getattr(request, "param", {})))


@pytest.fixture
def namespace(pinnace: Pinnace, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a namespace of the test's own, in which Pods can be created; it is deleted after the test."""
    name = f"test-{next(request.config.stash[_CLUSTERS].namespaces)}"
    with pinnace.namespace(name):
        yield name


@pytest.fixture(scope="session")
def pinnace_factory(request: pytest.FixtureRequest) -> Factory:
    """Makes clusters for fixtures of any scope: ``pinnace_factory(virtual_time=True, simulated_nodes=3)``. Each call
    makes a new one; ``cluster.stop()`` ends it, at the latest the end of the run does."""
    clusters = request.config.stash[_CLUSTERS]

    def make(**choices: Any) -> Pinnace:
        from pinnace.testing.handle import Pinnace

        made = Pinnace(_options(request.config, choices))
        clusters.made.append(made.start())
        return made

    return make
