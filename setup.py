"""
One distribution, four import packages, each below the folder of the program it belongs to.

``control``, ``agent`` and ``admin`` are source roots, not packages: a top-level ``control`` would
collide with another distribution on the package index.
"""

from setuptools import find_packages, setup

SOURCE_ROOTS = {
    "flocker_control": "control",
    "flocker_agent": "agent",
    "flocker_admin": "admin",
}

package_dir = {"flocker_py": "flocker_py"}
packages = ["flocker_py", *(f"flocker_py.{name}" for name in find_packages("flocker_py"))]
for name, root in SOURCE_ROOTS.items():
    package_dir[name] = f"{root}/{name}"
    packages += find_packages(root)

setup(package_dir=package_dir, packages=packages)
