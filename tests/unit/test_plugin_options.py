"""
The options of Docker's volumes.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from flocker_agent.plugin.errors import OptionRefused
from flocker_agent.plugin.options import Options, VolumeSnapshot, check_name, difference, options
from flocker_py.client.views import DatasetView, OriginView
from flocker_py.model import DatasetId, NodeId

GIB = 1024**3
NODE = NodeId(UUID(int=1))


def dataset(**more: object) -> DatasetView:
    fields = {
        "dataset_id": DatasetId(UUID(int=2)),
        "primary": NODE,
        "owner": NODE,
        "epoch": 1,
        "created": True,
        "deleted": False,
        "status": "ok",
        "name": "pg",
    }
    return DatasetView(**{**fields, **more})


def test_all() -> None:
    """
    Every option is understood.
    """
    given = {
        "size": "10G",
        "from": "main@monday",
        "protected": "true",
        "max_downtime": "500ms",
        "on_overrun": "cut-over",
        "on_start_failure": "stay",
        "on_partition": "fence",
        "metadata.team": "db",
    }
    asked = options(given)

    assert (
        10 * GIB,
        VolumeSnapshot(volume="main", snapshot="monday"),
        {"team": "db", "protected": "true"},
        {
            "max_downtime_seconds": 0.5,
            "on_overrun": "cut-over",
            "on_start_failure": "stay",
            "on_partition": "fence",
        },
    ) == (asked.size_bytes, asked.origin, asked.all_metadata, asked.policies)


def test_none() -> None:
    """
    Without any, nothing is said about anything.
    """
    assert (Options(), {}, {}) == (options({}), options({}).all_metadata, options({}).policies)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("size", "10", "no unit. Write size=10G"),
        ("size", "big", "not a size"),
        ("size", "10GB", "write 10G"),
        ("size", "1M", "less than the smallest size"),
        ("size", "", "not a size"),
        ("max_downtime", "soon", "not a duration"),
        ("max_downtime", "0s", "greater than zero"),
        ("protected", "yes", "one of true, false"),
        ("on_overrun", "pray", "one of give-up, cut-over"),
        ("from", "pg", "from=NAME@SNAPSHOT"),
        ("from", "@monday", "from=NAME@SNAPSHOT"),
        ("from", "pg@", "from=NAME@SNAPSHOT"),
        ("metadata.", "x", "there is no option metadata."),
        ("metadata.protected", "x", "there is no option metadata.protected"),
        ("Size", "10G", "there is no option Size, only size, from, protected, max_downtime"),
    ],
)
def test_bad(name: str, text: str, expected: str) -> None:
    """
    A bad option is named, with what can be said instead.
    """
    with pytest.raises(OptionRefused) as caught:
        options({name: text})

    assert str(caught.value).startswith(f"{name}={text}: ")
    assert expected in str(caught.value)


ORIGIN_ID = DatasetId(UUID(int=3))
FULL = dataset(
    maximum_size_bytes=GIB,
    metadata={"team": "db", "protected": "true"},
    max_downtime_seconds=2.0,
    on_overrun="give-up",
    on_start_failure="stay",
    on_partition="keep",
    origin=OriginView(dataset_id=ORIGIN_ID, snapshot="monday"),
)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"size": "1G"},
        {"from": "main@monday"},
        {"protected": "true", "max_downtime": "2s", "on_partition": "keep", "metadata.team": "db"},
    ],
)
def test_alike(given: dict[str, str]) -> None:
    """
    What is as it is asked for, as far as that goes, differs in nothing.
    """
    assert difference(options(given), FULL, ORIGIN_ID) is None


def test_origin_is_gone() -> None:
    """
    Of a volume that isn't there any more the snapshot's name alone can be compared.
    """
    assert [None, f"it was made from snapshot monday of dataset {ORIGIN_ID}, not from snapshot friday of main"] == [
        difference(options({"from": f"main@{snapshot}"}), FULL) for snapshot in ("monday", "friday")
    ]


@pytest.mark.parametrize(
    ("given", "present", "expected"),
    [
        ({"size": "2G"}, FULL, "it has a size of 1 GiB, not 2 GiB"),
        ({"size": "2G"}, dataset(), "it has no limit of its size, not 2 GiB"),
        ({"protected": "false"}, FULL, "it is protected"),
        ({"from": "main@monday"}, dataset(), "it was made empty, not from snapshot monday of main"),
        (
            {"from": "main@friday"},
            FULL,
            f"it was made from snapshot monday of dataset {ORIGIN_ID}, not from snapshot friday of main",
        ),
        (
            {"from": "main@monday"},
            FULL.set(origin=OriginView(dataset_id=DatasetId(UUID(int=4)), snapshot="monday")),
            f"it was made from snapshot monday of dataset {UUID(int=4)}, not from snapshot monday of main",
        ),
        ({"protected": "true"}, dataset(), "it is not protected"),
        ({"max_downtime": "1s"}, FULL, "its max_downtime is 2.0 s, not 1.0 s"),
        ({"max_downtime": "1s"}, dataset(), "its max_downtime is unknown, not 1.0 s"),
        ({"on_start_failure": "go-back"}, FULL, "its on_start_failure is stay, not go-back"),
        ({"metadata.team": "web"}, FULL, "its metadata has team=db, not web"),
        ({"metadata.other": "x"}, FULL, "its metadata has other=, not x"),
    ],
)
def test_differs(given: dict[str, str], present: DatasetView, expected: str) -> None:
    """
    In what a volume differs is said.
    """
    assert expected == difference(options(given), present, ORIGIN_ID)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("f" * 64, "needs a name: -v NAME:/path"),
        ("a" * 65, "1 to 63 letters"),
        ("-a", "begins with a letter or digit"),
        ("a/b", "letters, digits"),
        (str(UUID(int=5)), "is no UUID"),
    ],
)
def test_bad_names(name: str, expected: str) -> None:
    """
    What a volume can't be called is refused; so is Docker's own name for one that has none.
    """
    with pytest.raises(OptionRefused, match=expected):
        check_name(name)


def test_good_name() -> None:
    """
    What datasets can be called, volumes can.
    """
    check_name("pg-data_1.2")
