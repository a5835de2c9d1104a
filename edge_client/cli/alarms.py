"""Print the alarms that ml4iot-edge monitor raises.

One line for each on standard output, and nothing else there:
  (05/12/2022 19:15:01) Humidity Alert: Predicted=48.8% Actual=50.1%
  (05/12/2022 19:15:01) Temperature Alert: Predicted=21.3°C Actual=22.0°C
Day, month, year and the time are those of the measurement, in this machine's time zone.

The broker keeps alarms for this session while the broker itself restarts, and while this command
does not run: what was raised meanwhile is printed at the next start. Ends with Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import io
import sys
from threading import Event

from edge_client.cli.broker_options import add_broker_arguments, broker_of
from edge_client.cli.messages import say
from edge_client.cli.seldom import Seldom

HELP = "print alarms as they are raised"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--prefix", default="ml4iot", help="of the topics (default: %(default)s)")
    parser.add_argument(
        "--topic",
        metavar="FILTER",
        help="another filter (default: <prefix>/devices/+/alarms/+)",
    )
    parser.add_argument(
        "--session",
        metavar="NAME",
        help="under which the broker keeps alarms for this command (default: one for each user "
        "and host); two commands at the same time need two",
    )
    add_broker_arguments(parser)


def run(chosen: argparse.Namespace) -> int:
    """Runs the command; raises :class:`EdgeError` for wrong use and bad input."""
    from edge_client.fleet.topics import Topics
    from edge_client.monitor.alarm import MAX_ALARM_BYTES
    from edge_client.monitor.printer import Printer
    from edge_client.monitor.session import default_session, held
    from edge_client.monitor.topics import check_topic
    from edge_client.mqtt.connection import Connection
    from edge_client.mqtt.messages import Subscription
    from edge_client.run.interrupt import until_interrupted

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # for °C, whatever the terminal says it can
    broker = broker_of(chosen)
    topics = Topics(chosen.prefix)
    topic = check_topic(chosen.topic, "--topic", wildcards=True) if chosen.topic else None
    seldom = Seldom()
    failures: list[OSError] = []
    with (
        until_interrupted() as stop,
        held(chosen.session or default_session(), broker) as client_id,
    ):
        printer = Printer(_show, seldom.say, lambda error: _fail(error, failures, stop))
        connection = Connection(
            broker,
            client_id,
            (Subscription(topic or topics.all_alarms, qos=1),),
            printer,
            MAX_ALARM_BYTES,
            on_ready=lambda: say(f"listens for {topic or topics.all_alarms} (broker {broker})"),
            on_lost=lambda: None if stop.is_set() else say(f"broker {broker}: lost; waiting"),
            on_refused=seldom.say,
            client_id=client_id,
        )
        with connection:
            stop.wait()
    if failures:
        raise failures[0]
    return 0


def _show(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(error: OSError, failures: list[OSError], stop: Event) -> None:
    failures.append(error)
    stop.set()
