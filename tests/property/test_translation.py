"""
Whatever is in the files of other programs, reading them ends in a document or in mistakes; and a document survives
being written as text.
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from flocker_admin.cluster_text import cluster_text
from flocker_admin.manifest import Manifest, ManifestDeployment, deployment, manifest
from flocker_admin.translation import Translation, translated

printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | printable,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(printable, children, max_size=3),
    max_leaves=8,
)
_KEYS = (
    *("image", "ports", "links", "volume", "environment", "mem_limit", "cpu_shares", "restart_policy", "volumes"),
    *("command", "restart", "deploy", "build", "internal", "external", "mountpoint", "maximum_size", "name", "alias"),
    *("local_port", "remote_port", "target", "published", "resources", "limits", "memory", "source", "type", "driver"),
    *("healthcheck", "test", "interval", "cpus", "pids", "user", "cap_add", "security_opt", "logging", "options"),
    *("entrypoint", "stop_signal", "read_only", "host_ip", "env_file", "pull_policy"),
)
_WORDS = ("x", "1G", "80:80", "always", "on-failure", "/x", "a=b", "web", "data:/x", "$X", "512m")
near = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.sampled_from(_WORDS),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), children, max_size=4),
    max_leaves=16,
)
names = st.sampled_from(("db", "web", "a b"))
applications = st.one_of(
    st.fixed_dictionaries({"version": st.just(1), "applications": st.dictionaries(names, near, max_size=2)}),
    st.dictionaries(names, near, max_size=2),
    st.fixed_dictionaries({"services": st.dictionaries(names, near, max_size=2), "volumes": near}),
    values,
)
deployments = st.one_of(
    st.fixed_dictionaries(
        {
            "version": st.just(1),
            "nodes": st.dictionaries(
                st.sampled_from(("192.0.2.1", "192.0.2.2", "n")), near | st.lists(names), max_size=2
            ),
        }
    ),
    values,
)


@given(places=deployments, apps=applications)
def test_any_two_files_mean_something_or_are_complained_about(places: Any, apps: Any) -> None:
    """
    No files make reading fail in another way; and what they mean can be written as a cluster.yml that means the same.
    """
    # JSON is YAML.
    read = translated("d.yml", json.dumps(places), "a.yml", json.dumps(apps))

    if isinstance(read, Translation):
        again = deployment(cluster_text(read.manifest.data, read.notes, ["Heading"]))
        assert isinstance(again, ManifestDeployment)
        assert again.deployment == read.deployment
    else:
        assert read
        assert all(one.file in {"d.yml", "a.yml"} for one in read)


@given(
    document=st.dictionaries(printable, values, min_size=1, max_size=4),
    notes=st.lists(printable | st.text(), max_size=2),
)
def test_text_of_a_document_is_the_document(document: Any, notes: list[str]) -> None:
    """
    Whatever is in a document and in its comments, the text is read as what the document was, by any reader of YAML.
    """
    text = cluster_text(document, {(key,): notes for key in document}, notes)
    read = manifest(text)

    assert isinstance(read, Manifest)
    assert read.data == json.loads(json.dumps(document))
    assert yaml.safe_load(text) == document
