"""Tokens, audit, idempotency keys, leases and the catalogue."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound
from app.ids import is_id, new_id
from app.registry.audit import AuditRepository
from app.registry.db import now
from app.registry.idempotency import IdempotencyRepository, StoredResponse
from app.registry.leases import LeaseRepository
from app.registry.model_fn_catalogue import CatalogueRepository
from app.registry.tables import IdempotencyKey, Lease
from app.registry.tokens import TokenRepository


def test_token_is_found_by_its_secret_only(session: Session) -> None:
    tokens = TokenRepository(session)
    token, secret = tokens.create("ci", ["submit", "read", "read"])
    assert is_id(token.id, "tok")
    assert token.scopes == ["read", "submit"]
    assert tokens.find(secret) is token
    for wrong in ("", secret[:-1], secret + "x", token.id, token.digest, "\ud800"):
        assert tokens.find(wrong) is None


def test_token_secret_is_not_stored(session: Session) -> None:
    token, secret = TokenRepository(session).create("ci", ["read"])
    assert len(secret) > 40
    assert secret not in {str(value) for value in vars(token).values()}


def test_revoked_token_is_not_found(session: Session) -> None:
    tokens = TokenRepository(session)
    token, secret = tokens.create("ci", ["read"])
    assert tokens.count() == 1
    revoked_at = tokens.revoke(token.id).revoked_at
    assert revoked_at is not None
    assert tokens.find(secret) is None
    assert tokens.revoke(token.id).revoked_at == revoked_at
    assert [row.id for row in tokens.list()] == [token.id]
    assert tokens.count() == 0
    with pytest.raises(NotFound):
        tokens.revoke(new_id("tok"))


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "Admin"]])
def test_token_needs_known_scopes(session: Session, scopes: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        TokenRepository(session).create("ci", scopes)
    assert caught.value.errors[0].pointer == "/scopes"


def test_audit_lists_the_newest_first(session: Session) -> None:
    audit = AuditRepository(session)
    for number in range(3):
        audit.add("tok_1", "job.cancel", f"job_{number}", {"number": number})
    page, cursor = audit.list(page_size=2)
    assert [entry.detail["number"] for entry in page] == [2, 1]
    assert [entry.detail["number"] for entry in audit.list(after=cursor)[0]] == [0]


def test_same_request_gets_the_first_answer(session: Session) -> None:
    keys = IdempotencyRepository(session)
    assert keys.begin("tok", "k", "d", ttl_s=60) is None
    keys.finish("tok", "k", 202, {"location": "/v1/jobs/1"}, {"id": "1"})
    assert keys.begin("tok", "k", "d", ttl_s=60) == StoredResponse(202, {"location": "/v1/jobs/1"}, {"id": "1"})
    assert keys.begin("other", "k", "d", ttl_s=60) is None  # keys belong to a token


def test_request_in_flight_is_a_conflict(session: Session) -> None:
    keys = IdempotencyRepository(session)
    keys.begin("tok", "k", "d", ttl_s=60)
    with pytest.raises(Conflict) as caught:
        keys.begin("tok", "k", "d", ttl_s=60)
    assert caught.value.retry_after_s == 1.0


def test_key_of_another_request_is_invalid(session: Session) -> None:
    keys = IdempotencyRepository(session)
    keys.begin("tok", "k", "d", ttl_s=60)
    with pytest.raises(InvalidInput):
        keys.begin("tok", "k", "other", ttl_s=60)
    keys.finish("tok", "k", 200, {}, None)
    with pytest.raises(InvalidInput):
        keys.begin("tok", "k", "other", ttl_s=60)


def test_abandoned_key_is_free_and_a_finished_one_is_not(session: Session) -> None:
    keys = IdempotencyRepository(session)
    keys.begin("tok", "k", "d", ttl_s=60)
    keys.abandon("tok", "k")
    assert keys.begin("tok", "k", "d", ttl_s=60) is None
    keys.finish("tok", "k", 200, {}, {})
    keys.abandon("tok", "k")
    assert keys.begin("tok", "k", "d", ttl_s=60) == StoredResponse(200, {}, {})


def test_key_of_a_request_that_died_is_free_after_a_while(session: Session) -> None:
    keys = IdempotencyRepository(session)
    keys.begin("tok", "k", "d", ttl_s=3600)
    session.execute(update(IdempotencyKey).values(created_at=now() - 100))
    with pytest.raises(Conflict):
        keys.begin("tok", "k", "d", ttl_s=3600)
    assert keys.begin("tok", "k", "d", ttl_s=3600, in_flight_s=99) is None


def test_key_of_an_old_answer_may_be_used_again(session: Session) -> None:
    keys = IdempotencyRepository(session)
    keys.begin("tok", "old", "d", ttl_s=60)
    keys.finish("tok", "old", 200, {}, {})
    session.execute(update(IdempotencyKey).values(created_at=now() - 61))
    assert keys.begin("tok", "old", "other request", ttl_s=60) is None


def test_lease_has_one_holder_until_it_ends(session: Session) -> None:
    leases = LeaseRepository(session)
    assert leases.take("reconciler", "a", 60)
    assert not leases.take("reconciler", "b", 60)
    assert leases.take("reconciler", "a", 60)
    assert leases.take("other", "b", 60)
    assert leases.holder("reconciler") == "a"
    session.execute(update(Lease).values(expires_at=now() - 1))
    assert leases.holder("reconciler") is None
    assert leases.take("reconciler", "b", 60)
    assert not leases.take("reconciler", "a", 60)


def test_lease_can_be_given_back_by_its_holder(session: Session) -> None:
    leases = LeaseRepository(session)
    leases.take("reconciler", "a", 60)
    leases.release("reconciler", "b")
    assert not leases.take("reconciler", "b", 60)
    leases.release("reconciler", "a")
    assert leases.take("reconciler", "b", 60)


def test_catalogue_entry_is_renewed(session: Session) -> None:
    catalogue = CatalogueRepository(session)
    catalogue.put("b", "first", {})
    catalogue.put("a", "", {"type": "object"})
    catalogue.put("b", "second", {"properties": {"x": {}}})
    session.expire_all()
    shown = [(entry.name, entry.description, entry.params_schema) for entry in catalogue.list()]
    assert shown == [("a", "", {"type": "object"}), ("b", "second", {"properties": {"x": {}}})]


def test_last_admin_token_cannot_be_revoked(session: Session) -> None:
    tokens = TokenRepository(session)
    first, _ = tokens.create("first", ["admin"])
    reader, _ = tokens.create("reader", ["read"])
    with pytest.raises(Conflict, match="Make another one first"):
        tokens.revoke(first.id)
    second, _ = tokens.create("second", ["read", "admin"])
    assert tokens.revoke(first.id).revoked_at is not None
    assert tokens.revoke(first.id).revoked_at is not None  # again changes nothing
    assert tokens.revoke(reader.id).revoked_at is not None
    with pytest.raises(Conflict):
        tokens.revoke(second.id)
