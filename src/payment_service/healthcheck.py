"""The image's HEALTHCHECK: `python -m payment_service.healthcheck`.

It runs twice a minute in every container. It is no command of the CLI, because the CLI takes ten times longer to load.
It requests the metrics port, which is open in every role.
"""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

from payment_service.telemetry.errors import describe_error

# Below the timeout of the HEALTHCHECK, so that this module prints the reason.
TIMEOUT_S: Final = 2.5
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, not listened on here


def main() -> int:
    """Request `/health` once. Return 0 for status 200, else 1 with one line on standard error."""
    host = os.environ.get("METRICS_HOST") or os.environ.get("SERVICE_HOST") or "0.0.0.0"  # noqa: S104
    port = os.environ.get("METRICS_PORT") or "9464"
    try:
        connection = http.client.HTTPConnection(_EVERY_ADDRESS.get(host, host), int(port), timeout=TIMEOUT_S)
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"/health on port {port} does not answer: {describe_error(error)}\n")
        return 1
    if status != http.HTTPStatus.OK:
        sys.stderr.write(f"/health on port {port} returned status {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
