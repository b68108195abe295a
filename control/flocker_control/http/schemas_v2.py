"""
Schemas of ``/v2``.
"""

from __future__ import annotations

from collections.abc import Mapping

from flocker_control import limits
from flocker_control.explain import Status
from flocker_control.http.schemas import (
    BOOLEAN,
    COUNT,
    METADATA,
    NAME,
    REFERENCE,
    SIZE,
    TEXT,
    UUID_TEXT,
    Schema,
    array,
    closed,
    integer,
    nullable,
    number,
    one_of,
    ref,
    text,
    texts_by_name,
)
from flocker_py.container_values import (
    HIGHEST_CPUS,
    HIGHEST_HEALTH_RETRIES,
    HIGHEST_PIDS,
    LOG_DRIVER_PATTERN,
    LOG_OPTIONS,
    LONGEST_DURATION_SECONDS,
    LOWEST_CPUS,
    USER_PATTERN,
)
from flocker_py.model import (
    MoveOutcome,
    MovePhase,
    OverrunPolicy,
    PartitionPolicy,
    PullPolicy,
    RestartName,
    StartFailurePolicy,
)
from flocker_py.observed import ContainerPhase, Health
from flocker_py.published_ports import MOST_PORTS
from flocker_py.storage import Role
from flocker_py.units import MAXIMUM_SIZE_BYTES

ACTIONS = ("create", "resize", "move", "delete", "start", "stop", "restart", "update", "name-node")
_HEALTH_TEXT = "what its check says; none: it has none, or doesn't run; null: nobody has seen it"
CONTAINER_STATES = ("starting", "running", "stopping", "exited", "waiting", "unknown")

_OVERRUN = one_of(*(policy.value for policy in OverrunPolicy))
_START_FAILURE = one_of(*(policy.value for policy in StartFailurePolicy))
_PARTITION = one_of(*(policy.value for policy in PartitionPolicy))
_DOWNTIME: Schema = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": limits.DOWNTIME_HIGHEST_SECONDS,
    "description": "how long the application may stand still in a move",
}
_ROLE = one_of(*(role.value for role in Role))
_GUID = text("of a snapshot, in decimal: it may be larger than what JavaScript calls safe", pattern="^[0-9]{1,20}$")
_SECONDS = number("since the epoch of Unix")
_LABELS = texts_by_name({"type": "string", "maxLength": 4096}, maxProperties=256)
_SNAPSHOT = text("its name, as the pool has it", pattern=limits.SNAPSHOT_PATTERN)
_PORT_NUMBER = integer(1, limits.PORT_HIGHEST)
_POINTER = array({"type": ["string", "integer"]}, description="keys and indexes that lead to the place")
_HEALTH_SECONDS: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_DURATION_SECONDS}
_NAMES = array(text(minLength=1, maxLength=64), maxItems=64, description="of capabilities of Linux, or ALL")

