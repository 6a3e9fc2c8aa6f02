"""Settings of the operators' pages: their port, ways to log in, groups and limits."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from payment_service.config.sections import Settings, about

PAGE_ROLES: Final = ("viewer", "support", "finance", "operator")
LOGINS: Final = ("link", "proxy", "oidc")


class PagesSettings(Settings):
    """Settings of the pages. Without ADMIN_PORT they are off."""

    admin_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of the operators' pages. Not set: no pages.",
        json_schema_extra=about(
            "To give support, finance and operations their pages. 0 selects a free port, for tests."
        ),
    )
    admin_host: str = Field(
        "127.0.0.1",
        description="Address that the operators' pages listen on.",
        json_schema_extra=about("Set 0.0.0.0 in a container, behind a proxy with TLS."),
    )
    admin_url: str = Field(
        "",
        description="Address at which people open the pages. Not set: http://localhost and ADMIN_PORT.",
        json_schema_extra=about(
            "When the pages have a name: cookies are then Secure, and requests for other names are refused."
        ),
    )
    admin_login: Annotated[tuple[str, ...], NoDecode] = Field(
        ("link",),
        description="Ways to log in to the pages, comma-separated: `link` (from `pages login`), `proxy` (headers of a proxy in TRUSTED_PROXIES), `oidc`.",
        json_schema_extra=about(
            "To log in through oauth2-proxy or your identity provider. The proxy must remove these headers from requests."
        ),
    )
    admin_groups: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Roles by group of your identity provider, comma-separated: `payments-support:support`. Roles: viewer, support, finance, operator.",
        json_schema_extra=about("With `proxy` or `oidc`. People in no listed group are refused."),
    )
    admin_refund_limit_minor: int = Field(
        10_000,
        ge=0,
        le=999_999_999_999,
        description="Largest total of a payment's refunds that support makes alone, in minor units. Above it a second person approves.",
        json_schema_extra=about("Raise or lower it to your typical order. 0: every refund by support needs approval."),
    )
    admin_oidc_issuer: str = Field(
        "",
        description="Issuer of your OpenID Connect provider, as its discovery document has it.",
        json_schema_extra=about(
            "With `oidc` in ADMIN_LOGIN. Register ADMIN_URL with /login/oidc/callback at the provider."
        ),
    )
    admin_oidc_client_id: str = Field(
        "",
        description="Client id of the pages at the OpenID Connect provider.",
        json_schema_extra=about("With `oidc` in ADMIN_LOGIN."),
    )
    admin_oidc_client_secret: SecretStr = Field(
        SecretStr(""),
        description="Client secret of the pages at the OpenID Connect provider.",
        json_schema_extra=about("With `oidc` in ADMIN_LOGIN, and when you rotate it."),
    )

    admin_oidc_email_trusted: bool = Field(
        default=False,
        description="True: believe an email address without the claim `email_verified`. An address that is marked as unverified is refused anyway.",
        json_schema_extra=about(
            "With `oidc`, when your provider never sends the claim, and nobody can choose an address there."
        ),
    )

    @field_validator("admin_login", "admin_groups", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("admin_login")
    @classmethod
    def _require_logins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= set(LOGINS):
            raise ValueError(f"must be one or more of {', '.join(LOGINS)}, comma-separated")
        return value

    @field_validator("admin_groups")
    @classmethod
    def _require_roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(rf"[^\s:]+(:[^\s:]+)*:({'|'.join(PAGE_ROLES)})", rule) for rule in value):
            raise ValueError("must be group:role such as payments-support:support, comma-separated")
        return value

    @field_validator("admin_url")
    @classmethod
    def _require_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#@]+", value):
            raise ValueError("must be https://host, without a path")
        return value

    @field_validator("admin_oidc_issuer")
    @classmethod
    def _require_issuer(cls, value: str) -> str:
        local = urlsplit(value).hostname in {"localhost", "127.0.0.1"}
        if value and not (value.startswith("https://") or (local and value.startswith("http://"))):
            raise ValueError("must begin with https://")
        return value

    @model_validator(mode="after")
    def _require_login_settings(self) -> Self:
        if self.admin_port is None:
            return self
        if "oidc" in self.admin_login and not (self.admin_oidc_issuer and self.admin_oidc_client_id):
            raise ValueError("ADMIN_LOGIN has oidc: set ADMIN_OIDC_ISSUER and ADMIN_OIDC_CLIENT_ID")
        if set(self.admin_login) - {"link"} and not self.admin_groups:
            raise ValueError(
                "ADMIN_LOGIN has proxy or oidc: set ADMIN_GROUPS, because people in no listed group are refused"
            )
        if "proxy" in self.admin_login and not getattr(self, "trusted_proxies", ()):
            raise ValueError("ADMIN_LOGIN has proxy: set TRUSTED_PROXIES to the addresses of that proxy")
        return self

    @property
    def admin_base_url(self) -> str:
        """Return the address of the pages for people."""
        return self.admin_url or f"http://localhost:{self.admin_port}"

    @property
    def roles_by_group(self) -> dict[str, frozenset[str]]:
        """Return the roles of each group."""
        found: dict[str, frozenset[str]] = {}
        for rule in self.admin_groups:
            group, _, role = rule.rpartition(":")
            found[group] = found.get(group, frozenset()) | {role}
        return found
