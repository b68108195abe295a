"""
Flocker's two files, and what they mean.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from flocker_admin.manifest import mistake_text
from flocker_admin.translation import Translation, translated
from flocker_py.foreign import dataset_id_of, size_text

DEPLOYMENT = "version: 1\nnodes:\n  192.0.2.1: [db]\n"


def flocker(*lines: str) -> str:
    """
    An application.yml with the application ``db``; its lines begin at line 4.
    """
    return "".join(f"{line}\n" for line in ("version: 1", "applications:", "  db:", *(f"    {line}" for line in lines)))


def fig(*lines: str) -> str:
    """
    A fig file with the service ``db``; its lines begin at line 2.
    """
    return "".join(f"{line}\n" for line in ("db:", *(f"  {line}" for line in lines)))


def compose(*lines: str, more: str = "") -> str:
    """
    A Compose file with the service ``db``; its lines begin at line 3.
    """
    return "".join(f"{line}\n" for line in ("services:", "  db:", *(f"    {line}" for line in lines))) + more


def good(application: str, deployment: str = DEPLOYMENT, **more: Any) -> Translation:
    read = translated("d.yml", deployment, "a.yml", application, **more)
    assert isinstance(read, Translation), [mistake_text("?", one) for one in read]
    return read


def wrong(application: str, deployment: str = DEPLOYMENT) -> list[str]:
    read = translated("d.yml", deployment, "a.yml", application)
    assert not isinstance(read, Translation)
    return [mistake_text("?", one) for one in read]


def app(application: str) -> dict[str, Any]:
    """
    What the document says of ``db``.
    """
    found: dict[str, Any] = dict(good(application).manifest.data["apps"]["db"])
    return found


# -- Flocker's format --------------------------------------------------------------------------------------------------


def test_everything_that_an_application_can_have() -> None:
    """
    Every field of Flocker's has its place in the document.
    """
    read = good(
        flocker(
            "image: clusterhq/mongodb:2.6",
            "ports: [{internal: 27017, external: 27018}]",
            "links: [{local_port: 80, remote_port: 27018, alias: web}]",
            "volume: {mountpoint: /data/db, maximum_size: 1.5G}",
            "environment: {KEY: a=b}",
            "mem_limit: 134217728",
            "cpu_shares: 512",
            "restart_policy: {name: on-failure, maximum_retry_count: 3}",
        ),
        control=("ctl.example", 4523),
    )

    assert (read.format, read.manifest.data) == (
        "Flocker",
        {
            "version": 2,
            "cluster": {"name": "flocker", "control": {"host": "ctl.example"}},
            "volumes": {"db": {"id": str(dataset_id_of("db")), "size": "1536M", "labels": {"name": "db"}}},
            "apps": {
                "db": {
                    "node": "192.0.2.1",
                    "image": "clusterhq/mongodb:2.6",
                    "env": {"KEY": "a=b"},
                    "ports": [{"internal": 27017, "external": 27018}],
                    "links": [{"alias": "web", "local_port": 80, "remote_port": 27018}],
                    "restart": {"name": "on-failure", "maximum_retry_count": 3},
                    "memory": "128M",
                    "cpu_shares": 512,
                    "mounts": [{"volume": "db", "path": "/data/db"}],
                }
            },
        },
    )


def test_id_of_a_volume_without_one() -> None:
    """
    It is the MD5 of the application's name in the form of a UUID of version 4.
    """
    # printf db | md5sum: d77d5e503ad1439f585ac494268b351b. Digit 13 becomes 4, and of digit 17 the two highest bits 10.
    assert dataset_id_of("db") == UUID("d77d5e50-3ad1-439f-985a-c494268b351b")


def test_id_that_the_file_gives() -> None:
    """
    An id that is in the file is kept.
    """
    given = "c106ee53-2e44-4b70-ad3e-38a1e4ff8f3f"
    read = good(flocker("image: x", f"volume: {{mountpoint: /x, dataset_id: {given}}}"))

    assert (read.manifest.data["volumes"]["db"]["id"], list(read.notes["volumes", "db"])) == (given, [])


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("100M", "100M"),
        ("100m", "100M"),
        ("0.5T", "512G"),
        ("65536K", "64M"),
        ("65537K", "65537K"),
        ("64.0000001M", "65537K"),
    ],
)
def test_sizes(written: str, size: str) -> None:
    """
    Sizes are powers of 1024 in either case; fractions are rounded up, to what a dataset can have.
    """
    read = good(flocker("image: x", f"volume: {{mountpoint: /x, maximum_size: {written}}}"))

    assert read.manifest.data["volumes"]["db"]["size"] == size


def test_rounding_is_noted() -> None:
    """
    Where a size is not what the file says, a note says so.
    """
    read = good(flocker("image: x", "volume: {mountpoint: /x, maximum_size: 64.0000001M}"))

    assert read.notes["volumes", "db"][-1] == "The file says 67108865 bytes; this is the next multiple of 1024."


def test_sizes_that_have_no_letter() -> None:
    """
    Bytes that are no multiple of anything stay a number.
    """
    assert (size_text(1000), size_text(1), size_text(2048)) == (1000, 1, "2K")


@pytest.mark.parametrize("name", ["never", "always", "on-failure"])
def test_restart_policies(name: str) -> None:
    """
    All of Flocker's policies are known.
    """
    assert app(flocker("image: x", f"restart_policy: {{name: {name}}}"))["restart"] == name


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("image: ''", "4:5: applications.db.image: must not be empty"),
        ("image: ':tag'", "4:5: applications.db.image: must be the name of an image, repository[:tag], not ':tag'"),
        ("ports: 80", "4:5: applications.db.ports: must be a list of ports, not 80"),
        ("ports: [{external: 1}]", "4:13: applications.db.ports[0]: a port needs internal"),
        ("ports: [{internal: 1}]", "4:13: applications.db.ports[0]: a port needs external"),
        (
            "ports: [{internal: 1, external: 2, proto: x}]",
            "4:40: applications.db.ports[0].proto: a port has no field 'proto'",
        ),
        (
            "ports: [{internal: '1', external: 2}]",
            "4:14: applications.db.ports[0].internal: must be an integer, not '1'",
        ),
        (
            "ports: [{internal: 1, external: 65536}]",
            "4:27: applications.db.ports[0].external: must be an integer from 1 to 65535, not 65536",
        ),
        ("links: x", "4:5: applications.db.links: must be a list of links, not 'x'"),
        ("links: [x]", "4:13: applications.db.links[0]: a link must be a mapping, not 'x'"),
        (
            "links: [{remote_port: 1, alias: a}]",
            "4:13: applications.db.links[0]: a link needs local_port",
        ),
        (
            "links: [{local_port: 1, alias: a}]",
            "4:13: applications.db.links[0]: a link needs remote_port",
        ),
        (
            "links: [{local_port: 1, remote_port: 1}]",
            "4:13: applications.db.links[0]: a link needs alias",
        ),
        (
            "links: [{local_port: 1.5, remote_port: 1, alias: a}]",
            "4:14: applications.db.links[0].local_port: must be an integer, not 1.5",
        ),
        (
            "links: [{local_port: 1, remote_port: 1, alias: 2}]",
            '4:45: applications.db.links[0].alias: must be a text, not 2: write "2" in quotes',
        ),
        (
            "links: [{local_port: 1, remote_port: 1, alias: a-b}]",
            "4:45: applications.db.links[0].alias: must be 1 to 64 letters and digits, not 'a-b'",
        ),
        (
            "links: [{local_port: 1, remote_port: 1, alias: a, b: c}]",
            "4:55: applications.db.links[0].b: a link has no field 'b'",
        ),
        ("volume: /x", "4:5: applications.db.volume: a volume must be a mapping, not '/x'"),
        ("volume: {maximum_size: 1G}", "4:5: applications.db.volume: a volume needs mountpoint"),
        (
            "volume: {mountpoint: 7}",
            '4:14: applications.db.volume.mountpoint: must be a text, not 7: write "7" in quotes',
        ),
        ("volume: {mountpoint: /ü}", "4:14: applications.db.volume.mountpoint: must be ASCII, not '/ü'"),
        (
            "volume: {mountpoint: x}",
            "4:14: applications.db.volume.mountpoint: must be an absolute path without '..', not 'x'",
        ),
        (
            "volume: {mountpoint: /x, maximum_size: 1024}",
            "4:30: applications.db.volume.maximum_size: must be a number with K, M, G or T, powers of 1024, as in",
        ),
        (
            "volume: {mountpoint: /x, maximum_size: 1X}",
            "4:30: applications.db.volume.maximum_size: must be a number with K, M, G or T, powers of 1024, as in",
        ),
        (
            "volume: {mountpoint: /x, maximum_size: 0G}",
            "4:30: applications.db.volume.maximum_size: must be more than zero",
        ),
        (
            "volume: {mountpoint: /x, maximum_size: 1M}",
            "4:30: applications.db.volume.maximum_size: 1048576 bytes is less than the smallest size, 64 MiB",
        ),
        (
            "volume: {mountpoint: /x, dataset_id: x}",
            "4:30: applications.db.volume.dataset_id: must be a UUID, not 'x'",
        ),
        ("volume: {mountpoint: /x, a: b}", "4:30: applications.db.volume.a: a volume has no field 'a'"),
        ("environment: [a]", "4:5: applications.db.environment: environment must be a mapping from names, not a list"),
        (
            "environment: {A: 1}",
            '4:19: applications.db.environment.A: must be a text, not 1: write "1" in quotes',
        ),
        ("environment: {'': x}", "4:19: applications.db.environment.: a variable can't be called ''"),
        ("mem_limit: 1G", "4:5: applications.db.mem_limit: must be an integer, not '1G'"),
        (
            "mem_limit: -1",
            "4:5: applications.db.mem_limit: -1 is not between 0 and 9223372036854774784 bytes. A size is",
        ),
        ("cpu_shares: true", "4:5: applications.db.cpu_shares: must be an integer, not true"),
        ("cpu_shares: 2000", "4:5: applications.db.cpu_shares: must be an integer from 1 to 1024, not 2000"),
        ("restart_policy: always", "4:5: applications.db.restart_policy: a restart policy must be a mapping"),
        ("restart_policy: {}", "4:5: applications.db.restart_policy: a restart policy needs name"),
        (
            "restart_policy: {name: x}",
            "4:22: applications.db.restart_policy.name: must be never or always or on-failure, not 'x'",
        ),
        (
            "restart_policy: {name: always, maximum_retry_count: 1}",
            "4:36: applications.db.restart_policy.maximum_retry_count: belongs to on-failure only",
        ),
        (
            "restart_policy: {name: on-failure, maximum_retry_count: 0}",
            "4:40: applications.db.restart_policy.maximum_retry_count: must be an integer from 1 to 2147483647, not 0",
        ),
        ("restart_policy: {name: never, a: b}", "4:35: applications.db.restart_policy.a: a restart policy has no"),
        ("command_line: [x]", "4:5: applications.db.command_line: an application has no field 'command_line'"),
        ("swappiness: 0", "4:5: applications.db.swappiness: an application has no field 'swappiness'"),
    ],
)
def test_what_is_wrong_with_an_application(line: str, mistake: str) -> None:
    """
    Each mistake is told where it is, and nothing else is.
    """
    found = wrong(flocker(line) if line.startswith("image") else flocker(line, "image: x"))

    assert (len(found), found[0][: len(mistake) + 6]) == (1, f"a.yml:{mistake}")


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "version: 2\napplications: {db: {image: x}}\n",
            ["1:1: version: must be 1, the version of Flocker's files, not 2"],
        ),
        (
            "version: true\napplications: {db: {image: x}}\n",
            ["1:1: version: must be 1, the version of Flocker's files, not true"],
        ),
        ("applications: {db: {image: x}}\n", ["1:1: an application file needs version"]),
        (
            "version: 1\napplications: [db]\n",
            ["2:1: applications: applications must be a mapping from names, not a list"],
        ),
        ("version: 1\napplications: {db: x}\n", ["2:16: applications.db: an application must be a mapping, not 'x'"]),
        ("version: 1\napplications: {db: {}}\n", ["2:16: applications.db: an application needs image"]),
        (
            "version: 1\napplications: {db: {image: x}}\nmore: 1\n",
            ["3:1: more: an application file has no field 'more'"],
        ),
        (
            "[]",
            ["1:1: must be a mapping, not a list"],
        ),
        ("a: b\n", ["1:1: is neither an application.yml of Flocker, nor a fig or Compose file with services"]),
        (
            "version: 1\nnodes: {}\n",
            ["1:1: has nodes: this is a deployment.yml; it comes first, and then application.yml"],
        ),
        (
            "agent_nodes: []\ncontrol_node: x\n",
            ["1:1: is the cluster.yml of the unofficial tools, which has no applications"],
        ),
        ("a: [", ["2:1: not YAML: "]),
    ],
)
def test_what_is_wrong_with_an_application_file(text: str, mistakes: list[str]) -> None:
    """
    Each mistake of the file as a whole is told where it is. That deployment.yml names what it doesn't have isn't, where
    nobody knows what it has.
    """
    found = [line for line in wrong(text) if line.startswith("a.yml") or "there is no application" not in line]

    assert [line[: len(mistake) + 6] for line, mistake in zip(found, mistakes, strict=True)] == [
        f"a.yml:{mistake}" for mistake in mistakes
    ]


# -- deployment.yml ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("nodes: {192.0.2.1: [db]}\n", ["1:1: a deployment file needs version"]),
        ("version: 3\nnodes: {192.0.2.1: [db]}\n", ["1:1: version: must be 1, the version of Flocker's files, not 3"]),
        ("version: 1\n", ["1:1: a deployment file needs nodes"]),
        ("version: 1\nnodes: x\n", ["2:1: nodes: nodes must be a mapping from names, not 'x'"]),
        (
            "version: 1\nnodes:\n  n1: [db]\n  '::1': []\n",
            [
                "3:3: nodes.n1: 'n1' is not an IPv4 address: for names and IPv6 write a cluster.yml",
                "4:3: nodes.::1: '::1' is not an IPv4 address: for names and IPv6 write a cluster.yml",
            ],
        ),
        (
            "version: 1\nnodes:\n  192.0.2.1: db\n  192.0.2.2:\n",
            [
                "3:3: nodes.192.0.2.1: must be a list of applications, not 'db'",
                "4:3: nodes.192.0.2.2: must be a list of applications, not nothing: [] for none",
            ],
        ),
        (
            "version: 1\nnodes:\n  192.0.2.1: [dx, 1, db, db]\n  192.0.2.2: [db]\n",
            [
                "3:15: nodes.192.0.2.1[0]: there is no application 'dx' in the application file",
                '3:19: nodes.192.0.2.1[1]: must be a text, not 1: write "1" in quotes',
                "3:26: nodes.192.0.2.1[3]: db runs on 192.0.2.1 already, and an application runs once",
                "4:15: nodes.192.0.2.2[0]: db runs on 192.0.2.1 already, and an application runs once",
            ],
        ),
        ("version: 1\nnodes: {}\nmore: 1\n", ["3:1: more: a deployment file has no field 'more'"]),
        ("version: 1\nnodes: {\n", ["3:1: not YAML: "]),
    ],
)
def test_what_is_wrong_with_a_deployment_file(text: str, mistakes: list[str]) -> None:
    """
    Each mistake is told where it is, all of them at once.
    """
    found = wrong(flocker("image: x"), text)

    assert [line[: len(mistake) + 6] for line, mistake in zip(found, mistakes, strict=True)] == [
        f"d.yml:{mistake}" for mistake in mistakes
    ]


def test_mistakes_of_both_files_are_told_at_once() -> None:
    """
    deployment.yml comes first, as on the command line; rules between applications are checked as well.
    """
    text = (
        "version: 1\napplications:\n"
        "  a: {image: x, ports: [{internal: 1, external: 80}]}\n"
        "  b: {image: x, ports: [{internal: 1, external: 80}]}\n"
        "  c: {imge: x}\n"
    )
    found = wrong(text, "version: 1\nnodes: {192.0.2.1: [a, b, d]}\n")

    assert [line.split(" ")[0] for line in found] == ["d.yml:2:27:", "a.yml:4:25:", "a.yml:5:3:", "a.yml:5:7:"]


def test_key_that_is_there_twice_hides_nothing() -> None:
    """
    What is wrong besides is told as well.
    """
    found = wrong(flocker("image: x", "image: y", "swappiness: 0"))

    assert [line.split(": ")[0] for line in found] == ["a.yml:5:5", "a.yml:6:5"]


def test_application_without_node_is_not_run() -> None:
    """
    What no node has is ended if it runs, and its volume is left alone.
    """
    data = good(flocker("image: x", "volume: {mountpoint: /x}"), "version: 1\nnodes: {192.0.2.1: []}\n").manifest.data

    assert (data["apps"]["db"]["state"], data["volumes"]) == ("deleted", {})


def test_idle_application_without_volume() -> None:
    """
    Its note doesn't speak of a volume.
    """
    read = good(flocker("image: x"), "version: 1\nnodes: {}\n")

    assert list(read.notes["apps", "db"]) == ["The deployment file has no node for it, so that it runs no more."]


def test_nodes_without_applications_are_kept_in_mind() -> None:
    """
    A node that has nothing to run must be one of the cluster all the same.
    """
    read = good(flocker("image: x"), "version: 1\nnodes:\n  192.0.2.1: [db]\n  192.0.2.2: []\n")

    assert {address: at.position.line for address, at in read.idle_nodes.items()} == {"192.0.2.2": 4}


def test_link_that_leads_nowhere() -> None:
    """
    Flocker passed connections on from node to node; where a link counted on that, there is a warning.
    """
    text = (
        "version: 1\napplications:\n"
        "  web: {image: x, links: [{local_port: 5432, remote_port: 5433, alias: Pg}]}\n"
        "  db: {image: x, ports: [{internal: 5432, external: 5433}]}\n"
    )
    together = good(text, "version: 1\nnodes: {192.0.2.1: [web, db]}\n")
    apart = good(text, "version: 1\nnodes: {192.0.2.1: [web], 192.0.2.2: [db]}\n")

    assert (list(together.warnings), len(apart.warnings), list(together.notes["apps", "web", "links", 0])) == (
        [],
        1,
        ["Tells the app PG_PORT_5432_TCP, PG_PORT_5432_TCP_ADDR, _PORT and _PROTO."],
    )


# -- fig ---------------------------------------------------------------------------------------------------------------


def test_everything_that_a_service_of_fig_can_have() -> None:
    """
    Every field that Flocker took has its place in the document.
    """
    read = good(
        fig(
            "image: postgres",
            "environment: {A: b}",
            'ports: ["5433:5432"]',
            "links: ['web:www', idle]",
            "volumes: [/var/lib]",
            "mem_limit: 100000000",
        )
        + "web: {image: x, ports: ['80:8080'], environment: ['A=b=c', B]}\nidle: {image: x}\n",
        "version: 1\nnodes: {192.0.2.1: [db, web]}\n",
    )

    assert (read.format, read.manifest.data["apps"], read.manifest.data["volumes"]) == (
        "fig",
        {
            "db": {
                "node": "192.0.2.1",
                "image": "postgres",
                "env": {"A": "b"},
                "ports": [{"internal": 5432, "external": 5433}],
                "links": [
                    {"alias": "www", "local_port": 8080, "remote_port": 80},
                ],
                "memory": 100000000,
                "mounts": [{"volume": "db", "path": "/var/lib"}],
            },
            "web": {
                "node": "192.0.2.1",
                "image": "x",
                "env": {"A": "b=c", "B": ""},
                "ports": [{"internal": 8080, "external": 80}],
            },
            "idle": {"state": "deleted", "image": "x"},
        },
        {"db": {"id": str(dataset_id_of("db")), "labels": {"name": "db"}}},
    )


def test_link_of_fig_to_what_has_several_ports() -> None:
    """
    It is one link for each of them, under one alias.
    """
    read = good(
        fig("image: x", "links: ['web:w']") + "web: {image: x, ports: ['1080:80', '1443:443']}\n",
        "version: 1\nnodes: {192.0.2.1: [db, web]}\n",
    )

    assert read.manifest.data["apps"]["db"]["links"] == [
        {"alias": "w", "local_port": 80, "remote_port": 1080},
        {"alias": "w", "local_port": 443, "remote_port": 1443},
    ]


def test_link_of_fig_to_what_has_no_ports() -> None:
    """
    Such a link tells nothing; a warning says so.
    """
    read = good(fig("image: x", "links: [web]") + "web: {image: x}\n", "version: 1\nnodes: {192.0.2.1: [db, web]}\n")

    assert (list(read.warnings), "links" in read.manifest.data["apps"]["db"]) == (
        ["the link to web tells db nothing: web has no ports"],
        False,
    )


@pytest.mark.parametrize(
    ("lines", "mistakes"),
    [
        (
            ["image: x", "build: ."],
            ["1:1: db: a service has image or build, not both", "3:3: db.build: images are not"],
        ),
        (["build: ."], ["2:3: db.build: images are not built here: build it, push it, and write image"]),
        (
            ["image: x", *(f"{key}: x" for key in ("working_dir", "entrypoint", "user", "hostname", "domainname"))],
            [f"{line}:3: db." for line in range(3, 8)],
        ),
        (
            ["image: x", *(f"{key}: x" for key in ("privileged", "dns", "net", "volumes_from", "expose", "command"))],
            [f"{line}:3: db." for line in range(3, 9)],
        ),
        (["image: x", "restart: always"], ["3:3: db.restart: a service has no field 'restart'"]),
        (["image: x", "command: x"], ["3:3: db.command: command is not implemented: leave it out"]),
        (["image: x", "environment: x"], ["3:3: db.environment: environment must be a mapping from names, not 'x'"]),
        (["image: x", "environment: [1]"], ['3:17: db.environment[0]: must be a text, not 1: write "1" in quotes']),
        (
            ["image: x", "ports: ['80']"],
            ["3:11: db.ports[0]: must be 'host:container', two numbers in quotes, not '80'"],
        ),
        (["image: x", "ports: ['1:2:3']"], ["3:11: db.ports[0]: must be 'host:container', two numbers in quotes, not"]),
        (
            ["image: x", "ports: ['a:2']"],
            ["3:11: db.ports[0]: must be 'host:container', two numbers in quotes, not 'a:2'"],
        ),
        (["image: x", "ports: [80]"], ["3:11: db.ports[0]: must be 'host:container', two numbers in quotes, not 80"]),
        (["image: x", "ports: ['0:80']"], ["3:11: db.ports[0]: must be an integer from 1 to 65535, not 0"]),
        (
            ["image: x", "links: [wep]"],
            ["3:11: db.links[0]: there is no service 'wep' in this file; did you mean web?"],
        ),
        (["image: x", "links: [1]"], ['3:11: db.links[0]: must be a text, not 1: write "1" in quotes']),
        (
            ["image: x", "volumes: [/a, /b]"],
            ["3:3: db.volumes: there are 2 volumes, and Flocker had one for each service"],
        ),
        (["image: x", "volumes: [a]"], ["3:13: db.volumes[0]: must be an absolute path without '..', not 'a'"]),
        (["image: x", "mem_limit: 1g"], ["3:3: db.mem_limit: must be an integer, not '1g'"]),
    ],
)
def test_what_is_wrong_with_a_service_of_fig(lines: list[str], mistakes: list[str]) -> None:
    """
    Each mistake is told where it is: what is wrong, and by name what Flocker refused as well.
    """
    found = wrong(fig(*lines) + "web: {image: x}\ntwo: {image: x, ports: ['1:1', '2:2']}\n")

    assert [line[: len(mistake) + 6] for line, mistake in zip(found, mistakes, strict=True)] == [
        f"a.yml:{mistake}" for mistake in mistakes
    ]


def test_fig_file_with_something_else() -> None:
    """
    Where one service makes the file fig's, whatever else is in it must be a service too.
    """
    found = wrong("db: {image: x}\nweb: x\nidle: {}\n")

    assert found == [
        "a.yml:2:1: web: a service must be a mapping, not 'x'",
        "a.yml:3:1: idle: a service needs image",
    ]


def test_services_of_fig_can_be_called_anything() -> None:
    """
    A service that is called as a section of another format is a service all the same.
    """
    text = "services: {image: x}\napplications: {image: y}\n"
    read = good(text, "version: 1\nnodes: {192.0.2.1: [services, applications]}\n")

    assert (read.format, sorted(read.manifest.data["apps"])) == ("fig", ["applications", "services"])


# -- Compose -----------------------------------------------------------------------------------------------------------


def test_everything_that_a_service_of_compose_can_have() -> None:
    """
    Every field that is read has its place in the document.
    """
    read = good(
        compose(
            "image: postgres:16",
            "command: postgres -c 'a=$$b'",
            "environment: {A: b$$c, B: ''}",
            'ports: ["5433:5432", "53:53/udp", {target: 80, published: "8080"},'
            " {target: 81, published: 8081, protocol: udp}]",
            "volumes: ['data:/var/lib:rw', {type: volume, source: more, target: /more}, /cache]",
            "restart: on-failure:3",
            "deploy: {resources: {limits: {memory: 512MB}}}",
            more="volumes: {data: {driver: flocker, driver_opts: {size: 20G}}, more: }\nversion: '3.8'\n",
        )
    )

    assert (read.format, read.manifest.data["apps"]["db"], read.manifest.data["volumes"]) == (
        "Compose",
        {
            "node": "192.0.2.1",
            "image": "postgres:16",
            "command": "postgres -c 'a=$b'",
            "env": {"A": "b$c", "B": ""},
            "ports": [
                "5433:5432",
                "53:53/udp",
                {"internal": 80, "external": 8080},
                {"internal": 81, "external": 8081, "protocol": "udp"},
            ],
            "restart": {"name": "on-failure", "maximum_retry_count": 3},
            "memory": "512M",
            "mounts": [
                {"volume": "data", "path": "/var/lib"},
                {"volume": "more", "path": "/more"},
                {"volume": "db", "path": "/cache"},
            ],
        },
        {"data": {"size": "20G"}, "more": {}, "db": {"id": str(dataset_id_of("db")), "labels": {"name": "db"}}},
    )


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("command: [a, '', $$b]", {"command": ["a", "", "$b"]}),
        ("command:", {}),
        ("environment: [A=b, B=]", {"env": {"A": "b", "B": ""}}),
        ('restart: "no"', {"restart": "never"}),
        ("restart: always", {"restart": "always"}),
        ("restart: on-failure", {"restart": "on-failure"}),
        ("deploy: {resources: {limits: {memory: 1073741824}}}", {"memory": "1G"}),
        ("deploy: {resources: {limits: {memory: 2000000b}}}", {"memory": 2000000}),
        ("deploy: {resources: {}}", {}),
        ("deploy: {}", {}),
        ("cpus: 0.5", {"cpus": 0.5}),
        ("cpus: '1.5'", {"cpus": 1.5}),
        ("deploy: {resources: {limits: {cpus: '1', pids: 9}}}", {"cpus": 1.0, "pids_limit": 9}),
        ("ports: ['127.0.0.1:1:2', '3-4:5-6/udp']", {"ports": ["127.0.0.1:1:2", "3-4:5-6/udp"]}),
        (
            "ports: [{target: 1, published: 2, host_ip: 127.0.0.1}]",
            {"ports": [{"internal": 1, "external": 2, "host_ip": "127.0.0.1"}]},
        ),
        ("volumes: ['/x']", {"mounts": [{"volume": "db", "path": "/x"}]}),
        (
            "volumes: [{target: /x, read_only: true}]",
            {"mounts": [{"volume": "db", "path": "/x", "read_only": True}]},
        ),
        ("healthcheck: {test: 'a $$b', retries: 2}", {"healthcheck": {"test": "a $b", "retries": 2}}),
        ("healthcheck: {test: [CMD, a]}", {"healthcheck": {"test": ["CMD", "a"]}}),
        ("entrypoint: [a, $$b]", {"entrypoint": ["a", "$b"]}),
        ("stop_grace_period: 1m30s", {"stop_grace": "1m30s"}),
        ("stop_signal: SIGINT", {"stop_signal": "SIGINT"}),
        (
            "logging: {driver: syslog, options: {tag: x}}",
            {"logging": {"driver": "syslog", "options": {"tag": "x"}}},
        ),
        ("read_only: true", {"read_only": True}),
        ("user: '1:2'", {"user": "1:2"}),
        ("cap_add: [NET_ADMIN]", {"cap_add": ["NET_ADMIN"]}),
        ("cap_drop: [ALL]", {"cap_drop": ["ALL"]}),
        ("security_opt: ['no-new-privileges:true']", {"security_opt": ["no-new-privileges:true"]}),
        ("pids_limit: 5", {"pids_limit": 5}),
        ("mem_swappiness: 5", {"swappiness": 5}),
        ("cpu_shares: 5", {"cpu_shares": 5}),
        ("pull_policy: always", {"pull_policy": "always"}),
        ("volumes: [{target: /x}]", {"mounts": [{"volume": "db", "path": "/x"}]}),
    ],
)
def test_what_compose_can_say_in_another_way(line: str, fields: dict[str, Any]) -> None:
    """
    Other forms of the same fields mean the same.
    """
    assert app(compose("image: x", line)) == {"node": "192.0.2.1", "image": "x", **fields}


@pytest.mark.parametrize(
    ("line", "mistakes"),
    [
        ("image: x${TAG}", ["3:5: services.db.image: variables are not filled in: write the value"]),
        (
            "imge: x",
            ["2:3: services.db: a service needs image", "3:5: services.db.imge: imge of Compose can't be done"],
        ),
        ("healthcheck: {}", ["3:5: services.db.healthcheck: healthcheck needs test"]),
        (
            "healthcheck: {test: [NONE]}",
            ["3:19: services.db.healthcheck.test: NONE is not implemented: leave healthcheck out"],
        ),
        ("healthcheck: {test: a, disable: true}", ["3:28: services.db.healthcheck.disable: disable is not"]),
        ("healthcheck: {test: $A}", ["3:19: services.db.healthcheck.test: variables are not filled in"]),
        ("cap_add: [CHOWN, NET]", ["3:22: services.db.cap_add[1]: must be a capability of Linux"]),
        ("user: 1000", ["3:5: services.db.user: must be a text, not 1000"]),
        ("cpus: x", ["3:5: services.db.cpus: must be a number of processors"]),
        ("env_file: .env", ["3:5: services.db.env_file: a file where Compose runs can't be done here"]),
        ("pull_policy: build", ["3:5: services.db.pull_policy: build is not implemented"]),
        ("environment: {A: $B}", ["3:19: services.db.environment.A: variables are not filled in"]),
        (
            "environment: {A: }",
            ["3:19: services.db.environment.A: has no value, which means the one that it has where"],
        ),
        (
            "environment: [A, 1]",
            ["3:19: services.db.environment[0]: has no value", "3:22: services.db.environment[1]: must"],
        ),
        ("command: [1]", ["3:15: services.db.command[0]: must be a text"]),
        ("ports: ['80']", ["3:13: services.db.ports[0]: 80 has no external port, and none is chosen here"]),
        ("ports: [80]", ["3:13: services.db.ports[0]: 80 has no external port, and none is chosen here"]),
        ("ports: ['1-2:3-5']", ["3:13: services.db.ports[0]: there are 2 external ports for 3 internal ones"]),
        ("ports: ['host:1:1']", ["3:13: services.db.ports[0]: 'host' is not an IP address"]),
        ("ports: ['$A:1']", ["3:13: services.db.ports[0]: variables are not filled in"]),
        ("ports: ['a:1']", ["3:13: services.db.ports[0]: must be 'external:internal'"]),
        ("ports: [{target: x, published: 1}]", ["3:14: services.db.ports[0].target: must be one port, not 'x'"]),
        ("ports: [{target: 1, published: 1, mode: host}]", ["3:39: services.db.ports[0].mode: mode of Compose"]),
        ("ports: ['70000:1']", ["3:13: services.db.ports[0]: 70000 is not a port"]),
        ("restart: unless-stopped", ["3:5: services.db.restart: unless-stopped is not implemented"]),
        ("restart: on-failure:x", ["3:5: services.db.restart: must be no or always or on-failure"]),
        ("restart: {}", ["3:5: services.db.restart: must be no or always or on-failure, not a mapping"]),
        ("deploy: {replicas: 2}", ["3:14: services.db.deploy.replicas: replicas of Compose can't be done"]),
        (
            "deploy: {resources: {reservations: {}}}",
            ["3:26: services.db.deploy.resources.reservations: reservations of"],
        ),
        (
            "deploy: {resources: {limits: {cpus: x}}}",
            ["3:35: services.db.deploy.resources.limits.cpus: must be a number of processors"],
        ),
        (
            "deploy: {resources: {limits: {pids: 0}}}",
            ["3:35: services.db.deploy.resources.limits.pids: must be an integer"],
        ),
        (
            "deploy: {resources: {limits: {memory: x}}}",
            ["3:35: services.db.deploy.resources.limits.memory: 'x' is not a"],
        ),
        (
            "deploy: {resources: {limits: {memory: 1k}}}",
            ["3:35: services.db.deploy.resources.limits.memory: must be at"],
        ),
        ("volumes: [./a:/b]", ["3:15: services.db.volumes[0]: a folder of the host, ./a, does not move with its app"]),
        (
            "volumes: [dato:/b]",
            ["3:15: services.db.volumes[0]: there is no volume 'dato' in volumes; did you mean data?"],
        ),
        (
            "volumes: ['data:/b:z']",
            ["3:15: services.db.volumes[0]: z can't be done here: a volume is mounted by rw or"],
        ),
        (
            "volumes: [{type: bind, source: /a, target: /b}]",
            ["3:16: services.db.volumes[0].type: bind is not impl"],
        ),
        ("volumes: [{source: data}]", ["3:15: services.db.volumes[0]: a volume needs target"]),
        ("volumes: [1]", ["3:15: services.db.volumes[0]: must be a text"]),
        ("volumes: ['data:b']", ["3:15: services.db.volumes[0]: must be an absolute path"]),
        ("volumes: ['db:/b', /c]", ["3:24: services.db.volumes[1]: another volume is called db", "3:24: services.db."]),
    ],
)
def test_what_is_wrong_with_a_service_of_compose(line: str, mistakes: list[str]) -> None:
    """
    Each mistake is told where it is, and whatever can't be done is refused by its name.
    """
    more = "volumes: {data: , db: {}}\n"
    found = wrong(compose(line, more=more) if line.startswith("im") else compose(line, "image: x", more=more))

    assert [line[: len(mistake) + 6] for line, mistake in zip(found, mistakes, strict=True)] == [
        f"a.yml:{mistake}" for mistake in mistakes
    ]


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "services: {db: {image: x}}\nversion: '1'\n",
            ["2:1: version: must be 2, 3, 2.x or 3.x, or left out, not '1'"],
        ),
        ("services: {db: {image: x}}\nnetworks: {}\n", ["2:1: networks: networks of Compose can't be done here"]),
        ("services: {db: }\n", ["1:12: services.db: a service must be a mapping, not nothing"]),
        (
            "services: {db: {image: x}}\nvolumes: {a: {external: true}, b: {driver: nfs}, c: {driver_opts: {o: x}}}\n",
            [
                "2:15: volumes.a.external: external of Compose",
                "2:36: volumes.b.driver: must be flocker or flocker_py, not 'nfs'",
                "2:68: volumes.c.driver_opts.o: o of Compose",
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_compose_file(text: str, mistakes: list[str]) -> None:
    """
    The same for the file as a whole, and its volumes.
    """
    found = wrong(text)

    assert [line[: len(mistake) + 6] for line, mistake in zip(found, mistakes, strict=True)] == [
        f"a.yml:{mistake}" for mistake in mistakes
    ]


def test_two_services_with_one_volume() -> None:
    """
    A volume has one writer: the second one is the mistake.
    """
    text = "services:\n  a: {image: x, volumes: [v:/x]}\n  b: {image: x, volumes: [v:/x]}\nvolumes: {v: }\n"
    found = wrong(text, "version: 1\nnodes: {192.0.2.1: [a, b]}\n")

    assert found == [
        "a.yml:3:27: services.b.volumes[0]: app a mounts volume v already, and a volume has one writer",
    ]
