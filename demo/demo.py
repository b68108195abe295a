"""
Run the demonstration: ``python demo/demo.py``, from any folder, with a Python that has flocker_py.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # In place of this file's folder, where this very file would be taken for the package.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from demo.play import main

    main(prog_name="demo.py")
