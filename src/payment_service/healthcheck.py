"""Check whether the service in this container responds, for the image's HEALTHCHECK.

`python -m payment_service.healthcheck` runs twice a minute for the life of the container. It is not a command of the
CLI, which takes ten times longer to load. It uses the metrics port, which is open in every role.
"""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

# Below the timeout of the HEALTHCHECK, so that our own error message appears.
TIMEOUT_S: Final = 2.5
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, not listened on here


def main() -> int:
    """Send one request. Return 0 if `/health` responds with 200, else 1 with one line on standard error."""
    host = os.environ.get("SERVICE_HOST") or "0.0.0.0"  # noqa: S104
    port = os.environ.get("METRICS_PORT") or "9464"
    try:
        connection = http.client.HTTPConnection(_EVERY_ADDRESS.get(host, host), int(port), timeout=TIMEOUT_S)
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"/health on port {port} does not respond: {error or type(error).__name__}\n")
        return 1
    if status != http.HTTPStatus.OK:
        sys.stderr.write(f"/health on port {port} responds with {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
