"""
The example of ``cluster.yml`` in its reference.
"""

from __future__ import annotations

from pathlib import Path

from flocker_admin.manifest import ManifestDeployment, deployment

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "cluster-yml.md"


def test_example_is_good() -> None:
    """
    The example can be deployed as it is printed.
    """
    _, _, rest = PAGE.read_text().partition("```yaml\n")
    example, _, _ = rest.partition("```")

    assert isinstance(deployment(example), ManifestDeployment)
