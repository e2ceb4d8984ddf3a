"""Tokens: for admins."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.api.deps import AppStateDep, Caller, IdempotentRequestDep, JsonOnly, TokenId, problems, respond
from app.api.schemas.token import Bearer, TokenList, TokenRequest, TokenView
from app.api.strict_route import StrictRoute
from app.errors import Conflict
from app.registry.audit import AuditRepository
from app.registry.idempotency import StoredResponse
from app.registry.tokens import TokenRepository

router = APIRouter(tags=["tokens"], route_class=StrictRoute)

_REMEMBERED = 100


@router.post(
    "/v1/tokens",
    operation_id="create_token",
    summary="Make a token",
    status_code=201,
    response_model=TokenView,
    responses=problems(409),
    dependencies=[JsonOnly],
)
def create_token(
    app_state: AppStateDep, token: Caller, idempotent: IdempotentRequestDep, body: TokenRequest
) -> JSONResponse:
    """The secret is in this answer only. With an Idempotency-Key the same answer can be had again for a short while;
    later the answer is 409, for the secret is stored nowhere."""
    made: dict[str, str] = {}

    def work() -> StoredResponse:
        row, secret = TokenRepository(session).create(body.name, body.scopes)
        session.refresh(row)
        made["secret"] = secret
        AuditRepository(session).add(token.id, "token.create", row.id, {"scopes": row.scopes})
        view = TokenView.of(row).model_dump(mode="json")
        return StoredResponse(201, {"Location": f"/v1/tokens/{row.id}"}, view)

    with app_state.database.session() as session:
        answer, new = idempotent.run(session, work)
    assert answer.body is not None
    place = (token.id, idempotent.key or "")
    if new and idempotent.key is not None:
        while len(app_state.secrets) >= _REMEMBERED:
            app_state.secrets.pop(next(iter(app_state.secrets)))
        app_state.secrets[place] = made["secret"]
    secret = made.get("secret") or app_state.secrets.get(place)
    if secret is None:
        raise Conflict(f"Token {answer.body['id']} was made with this key; its secret is shown only once. Revoke it.")
    return respond(StoredResponse(answer.status, answer.headers, answer.body | {"token": secret}))


@router.get("/v1/whoami", operation_id="whoami", summary="The token of this request, without its secret")
def whoami(token: Caller) -> Bearer:
    return Bearer(id=token.id, name=token.name, scopes=sorted(token.scopes))


@router.get("/v1/tokens", operation_id="list_tokens", summary="List tokens, without their secrets")
def list_tokens(app_state: AppStateDep) -> TokenList:
    with app_state.database.read() as session:
        return TokenList(tokens=[TokenView.of(row) for row in TokenRepository(session).list()])


@router.delete(
    "/v1/tokens/{token_id}",
    operation_id="revoke_token",
    summary="Revoke a token",
    responses=problems(404, 409),
)
def revoke_token(app_state: AppStateDep, token: Caller, token_id: TokenId) -> TokenView:
    """Takes effect in all processes within two seconds. The last valid token with the scope `admin` cannot be
    revoked."""
    with app_state.database.session() as session:
        row = TokenRepository(session).revoke(token_id)
        session.refresh(row)
        AuditRepository(session).add(token.id, "token.revoke", token_id)
        view = TokenView.of(row)
    app_state.authenticate.forget()
    return view
