"""Watch temperature and humidity, and raise alarms over MQTT where they come unforeseen.

Every --interval both are read; once the model's window is full (six samples), each further sample
is compared with what was forecast for it. An absolute error above the threshold is published as an
alarm, in SenML at QoS 1, and kept while the broker is away. A sample that is missing begins a new
window. ml4iot-edge alarms prints what is published.

MODEL is a bundle that forecasts temperature and humidity, the name of an installed model, or a
plain TFLite model of 1x6x2 or 1x12 inputs, temperature first, to 1x2 or 1xNx2 outputs in °C and %.
The inputs of a plain model are standardised with --mean and --deviation; the defaults are those the
coursework publishes for Jena's records.

Topics: <prefix>/devices/<device>/alarms/<quantity>, .../readings (each sample, QoS 0) and
.../monitor (retained: online or offline). Home Assistant finds both sensors by itself.
An enrolled device needs no --broker: it speaks to its fleet's.
Nothing is written to standard output.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge_client.cli.broker_options import add_broker_arguments, broker_of
from edge_client.cli.messages import native_silence, say
from edge_client.cli.models import Maker, add_home_argument, open_model
from edge_client.cli.numbers import number
from edge_client.cli.seldom import Seldom
from edge_client.errors import EdgeError
from edge_client.monitor.constants import JENA_DEVIATION, JENA_MEAN

if TYPE_CHECKING:
    from edge_client.features.spec import Standardisation
    from edge_client.monitor.forecaster import Forecaster
    from edge_client.monitor.loop import Monitor
    from edge_client.monitor.topics import MonitorTopics
    from edge_client.mqtt.broker import Broker

HELP = "raise alarms about temperature and humidity"

# What a DHT-11 itself may be off by.
_TEMPERATURE, _HUMIDITY = 2.0, 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("model", metavar="MODEL", help="a .bundle, an installed model, a .tflite")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--sensor",
        metavar="dht11:GPIOn",
        help='a DHT-11 and its pin, such as dht11:GPIO4 (needs pip install "ml4iot-edge[dht]")',
    )
    source.add_argument(
        "--replay",
        type=Path,
        metavar="FILE.csv",
        help="records in place of a sensor, plain or zipped, one for each interval: columns "
        "T (degC) or T, rh (%%) or RH, and a time",
    )
    parser.add_argument(
        "--interval",
        type=number(0.01, 86400, "number of seconds"),
        default=1.0,
        metavar="S",
        help="seconds from one sample to the next (0.01 to 86400, default: %(default)g)",
    )
    parser.add_argument(
        "--temperature-threshold",
        type=float,
        default=_TEMPERATURE,
        metavar="C",
        help="absolute error in °C above which there is an alarm (default: %(default)g)",
    )
    parser.add_argument(
        "--humidity-threshold",
        type=float,
        default=_HUMIDITY,
        metavar="RH",
        help="the same in %% of relative humidity (default: %(default)g)",
    )
    parser.add_argument(
        "--step",
        type=int,
        default=1,
        metavar="N",
        help="which step of each forecast is compared (default: %(default)s, the next sample)",
    )
    for option, default, what in (
        ("--mean", JENA_MEAN, "means"),
        ("--deviation", JENA_DEVIATION, "standard deviations"),
    ):
        parser.add_argument(
            option,
            metavar="T,RH",
            default="{},{}".format(*default),
            help=f"{what} by which a plain model's inputs are standardised (default: %(default)s)",
        )
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="who measures (default: as it is enrolled, or else the host's name)",
    )
    parser.add_argument(
        "--prefix", default="", help="of the topics (default: as it is enrolled, or else ml4iot)"
    )
    parser.add_argument(
        "--alarm-topic",
        default="",
        metavar="TOPIC",
        help="another topic for alarms, in which {device} and {quantity} stand for their names",
    )
    parser.add_argument(
        "--readings-topic", default="", metavar="TOPIC", help="another topic for the samples"
    )
    parser.add_argument(
        "--home-assistant",
        default="homeassistant",
        metavar="PREFIX",
        help="of its discovery (default: %(default)s; '' for none)",
    )
    parser.add_argument("--summary", type=Path, metavar="FILE.json", help="write counts at the end")
    add_home_argument(parser)
    add_broker_arguments(parser, required=False)


def run(chosen: argparse.Namespace) -> int:
    """Runs the command; raises :class:`EdgeError` for wrong use and bad input."""
    from edge_client.monitor.forecaster import of_plain, read_plain

    place = _place(chosen)
    standardisation = _standardisation(chosen)
    plain = read_plain(Path(chosen.model))
    if plain is not None:
        with native_silence():
            forecaster = of_plain(plain, chosen.model, standardisation)
        return _watch(chosen, place, forecaster, lambda: None)
    with open_model(chosen.model, chosen.home, lambda maker: _load(maker, chosen.step)) as model:

        def follow() -> Forecaster | None:
            return model.predictor if model.follow() else None

        return _watch(chosen, place, model.predictor, follow)


def _load(maker: Maker, step: int) -> Forecaster:
    from edge_client.monitor.forecaster import of_bundle
    from edge_client.monitor.watch import check_step

    forecaster = of_bundle(maker.bundle, maker.any(), maker.name)
    check_step(step, forecaster)
    return forecaster


def _watch(
    chosen: argparse.Namespace,
    place: _Place,
    forecaster: Forecaster,
    follow: Callable[[], Forecaster | None],
) -> int:
    from edge_client.monitor.alarm import Thresholds
    from edge_client.monitor.watch import Setup, open_sensor, watch
    from edge_client.run.interrupt import until_interrupted
    from edge_client.run.report import write_report

    thresholds = Thresholds(chosen.temperature_threshold, chosen.humidity_threshold)
    setup = Setup(
        forecaster,
        open_sensor(chosen.sensor, chosen.replay),
        thresholds,
        place.broker,
        place.topics,
        chosen.interval,
        chosen.step,
        chosen.home_assistant,
        follow,
    )

    def began(monitor: Monitor) -> None:
        say(
            f"{place.topics.device} watches {setup.sensor.name} every {setup.interval_s:g} s with "
            f"{forecaster.name}; alarms above {thresholds.temperature:g} °C and "
            f"{thresholds.humidity:g} % go to {place.topics.alarm('temperature')} and the like "
            f"(broker {place.broker})"
        )

    with until_interrupted() as stop:
        tally = watch(setup, stop, Seldom().say, began)
    say(tally.line())
    if chosen.summary:
        write_report(chosen.summary, tally.to_json())
    return 0


class _Place(NamedTuple):
    """Who measures, and whom it tells."""

    broker: Broker
    topics: MonitorTopics


def _place(chosen: argparse.Namespace) -> _Place:
    """As the options say, or else as the device was enrolled."""
    from edge_client.fleet.enrolment import read_enrolment
    from edge_client.fleet.installed.home import Home, default_home
    from edge_client.fleet.topics import DEFAULT_PREFIX, Topics
    from edge_client.monitor.device import device_name
    from edge_client.monitor.topics import MonitorTopics, check_topic

    home = Home(chosen.home or default_home())
    enrolment = read_enrolment(home) if home.enrolment.exists() else None
    known = enrolment.broker if enrolment else None
    told = (
        chosen.broker,
        chosen.broker_ca,
        chosen.broker_user,
        chosen.broker_password_file,
    )
    broker = known.open() if known and not any(told) else broker_of(chosen)
    if chosen.home_assistant:
        check_topic(chosen.home_assistant, "--home-assistant")
    topics = MonitorTopics(
        Topics(chosen.prefix or (known.prefix if known else DEFAULT_PREFIX)),
        chosen.device or (enrolment.device if enrolment else device_name()),
        chosen.alarm_topic,
        chosen.readings_topic,
    )
    return _Place(broker, topics)


def _standardisation(chosen: argparse.Namespace) -> Standardisation:
    from edge_client.features.spec import SpecError, Standardisation

    try:
        return Standardisation(_pair(chosen.mean, "--mean"), _pair(chosen.deviation, "--deviation"))
    except SpecError as error:
        raise EdgeError(f"--mean and --deviation: {error}") from None


def _pair(text: str, option: str) -> tuple[float, float]:
    try:
        temperature, humidity = map(float, text.split(","))
    except ValueError:
        raise EdgeError(f"{option} {text[:40]!r}: two numbers and a comma are wanted") from None
    return temperature, humidity
