"""Deliver signed messages to the operator's webhook, in the form of the Standard Webhooks specification."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import httpx

from cluster.config.settings import WebhookSettings
from routing.errors import BackendUnavailable, ConfigurationError

TIMEOUT_S = 5.0
LEAST_KEY_BYTES = 24
"""The shortest key of the specification."""


class Webhook:
    """One receiver. It verifies the signature, and drops a message whose id it has seen: deliveries may repeat."""

    def __init__(self, url: str, key: bytes, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._key = key
        self._timeout_s = timeout_s
        self._http: httpx.AsyncClient | None = None

    async def deliver(self, message_id: str, message: Mapping[str, Any], now_s: float) -> None:
        """Return once the receiver accepted the message with a 2xx status; raises BackendUnavailable."""
        body = json.dumps(message).encode()
        headers = {"content-type": "application/json", **signed_headers(self._key, message_id, body, now_s)}
        try:
            # httpx applies its timeout to each read: only this bounds the whole call.
            async with asyncio.timeout(self._timeout_s):
                async with self._client().stream("POST", self._url, content=body, headers=headers) as response:
                    status = response.status_code
        except (httpx.HTTPError, TimeoutError) as error:
            raise BackendUnavailable(f"The webhook did not answer: {type(error).__name__}.") from None
        if not 200 <= status < 300:
            raise BackendUnavailable(f"The webhook answered {status}.")

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=self._timeout_s)
        return self._http


def signed_headers(key: bytes, message_id: str, body: bytes, now_s: float) -> dict[str, str]:
    """Return the headers with the id, the time and the signature of a message: HMAC-SHA256 over all three."""
    timestamp = str(int(now_s))
    signature = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def check_webhook(settings: WebhookSettings | None, environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError when the environment has no valid signing key for a configured webhook."""
    connect_webhook(settings, environment)


def connect_webhook(settings: WebhookSettings | None, environment: Mapping[str, str]) -> Webhook | None:
    """Return the configured webhook without sending a request; raises ConfigurationError for an invalid key."""
    if settings is None:
        return None
    try:
        key = base64.b64decode(environment.get(settings.key_env, "").removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < LEAST_KEY_BYTES:
        raise ConfigurationError(
            f"costs.alert_webhook.key_env: {settings.key_env} must hold at least {LEAST_KEY_BYTES} random bytes in"
            " base64 (`openssl rand -base64 24`); export it.",
            "costs.alert_webhook.key_env",
        )
    return Webhook(settings.url, key)
