"""How a broker is named: address, CA, user and password."""

from __future__ import annotations

import argparse
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.cli.broker_options import add_broker_arguments, broker_of
from edge_client.cli.parser import OneLineParser
from edge_client.mqtt.broker import (
    MAX_PASSWORD_BYTES,
    Broker,
    BrokerAddress,
    BrokerError,
    Credentials,
    open_broker,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("pi.local", "pi.local", 1883),
        ("10.0.0.1:8883", "10.0.0.1", 8883),
        ("[::1]", "::1", 1883),
        ("[fe80::1]:99", "fe80::1", 99),
    ],
)
def test_addresses(text, host, port):
    address = BrokerAddress.parse(text)
    assert (address.host, address.port) == (host, port)
    assert BrokerAddress.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", ":1", "a:0", "a:70000", "a:b", "::1", "mqtt://a", "a b:1"])
def test_addresses_that_are_none(text):
    with pytest.raises(BrokerError, match="HOST or HOST:PORT is wanted"):
        BrokerAddress.parse(text)


@given(st.text())
def test_no_text_is_more_than_refused(text):
    with contextlib.suppress(BrokerError):
        address = BrokerAddress.parse(text)
        assert BrokerAddress.parse(str(address)) == address


def parsed(*arguments, required=True):
    parser = OneLineParser("test")
    add_broker_arguments(parser, required)
    return parser.parse_args(list(arguments))


def test_the_options_name_a_broker(tmp_path):
    password = tmp_path / "password"
    password.write_text("very secret\n")
    plain = broker_of(parsed("--broker", "pi.local"))
    assert plain == Broker(BrokerAddress("pi.local", 1883))
    secured = ("--broker", "pi.local", "--broker-ca", "ca.pem")
    who = ("--broker-user", "kitchen", "--broker-password-file", str(password))
    named = broker_of(parsed(*secured, *who))
    assert (named.address.port, str(named.ca)) == (8883, "ca.pem")
    assert named.credentials == Credentials("kitchen", "very secret")
    assert "very secret" not in repr(named)


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(BrokerError, match="name one with --broker"):
        broker_of(parsed(required=False))
    with pytest.raises(SystemExit):
        parsed()
    with pytest.raises(BrokerError, match="go together"):
        open_broker("pi.local", username="kitchen")
    with pytest.raises(BrokerError, match="go together"):
        open_broker("pi.local", password_file=tmp_path)
    with pytest.raises(BrokerError, match="no such file"):
        open_broker("pi.local", username="kitchen", password_file=tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff", b"a" * (MAX_PASSWORD_BYTES + 1)])
def test_a_file_that_holds_no_password(tmp_path, content):
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(BrokerError, match="one line with a password is wanted"):
        open_broker("pi.local", username="kitchen", password_file=tmp_path / "password")


def test_help_says_what_is_in_clear():
    parser = argparse.ArgumentParser()
    add_broker_arguments(parser)
    assert "in clear" in " ".join(parser.format_help().split())
