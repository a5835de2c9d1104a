"""Bring the models of this device to what their channels offer.

Only what is signed under the root this device was enrolled with is taken; it is tried out on the
device first, and what was there before is kept to go back to. A version that failed here is not
tried again before another was offered, unless --retry says so. One line for each model on standard
output says what it is by now; one on standard error, why it is not what it should be.

Exit status: 0 when every model is what its channel offers, 2 when one is not.

With --watch it does not end: it updates at once when the broker announces a version, asks the
registry by and by where there is no broker, goes back from a model that fails in use, and reports
over MQTT. The repository's edge_client/systemd/ml4iot-edge.service runs it under systemd.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edge_client.cli.messages import say
from edge_client.cli.models import add_home_argument
from edge_client.cli.status_line import StatusLine

if TYPE_CHECKING:
    from edge_client.fleet.update.updater import Outcome, Progress

HELP = "update the installed models"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--watch", action="store_true", help="stay, and update when it is time")
    parser.add_argument(
        "--retry", action="store_true", help="try versions again that have failed on this device"
    )
    add_home_argument(parser)


def run(chosen: argparse.Namespace) -> int:
    """Runs the command."""
    from edge_client.errors import EdgeError
    from edge_client.fleet.enrolment import read_enrolment
    from edge_client.fleet.installed.home import Home, default_home
    from edge_client.fleet.installed.slots import Slots
    from edge_client.fleet.update.updater import Updater

    home = Home(chosen.home or default_home())
    enrolment = read_enrolment(home)
    if chosen.retry:
        for each in enrolment.models:
            try:
                Slots(home, each.model).journal.change(lambda state: state.retrying())
            except OSError as error:
                raise EdgeError(f"{home.path}: cannot be written: {error.strerror}") from None
    if chosen.watch:
        from edge_client.fleet.service.watch import Watch
        from edge_client.run.interrupt import until_interrupted

        with until_interrupted() as stop:
            Watch(enrolment, home, say).run(stop)
        return 0
    status = 0
    drawing = StatusLine(every_s=0.2)

    def show(progress: Progress) -> None:
        drawing.show(lambda: _how_far(progress))

    with Updater(enrolment, home, show) as updater:
        for each in enrolment.models:
            try:
                outcome = updater.update(each.model)
            except EdgeError as error:
                drawing.clear()
                say(f"{each.model}: {error}")
                status = 2
                continue
            drawing.clear()
            print(_told(outcome), flush=True)
            if not outcome.current:
                say(f"{each.model}: {outcome.text}")
                status = 2
    return status


def _told(outcome: Outcome) -> str:
    model, wanted = f"{outcome.model}:", outcome.wanted
    has = outcome.active.version if outcome.active else "none"
    if outcome.state == "idle":
        return f"{model} {has}; {outcome.channel} offers nothing"
    if not outcome.current:
        what = f"version {wanted}" if wanted else f"what {outcome.channel} offers"
        return (
            f"{model} {has} stays; {what} is {outcome.state.replace('_', ' ')} ({outcome.reason})"
        )
    if outcome.before == wanted:
        return f"{model} {has}, as {outcome.channel} offers"
    return f"{model} {has} is active, instead of {outcome.before or 'none'}"


def _how_far(progress: Progress) -> str:
    text = f"{progress.model} {progress.wanted}: {progress.state}"
    if progress.state != "downloading":
        return text
    filled = round(20 * progress.progress)
    return f"{text} [{'#' * filled}{'.' * (20 - filled)}] {progress.progress:.0%}"
