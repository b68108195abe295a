"""
What a local cluster is to consist of, from what somebody wants and what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import uuid4

from pyrsistent import PVector

from flocker_admin.devcluster_layout import (
    AUTO,
    DOCKER,
    PROCESS,
    STANDARD_PORT,
    ZFS,
    DevCluster,
    DevNode,
    node_address,
    node_name,
)
from flocker_admin.devcluster_runtime import chosen_runtime, docker_socket
from flocker_admin.devcluster_storage import PoolRefused, chosen_backend, pool_exists
from flocker_py.errors import FlockerError
from flocker_py.model import NodeId
from flocker_py.records import Record, sequence, value
from flocker_py.units import GIB

_NONE = type(None)
DEFAULT_NODES = 2
DEFAULT_POOL_BYTES = 4 * GIB

Say = Callable[[str], None]
"""Is told about progress, a line at a time."""


class WishRefused(FlockerError):
    """
    A local cluster can grow, but not shrink, or change its storage or runtime. Take another folder with --directory, or
    begin anew after flocker-devcluster down --destroy.
    """

    lasting = True


class Wishes(Record):
    """
    What somebody wants of a local cluster; None: what it has, or what is usual.

    :param runtime: what applications are to be: ``process``, ``docker``, or ``auto``.
    :param pools: existing ones, one for each node; empty: made on files, where ZFS is used.
    :param port: from which on free ones are looked for, for a new cluster.
    """

    nodes: int | None = value((int, _NONE), default=None)
    backend: str = value(str, default=AUTO)
    runtime: str | None = value((str, _NONE), default=None)
    pools: PVector[str] = sequence(str, default=())
    port: int = value(int, default=STANDARD_PORT)
    pool_bytes: int = value(int, default=DEFAULT_POOL_BYTES)


def new_cluster(wishes: Wishes, say: Say) -> DevCluster:
    """
    A cluster of which nothing is on disk yet.

    :raises ZfsMissing: ZFS is wanted, and this host can't do it.
    :raises DockerMissing: Docker is wanted, and can't be had.
    :raises PoolRefused: there is no such pool.
    :raises WishRefused: pools and nodes don't fit together.
    """
    backend, reason = chosen_backend(ZFS if wishes.pools else wishes.backend)
    say(f"storage backend: {backend} ({reason})")
    socket = docker_socket()
    runtime, reason = chosen_runtime(wishes.runtime or PROCESS, socket)
    if wishes.runtime is not None:
        say(f"runtime: {runtime} ({reason})")
    number = wishes.nodes or len(wishes.pools) or DEFAULT_NODES
    docker = socket if runtime == DOCKER else None
    cluster = DevCluster(cluster_id=uuid4(), backend=backend, docker=docker, port=wishes.port)
    return _with_nodes(cluster, number, wishes.pools)


def grown(cluster: DevCluster, wishes: Wishes) -> DevCluster:
    """
    A cluster with the nodes that it lacks.

    :raises WishRefused: it would have to shrink, or to move to other storage.
    :raises PoolRefused: there is no such pool.
    """
    number = wishes.nodes or len(cluster.nodes)
    if number < len(cluster.nodes):
        raise WishRefused(f"it has {len(cluster.nodes)} nodes, not {number}")
    if wishes.backend not in (AUTO, cluster.backend):
        raise WishRefused(f"it is on {cluster.backend}, not on {wishes.backend}")
    if wishes.runtime not in (None, AUTO, PROCESS if cluster.docker is None else DOCKER):
        raise WishRefused(f"its applications are {'plain processes' if cluster.docker is None else 'in Docker'}")
    pools = [node.pool for node in cluster.nodes if node.pool is not None and not node.pool_is_ours]
    if wishes.pools and list(wishes.pools)[: len(pools)] != pools:
        raise WishRefused(
            f"its nodes are on {', '.join(pools) or 'pools of its own'}, not on {', '.join(wishes.pools)}"
        )
    return _with_nodes(cluster, number, wishes.pools)


def _with_nodes(cluster: DevCluster, number: int, pools: Sequence[str]) -> DevCluster:
    if pools and len(pools) != number:
        raise WishRefused(f"there are {len(pools)} pools for {number} nodes")
    if len(set(pools)) != len(pools):
        raise WishRefused("each node needs a pool of its own")
    for pool in pools:
        if not pool_exists(pool):
            raise PoolRefused(f"there is no pool {pool}")
    nodes = cluster.nodes
    for index in range(len(nodes), number):
        name = node_name(index + 1)
        own_pool = f"flockerdev-{cluster.cluster_id.hex[:8]}-{name}" if cluster.backend == ZFS else None
        node = DevNode(
            name=name,
            node_id=NodeId(uuid4()),
            address=node_address(index + 1),
            pool=pools[index] if pools else own_pool,
            pool_is_ours=not pools and own_pool is not None,
        )
        nodes = nodes.append(node)
    return cluster.set(nodes=nodes)
