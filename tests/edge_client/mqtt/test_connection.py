"""The client of a broker against a real Mosquitto, and against those who are none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import tracemalloc
from contextlib import ExitStack

import pytest

from edge_client.mqtt import connection
from edge_client.mqtt.broker import Broker, BrokerAddress, BrokerError, open_broker
from edge_client.mqtt.connection import Connection
from edge_client.mqtt.messages import Presence, Subscription, Will
from edge_client.mqtt.outbox import MAX_QUEUED
from serving.broker import start_broker
from serving.broker.authority import make_authority
from tests.edge_client.cooperation.proxy import DroppingProxy
from tests.edge_client.waiting import eventually
from tests.serving.broker.operators import LIMIT_S, Heard, Operator, client

# Paho leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")

A = Subscription("a")


def silent_or(answer):
    """A server that is no broker of ours: says nothing, or what is given."""

    def talk(listening):
        client, _ = listening.accept()
        with client:
            client.recv(1000)
            client.sendall(answer)
            client.recv(1000)

    return talk


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "no answer in MQTT within 0.5 s"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", "no answer in MQTT within 0.5 s"),
        (b"\x20\x02\x00\x05", "refused (Not authorized)"),
        (b"\x20\x02\x00\x00\x90\x03\x00\x01\x80", "does not allow our subscriptions"),
    ],
)
def test_somebody_else_on_the_port(monkeypatch, answer, said):
    monkeypatch.setattr(connection, "READY_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=silent_or(answer), args=(listening,))
        thread.start()
        broker = Broker(BrokerAddress("127.0.0.1", listening.getsockname()[1]))
        with pytest.raises(BrokerError) as caught:
            Connection(broker, "test", (A,), lambda _: None, 1000).__enter__()
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert said in str(caught.value)
    assert str(broker) in str(caught.value)


def packet(client):
    """What follows the head of one MQTT packet of less than 128 bytes."""
    return client.recv(client.recv(2)[1])


def test_a_broker_that_refuses_later_is_told_and_asked_again():
    def talk():
        for code in (b"\0", b"\x80", b"\0"):
            client, _ = listening.accept()
            with client:
                packet(client)
                client.sendall(b"\x20\x02\x00\x00")
                client.sendall(b"\x90\x03" + packet(client)[:2] + code)
                if code == b"\x80":
                    client.recv(100)  # until it gives up
                elif said:
                    done.wait(LIMIT_S)

    said, done = [], threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=talk)
        thread.start()
        broker = Broker(BrokerAddress("127.0.0.1", listening.getsockname()[1]))
        made = Connection(broker, "t", (A,), lambda _: None, 99, on_refused=said.append)
        with made:
            eventually(lambda: made.sessions == 2 and made.ready)
            assert ["does not allow our subscriptions" in str(each) for each in said] == [True]
            assert made.refused == ""
            done.set()
        thread.join(LIMIT_S)


def test_a_huge_message_costs_neither_memory_nor_the_connection():
    """It may be retained: then it would come again after every start."""
    piece = bytes(2**20)
    acknowledged = []

    def talk():
        client, _ = listening.accept()
        with client:
            packet(client)
            client.sendall(b"\x20\x02\x00\x00")
            client.sendall(b"\x90\x03" + packet(client)[:2] + b"\0")
            # QoS 1, 32 MiB behind the topic "a" and the identifier 7.
            client.sendall(b"\x32\x85\x80\x80\x10\x00\x01a\x00\x07")
            for _ in range(32):
                client.sendall(piece)
            acknowledged.append(packet(client))
            client.sendall(b"\x30\x04\x00\x01aX")
            client.recv(100)

    heard = Heard()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=talk)
        thread.start()
        broker = Broker(BrokerAddress("127.0.0.1", listening.getsockname()[1]))
        tracemalloc.start()
        try:
            with client(broker, "a", heard=heard) as made:
                eventually(lambda: ("a", b"X") in heard)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        thread.join(LIMIT_S)
    assert acknowledged == [b"\x00\x07"]
    assert (made.too_large, len(heard.all)) == (1, 1)
    assert peak < 8 * 2**20


@pytest.fixture(scope="module")
def plain(mosquitto):
    with start_broker(backend="mosquitto") as broker:
        yield open_broker(broker.address)


@pytest.fixture(scope="module")
def operator(mosquitto, tmp_path_factory):
    made = Operator(tmp_path_factory.mktemp("operator") / "broker")
    made.folder.add(["kitchen", "hall"], "device")
    made.folder.add(["anna"], "reader")
    with made.running():
        yield made


def test_it_hears_what_it_asked_for(plain):
    heard = Heard()
    with client(plain, "one/#", "two", heard=heard) as made, client(plain) as other:
        assert made.ready and other.ready
        assert other.publish("one/x", b"1")
        assert other.publish("two", b"2", qos=1)
        assert other.publish("two", b"3" * 1001, qos=1)
        assert other.publish("two", b"4", qos=1)
        assert other.flush(LIMIT_S)
        eventually(lambda: ("two", b"4") in heard and ("one/x", b"1") in heard)
        assert len(heard.all) == 3
        assert made.too_large == 1


@pytest.mark.parametrize("lost", [False, True])
def test_a_will_is_said_however_a_client_goes(plain, lost):
    heard, topic = Heard(), f"will/{lost}"
    with client(plain, "will/#", heard=heard), ExitStack() as wire, ExitStack() as stay:
        door = wire.enter_context(DroppingProxy(plain, share=0))
        going = stay.enter_context(client(door.broker, will=Will(topic, b"gone")))
        going.publish(topic, b"here", qos=1, retain=True)
        eventually(lambda: (topic, b"here") in heard)
        (wire if lost else stay).close()
        eventually(lambda: (topic, b"gone") in heard)
        late = Heard()
        with client(plain, topic, heard=late):
            eventually(lambda: (topic, b"gone") in late)  # retained


def test_a_client_has_one_will(plain):
    with pytest.raises(ValueError, match="one will"):
        client(plain, will=Will("a", b""), presence=Presence("a", b""))


def test_tls_and_a_password(operator):
    heard = Heard()
    with (
        client(operator.as_user("anna"), "ml4iot/devices/#", heard=heard),
        client(operator.as_user("kitchen", "localhost")) as made,
    ):
        assert made.publish("ml4iot/devices/kitchen/status", b"here", qos=1)
        eventually(lambda: ("ml4iot/devices/kitchen/status", b"here") in heard)


def refused(broker, **options):
    with pytest.raises(BrokerError) as caught:
        client(broker, **options).__enter__()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_who_is_refused_is_told_why(operator, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "READY_TIMEOUT_S", 0.5)
    address, ca = f"127.0.0.1:{operator.port}", operator.folder.ca
    guess, password = tmp_path / "guess", operator.folder.path / "credentials/hall.password"
    guess.write_text("guess")
    assert "Not authorized" in refused(open_broker(address, ca, "kitchen", guess))
    assert "Not authorized" in refused(open_broker(address, ca, "kitchen", password))
    assert "no answer in MQTT" in refused(open_broker(address, None, "hall", password))


def test_a_broker_nobody_vouches_for_gets_no_password(operator, plain, tmp_path):
    address, password = f"127.0.0.1:{operator.port}", tmp_path / "password"
    password.write_text("secret")
    other = tmp_path / "ca.crt"
    other.write_bytes(make_authority("somebody else").certificate)
    said = refused(open_broker(address, other, "kitchen", password))
    assert f"{other} does not vouch for it" in said
    without = open_broker(str(plain), operator.folder.ca, "kitchen", password)
    assert str(plain) in refused(without)


def test_a_broker_of_another_name_is_not_the_one(operator):
    """Whoever has the key of one host cannot stand in for another."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(operator.folder.path / "server.pem")

    def greet():
        with contextlib.suppress(OSError), listening.accept()[0] as found:
            server.wrap_socket(found, server_side=True).close()

    with socket.create_server(("127.0.0.2", 0)) as listening:
        thread = threading.Thread(target=greet)
        thread.start()
        port = listening.getsockname()[1]
        assert "IP address mismatch" in refused(
            Broker(BrokerAddress("127.0.0.2", port), operator.folder.ca)
        )
        thread.join(LIMIT_S)


