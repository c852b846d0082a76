"""Verify bodies that are signed with LiveKit's API key: its webhooks, and the workers' heartbeats."""

from __future__ import annotations

from google.protobuf.json_format import ParseError
from jwt import PyJWTError
from livekit import api
from pydantic import ValidationError

from room_agent.core.worker_heartbeat import WorkerHeartbeat, body_hash
from routing.errors import BadInput, Unauthorized


class SignedBodies:
    """Parses verified bodies; raises Unauthorized for a wrong signature, and BadInput for a wrong body.

    A token expires: LiveKit's after five minutes, a heartbeat's after one.
    """

    def __init__(self, key: str, secret: str) -> None:
        self._verifier = api.TokenVerifier(key, secret)
        self._receiver = api.WebhookReceiver(self._verifier)

    def webhook(self, body: bytes, token: str) -> api.WebhookEvent:
        """Return the event of a LiveKit webhook."""
        self._verify(body, token)
        try:
            event = self._receiver.receive(body.decode(), token)
        except (ParseError, UnicodeDecodeError, RecursionError):
            event = api.WebhookEvent()
        if not event.id or not event.event:
            raise BadInput("The body is no webhook of LiveKit.")
        return event

    def heartbeat(self, body: bytes, token: str) -> WorkerHeartbeat:
        """Return a worker's heartbeat."""
        self._verify(body, token)
        try:
            return WorkerHeartbeat.model_validate_json(body)
        except ValidationError:
            raise BadInput("The body is no heartbeat of a worker.") from None

    def _verify(self, body: bytes, token: str) -> None:
        try:
            claims = self._verifier.verify(token)
        # The verifier raises a plain Exception for a token of another key, and ValueError for wrong claims.
        except (PyJWTError, ValueError, TypeError, KeyError):
            raise Unauthorized("The token is not signed with LiveKit's API key, or has expired.") from None
        if claims.sha256 != body_hash(body):
            raise Unauthorized("The token signs another body.")