_CONTAINER_FIELDS: Mapping[str, Schema] = {
    "image": nullable(text(minLength=1, maxLength=1024)),
    "command": array(text(maxLength=limits.ARGUMENT_CHARACTERS), maxItems=limits.ARGUMENTS),
    "environment": texts_by_name(TEXT, propertyNames={"minLength": 1}),
    "ports": array(
        closed(
            {"internal": _PORT_NUMBER, "external": _PORT_NUMBER},
            {
                "protocol": one_of(*limits.PROTOCOLS),
                "host_address": nullable(text("of the node, at which it is reached; null: all of them", maxLength=64)),
            },
        ),
        maxItems=MOST_PORTS,
    ),
    "links": array(
        closed(
            {
                "alias": text(pattern=limits.ALIAS_PATTERN),
                "local_port": _PORT_NUMBER,
                "remote_port": _PORT_NUMBER,
            }
        ),
        maxItems=1024,
    ),
    "restart": closed(
        {"name": one_of(*(name.value for name in RestartName))}, {"maximum_retry_count": nullable(integer(1, 10**9))}
    ),
    "memory_bytes": nullable(integer(limits.MEMORY_MINIMUM_BYTES, MAXIMUM_SIZE_BYTES)),
    "cpu_shares": nullable(integer(1, limits.CPU_SHARES_HIGHEST)),
    "swappiness": nullable(integer(0, limits.SWAPPINESS_HIGHEST)),
    "stop_grace_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": limits.GRACE_HIGHEST_SECONDS},
    "labels": _LABELS,
    "pull": one_of(*(policy.value for policy in PullPolicy)),
    "entrypoint": array(text(maxLength=limits.ARGUMENT_CHARACTERS), maxItems=limits.ARGUMENTS),
    "environment_file": nullable(
        text("of the node: a file with one NAME=VALUE in a line", pattern="^/", maxLength=4096)
    ),
    "stop_signal": nullable(text(minLength=1, maxLength=16)),
    "cpus": nullable(number("processors at most", minimum=LOWEST_CPUS, maximum=HIGHEST_CPUS)),
    "pids_limit": nullable(integer(1, HIGHEST_PIDS)),
    "healthcheck": nullable(
        closed(
            {"command": array(text(maxLength=limits.ARGUMENT_CHARACTERS), minItems=1, maxItems=limits.ARGUMENTS)},
            {
                "interval_seconds": _HEALTH_SECONDS,
                "timeout_seconds": _HEALTH_SECONDS,
                "start_period_seconds": number(minimum=0, maximum=LONGEST_DURATION_SECONDS),
                "retries": integer(1, HIGHEST_HEALTH_RETRIES),
            },
        )
    ),
    "log_driver": nullable(text(pattern=f"^{LOG_DRIVER_PATTERN}$")),
    "log_options": texts_by_name(TEXT, maxProperties=LOG_OPTIONS, propertyNames={"minLength": 1}),
    "read_only": {"type": "boolean", "description": "of the root file system"},
    "user": nullable(text(pattern=f"^{USER_PATTERN}$")),
    "capabilities_add": _NAMES,
    "capabilities_drop": _NAMES,
    "security_options": array(text(minLength=1, maxLength=512), maxItems=64),
}

_LEASE_RULES: Mapping[str, Schema] = {
    "when_released": {"type": "boolean", "description": "if the dataset is leased, do it when the lease ends"},
    "force": {"type": "boolean", "description": "do it although the dataset is leased"},
}

