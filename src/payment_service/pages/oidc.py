"""Log in by OpenID Connect: Authlib's code flow with PKCE, state and nonce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from payment_service.pages.identity import read_name, roles_of
from payment_service.pages.site import HEADERS
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from payment_service.config.config import Config
    from payment_service.pages.permissions import Role

log = structlog.get_logger(__name__)

CALLBACK: Final = "/login/oidc/callback"
# A person waits for these requests to the provider.
TIMEOUT_S: Final = 10.0

_UNVERIFIED: Final = (
    "The identity provider does not say that your email address is verified: verify it there, then log in. A provider that never "
    "says so, and lets nobody choose an address, needs ADMIN_OIDC_EMAIL_TRUSTED=true."
)


class LoginRefused(Exception):
    """The login failed. The message is one sentence that says what to do."""


class OpenIdLogin:
    """The pages as a client of an OpenID Connect provider."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client = _register(config)

    async def begin(self, request: Request, *, next_path: str) -> Response:
        """Redirect to the provider. State, nonce and verifier stay in the signed session. Raises LoginRefused."""
        request.session["next"] = next_path
        try:
            response: Response = await self._client.authorize_redirect(request, self._config.admin_base_url + CALLBACK)
        except Exception as error:  # noqa: BLE001 - the network, and a provider that answers anything
            log.warning("login_provider_failed", error=describe_error(error))
            message = "The identity provider does not answer: check ADMIN_OIDC_ISSUER, or try again."
            raise LoginRefused(message) from None
        response.headers.update(HEADERS)
        return response

    async def finish(self, request: Request) -> tuple[str, frozenset[Role], str]:
        """Return the person's name, roles and wanted page from the provider's answer. Raises LoginRefused."""
        next_path = request.session.get("next", "/")
        try:
            token = await self._client.authorize_access_token(request)
        except Exception as error:  # noqa: BLE001 - a refused, forged, repeated or late answer
            log.warning("login_refused", error=describe_error(error))
            raise LoginRefused("The identity provider did not confirm this login: begin again at /login.") from None
        claims = token.get("userinfo") or {}
        if claims.get("email") and not self._is_verified(claims):
            raise LoginRefused(_UNVERIFIED)
        # People may edit `preferred_username`, and a second person is recognized by the name (OpenID Connect Core 1.0, 5.7).
        name = read_name(str(claims.get("email") or claims.get("sub") or ""))
        groups = claims.get("groups")
        roles = roles_of(map(str, groups if isinstance(groups, list) else ()), self._config.roles_by_group)
        if not name or not roles:
            raise LoginRefused("You are in no group that may use these pages: ask the person who manages your groups.")
        return name, roles, next_path

    def _is_verified(self, claims: Mapping[str, Any]) -> bool:
        """Return whether the address is the person's. Without the claim, a setting must say that the provider vouches for it."""
        verified = claims.get("email_verified")
        return verified in (True, "true") or (verified is None and self._config.admin_oidc_email_trusted)


def _register(config: Config) -> Any:
    # Imported by those who use it: half a second, at the start of the process.
    from authlib.integrations.starlette_client import OAuth  # noqa: PLC0415

    secret = config.admin_oidc_client_secret.get_secret_value()
    return OAuth().register(
        name="oidc",
        client_id=config.admin_oidc_client_id,
        client_secret=secret or None,
        server_metadata_url=f"{config.admin_oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid profile email groups",
            "code_challenge_method": "S256",
            "timeout": TIMEOUT_S,
            # A public client proves itself by PKCE alone.
            **({} if secret else {"token_endpoint_auth_method": "none"}),
        },
    )
