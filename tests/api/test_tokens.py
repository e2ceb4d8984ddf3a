"""Tokens, scopes and the audit over HTTP."""

from __future__ import annotations

import stat
import time

import pytest

from app.registry.db import Database
from app.registry.tokens import TokenRepository
from app.startup import ensure_admin_token
from tests.api.conftest import Api
from tests.waiting import wait_for


def test_token_works_within_its_scopes_and_is_shown_once(api: Api) -> None:
    made = api.http.post("/v1/tokens", json={"name": "notebook", "scopes": ["read"]})
    header = {"Authorization": f"Bearer {made.json()['token']}"}

    assert made.status_code == 201
    assert api.http.get("/v1/jobs", headers=header).status_code == 200
    assert api.http.post("/v1/jobs", json={}, headers=header).status_code == 403
    listed = api.http.get("/v1/tokens")
    assert made.json()["token"] not in listed.text
    assert [row["name"] for row in listed.json()["tokens"]] == ["admin", "notebook"]


def test_revoked_token_is_refused_and_the_audit_says_so(api: Api) -> None:
    made = api.http.post("/v1/tokens", json={"name": "gone", "scopes": ["read"]}).json()
    header = {"Authorization": f"Bearer {made['token']}"}
    assert api.http.get("/v1/jobs", headers=header).status_code == 200

    assert api.http.delete(f"/v1/tokens/{made['id']}").json()["revoked_at"] is not None

    assert api.http.get("/v1/jobs", headers=header).status_code == 401

    def actions() -> set[str]:
        return {entry["action"] for entry in api.http.get("/v1/audit").json()["entries"]}

    wait_for(lambda: "token.refused" in actions(), "the refusal in the audit")
    assert {"token.create", "token.revoke", "token.refused"} <= actions()


def test_revocation_elsewhere_is_felt_within_two_seconds(api: Api) -> None:
    made = api.http.post("/v1/tokens", json={"name": "gone", "scopes": ["read"]}).json()
    header = {"Authorization": f"Bearer {made['token']}"}
    assert api.http.get("/v1/jobs", headers=header).status_code == 200
    with api.service.database.session() as session:
        TokenRepository(session).revoke(made["id"])

    api.service.authenticate.clock = lambda: time.monotonic() + 1.6

    assert api.http.get("/v1/jobs", headers=header).status_code == 401


def test_same_key_gives_the_same_secret_for_a_while(api: Api) -> None:
    body = {"name": "twice", "scopes": ["read"]}
    headers = {"Idempotency-Key": "token-1"}
    first, again = (api.http.post("/v1/tokens", json=body, headers=headers) for _ in range(2))

    assert first.json() == again.json()
    api.service.secrets.clear()
    late = api.http.post("/v1/tokens", json=body, headers=headers)
    assert late.status_code == 409
    assert first.json()["id"] in late.json()["detail"]
    assert len(api.http.get("/v1/tokens").json()["tokens"]) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "scopes": []},
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "id": "tok_mine"},
        {"name": 1, "scopes": ["read"]},
        {"name": "a\x00b", "scopes": ["read"]},
        [],
        "x",
    ],
)
def test_wrong_token_request_is_422(shared_api: Api, body: object) -> None:
    assert shared_api.http.post("/v1/tokens", json=body).status_code == 422


def test_admin_token_is_written_once_for_the_owner_only(database: Database, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "admin-token"
    ensure_admin_token(database, path)
    secret = path.read_text()

    ensure_admin_token(database, path)

    assert path.read_text() == secret
    assert secret == secret.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with database.read() as session:
        token = TokenRepository(session).find(secret)
        assert token is not None
        assert token.scopes == ["admin"]
        assert TokenRepository(session).count() == 1


def test_lost_admin_token_is_made_anew(database: Database, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "admin-token"
    path.write_text("not one of ours")

    ensure_admin_token(database, path)

    with database.read() as session:
        assert TokenRepository(session).find(path.read_text()) is not None


def test_token_is_told_what_it_may_do(api: Api) -> None:
    found = api.http.get("/v1/whoami", headers=api.token("read", "predict")).json()
    assert (found["name"], found["scopes"]) == ("test", ["predict", "read"])
    assert api.http.get("/v1/whoami", headers=api.token("predict")).status_code == 403
