"""Asks the vendors of speech what an account may use, through their own SDKs. Decides nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any

from cluster.check_account import Account, Ask, Said, Watch, status_of
from routing.catalogue import Model
from routing.errors import ProviderError


def deepgram(account: Account) -> Ask:
    import httpx
    from deepgram import AsyncDeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    root = account.base_url or "https://api.deepgram.com"
    places = DeepgramClientEnvironment(base=root, production=root.replace("http", "ws", 1), agent="", agent_rest="")
    http = httpx.AsyncClient()
    client = AsyncDeepgramClient(api_key=account.key, environment=places, httpx_client=http, max_retries=0)
    manage = client.manage.v1.projects

    async def asked(watch: Watch) -> Said:
        async with http:
            projects = (await manage.list()).projects or []
            watch.answered()
            if not projects:
                raise ProviderError("The key belongs to no project.")
            project = str(projects[0].project_id)
            models = await manage.models.list(project)
            balances = await _if_allowed(manage.billing.balances.list(project))
        names = {str(name) for row in models.stt or [] for name in (row.canonical_name, row.name) if name}
        rows = [row for row in (balances and balances.balances) or [] if row.amount is not None]
        left = sum(row.amount for row in rows) if rows else None
        known = _among(names, account.models)
        return Said(models=known, left=left, unit=str(rows[0].units) if rows else "")

    return asked


def elevenlabs(account: Account) -> Ask:
    import httpx
    from elevenlabs.client import AsyncElevenLabs
    from elevenlabs.core.request_options import RequestOptions

    once = RequestOptions(max_retries=0)
    http = httpx.AsyncClient()
    root = account.base_url or "https://api.elevenlabs.io"
    client = AsyncElevenLabs(api_key=account.key, base_url=root, httpx_client=http)
    # The SDK imports its resources at their first use.
    _ = client.models, client.voices, client.user.subscription

    async def asked(watch: Watch) -> Said:
        async with http:
            models = await client.models.list(request_options=once)
            watch.answered()
            voices = await client.voices.get_all(request_options=once)
            # A key may be made for speech alone.
            plan = await _if_allowed(client.user.subscription.get(request_options=once))
        voice_ids = {voice.voice_id for voice in voices.voices}
        return Said(
            models=_among({model.model_id for model in models if model.can_do_text_to_speech}, account.models),
            voices={voice: voice in voice_ids for voice in account.voices},
            left=None if plan is None else plan.character_limit - plan.character_count,
            unit="characters",
        )

    return asked


async def _if_allowed(call: Awaitable[Any]) -> Any:
    """Return what `call` returns, or None where the key may not ask it."""
    try:
        return await call
    except Exception as error:
        if status_of(error) not in (401, 403):
            raise
        return None


def _among(names: Iterable[str], models: Iterable[Model]) -> dict[str, bool]:
    known = set(names)
    return {model.name: model.vendor_name in known for model in models}
