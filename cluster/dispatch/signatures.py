"""Verify LiveKit's webhooks and the tokens of workers: both are signed with LiveKit's API key."""

from __future__ import annotations

from google.protobuf.json_format import ParseError
from jwt import PyJWTError
from livekit import api

from routing.errors import BadInput, Forbidden, Unauthorized


class Signatures:
    """Verifies tokens; raises Unauthorized for one that is not signed with the key, or has expired.

    LiveKit's tokens expire after five minutes, those of workers after one.
    """

    def __init__(self, key: str, secret: str) -> None:
        self._verifier = api.TokenVerifier(key, secret)
        self._receiver = api.WebhookReceiver(self._verifier)

    def webhook(self, body: bytes, token: str) -> api.WebhookEvent:
        """Return the event of a webhook; raises BadInput for a body that is none."""
        if not self._claims(token).sha256:
            raise Unauthorized("The token signs no body.")
        try:
            event = self._receiver.receive(body.decode(), token)
        except (ParseError, UnicodeDecodeError, RecursionError):
            event = api.WebhookEvent()
        # The receiver raises a plain Exception for another hash; a wrong body cannot be told from a wrong hash by type.
        except Exception:
            raise Unauthorized("The token signs another body.") from None
        if not event.id or not event.event:
            raise BadInput("The body is no webhook of LiveKit.")
        return event

    def check_worker(self, token: str) -> None:
        """Raise Forbidden for a token without the grant of a worker, such as that of a participant."""
        video = self._claims(token).video
        if video is None or not video.agent:
            raise Forbidden("The token has no grant of a worker.")

    def _claims(self, token: str) -> api.access_token.Claims:
        try:
            return self._verifier.verify(token)
        except (PyJWTError, ValueError, TypeError, KeyError):
            raise Unauthorized("The token is not signed with LiveKit's API key, or has expired.") from None
