"""Webhook and e-mail, against servers that listen."""

import email
import json

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.notices.channel import DeliveryError
from gateway_tuning.notices.delivery import channels_of
from gateway_tuning.notices.mail import MailChannel, Server
from gateway_tuning.notices.notice import Kind, Notice, Severity, listed, notice_id
from gateway_tuning.notices.webhook import WebhookChannel
from gateway_tuning.settings import Settings
from tests.unit.notices.servers import mail_server, webhook

NOTICE = Notice(
    notice_id("gate", "c1"), "default", Kind.GATE, Severity.WARNING, "Gate of a<b: fail", "- 1 & 2", "c1"
)


def test_a_webhook_gets_slacks_text_escaped_and_the_notices_id():
    with webhook() as (url, came):
        WebhookChannel(url).send(NOTICE)
    [(headers, body)] = came
    assert json.loads(body) == {
        "text": f"⚠ *Gate of a&lt;b: fail*\n- 1 &amp; 2\n_gate, default, {NOTICE.id[:8]}_"
    }
    assert {name.lower(): value for name, value in headers.items()}["idempotency-key"] == NOTICE.id


@pytest.mark.parametrize(
    ("answer", "refused", "after"),
    [
        ((404, {}), True, None),
        ((503, {}), False, None),
        ((429, {"retry-after": "7"}), False, 7.0),
        ((302, {"location": "http://127.0.0.1:1/elsewhere"}), False, None),
    ],
)
def test_a_webhook_that_does_not_take_it_says_so_without_its_address(answer, refused, after):
    with webhook(answer) as (url, _), pytest.raises(DeliveryError) as caught:
        WebhookChannel(url).send(NOTICE)
    assert (caught.value.is_refused, caught.value.retry_after_s) == (refused, after)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_webhook_that_is_not_there_is_told_without_its_address():
    with webhook() as (url, _):
        pass
    with pytest.raises(DeliveryError, match="did not answer") as caught:
        WebhookChannel(url).send(NOTICE)
    assert "SECRET" not in str(caught.value)


def test_a_webhooks_secret_is_not_sent_in_the_clear():
    with pytest.raises(ConfigurationError, match="https://") as caught:
        WebhookChannel("http://hooks.example.com/SECRET")
    assert "SECRET" not in str(caught.value)


def test_a_mail_is_sent_encrypted_and_signed_in_under_an_id_that_stays(tmp_path, monkeypatch):
    with mail_server(tmp_path) as (port, certificate, came):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        channel = MailChannel(
            f"smtp://user:pass%20word@127.0.0.1:{port}",
            ["ops@example.com", "b@example.com"],
            "gt@example.com",
        )
        channel.send(NOTICE)
        channel.send(NOTICE)
    first, again = (email.message_from_string(one["text"]) for one in came)
    assert {(one["tls"], one["user"]) for one in came} == {(True, "user")}
    assert first["Subject"] == "[warning] Gate of a<b: fail"
    assert first["To"] == "ops@example.com, b@example.com"
    assert first["Message-ID"] == again["Message-ID"] == f"<{NOTICE.id}@example.com>"
    assert "- 1 & 2" in first.get_payload()


def test_a_mail_server_with_a_certificate_of_nobody_gets_no_password(tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with mail_server(tmp_path) as (port, _, came), pytest.raises(DeliveryError, match="SSL"):
        MailChannel(f"smtp://user:pass%20word@127.0.0.1:{port}", ["a@example.com"], "a@example.com").send(
            NOTICE
        )
    assert came == []


@pytest.mark.parametrize(
    ("at_data", "refused"), [("552 5.2.3 a@example.com too long", True), ("451 4.3.0 later", False)]
)
def test_a_mail_server_that_does_not_take_it_is_told_by_its_code_alone(tmp_path, at_data, refused):
    with mail_server(tmp_path, starttls=False, at_data=at_data) as (port, _, _came):
        with pytest.raises(DeliveryError, match=f"answered {at_data[:3]}$") as caught:
            MailChannel(f"smtp://127.0.0.1:{port}", ["a@example.com"], "a@example.com").send(NOTICE)
        assert caught.value.is_refused is refused


def test_a_wrong_password_is_told_without_the_user(tmp_path):
    with mail_server(tmp_path, starttls=False) as (port, _, _came), pytest.raises(DeliveryError) as caught:
        MailChannel(f"smtp://user:wrong@127.0.0.1:{port}", ["a@example.com"], "a@example.com").send(NOTICE)
    assert str(caught.value) == "The mail server answered 535"


def test_a_server_elsewhere_must_encrypt():
    assert Server.parse("smtps://u:p%40@mail.example.com").port == 465
    with pytest.raises(ConfigurationError, match="GATEWAY_TUNING_SMTP_URL") as caught:
        Server.parse("http://user:hunter2@mail.example.com")
    assert "hunter2" not in str(caught.value)


def test_the_settings_make_the_channels(tmp_path):
    both = Settings(
        home=tmp_path,
        notify_webhook_url="https://hooks.example.com/x",
        notify_email_to="a@example.com, b@example.com",
        smtp_url="smtps://mail.example.com",
    )
    assert list(channels_of(both)) == ["webhook", "email"]
    assert channels_of(Settings(home=tmp_path)) == {}
    with pytest.raises(ConfigurationError, match="GATEWAY_TUNING_SMTP_URL"):
        channels_of(Settings(home=tmp_path, notify_email_to="a@example.com"))
    with pytest.raises(ConfigurationError, match="no e-mail address"):
        channels_of(Settings(home=tmp_path, notify_email_to="a", smtp_url="smtps://mail.example.com"))


def test_reasons_are_cut_and_words_of_users_are_left_out():
    told = listed(["drift: drift (telling: invoice, Kowalski)", "x" * 1000, *"abcdefgh"])
    assert told.splitlines()[0] == "- drift: drift"
    assert len(told.splitlines()[1]) == 302
    assert told.splitlines()[-1] == "- and 4 more"