V2_SCHEMAS: Mapping[str, Schema] = {
    "Version": closed({"version": TEXT, "api": array(TEXT)}),
    "LastError": closed(
        {"code": TEXT, "text": TEXT, "at_seconds": _SECONDS, "node_id": UUID_TEXT},
        description="the last thing that went wrong, and what to do",
    ),
    "Failure": closed({"about": TEXT, "code": TEXT, "text": TEXT, "at_seconds": _SECONDS}),
    "Node": closed(
        {
            "node_id": UUID_TEXT,
            "name": nullable(TEXT),
            "address": nullable(TEXT),
            "labels": texts_by_name(TEXT),
            "draining": BOOLEAN,
            "removed": BOOLEAN,
            "connected": BOOLEAN,
            "storage": nullable(TEXT),
            "runtime": nullable(TEXT),
            "free_bytes": nullable(COUNT),
            "version": nullable(TEXT),
            "era": nullable(UUID_TEXT),
            "lease_expired": BOOLEAN,
            "lease_left_seconds": number("until its lease can be taken as expired; negative: since then"),
            "failures": array(ref("Failure")),
        }
    ),
    "Trouble": closed({"code": TEXT, "text": TEXT, "at_seconds": _SECONDS}),
    "Backups": closed(
        {
            "directory": TEXT,
            "every_seconds": number("between backups, if something has changed"),
            "keep": integer(1, description="how many stay"),
            "newest": nullable(
                closed({"name": TEXT, "revision": COUNT, "taken_at_seconds": _SECONDS}, description="that is whole")
            ),
            "error": nullable(ref("Trouble")),
        }
    ),
    "Status": closed(
        {
            "version": TEXT,
            "revision": COUNT,
            "nodes_known": COUNT,
            "nodes_connected": COUNT,
            "store_error": nullable(ref("Trouble")),
            "backups": nullable(ref("Backups")),
        },
        description="store_error: why the last change could not be made durable; backups: null if none are made",
    ),
    "Nodes": closed({"revision": COUNT, "nodes": array(ref("Node"))}),
    "Group": closed(
        {"container": nullable(TEXT), "datasets": array(closed({"dataset_id": UUID_TEXT, "name": nullable(TEXT)}))},
        description="what moves together",
    ),
    "DrainNode": closed({}, {"dry_run": BOOLEAN}, description="dry_run: only say what would be done"),
    "Drained": closed(
        {
            "node_id": UUID_TEXT,
            "dry_run": BOOLEAN,
            "placed": array(closed({"group": ref("Group"), "target": UUID_TEXT})),
            "unplaced": array(closed({"group": ref("Group"), "reasons": array(TEXT)})),
            "leaving": array(ref("Group"), description="on their way to another node already"),
        }
    ),
    "Move": closed(
        {
            "move_id": nullable(UUID_TEXT),
            "dataset_id": UUID_TEXT,
            "source": UUID_TEXT,
            "target": UUID_TEXT,
            "phase": nullable(one_of(*(phase.value for phase in MovePhase))),
            "outcome": nullable(one_of(*(outcome.value for outcome in MoveOutcome))),
            "reason": nullable(text("why it did not get to its end")),
            "round": COUNT,
            "sent_bytes": integer(0, description="over all rounds"),
            "round_bytes": nullable(integer(0, description="sent in this round")),
            "total_bytes": nullable(integer(0, description="of this round, an estimate")),
            "rate_bytes_per_second": nullable(number()),
            "eta_seconds": nullable(number("to the end of this round")),
            "predicted_downtime_seconds": nullable(number("if the application were stopped now")),
            "started_at_seconds": nullable(_SECONDS),
            "ended_at_seconds": nullable(_SECONDS),
            "downtime_seconds": nullable(number("for which the application stood still")),
            "waiting_for": nullable(text("what has to happen before it goes on")),
        },
        description="a planned change of owner; without a move_id, one that has not begun yet",
    ),
    "Moves": closed({"revision": COUNT, "moves": array(ref("Move"))}),
    "Dataset": closed(
        {
            "dataset_id": UUID_TEXT,
            "name": nullable(TEXT),
            "primary": text("the node on which it is wanted"),
            "owner": text("the node that may write it"),
            "epoch": COUNT,
            "created": BOOLEAN,
            "deleted": BOOLEAN,
            "maximum_size_bytes": nullable(SIZE),
            "metadata": METADATA,
            "max_downtime_seconds": number(),
            "on_overrun": _OVERRUN,
            "on_start_failure": _START_FAILURE,
            "on_partition": _PARTITION,
            "origin": nullable(ref("Origin")),
            "move": nullable(ref("Move")),
            "last_move": nullable(ref("Move")),
            "status": one_of(*(status.value for status in Status)),
            "waiting_for": nullable(TEXT),
            "last_error": nullable(ref("LastError")),
            "used_bytes": nullable(COUNT),
            "path": TEXT,
            "mounted": {"type": "boolean", "description": "whether its owner reports that it can be written there"},
            "settling": array(UUID_TEXT, description="former owners that still have to remove their copy"),
            "deposed": array(UUID_TEXT, description="nodes that still have to put aside what they have, if anything"),
            "lease": nullable(ref("Lease")),
            "unavailable_since_seconds": nullable(
                number("since the epoch of Unix; null where it is available, or nobody knows since when it isn't")
            ),
        }
    ),
    "Lease": closed(
        {
            "dataset_id": UUID_TEXT,
            "node_id": UUID_TEXT,
            "left_seconds": nullable(number("null: it lasts until it is released")),
            "is_waited_for": {"type": "boolean", "description": "the dataset is wanted otherwise, or deleted, by then"},
        },
        description="that a user holds on a dataset",
    ),
    "Leases": closed({"revision": COUNT, "leases": array(ref("Lease"))}),
    "LeaseReleased": closed({"dataset_id": UUID_TEXT}),
    "PutLease": closed(
        {"node": REFERENCE}, {"seconds": nullable(number("from now; null: until it is released", minimum=0))}
    ),
    "Datasets": closed({"revision": COUNT, "datasets": array(ref("Dataset"))}),
    "Origin": closed(
        {"dataset_id": UUID_TEXT, "snapshot": TEXT},
        description="the snapshot of another dataset that a dataset was made from",
    ),
    "CreateDataset": closed(
        {"primary": REFERENCE},
        {
            "origin": closed(
                {"dataset": REFERENCE, "snapshot": _SNAPSHOT},
                description="make it as a copy of that, on the node that owns that dataset; left out: empty",
            ),
            "dataset_id": UUID_TEXT,
            "name": nullable(NAME),
            "maximum_size_bytes": nullable(SIZE),
            "metadata": METADATA,
            "max_downtime_seconds": _DOWNTIME,
            "on_overrun": _OVERRUN,
            "on_start_failure": _START_FAILURE,
            "on_partition": _PARTITION,
        },
    ),
    "ChangeDataset": closed(
        {},
        {
            "primary": REFERENCE,
            "name": nullable(NAME),
            "maximum_size_bytes": nullable(SIZE),
            "metadata": METADATA,
            "max_downtime_seconds": _DOWNTIME,
            "on_overrun": _OVERRUN,
            "on_start_failure": _START_FAILURE,
            "on_partition": _PARTITION,
            **_LEASE_RULES,
        },
        description="what is left out stays as it is",
    ),
    "Copy": closed(
        {
            "node_id": UUID_TEXT,
            "connected": BOOLEAN,
            "heard_until_seconds": nullable(number("when its node was last heard of; null: it is connected")),
            "role": _ROLE,
            "epoch": COUNT,
            "newest_guid": nullable(_GUID),
            "newest_name": nullable(TEXT),
            "newest_at_seconds": nullable(_SECONDS),
            "used_bytes": COUNT,
            "candidate": {"type": "boolean", "description": "the dataset could be failed over to it"},
            "missing_at_least_bytes": nullable(
                integer(0, description="known to be missing in it; null: nothing is known of that")
            ),
            "missing_nothing": {"type": "boolean", "description": "it is known to hold all that was ever written"},
            "text": text("the same, for people"),
        }
    ),
    "Copies": closed(
        {
            "dataset_id": UUID_TEXT,
            "owner": UUID_TEXT,
            "epoch": COUNT,
            "owner_connected": BOOLEAN,
            "owner_away_since_seconds": nullable(_SECONDS),
            "owner_lease_left_seconds": nullable(
                {
                    "type": "number",
                    "minimum": 0,
                    "description": "for how long the owner, which has no connection, may serve it yet: then it has"
                    " ended its applications, and a failover needs nobody's word; null: only somebody's word tells",
                }
            ),
            "together": array(UUID_TEXT, description="all datasets that are failed over with it, itself included"),
            "copies": array(ref("Copy")),
        }
    ),
    "Failover": closed(
        {"target": REFERENCE, "guids": texts_by_name(_GUID, maxProperties=256, propertyNames=UUID_TEXT)},
        {"owner_is_dead": {"type": "boolean", "description": "your word that the owner does not run"}},
    ),
    "Adopt": closed(
        {"node": REFERENCE, "epoch": integer(0, 2**53)},
        {"others_are_dead": {"type": "boolean", "description": "your word for nodes that can't be asked"}},
    ),
    "UnclaimedDatasets": closed(
        {
            "revision": COUNT,
            "unclaimed": array(
                closed(
                    {
                        "dataset_id": UUID_TEXT,
                        "copies": array(
                            closed(
                                {
                                    "node_id": UUID_TEXT,
                                    "role": _ROLE,
                                    "epoch": COUNT,
                                    "mounted": BOOLEAN,
                                    "newest_guid": nullable(_GUID),
                                    "newest_at_seconds": nullable(_SECONDS),
                                    "used_bytes": COUNT,
                                }
                            )
                        ),
                    }
                )
            ),
        }
    ),
    "Stash": closed(
        {
            "name": TEXT,
            "node_id": UUID_TEXT,
            "dataset_id": UUID_TEXT,
            "dataset_name": nullable(TEXT),
            "role": _ROLE,
            "epoch": COUNT,
            "since_seconds": nullable(_SECONDS),
            "expires_at_seconds": nullable(number("since the epoch of Unix; null: never")),
            "used_bytes": COUNT,
            "newest_guid": nullable(_GUID),
            "newest_at_seconds": nullable(_SECONDS),
            "path": nullable(text("where it can be read on its node; null: nowhere at present")),
            "wanted": nullable(one_of("mounted", "unmounted", "dropped")),
            "last_error": nullable(ref("LastError")),
        },
        description="what a node has put aside of a dataset",
    ),
    "Stashes": closed(
        {
            "revision": COUNT,
            "stashes": array(ref("Stash")),
            "unknown_nodes": array(UUID_TEXT, description="nodes that can't be asked"),
        }
    ),
    "ChangeStash": closed({"mounted": BOOLEAN}),
    "DropStash": closed({"confirm": text("the name of the stash", maxLength=256)}),
    "RestoreStash": closed(
        {"epoch": integer(0, 2**53, description="of the dataset at present")},
        {"owner_is_dead": {"type": "boolean", "description": "your word that the owner does not run"}},
    ),
    "Explanation": closed({"dataset_id": UUID_TEXT, "converged": BOOLEAN, "lines": array(TEXT)}),
    "Container": closed(
        {
            "name": TEXT,
            "node_id": text("the node on which it is wanted"),
            "runs_on": nullable(UUID_TEXT),
            "state": one_of(*CONTAINER_STATES),
            "exit_status": nullable(integer(description="of the last run; negative: the signal that ended it")),
            "health": nullable({**one_of(*(each.value for each in Health)), "description": _HEALTH_TEXT}),
            "image_digest": nullable(text("of the image that it runs, as far as it is known")),
            "restarts": COUNT,
            "outdated": {"type": "boolean", "description": "it is still what it was started as before it was changed"},
            "waiting_for": nullable(TEXT),
            "last_error": nullable(ref("LastError")),
            "warnings": array(text("what is probably not meant, such as a link that leads nowhere")),
            "mounts": array(
                closed({"dataset_id": UUID_TEXT, "name": nullable(TEXT), "path": nullable(TEXT), "read_only": BOOLEAN})
            ),
            **_CONTAINER_FIELDS,
        }
    ),
    "LeavingContainer": closed(
        {
            "name": TEXT,
            "node_id": UUID_TEXT,
            "state": one_of(*(each.value for each in ContainerPhase)),
            "waiting_for": nullable(TEXT),
            "last_error": nullable(ref("LastError")),
        },
        description="a container that is wanted no more, and that a node has still",
    ),
    "Containers": closed(
        {
            "revision": COUNT,
            "containers": array(ref("Container")),
            "leaving": array(ref("LeavingContainer")),
            "unknown_nodes": array(UUID_TEXT, description="nodes of which nobody knows at present what they run"),
        }
    ),
    "PutContainer": closed(
        {"node": REFERENCE},
        {
            "mounts": array(
                closed({"dataset": REFERENCE}, {"path": nullable(text(pattern="^/")), "read_only": BOOLEAN}),
                maxItems=256,
            ),
            **_CONTAINER_FIELDS,
        },
        description="the whole definition: what is left out gets its default",
    ),
    "StartMove": closed({"dataset": REFERENCE, "target": REFERENCE}, _LEASE_RULES),
    "PlanRequest": closed({"deployment": {"type": "object", "description": "cluster.yml, as JSON"}}),
    "ApplyRequest": closed(
        {"deployment": {"type": "object", "description": "cluster.yml, as JSON"}, "revision": COUNT},
        description="the revision is that of the plan",
    ),
    "Step": closed(
        {"action": one_of(*ACTIONS), "kind": one_of("dataset", "container", "node"), "name": TEXT, "text": TEXT}
    ),
    "Unmanaged": closed({"kind": one_of("dataset", "container", "node"), "name": TEXT, "text": TEXT}),
    "Plan": closed(
        {
            "revision": COUNT,
            "steps": array(ref("Step")),
            "unmanaged": array(ref("Unmanaged")),
            "warnings": array(TEXT),
        }
    ),
    "Applied": closed({"revision": COUNT, "steps": array(ref("Step"))}),
    "Complaints": closed(
        {"code": TEXT, "description": TEXT, "errors": array(closed({"pointer": _POINTER, "text": TEXT}))}
    ),
    "EventStream": text("server-sent events: see the description of the route"),
    "OpenAPI": {"type": "object"},
}
