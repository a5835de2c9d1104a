"""The client against real servers on localhost, good and bad."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edge_client.big.breaker import Breaker
from edge_client.big.client import SLOW_MODEL, Because, MisfitError, Unanswered
from edge_client.budget import HourlyBudget
from edge_client.features.frontend import FrontEnd
from edge_client.payload import PAYLOADS, QuantisedFeatures, quantise
from tests.edge_client import tiny
from tests.edge_client.big.stub import DRIPS, ODD, StubBig, closed_port, description


def refused(client, question, because=Because.UNREACHABLE):
    with pytest.raises(Unanswered) as caught:
        client.ask(question)
    assert caught.value.because is because
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_an_answer_in_the_order_of_the_small_models_labels(big, client_of, question, payload):
    client = client_of(big.url, payload)
    np.testing.assert_allclose(client.ask(question), [0.9, 0.06, 0.04])  # high, low, silence
    ((path, headers, body),) = big.questions
    assert path == "/v1/classify"
    assert headers["Content-Type"].startswith("application/")
    assert "Authorization" not in headers
    assert (client.traffic.requests, client.traffic.bytes) == (1, len(body))
    (content,) = big.contents()
    if payload.startswith("features"):
        assert content.specification == big.description.specification
    else:
        np.testing.assert_array_equal(content.audio, question.audio)


def test_connections_are_kept_alive_and_the_description_is_fetched_once(big, client_of, question):
    client = client_of(big.url)
    for _ in range(5):
        client.ask(question)
    assert (big.connections, big.fetched, len(big.questions)) == (1, 1, 5)


def test_features_are_those_of_bigs_own_front_end(big, client_of, question):
    """Computed from the audio where the recipes differ, taken over where they are the same."""
    for features in (tiny.FEATURES, replace(tiny.FEATURES, high_hz=3500.0)):
        big.description = description(features=features)
        client_of(big.url, "features-cbor").ask(question)
        content = big.contents()[-1]
        assert isinstance(content, QuantisedFeatures)
        computed = FrontEnd(features)(question.audio * np.float32(2**-15))
        wanted = quantise(big.description.standardisation(computed), 0.125)
        assert content.data == wanted.tobytes()
    ready = replace(question, features=np.full_like(question.features, -1.0))
    big.description = description()
    client_of(big.url, "features-cbor").ask(ready)
    wanted = quantise(big.description.standardisation(ready.features), 0.125)
    assert big.contents()[-1].data == wanted.tobytes()


def test_features_that_no_payload_can_carry(big, client_of, question):
    client = client_of(big.url, "features-cbor")
    endless = replace(question, features=np.full_like(question.features, np.inf))
    assert "not finite" in refused(client, endless)
    assert big.questions == []
    assert client.traffic.failures == {"nonsense": 1}
    assert client.ask(question).argmax() == 0


def test_what_is_on_its_way_counts_already(big, client_of, question):
    """A run that ends meanwhile reports it."""
    big.always = "hang"
    client = client_of(big.url, timeout=60.0)
    asking = threading.Thread(target=refused, args=(client, question))
    asking.start()
    while not big.questions:
        time.sleep(0.01)
    traffic = replace(client.traffic)
    big.release()
    asking.join()
    assert (traffic.requests, traffic.bytes) == (1, len(big.questions[0][2]))


def test_what_is_overdue_counts_as_a_failure(big, client_of, question):
    client = client_of(big.url, breaker=Breaker(failures=2))
    client.overdue()
    client.overdue()
    assert client.traffic.failures == {"overdue": 2}
    assert "left alone" in refused(client, question)


def test_audio_of_another_rate_reaches_big_at_its_own(big, client_of, question):
    audio = tiny.tone(300, 48000)
    # What resamples is imported with the first clip, which takes its time under emulation.
    client_of(big.url, timeout=60.0).ask(replace(question, audio=audio, rate=48000))
    (content,) = big.contents()
    assert (content.rate, len(content.audio)) == (16000, 16000)


def test_a_token_a_prefix_and_another_route(client_of, question):
    with StubBig() as big:
        client = client_of(big.url + "/", token="abc.123", route=SLOW_MODEL)
        client.ask(question)
        ((path, headers, _),) = big.questions
        assert (path, headers["Authorization"]) == ("/slow_model", "Bearer abc.123")


def test_nobody_there(client_of, question):
    client = client_of(closed_port(), breaker=Breaker(failures=2))
    assert "cannot be reached (Connection refused)" in refused(client, question)
    # Nothing left the device.
    assert (client.traffic.requests, client.traffic.bytes) == (0, 0)
    assert client.traffic.failures == {"no connection": 2}
    assert client.breaker.openings == 1
    assert "left alone" in refused(client, question)
    assert client.traffic.failures == {"no connection": 2}


@pytest.mark.parametrize("how", ["500", "502", "503", "cut", "close", "no http"])
def test_one_second_try_for_what_may_be_over_in_a_moment(big, client_of, question, how):
    client = client_of(big.url, budget=HourlyBudget(max_requests=100))
    big.script.append(how)
    assert client.ask(question).argmax() == 0
    traffic = client.traffic
    assert (len(big.questions), traffic.requests, traffic.retries) == (2, 2, 1)
    assert traffic.bytes == sum(len(body) for _, _, body in big.questions)
    big.always = how
    refused(client, question)
    assert (len(big.questions), traffic.requests, traffic.retries) == (4, 4, 2)


@pytest.mark.parametrize(
    "how",
    [
        *("garbage", "huge", "negative chunk", "length unknown", "zipped", "redirect"),
        *("400", "401", "413", "404", *ODD),
    ],
)
def test_no_second_try_for_what_would_only_repeat_itself(big, client_of, question, how):
    client = client_of(big.url)
    big.always = how
    for count in (1, 2):
        refused(client, question)
        assert len(big.questions) == count
    big.always = "good"
    assert client.ask(question).argmax() == 0


def test_the_servers_own_words_about_an_error(big, client_of, question):
    big.always = "401"
    assert "status 401 (so it is)" in refused(client_of(big.url), question)


@pytest.mark.parametrize("how", ["hang", *DRIPS])
def test_a_server_that_hangs_costs_the_timeout_and_no_more(big, client_of, question, how):
    client = client_of(big.url, timeout=1.0, breaker=Breaker(failures=2))
    assert client.ask(question).argmax() == 0  # the description is here, the connection open
    big.always = how
    assert "no answer in time" in refused(client, question)
    assert len(big.questions) == 2
    refused(client, question)
    assert "left alone" in refused(client, question)
    assert len(big.questions) == 3


@pytest.mark.parametrize("how", ["hang", *DRIPS])
def test_a_description_that_hangs(big, client_of, question, how):
    big.described = how
    client = client_of(big.url, timeout=0.2)
    assert "no answer in time" in refused(client, question)
    assert big.questions == []


def test_retry_after_is_waited_for_where_there_is_time(big, client_of, question):
    client = client_of(big.url, timeout=5.0)
    big.script.append("429 1")
    assert client.ask(question).argmax() == 0
    assert len(big.questions) == 2


def test_retry_after_beyond_the_timeout_is_respected_by_the_questions_after(
    big, client_of, question
):
    client = client_of(big.url, timeout=2.0)
    big.script.append("429 60")
    assert "status 429" in refused(client, question, Because.BUSY)
    assert "left alone" in refused(client, question, Because.BUSY)
    assert len(big.questions) == 1
    assert client.breaker.openings == 0


@pytest.mark.parametrize("after", ["soon", "-1", "9" * 500, "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_odd_retry_after(big, client_of, question, after):
    big.script.append(f"429 {after}")
    client = client_of(big.url, timeout=2.0)
    if after.startswith("9"):
        refused(client, question, Because.BUSY)
    else:
        assert client.ask(question).argmax() == 0


def test_second_tries_count_against_the_budget(big, client_of, question):
    client = client_of(big.url, budget=HourlyBudget(max_requests=1))
    big.always = "500"
    tried = []
    for _ in range(2):
        with pytest.raises(Unanswered) as caught:
            client.ask(question)
        assert caught.value.because is Because.BUDGET
        tried.append(caught.value.tried)
    assert tried == [True, False]  # the first question's first try went through
    assert len(big.questions) == 1
    assert client.traffic.refused_by_budget == 2


def test_the_breaker_tries_once_after_its_pause(big, client_of, question):
    now = 0.0
    breaker = Breaker(failures=1, pause=10.0, clock=lambda: now)
    client = client_of(big.url, breaker=breaker)
    big.always = "500"
    refused(client, question)
    assert len(big.questions) == 1
    now = 10.0
    big.always = "good"
    assert client.ask(question).argmax() == 0
    assert client.ask(question).argmax() == 0
    assert breaker.openings == 1


def test_another_model_meanwhile(big, client_of, question):
    """409 makes the client fetch the description again, and ask in its terms."""
    client = client_of(big.url, "features-cbor")
    client.ask(question)
    big.description = description(step=0.25)
    big.script.append("409")
    assert client.ask(question).argmax() == 0
    assert big.fetched == 2
    assert big.contents()[-1].specification == big.description.specification
    big.always = "409"
    refused(client, question)
    assert len(big.questions) == 5


def test_labels_that_are_not_the_small_models(big, client_of, question):
    big.description = description(labels=("high", "low", "cat"))
    with pytest.raises(MisfitError, match=r"other labels than this bundle's \(cat, silence\)"):
        client_of(big.url).ask(question)
    assert big.questions == []


def test_labels_that_change_meanwhile_do_not_end_the_run(big, client_of, question):
    client = client_of(big.url, "features-cbor")
    client.ask(question)
    big.description = description(labels=("high", "low", "cat"))
    big.script.append("409")
    assert "other labels" in refused(client, question)
    for _ in range(10):
        refused(client, question)
    assert big.fetched == 1 + 5  # then the breaker opens
    assert client.traffic.failures == {"status 409": 1, "misfit": 5}


def test_a_description_that_another_thread_waits_for_too_long(big, client_of, question):
    client = client_of(big.url, timeout=0.1)
    with client._fetching, pytest.raises(Unanswered, match="slow in coming") as caught:
        client.ask(question)
    assert not caught.value.tried


def test_a_payload_that_is_not_taken(big, client_of, question):
    big.beside["payloads"] = ["pcm-json", "pcm-draft"]
    with pytest.raises(MisfitError, match="takes no pcm-cbor; choose --payload pcm-json or"):
        client_of(big.url).ask(question)


def test_a_body_larger_than_is_taken(big, client_of, question):
    big.beside["max_bytes"] = 1000
    assert "takes 1000 bytes" in refused(client_of(big.url), question)
    assert big.questions == []


@pytest.mark.parametrize(
    "how", ["404", "500", "garbage", "huge", "cut", "nothing", "array", "deep"]
)
def test_no_description(big, client_of, question, how):
    big.described = how
    client = client_of(big.url)
    refused(client, question)
    assert big.questions == []
    big.described = "good"
    assert client.ask(question).argmax() == 0
