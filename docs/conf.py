"""
How the documentation is built: ``sphinx-build -n -W docs docs/_build/html``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from flocker_py import __version__

project = "flocker_py"
author = "The flocker_py developers"
copyright = "The flocker_py developers"  # Sphinx's name
version = release = __version__

extensions = ["myst_parser", "from_source", "state_machine"]
exclude_patterns = ["_build"]
root_doc = "index"
nitpicky = True

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"flocker_py {version}"
# Fonts and scripts come with the pages: they are read on machines that reach nothing else.
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False
