from uuid import UUID

from pyrsistent import pmap, pvector

from flocker_control.mounting import Mounting, containers_of, mounted_by
from flocker_control.state import Changes
from flocker_py.model import Container, ContainerName, DatasetId, Mount, NodeId

A = NodeId(UUID(int=1))
D, E = DatasetId(UUID(int=2)), DatasetId(UUID(int=3))
WEB, DB = ContainerName("web"), ContainerName("db")


def container(name: ContainerName, *datasets: DatasetId) -> Container:
    mounts = pvector(Mount(dataset_id=each, path=f"/{each}") for each in datasets)
    return Container(name=name, image="image", node_id=A, mounts=mounts)


def test_what_is_mounted() -> None:
    mounting = Mounting(pmap({WEB: container(WEB, D), DB: container(DB, D, E)}))

    assert (mounting.datasets(WEB), mounting.datasets(DB)) == ({D}, {D, E})
    assert (mounting.containers(D), mounting.containers(E), mounting.containers(D, E)) == ({WEB, DB}, {DB}, {WEB, DB})


def test_unknown() -> None:
    mounting = Mounting(pmap())

    assert (mounting.datasets(WEB), mounting.containers(D), mounting.containers()) == (set(), set(), set())


def test_changed() -> None:
    """
    A container that mounts something else is no longer among those of what it mounted before.
    """
    mounting = Mounting(pmap({WEB: container(WEB, D)}))
    mounting.committed(Changes().put(container(WEB, E), container(DB, D)))

    assert (mounting.containers(D), mounting.containers(E), mounting.datasets(WEB)) == ({DB}, {WEB}, {E})


def test_deleted() -> None:
    """
    Of what is deleted nothing is kept; other records that are deleted, and one that never was, concern nobody.
    """
    mounting = Mounting(pmap({WEB: container(WEB, D), DB: container(DB, D)}))
    mounting.committed(Changes().delete("container/web", "container/never", f"lease/{D}"))

    assert (mounting.datasets(WEB), mounting.containers(D)) == (set(), {DB})


def test_containers_of_changes() -> None:
    changes = Changes().put(container(WEB, D)).delete("container/db", f"lease/{D}")

    assert containers_of(changes) == {WEB, DB}


def test_mounted_by() -> None:
    assert (mounted_by(), mounted_by(container(WEB, D), container(DB, D, E))) == (set(), {D, E})
