"""Who may do what on the operator's broker: a real Mosquitto, and where there is none."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from edge_client.mqtt.broker import BrokerError, open_broker
from edge_client.mqtt.messages import Will
from serving.broker import authority
from tests.edge_client.waiting import eventually
from tests.serving.broker.operators import COMMAND, LIMIT_S, Heard, Operator, client

ALL = ("ml4iot/#", "homeassistant/#")


@pytest.fixture(scope="module")
def operator(mosquitto, tmp_path_factory):
    made = Operator(tmp_path_factory.mktemp("operator") / "broker")
    made.folder.add(["kitchen", "hall"], "device")
    made.folder.add(["voice"], "device", cooperates=True)
    made.folder.add(["anna"], "reader")
    with made.running():
        yield made


def heard_of(operator, listener, speaker, topics, retain=False):
    """Which of the topics come through from one user to another."""
    heard, witness = Heard(), Heard()
    models = "ml4iot/models/last/last"
    last = models if speaker == "registry" else f"ml4iot/devices/{speaker}/last"
    payload = secrets.token_bytes(8)  # told from what others have left there
    with (
        client(operator.as_user(listener), *ALL, heard=heard),
        client(operator.as_user("anna"), *ALL, heard=witness),
        client(operator.as_user(speaker)) as speaking,
        client(operator.as_user("registry")) as registry,
    ):
        for topic in topics:
            assert speaking.publish(topic, payload, qos=1, retain=retain)
        # Mosquitto deals with one message after another: with the last that the listener may hear,
        # all before have come, or never do.
        assert speaking.publish(last, payload, qos=1)
        eventually(lambda: (last, payload) in witness)
        assert registry.publish(models, payload, qos=1)
        eventually(lambda: (models, payload) in heard)
    return {topic for topic, said in heard.all if said == payload} - {last, models}


def test_a_device_writes_its_own_topics_and_no_other(operator):
    own = {
        "ml4iot/devices/kitchen/status",
        "ml4iot/devices/kitchen/alarms/temperature",
        "ml4iot/devices/kitchen/models/kws",
        "homeassistant/sensor/kitchen/temperature/config",
    }
    foreign = {
        "ml4iot/devices/hall/status",
        "ml4iot/devices/hall/alarms/temperature",
        "ml4iot/devices/kitchen2/status",
        "ml4iot/devices",
        "ml4iot/models/kws/stable",
        "ml4iot/audio/1",
        "ml4iot/prediction/1",
        "ml4iot/node/kitchen",
        "ml4iot/node/hall",
        "homeassistant/sensor/hall/temperature/config",
        "homeassistant/status",
        "ml4iot",
    }
    assert heard_of(operator, "anna", "kitchen", [*foreign, *own]) == own


def test_a_device_hears_of_models_and_of_itself_only(operator):
    """Not what others say now, and not what they have left there."""
    topics = ["ml4iot/devices/hall/alarms/temperature", "ml4iot/devices/hall/status"]
    assert heard_of(operator, "kitchen", "hall", topics, retain=True) == set()
    announced = {"ml4iot/models/kws/stable"}
    assert heard_of(operator, "kitchen", "registry", announced, retain=True) == announced
    late, last = Heard(), ("ml4iot/devices/kitchen/last", b"x")
    with client(operator.as_user("kitchen"), *ALL, heard=late) as made:
        assert made.publish(*last, qos=1)
        eventually(lambda: last in late)
    assert "ml4iot/models/kws/stable" in {topic for topic, _ in late.all}
    assert not [topic for topic, _ in late.all if "hall" in topic]


def test_the_registry_hears_the_devices_and_writes_the_models(operator):
    status = "ml4iot/devices/hall/status"
    assert heard_of(operator, "registry", "hall", [status]) == {status}
    models = "ml4iot/models/kws/canary"
    spoken = [models, status, "homeassistant/sensor/hall/t/config", "ml4iot/audio/1"]
    assert heard_of(operator, "anna", "registry", spoken) == {models}


def test_a_reader_says_nothing_but_that_home_assistant_is_there(operator):
    said, payload = Heard(), secrets.token_bytes(8)
    topics = ["ml4iot/devices/hall/status", "ml4iot/models/kws/stable", "ml4iot/node/anna"]
    topics.append("ml4iot/devices/anna/status")  # or it would count in a rollout
    with client(operator.as_user("anna"), *ALL, heard=said) as anna:
        for topic in topics:
            assert anna.publish(topic, payload, qos=1)
        assert anna.publish("homeassistant/status", payload, qos=1)
        eventually(lambda: ("homeassistant/status", payload) in said)
    assert [topic for topic, what in said.all if what == payload] == ["homeassistant/status"]


def test_who_cooperates_shares_the_clips_but_not_its_presence(operator):
    shared = {"ml4iot/audio/1", "ml4iot/prediction/1", "ml4iot/node/voice"}
    others = ["ml4iot/node/kitchen", "ml4iot/devices/kitchen/status", "ml4iot/models/kws/stable"]
    assert heard_of(operator, "anna", "voice", [*others, *shared]) == shared


def test_nobody_throws_another_out_by_taking_its_id(operator):
    heard, missed, lost = Heard(), Heard(), []
    topic, name = "ml4iot/devices/kitchen/last", "ml4iot-kitchen"
    kitchen = operator.as_user("kitchen")
    will = Will("ml4iot/devices/kitchen/status", b"gone")
    lasting = {"client_id": name, "will": will, "on_lost": lambda: lost.append(1)}
    with client(operator.as_user("anna"), "ml4iot/#", heard=heard):
        with client(kitchen, topic, **lasting) as there:
            with client(operator.as_user("hall"), client_id=name) as hall:
                assert hall.publish("ml4iot/devices/hall/status", b"here", qos=1)
                eventually(lambda: ("ml4iot/devices/hall/status", b"here") in heard)
            assert there.publish(topic, b"here", qos=1)
            eventually(lambda: (topic, b"here") in heard)
            assert not lost and ("ml4iot/devices/kitchen/status", b"gone") not in heard
        with client(kitchen) as other:  # while the first is gone
            assert other.publish(topic, b"kept", qos=1)
            eventually(lambda: (topic, b"kept") in heard)
        with client(kitchen, topic, heard=missed, client_id=name):
            eventually(lambda: (topic, b"kept") in missed)


def test_nobody_else_comes_in(operator, tmp_path):
    address, ca = f"127.0.0.1:{operator.port}", operator.folder.ca
    with pytest.raises(BrokerError, match="Not authorized"):
        client(open_broker(address, ca)).__enter__()
    (tmp_path / "empty").write_text("x")
    with pytest.raises(BrokerError, match="Not authorized"):
        client(open_broker(address, ca, "registry", tmp_path / "empty")).__enter__()


def test_changes_of_users_are_taken_over_while_it_runs(mosquitto, tmp_path):
    operator = Operator(tmp_path / "broker")
    operator.folder.add(["kitchen", "hall"], "device")
    old, hall = operator.as_user("kitchen"), operator.as_user("hall")
    lost = []
    with operator.running():
        with client(hall, on_lost=lambda: lost.append(1)), client(old):
            operator.folder.new_password("kitchen")
            operator.folder.remove("hall", "device")
            eventually(lambda: lost)  # thrown out, though it was in
        for gone in (old, hall):
            with pytest.raises(BrokerError, match="Not authorized"):
                client(gone).__enter__()
        with client(operator.as_user("kitchen")) as made:
            assert made.ready
        done = subprocess.run(
            [*COMMAND, "device", "add", str(operator.folder.path), "attic"],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        assert done.stdout == f"{operator.folder.path}/credentials/attic.password\n"
        eventually(lambda: comes_in(operator.as_user("attic")))


def comes_in(broker):
    try:
        with client(broker) as made:
            return made.ready
    except BrokerError:
        return False


def test_another_certificate_is_taken_over_while_it_runs(mosquitto, tmp_path):
    operator = Operator(tmp_path / "broker")
    with operator.running():
        before = certificate(operator.port)
        operator.folder.renew()
        eventually(lambda: certificate(operator.port) != before)
        with client(operator.as_user("registry", "localhost")) as made:
            assert made.ready


def test_a_certificate_near_its_end_is_said_while_it_runs(mosquitto, tmp_path, monkeypatch):
    monkeypatch.setattr(authority, "SERVER_LIFE", timedelta(days=9))
    operator = Operator(tmp_path / "broker")
    with operator.running():
        eventually(lambda: any("server.pem: expires on" in line for line in operator.errors))


def certificate(port):
    import ssl

    return ssl.get_server_certificate(("127.0.0.1", port), timeout=LIMIT_S)


def test_without_mosquitto_the_embedded_broker_stands_in(tmp_path, monkeypatch):
    """With the same users and rights, and a word of warning."""
    program = (
        "import sys\nfrom serving.broker import local\nlocal._ELSEWHERE = ()\n"
        "from serving.broker.command import main\nsys.exit(main(sys.argv[1:]))"
    )
    from tests.serving.broker import operators

    monkeypatch.setattr(operators, "COMMAND", (sys.executable, "-c", program))
    operator = Operator(tmp_path / "broker")
    operator.folder.add(["kitchen", "hall"], "device")
    operator.folder.add(["anna"], "reader")
    heard, other = Heard(), Heard()
    with operator.running(env={**os.environ, "PATH": "", "PYTHONWARNINGS": "ignore"}):
        assert operator.line.startswith("embedded broker (amqtt) listens at")
        with pytest.raises(BrokerError, match="Not authorized"):
            client(open_broker(f"127.0.0.1:{operator.port}", operator.folder.ca)).__enter__()
        with pytest.raises(BrokerError, match="does not allow our subscriptions"):
            client(operator.as_user("kitchen"), "ml4iot/devices/hall/#").__enter__()
        with (
            client(operator.as_user("anna"), "ml4iot/devices/#", heard=heard),
            client(operator.as_user("hall"), "ml4iot/models/#", heard=other),
            client(operator.as_user("kitchen")) as made,
        ):
            made.publish("ml4iot/devices/hall/status", b"x", qos=1)
            made.publish("ml4iot/models/kws/stable", b"x", qos=1)
            made.publish("ml4iot/devices/kitchen/status", b"x", qos=1)
            eventually(lambda: heard.all)
        assert heard.all == [("ml4iot/devices/kitchen/status", b"x")]
        assert other.all == []
    assert any("an embedded broker stands in" in line for line in operator.errors)


def test_it_does_not_start_where_it_cannot(mosquitto, tmp_path):
    operator = Operator(tmp_path / "broker")
    with operator.running():
        again = run("run", operator.folder.path)
        assert (again.returncode, again.stdout) == (2, "")
        assert f"port {operator.port} on 127.0.0.1 is in use" in again.stderr
    with (operator.folder.path / "mosquitto.conf").open("a") as file:
        file.write("no_such_setting true\n")
    faulty = run("run", operator.folder.path)
    assert faulty.returncode == 2
    assert "no_such_setting" in faulty.stderr  # Mosquitto's own word
    assert faulty.stderr.splitlines()[-1].startswith("ml4iot-broker: mosquitto does not start")


def test_ctrl_c_ends_it(mosquitto, tmp_path):
    operator = Operator(tmp_path / "broker")
    with subprocess.Popen(
        [*COMMAND, "run", str(operator.folder.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert "listens at" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
    assert (operator.folder.path / "data" / "mosquitto.db").is_file()


def run(*arguments):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
