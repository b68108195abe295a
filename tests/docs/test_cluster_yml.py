"""
The examples of ``cluster.yml`` in its reference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flocker_admin.manifest import ManifestDeployment, deployment

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "cluster-yml.md"


EXAMPLES = [part.partition("```")[0] for part in PAGE.read_text().split("```yaml\n")[1:]]


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_good(example: str) -> None:
    """
    Each example can be deployed as it is printed.
    """
    assert isinstance(deployment(example), ManifestDeployment)
