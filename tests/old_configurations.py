"""
Configurations as Flocker's control service kept them, one cluster in the form of each version.
"""

from __future__ import annotations

from typing import Any

NODE_1, NODE_2 = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"
DATA, SPARE, GONE = (f"dddddddd-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
VERSIONS = (1, 2, 3, 4, 5, 6)


def thing(kind: str, **fields: Any) -> dict[str, Any]:
    """
    A record as Flocker wrote it.
    """
    return {"$__class__$": kind, **fields}


def pairs(*found: tuple[Any, Any]) -> dict[str, Any]:
    """
    A map as Flocker wrote it.
    """
    return thing("PMap", values=[list(pair) for pair in found])


def uuid(text: str) -> dict[str, Any]:
    """
    A UUID as Flocker wrote it.
    """
    return thing("UUID", hex=text)


def manifestation(
    dataset_id: str,
    name: str | None = None,
    *,
    size: int | None = None,
    deleted: bool = False,
    primary: bool = True,
    metadata: tuple[tuple[str, str], ...] = (),
) -> dict[str, Any]:
    """
    A dataset on a node.
    """
    named = () if name is None else (("name", name),)
    dataset = thing(
        "Dataset", dataset_id=dataset_id, deleted=deleted, maximum_size=size, metadata=pairs(*named, *metadata)
    )
    return thing("Manifestation", dataset=dataset, primary=primary)


def application(name: str, **fields: Any) -> dict[str, Any]:
    """
    A container, with what Flocker wrote for what nobody set.
    """
    plain: dict[str, Any] = {
        "name": name,
        "image": thing("DockerImage", repository="postgres", tag="9.4"),
        "ports": [],
        "volume": None,
        "links": [],
        "environment": pairs(),
        "memory_limit": None,
        "cpu_shares": None,
        "restart_policy": thing("RestartNever"),
        "running": True,
        "command_line": None,
    }
    return thing("Application", **{**plain, **fields})


def node(node_id: str, manifestations: list[dict[str, Any]], applications: list[dict[str, Any]]) -> dict[str, Any]:
    """
    A node, with what it has.
    """
    return thing(
        "Node",
        uuid=uuid(node_id),
        manifestations=pairs(*((one["dataset"]["dataset_id"], one) for one in manifestations)),
        applications=applications,
    )


def configuration(
    version: int,
    nodes: list[dict[str, Any]],
    leases: list[tuple[str, str, int | None]] | None = None,
    devices: list[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """
    All of it, in the form of a version.

    :param leases: dataset, node, and when they expire in seconds since the epoch.
    :param devices: dataset and block device.
    """
    deployment = thing("Deployment", nodes=nodes)
    if version >= 3:
        deployment["leases"] = pairs(
            *(
                (
                    uuid(dataset_id),
                    thing(
                        "Lease",
                        dataset_id=uuid(dataset_id),
                        node_id=uuid(node_id),
                        expiration=None if at is None else thing("datetime", seconds=at),
                    ),
                )
                for dataset_id, node_id, at in leases or ()
            )
        )
    if version >= 4:
        deployment["persistent_state"] = thing(
            "PersistentState",
            blockdevice_ownership=pairs(*((uuid(dataset_id), device) for dataset_id, device in devices or ())),
        )
    if version >= 5:
        for one in nodes:
            applications = one["applications"]
            if version >= 6:
                applications = [{"swappiness": 0, **each} for each in applications]
            one["applications"] = pairs(*((each["name"], each) for each in applications))
        deployment["nodes"] = pairs(*((one["uuid"], one) for one in nodes))
    return deployment if version == 1 else thing("Configuration", version=version, deployment=deployment)


def everything(version: int, **more: Any) -> dict[str, Any]:
    """
    A cluster with all that every version can hold.
    """
    data = manifestation(DATA, "db", size=20 * 1024**3, metadata=(("owner", "me"),))
    db = application(
        "db",
        volume=thing("AttachedVolume", manifestation=data, mountpoint=thing("FilePath", path="/var/lib/data")),
        ports=[
            thing("Port", internal_port=5432, external_port=5433),
            thing("Port", internal_port=80, external_port=81),
        ],
        links=[thing("Link", local_port=1, remote_port=2, alias="web")],
        environment=pairs(("A", "b")),
        memory_limit=128 * 1024**2,
        cpu_shares=512,
        restart_policy=thing("RestartOnFailure", maximum_retry_count=3),
        command_line=["postgres", ""],
    )
    web = application("web", image=thing("DockerImage", repository="nginx", tag="latest"), environment=None)
    return configuration(
        version,
        [
            node(NODE_1, [data, manifestation(GONE, "db", deleted=True)], [db]),
            node(NODE_2, [manifestation(SPARE)], [web]),
        ],
        **more,
    )
