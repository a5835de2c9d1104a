"""Says over MQTT what a monitoring measures, and what it raises alarms about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_client.fleet.home_assistant import discovery, quantity
from edge_client.monitor.alarm import Alarm, rounded, senml_time
from edge_client.monitor.quantities import MONITORED
from edge_client.monitor.sensor import Sample
from edge_client.monitor.topics import MonitorTopics
from edge_client.mqtt.broker import Broker, BrokerError
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Will
from edge_client.senml import Form, Record, write

LEAVE_S = 5.0  # that the last alarms have to get through
_ONLINE, _OFFLINE = b"online", b"offline"


class Publisher:
    """One device's monitoring at a broker.

    Readings are said at QoS 0: the next one follows. Alarms are said at QoS 1 and kept while the
    broker is away, up to :data:`~edge_client.mqtt.outbox.MAX_QUEUED` of them.
    """

    def __init__(
        self,
        broker: Broker,
        topics: MonitorTopics,
        home_assistant: str,
        tell: Callable[[BrokerError], None],
    ) -> None:
        """Connects nothing yet; see :meth:`__enter__`.

        Args:
            broker: where.
            topics: of the device.
            home_assistant: prefix of its discovery; empty where it is not to find the sensors.
            tell: called on another thread when the broker is lost, is not there, or is there but
                does not want us.
        """
        self.unsaid = 0  # when it was left: alarms that the broker does not have
        self._topics = topics
        self._home_assistant = home_assistant
        self._tell = tell
        self._leaving = False
        self._connection = Connection(
            broker,
            "ml4iot-monitor",
            (),
            lambda said: None,  # to no subscription nothing is said
            0,
            will=Will(topics.presence, _OFFLINE),
            on_ready=self._introduce,
            on_lost=self._lost,
            on_refused=tell,
            patient=True,
        )

    def __enter__(self) -> Publisher:
        """Begins to connect; a broker that is away is waited for while samples are taken.

        Raises:
            BrokerError: a name that no host can have.
        """
        self._connection.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.flush(LEAVE_S if self._connection.ready else 0)
        self.unsaid = self._connection.unacknowledged
        self._leaving = True
        self._connection.__exit__(*exception)

    def sample(self, sample: Sample) -> None:
        """Says what was measured, where nothing is missing."""
        if not sample.whole:
            return
        base, moment = f"{self._topics.device}/", senml_time(sample.time)
        records = [
            Record(base + each.name, moment, each.unit, rounded(value))
            for each, value in zip(MONITORED, sample.values, strict=True)
        ]
        self._connection.publish(self._topics.reading, write(records, Form.JSON, base))

    def alarm(self, alarm: Alarm) -> bool:
        """Sees to it that an alarm is said; whether there was room for it."""
        topic = self._topics.alarm(alarm.quantity.name)
        return self._connection.publish(topic, alarm.serialise(), qos=1)

    def _lost(self) -> None:
        if not self._leaving:
            broker = self._connection.broker
            self._tell(BrokerError(f"broker {broker}: lost; alarms wait until it is back"))

    def _introduce(self) -> None:
        topics = self._topics
        if self._home_assistant:
            available = {
                "availability_topic": topics.presence,
                "availability_template": "{{ value }}",
            }
            for position, each in enumerate(MONITORED):
                value = f"{{{{ value_json[{position}].v }}}}"
                sensor = quantity(each.name, each.unit, topics.reading, value)
                # The monitoring may run where no service reports the device's status.
                sensor = replace(sensor, attributes={**sensor.attributes, **available})
                config, content = discovery(
                    sensor, topics.device, topics.fleet, self._home_assistant
                )
                self._connection.publish(config, content, retain=True)
        # QoS 0: there need be no room among waiting alarms, and the next session says it again.
        self._connection.publish(topics.presence, _ONLINE, retain=True)