def test_a_file_that_is_no_ca(plain, tmp_path):
    broker = Broker(plain.address, tmp_path / "none")
    with pytest.raises(BrokerError, match="cannot be read"):
        client(broker)
    (tmp_path / "none").write_text("no certificate")
    with pytest.raises(BrokerError, match="no certificate of a CA"):
        client(broker)


def test_a_restart_costs_no_message_of_qos_1(mosquitto, tmp_path):
    """What is said while the broker is away, and what is said while a listener is away."""
    operator, heard, topic = (
        Operator(tmp_path / "broker"),
        Heard(),
        "ml4iot/devices/kitchen/alarms/T",
    )
    operator.folder.add(["kitchen"], "device")
    operator.folder.add(["anna"], "reader")
    said = [b"%d" % number for number in range(60)]
    lost = threading.Event()
    anna = operator.as_user("anna")
    with ExitStack() as stack:
        with operator.running():
            alarms = stack.enter_context(
                client(operator.as_user("kitchen"), client_id="kitchen", on_lost=lost.set)
            )
            with client(anna, topic, client_id="anna"):
                pass  # asked once, and gone
            for each in said[:20]:
                assert alarms.publish(topic, each, qos=1)
            assert alarms.flush(LIMIT_S)
        assert lost.wait(LIMIT_S)
        for each in said[20:40]:
            assert alarms.publish(topic, each, qos=1)
        assert not alarms.publish(topic, b"of no importance")
        assert not alarms.flush(0.0)
        with operator.running():
            assert alarms.flush(LIMIT_S)
            for each in said[40:]:
                assert alarms.publish(topic, each, qos=1)
            assert alarms.flush(LIMIT_S)
            with client(anna, topic, heard=heard, client_id="anna"):
                eventually(lambda: len(heard.all) >= len(said))
    assert [payload for _, payload in heard.all] == said


