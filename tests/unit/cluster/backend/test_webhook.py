"""A webhook's message is signed in the form of the Standard Webhooks, and its key is checked at the start."""

from __future__ import annotations

import base64

import pytest

from cluster.backend.webhook import LEAST_KEY_BYTES, check_webhook, connect_webhook, signed_headers
from cluster.config.settings import WebhookSettings
from routing.errors import ConfigurationError

SETTINGS = WebhookSettings(url="https://example.test/hook")


def test_the_signature_is_that_of_the_specifications_own_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks: the vector that the libraries of all languages share.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1_614_265_330.9) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "key", ["", "no base64!", base64.b64encode(b"k" * (LEAST_KEY_BYTES - 1)).decode(), "whsec_", "ключ"]
)
def test_a_missing_or_short_key_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ConfigurationError, match="RAYROOM_WEBHOOK_KEY") as refused:
        check_webhook(SETTINGS, {"RAYROOM_WEBHOOK_KEY": key})
    assert not key or key not in refused.value.message


@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_a_key_is_accepted_with_and_without_its_prefix(prefix: str) -> None:
    key = prefix + base64.b64encode(b"k" * LEAST_KEY_BYTES).decode()
    assert connect_webhook(SETTINGS, {"RAYROOM_WEBHOOK_KEY": key}) is not None


def test_without_a_webhook_no_key_is_needed() -> None:
    assert connect_webhook(None, {}) is None
