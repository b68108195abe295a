"""
Whatever is in a file, reading it ends in a value or in mistakes.
"""

from __future__ import annotations

import json
import re

import yaml
from hypothesis import given
from hypothesis import strategies as st

from flocker_admin.manifest import Manifest, ManifestDeployment, deployment, manifest

printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**29), 10**29) | printable,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(printable, children, max_size=3),
    max_leaves=12,
)


class PlainDumper(yaml.SafeDumper):
    """
    Writes equal lists out, each time.
    """

    def ignore_aliases(self, data: object) -> bool:
        return True


# PyYAML follows YAML 1.1, where 0E0 is a text; in YAML 1.2 it is a number (10.3.2), so its writers quote the text.
PlainDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


@given(text=st.text() | st.text(alphabet="ab:-[]{}&*!|>?'\"#%@`\n \t~<,0"))
def test_any_text_is_read_or_complained_about(text: str) -> None:
    """
    No text makes reading fail in another way.
    """
    read = deployment(text)

    assert isinstance(read, ManifestDeployment) or read


@given(value=st.dictionaries(printable, values, max_size=4))
def test_written_by_anybody(value: object) -> None:
    """
    What another program writes as YAML is read as what it was.
    """
    read = manifest(yaml.dump(value, Dumper=PlainDumper, allow_unicode=True))

    assert isinstance(read, Manifest)
    assert read.data == json.loads(json.dumps(value))