def test_what_waits_for_a_broker_is_bounded():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with client(Broker(BrokerAddress("127.0.0.1", port)), patient=True) as made:
        taken = [made.publish("a", b"", qos=1) for _ in range(MAX_QUEUED + 10)]
        assert taken == [True] * MAX_QUEUED + [False] * 10
        assert not made.ready


def test_a_patient_client_waits_for_the_broker(mosquitto, tmp_path, monkeypatch):
    """Through a time in which there is none, and one in which it is not known there."""
    monkeypatch.setattr(connection, "BACK_OFF_S", (1, 1))
    operator, heard, ready, refusals = Operator(tmp_path / "broker"), Heard(), [], []
    operator.folder.add(["kitchen"], "device")
    users = operator.folder.path / "users.json"
    known, broker, topic = users.read_bytes(), operator.as_user("kitchen"), "ml4iot/models/kws/a"
    operator.folder.remove("kitchen", "device")
    told = {"on_ready": lambda: ready.append(1), "on_refused": refusals.append}
    with client(broker, topic, heard=heard, patient=True, **told) as made:
        assert not made.ready
        with operator.running():
            eventually(lambda: any("Not authorized" in str(each) for each in refusals))
            users.write_bytes(known)
            operator.folder.write_for_mosquitto()
            with client(operator.as_user("registry")) as registry:
                registry.publish(topic, b"1", qos=1, retain=True)
            eventually(lambda: (topic, b"1") in heard)
            assert made.ready and made.refused == ""
        assert len(ready) == 1


def test_a_patient_client_says_that_it_trusts_nobody_there(operator, tmp_path):
    (tmp_path / "ca.crt").write_bytes(make_authority("somebody else").certificate)
    refusals = []
    broker = Broker(BrokerAddress("127.0.0.1", operator.port), tmp_path / "ca.crt")
    with client(broker, patient=True, on_refused=refusals.append):
        eventually(lambda: refusals)
    assert "does not vouch for it" in str(refusals[0])


def test_a_name_no_host_can_have_is_told_before_any_patience():
    with pytest.raises(BrokerError, match="no name that a host can have"):
        client(Broker(BrokerAddress("a..b")), patient=True).__enter__()
