# The service and its commands, for a read-only root without capabilities: the wheels `payment-service` and
# `payment-service-events`, and no demo or emulator. scripts/build-image builds it; docs/deployment.md describes how to run it.

# BASE takes another base image (a mirror's, a newer Python). It needs `python` 3.11 or later with pip and venv, and glibc.
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
# EXTRAS=traces adds the exporter of traces.
ARG EXTRAS=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY requirements/uv.txt requirements/image.txt requirements/service.txt requirements/traces.txt requirements/
RUN python -m venv tools \
    && tools/bin/pip install --require-hashes -r requirements/uv.txt \
    && tools/bin/uv pip install --python tools --require-hashes -r requirements/image.txt \
    && python -m venv --without-pip /opt/payment-service \
    && tools/bin/uv pip sync --python /opt/payment-service --require-hashes requirements/service.txt ${EXTRAS:+requirements/${EXTRAS}.txt}
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY packages/payment-service-events packages/payment-service-events
WORKDIR /build/packages/payment-service-events
RUN /build/tools/bin/hatchling build -t wheel -d /build/dist
WORKDIR /build
RUN tools/bin/hatchling build -t wheel -d dist \
    && tools/bin/uv pip install --python /opt/payment-service --no-deps --no-index dist/*.whl \
    && tools/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
        --output-file /opt/payment-service/sbom.cdx.json /opt/payment-service
# No import needs the sources of compiled modules, type stubs or uv's lock. Compile bytecode here: a read-only root cannot.
RUN find /opt/payment-service -type f '(' -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name .lock ')' -delete \
    && python -m compileall -q -j 0 /opt/payment-service/lib

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="payment-service" \
      org.opencontainers.image.description="Creates payments for orders from Kafka and publishes their results." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing is installed at run time.
RUN python -m pip uninstall --yes pip
COPY --from=build /opt/payment-service /opt/payment-service
ENV PAYMENT_SERVICE_REVISION=${REVISION} PATH=/opt/payment-service/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TZ=UTC
# A number lets Kubernetes check that it is not root. Any other user works as well: nothing writes into the image.
USER 10001:10001
EXPOSE 8082 9464
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 CMD ["python", "-m", "payment_service.healthcheck"]
# There is no shell in between: SIGTERM reaches the service, which drains for up to SHUTDOWN_GRACE_S (`docker stop --time 30`).
ENTRYPOINT ["payment-service"]
CMD ["serve"]
