"""The log: one JSON object a line, in a file that cannot grow without end."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_LOG_BYTES = 32 * 2**20
OLD_LOGS = 2


class JsonLines(logging.Formatter):
    """A record as one line of JSON; what `extra={"fields": {...}}` holds stands beside it."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Rotating(RotatingFileHandler):
    """Looks at the size of what is written, where its base would format every line twice."""

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        return self.stream is not None and self.stream.tell() >= self.maxBytes


def open_request_log(file: Path, log: logging.Logger) -> logging.Handler:
    """Sends the messages of `log` and of the HTTP server to the file, and nowhere else."""
    handler = _Rotating(file, maxBytes=MAX_LOG_BYTES, backupCount=OLD_LOGS)
    handler.setFormatter(JsonLines())
    for logger, level in ((log, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    # Without it asyncio's complaints would go to the terminal.
    logging.getLogger("asyncio").addHandler(handler)
    return handler
