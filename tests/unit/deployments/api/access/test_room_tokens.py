"""A room token is verified once, and for no longer than it is good."""

from __future__ import annotations

import time
from dataclasses import replace

import jwt
import pytest

from deployments.api.access.keys import Keys, secret_id
from deployments.api.access.room_tokens import AUDIENCE, TokenLifetime, Tokens, issue_token, renew_token, sign
from routing.errors import ExpiredToken, Forbidden, Unauthorized
from routing.rooms import parse_room

KEYS = Keys(agent=("a" * 20,), admin=("b" * 20,), token_secret="s" * 32)


def bearer(room: str = "tenant_acme_standup", ttl_s: float = 900.0, keys: Keys = KEYS, job: str = "job-1") -> str:
    return "Bearer " + sign(issue_token(parse_room(room), job, ttl_s, time.time()), keys)


def forged(claims: dict[str, object], key_id: object = secret_id(KEYS.token_secret)) -> str:
    whole = {
        "iss": "rayroom",
        "aud": AUDIENCE,
        "jti": "token-1",
        "sub": "tenant_acme_standup",
        "tenant": "acme",
        "job": "job-1",
        "opened": 1.0,
        "exp": time.time() + 60,
    } | claims
    present = {name: value for name, value in whole.items() if value is not None}
    # PyJWT refuses to write an id that is no text; such a header is made without it.
    header = {"kid": key_id} if isinstance(key_id, str) else {"extra": key_id}
    return jwt.encode(present, KEYS.token_secret, "HS256", headers=header)


def test_a_token_is_read_the_same_when_it_is_remembered() -> None:
    tokens, header = Tokens(KEYS), bearer()
    first = tokens.read(header)
    assert tokens.read(header) is first and first.tenant_id == "acme" and first.job_id == "job-1"


def test_a_remembered_token_is_verified_anew_once_its_time_is_over() -> None:
    now_s = time.time()
    tokens, header = Tokens(KEYS, clock=lambda: now_s), bearer(ttl_s=900.0)
    first = tokens.read(header)
    now_s = float(int(first.expires_at_s)) - 0.001
    assert tokens.read(header) is first
    now_s += 0.001
    assert tokens.read(header) is not first and len(tokens) == 1


def test_an_expired_token_is_refused() -> None:
    with pytest.raises(Unauthorized, match="expired"):
        Tokens(KEYS).read(bearer(ttl_s=-5.0))


def test_a_remembered_token_opens_no_other_room() -> None:
    tokens, header = Tokens(KEYS), bearer()
    tokens.read(header, "tenant_acme_standup")
    with pytest.raises(Forbidden):
        tokens.read(header, "tenant_acme_board")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer x.y.z", "Basic abc", bearer(keys=Keys((), (), "t" * 32))]
)
def test_a_bad_token_is_refused_each_time_and_never_remembered(header: str | None) -> None:
    tokens = Tokens(KEYS)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            tokens.read(header)
    assert len(tokens) == 0


def test_so_many_tokens_are_remembered_and_no_more() -> None:
    tokens = Tokens(KEYS, limit=2)
    headers = [bearer(job=f"job-{number}") for number in range(3)]
    assert [tokens.read(header).job_id for header in headers] == ["job-0", "job-1", "job-2"]
    assert len(tokens) == 2 and tokens.read(headers[0]).job_id == "job-0"


def test_each_spelling_of_a_header_is_the_same_remembered_token() -> None:
    tokens, header = Tokens(KEYS), bearer()
    credential = header.removeprefix("Bearer ")
    for spelling in (header, "bearer " + credential, "Bearer" + " " * 3_000 + credential, header + "  "):
        tokens.read(spelling)
    assert len(tokens) == 1


@pytest.mark.parametrize("claim", [{"opened": "yesterday"}, {"opened": None}, {"job": 7}, {"tenant": ["acme"]}])
def test_a_signed_token_with_a_claim_of_the_wrong_type_is_refused(claim: dict[str, object]) -> None:
    assert Tokens(KEYS).read("Bearer " + forged({})).job_id == "job-1"
    with pytest.raises(Unauthorized):
        Tokens(KEYS).read("Bearer " + forged(claim))


@pytest.mark.parametrize("claim", [{"aud": "another-program"}, {"aud": None}, {"jti": None}, {"iss": "someone"}])
def test_a_token_for_another_audience_or_without_an_id_is_refused(claim: dict[str, object]) -> None:
    with pytest.raises(Unauthorized):
        Tokens(KEYS).read("Bearer " + forged(claim))


@pytest.mark.parametrize("key_id", [None, "", "0" * 12, ["a"]])
def test_a_token_that_names_no_known_secret_is_refused(key_id: object) -> None:
    with pytest.raises(Unauthorized):
        Tokens(KEYS).read("Bearer " + forged({}, key_id))


def test_two_secrets_are_valid_at_once_and_a_withdrawn_one_ends_its_tokens_at_once() -> None:
    class Source:
        keys = KEYS

        def current(self) -> Keys:
            return self.keys

    source = Source()
    tokens, old = Tokens(source), bearer()
    assert tokens.read(old).tenant_id == "acme"
    source.keys = replace(KEYS, token_secret="n" * 32, former_token_secrets=("s" * 32,))
    new = bearer(keys=source.keys)
    assert tokens.read(old).tenant_id == tokens.read(new).tenant_id == "acme"
    source.keys = replace(source.keys, former_token_secrets=())
    with pytest.raises(Unauthorized):
        tokens.read(old)
    assert tokens.read(new).tenant_id == "acme"


def test_a_token_ends_with_the_longest_life_of_its_room_whatever_its_own_expiry() -> None:
    now_s = time.time()
    tokens, header = Tokens(KEYS, clock=lambda: now_s, longest_s=600.0), bearer(ttl_s=900.0)
    assert tokens.read(header).tenant_id == "acme"
    now_s += 601.0
    with pytest.raises(ExpiredToken):
        tokens.read(header)


def test_every_token_has_an_id_of_its_own_and_a_renewed_one_gets_another() -> None:
    first, second = (issue_token(parse_room("tenant_acme_standup"), "job-1", 900.0, 1_000.0) for _ in range(2))
    renewed = renew_token(first, TokenLifetime(ttl_s=900.0, longest_s=43_200.0), 1_800.0)
    assert len({first.token_id, second.token_id, renewed.token_id}) == 3
    assert jwt.decode(sign(first, KEYS), options={"verify_signature": False})["jti"] == first.token_id


def test_a_credential_longer_than_any_token_is_refused_before_it_is_verified() -> None:
    with pytest.raises(Unauthorized, match="header must be"):
        Tokens(KEYS).read("Bearer " + "a" * 5_000)


def test_a_token_is_renewed_until_its_room_has_been_open_for_the_longest_time() -> None:
    lifetime = TokenLifetime(ttl_s=900.0, longest_s=2_000.0)
    token = issue_token(parse_room("tenant_acme_standup"), "job-1", 900.0, 1_000.0)
    assert renew_token(token, lifetime, 1_400.0) is token
    later = renew_token(token, lifetime, 1_500.0)
    assert (later.opened_at_s, later.expires_at_s) == (1_000.0, 2_400.0)
    last = renew_token(later, lifetime, 2_300.0)
    assert last.expires_at_s == 3_000.0 and renew_token(last, lifetime, 2_900.0).expires_at_s == 3_000.0
