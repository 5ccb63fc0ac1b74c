"""OpenVINO, imported so that it tells nobody.

`import openvino` reports itself to Google Analytics, unasked (`openvino/tools/ovc/__init__.py` of
2026.4: an event "import", and a number for the user in ~/intel). Where its package
`openvino_telemetry` is missing it takes a stub of its own that sends nothing; so that package is
out of sight while OpenVINO is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

TELEMETRY = "openvino_telemetry"


def load_openvino() -> Any:
    """The module `openvino`; ImportError where it is not installed.

    Who imported it, or its telemetry, before us has decided for this process.
    """
    if "openvino" in sys.modules or TELEMETRY in sys.modules:
        return import_module("openvino")
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # Python's own sign for: not there
    try:
        return import_module("openvino")
    finally:
        sys.modules.pop(TELEMETRY, None)
