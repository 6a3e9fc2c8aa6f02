"""`installation`: show and move the claim of the deployment name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.commands import output, session
from payment_service.commands.settings import CommandSettings
from payment_service.contracts.operators import InstallationState
from payment_service.db import installation as installations
from payment_service.flows.operators.move_installation import move_installation
from payment_service.flows.state.errors import Refusal, RefusalReason

if TYPE_CHECKING:
    from payment_service.db.pool import Pool
    from payment_service.flows.state.context import Context


def show(*, as_json: bool) -> None:
    """Show the installation of this database. Raises Refusal before the first start."""
    _print(session.run(_read), as_json=as_json)


def move(key: str, *, yes: bool, as_json: bool) -> None:
    """Claim the deployment name for this database at the account of the key. Raises ConfigError, Refusal."""
    settings = CommandSettings.from_environment()
    settings.require_stripe_key("the name is claimed at its account, so set it as the service has it")
    name = settings.deployment
    session.confirm(
        f"Claim the deployment name {name} for this database at the account of STRIPE_SECRET_KEY? Another installation of"
        " this name stops sending calls.",
        yes=yes,
    )
    asked = {"deployment": name, "livemode": settings.stripe_livemode}
    change_request = session.change_request("installation.move", asked, key=session.read_key(key))

    async def work(context: Context) -> InstallationState:
        output.print_key(change_request, await move_installation(context, change_request))
        return await _read(context.pool)

    _print(session.run_change(work), as_json=as_json)


async def _read(pool: Pool) -> InstallationState:
    if (found := await installations.read(pool)) is None:
        raise Refusal(
            RefusalReason.NOT_FOUND, "This database belongs to no installation yet: the first `serve` claims it."
        )
    mode = None if found.livemode is None else "live" if found.livemode else "test"
    return InstallationState(
        id=found.id,
        deployment=found.deployment,
        account=found.account,
        mode=mode,
        created_at=found.created_at,
        claimed_at=found.claimed_at,
    )


def _print(state: InstallationState, *, as_json: bool) -> None:
    if as_json:
        output.print_json(state)
        return
    output.print_fields(state, *InstallationState.model_fields)
