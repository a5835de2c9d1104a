"""The registry's log."""

from __future__ import annotations

import logging

log = logging.getLogger("serving.registry")
