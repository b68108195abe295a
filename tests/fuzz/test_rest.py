"""
The REST API under requests that nobody thought of: made from its own OpenAPI document, by a user of the cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from pyrsistent import pvector
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from flocker_control.commands import CreateDataset, PutContainer
from flocker_control.dataset_leases import AcquireLease
from flocker_control.http.openapi import document
from flocker_control.http.site import ROUTES, SCHEMAS
from flocker_py.model import Container, ContainerName, DatasetId, Mount
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.integration.rest import A, B, C, RestCluster, owned, rest_cluster

EXAMPLES = int(os.environ.get("FLOCKER_FUZZ_EXAMPLES", "20"))
KNOWN = DatasetId(UUID("dddddddd-dddd-4ddd-8ddd-000000000001"))
USED = DatasetId(UUID("dddddddd-dddd-4ddd-8ddd-000000000002"))
LEASED = DatasetId(UUID("dddddddd-dddd-4ddd-8ddd-000000000003"))
CHECKS: Any = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
# What stands for itself in a path now and then, so that not everything is about things that don't exist.
PATH_VALUES: dict[str, list[str]] = {
    "dataset": [str(KNOWN), str(LEASED)],
    "dataset_id": [str(LEASED), str(KNOWN), str(USED).upper()],
    "node_id": [str(A), str(B)],
    "name": ["db"],
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates of the cluster.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: ClusterCertificates) -> Iterator[RestCluster]:
    """
    A control service with three nodes, three datasets, of which one is leased, and a container.
    """
    with rest_cluster(tmp_path_factory.mktemp("control"), certificates=certificates) as running:
        for node_id in (A, B, C):
            running.report(node_id)

        async def filled() -> None:
            for dataset_id in (KNOWN, USED, LEASED):
                await running.service.submit(CreateDataset(dataset_id=dataset_id, primary=A))
            lease = AcquireLease(dataset_id=LEASED, node_id=A, now=running.service.moment())
            await running.service.submit(lease)
            container = Container(
                name=ContainerName("db"), node_id=A, command=pvector(["true"]), mounts=pvector([Mount(dataset_id=USED)])
            )
            await running.service.submit(PutContainer(container=container))

        in_reactor(filled)
        running.report(A, owned(KNOWN), owned(USED), owned(LEASED))
        yield running


@pytest.fixture(scope="module")
def user(certificates: ClusterCertificates) -> Iterator[requests.Session]:
    """
    An HTTPS client with a user's certificate.
    """
    with requests.Session() as session:
        # An authority that the environment names would take the place of ours.
        session.trust_env = False
        session.verify = str(certificates.user.ca_path)
        session.cert = (str(certificates.user.certificate_path), str(certificates.user.key_path))
        yield session


schema = schemathesis.openapi.from_dict(document(ROUTES, SCHEMAS))


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """
    Now and then the name of something that is there.
    """
    if path_parameters is None:
        return None
    return {
        name: PATH_VALUES[name][len(str(found)) % len(PATH_VALUES[name])]
        if name in PATH_VALUES and hash(str(found)) % 2
        else found
        for name, found in path_parameters.items()
    }


# The feed of events never ends; tests/integration/test_rest_events.py is about it.
@schema.exclude(path="/v2/events").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_request_is_answered(case: Any, user: requests.Session, cluster: RestCluster) -> None:
    """
    Whatever is asked, the answer is what the document announces, and never "internal error"; the next one is answered.
    """
    case.call_and_validate(
        base_url=cluster.url(""), session=user, verify=user.verify, cert=user.cert, checks=CHECKS, timeout=30
    )


def test_still_there(cluster: RestCluster) -> None:
    """
    After all that the service answers, and the nodes are connected.
    """
    nodes = cluster.get("/v2/nodes").body["nodes"]

    assert [node["connected"] for node in nodes] == [True, True, True]
