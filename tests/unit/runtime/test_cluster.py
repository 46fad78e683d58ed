"""How many workers a cluster has room for, and what is said where there are too few; on nodes that are made up."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from mmedpo.core.locality import identify_machine, list_names
from mmedpo.errors import RecipeError
from mmedpo.recipe.engine_options import RayOptions
from mmedpo.runtime.workers.cluster import LONGEST, _choose_place, choose_size
from mmedpo.runtime.workers.crew import refuse_remote_worker
from mmedpo.runtime.workers.worker import WorkerFacts

GPU_NODE = {"CPU": 16.0, "GPU": 4.0}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, float]]:
    """Return the resources of the nodes of a cluster, to be filled."""
    made: list[Mapping[str, float]] = []
    rows = lambda: [{"Alive": True, "Resources": one} for one in made] + [{"Alive": False, "Resources": GPU_NODE}]  # noqa: E731
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=rows))
    return made


@pytest.mark.parametrize(
    ("options", "device", "size"),
    [
        ({}, "auto", (8, 1)),  # a worker for each GPU
        ({}, "cpu", (32, 0)),  # a worker for each core
        ({"gpus": 0}, "auto", (32, 0)),
        ({"gpus": 0.5}, "cuda", (16, 0.5)),
        ({"gpus": 2, "cpus": 4}, "auto", (4, 2)),
        ({"gpus": 1, "cpus": 8}, "auto", (4, 1)),
        ({"cpus": 0.1, "gpus": 0}, "cpu", (320, 0)),
        ({"workers": 3}, "auto", (3, 1)),
    ],
)
def test_as_many_workers_as_fit_on_nodes_that_live(
    nodes: list[Mapping[str, float]], options: dict[str, float], device: str, size: tuple[int, float]
) -> None:
    nodes += [GPU_NODE, GPU_NODE]
    assert choose_size(RayOptions.model_validate(options), device) == size


def test_a_node_without_gpus_gives_workers_where_no_node_has_one(nodes: list[Mapping[str, float]]) -> None:
    nodes.append({"CPU": 3.0})
    assert choose_size(RayOptions(), "auto") == (3, 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"workers": 9},
            "engine: 9 workers with 1 CPU and 1 GPU each: there is no room, the cluster has 2 nodes, ",
        ),
        ({"workers": 9}, "the first with 16 CPUs and 4 GPUs; at most 8 fit: lower engine.workers, cpus or gpus"),
        ({"gpus": 5}, "a worker with 1 CPU and 5 GPUs: there is no room, "),
        ({"cpus": 17, "gpus": 0}, "a worker with 17 CPUs: there is no room, "),
    ],
)
def test_too_many_are_refused_with_what_would_fit(
    nodes: list[Mapping[str, float]], options: dict[str, float], told: str
) -> None:
    nodes += [GPU_NODE, GPU_NODE]
    with pytest.raises(RecipeError) as raised:
        choose_size(RayOptions.model_validate(options), "auto")
    assert told in str(raised.value)


def test_a_folder_for_sockets_has_a_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, place in (("/tmp", "/tmp"), ("/scratch/" + "x" * LONGEST, "/tmp")):
        monkeypatch.setattr(tempfile, "tempdir", name)
        assert _choose_place() == place


def make_facts(machine: str) -> WorkerFacts:
    return WorkerFacts("node7", ("node7", "node7.clinic.org", "10.0.0.7"), machine, 1, shared=True)


def test_restricted_data_go_to_a_worker_of_another_machine_only_by_its_name() -> None:
    refuse_remote_worker(make_facts(identify_machine()), ())
    for name in ("node7", "Node7.clinic.org", "10.0.0.7"):
        refuse_remote_worker(make_facts("another"), (name,))
    with pytest.raises(RecipeError, match=r"sent to node7, which is not this machine.*\[node7\].*trusted: true"):
        refuse_remote_worker(make_facts("another"), ("node8", "localhost"))


def test_no_machine_is_known_by_a_name_that_every_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert identify_machine() == identify_machine()
    for name in ("gethostname", "getfqdn"):
        monkeypatch.setattr(socket, name, lambda: "localhost")
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    assert list_names() == []
