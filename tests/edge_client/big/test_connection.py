from __future__ import annotations

import gzip
import shutil
import subprocess
import tracemalloc

import pytest

from edge_client.big.connection import Connection, ExchangeError, read_token
from edge_client.errors import EdgeError
from tests.edge_client.big.stub import DRIPS, closed_port


@pytest.mark.parametrize(
    "url", ["", "server", "ftp://server", "http://", "http://a:b:c", "http://[::1", "//server"]
)
def test_what_is_no_url(url):
    with pytest.raises(EdgeError, match="no URL; one like http://server:8080 is wanted"):
        Connection(url)


@pytest.mark.parametrize(
    "url", ["http://me:secret@server", "http://server?x=1", "http://server/#a"]
)
def test_urls_with_more_than_a_place_in_them(url):
    with pytest.raises(EdgeError) as caught:
        Connection(url)
    assert "secret" not in str(caught.value)


def test_proxies_of_the_environment_are_nothing_to_us(big, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed_port())
    connection = Connection(big.url)
    assert connection.exchange("GET", "/v1/description", 5.0).status == 200
    connection.close()


@pytest.fixture
def connection(big):
    made = Connection(big.url)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("huge", "an answer of more than 1048576 bytes"),
        ("negative chunk", "does not say its length"),
        ("length unknown", "does not say its length"),
    ],
)
def test_no_answer_fills_the_memory(big, connection, how, message):
    big.described = how
    tracemalloc.start()
    try:
        with pytest.raises(ExchangeError, match=message):
            connection.exchange("GET", "/v1/description", 5.0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * 2**20  # the stub's own share is in it


@pytest.mark.parametrize("how", DRIPS)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_over_tls_as_well_an_answer_that_drips_ends_in_time(big, tmp_path, monkeypatch, how):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    named = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *named.split(), *files], check=True, capture_output=True)
    big.tls(certificate, key)
    unknown = Connection(big.url)
    with pytest.raises(ExchangeError, match="certificate"):
        unknown.exchange("GET", "/v1/description", 5.0)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connection = Connection(big.url)
    for _ in range(2):
        assert connection.exchange("GET", "/v1/description", 5.0).status == 200
    big.described = how
    with pytest.raises(ExchangeError, match="no answer in time"):
        connection.exchange("GET", "/v1/description", 0.2)
    connection.close()
    assert big.connections == 1


def test_an_answer_is_not_unpacked(big, connection):
    big.described = "zipped"
    body = connection.exchange("GET", "/v1/description", 5.0).body
    assert gzip.decompress(body) == b" " * 3 * 2**20


def test_a_name_that_nobody_has():
    connection = Connection("http://no-such-host.invalid:1")
    with pytest.raises(ExchangeError) as caught:
        connection.exchange("GET", "/", 5.0)
    assert caught.value.sent is False


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no token"),
        (b"\n", "no token"),
        (b"two words", "no token"),
        (b"a\r\nX-Evil: 1", "no token"),
        (b"\xff\xfe", "no token"),
        (b"a" * 5000, "larger than"),
    ],
)
def test_what_is_no_token(tmp_path, content, message):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(EdgeError, match=message):
        read_token(file)


def test_a_token(tmp_path):
    file = tmp_path / "token"
    file.write_text("abc.123-_~+/==\n")
    assert read_token(file) == "abc.123-_~+/=="
    with pytest.raises(EdgeError, match="no such file"):
        read_token(tmp_path / "none")
