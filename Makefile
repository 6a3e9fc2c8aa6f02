# All tasks of this repository. `make install`, `demo` and `test` need only Python 3.11+ (with venv and pip), a C library,
# coreutils and sh; scripts/with-bare-path checks this.

SHELL = /bin/sh
BIN = .venv/bin
ARGS =
# Tests wait for processes, leases and heartbeats, so two cores serve four workers, and six of the everyday tests.
PYTEST = $(BIN)/pytest --numprocesses 4 --dist worksteal
# Without bytecode, each process of pytest rewrites all tests. An empty variable counts as unset.
export PYTHONDONTWRITEBYTECODE =
COMPOSE = docker compose

COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

.PHONY: help install demo test test-faults test-installation test-sandbox test-planted test-week test-restore fuzz mutants test-kafka test-browser test-clients test-asyncapi test-openapi test-npm test-examples test-scale check reference release release-check fmt docs site test-site bench shots lock \
	image image-test nginx-config-test test-nginx test-postgres test-alerts test-deploy payment-service-logs payment-service-restart test-payment-webhook
.DEFAULT_GOAL := help

help:
	@echo 'make install                 install everything into .venv; quick when nothing changed (other targets call it)'
	@echo 'make demo                    run the demo: orders, payments and events on a real PostgreSQL and broker; ARGS=--once exits by itself'
	@echo 'make test                    run the everyday tests of the service; ARGS="-k webhook" a part; TEST_DB_DSN=… on another PostgreSQL'
	@echo 'make test-faults             kill, freeze and cut off processes of the service; run the tests of each failure'
	@echo 'make test-installation       install the packages, run the demo, and follow the tutorial, as a newcomer does'
	@echo 'make test-sandbox            run the tests of the Stripe emulator'
	@echo 'make test-planted            find 1,000 planted differences among 100,000 payments, and measure time and memory; about 10 minutes'
	@echo 'make test-week               live through a week of virtual time, without webhooks and with old ones; the suite lives through three days'
	@echo 'make test-restore            restore a backup that is ten minutes old, under load, and recover; the suite restores a young one'
	@echo 'make test-kafka              run the tests that use a broker on Apache Kafka (needs Java and Maven, else exits 4)'
	@echo 'make test-browser            drive the pages of the sandbox and the demo in Chromium (else exits 4)'
	@echo 'make image                   build the container image with Docker, Podman or Buildah (else exits 4)'
	@echo 'make image-test              build the image and test its containers against real parts (needs Docker or Podman, else exits 4)'
	@echo 'make test-clients            test the sandbox with clients for Node, Go and Java (exits 4 if one is missing)'
	@echo 'make test-asyncapi           read asyncapi.yaml with the parser of AsyncAPI (needs Node.js and npm, else exits 4)'
	@echo 'make test-openapi            lint openapi.json with Redocly and Spectral (needs Node.js and npm, else exits 4)'
	@echo 'make test-npm                build and pack the npm package, install it alone and use it (needs Node.js and npm, else exits 4)'
	@echo 'make test-examples           run the order services in Python, Node, Go and Java on Apache Kafka (exits 4 if one is missing)'
	@echo 'make test-alerts             make twelve faults and let a real Prometheus fire the alerts (else exits 4); about 5 minutes'
	@echo 'make test-nginx              test deploy/nginx with a real nginx between the sandbox and the service (else exits 4)'
	@echo 'make test-postgres           test failover, PgBouncer and a full disk on the PostgreSQL of the system (else exits 4)'
	@echo 'make test-deploy             check the Helm chart and the alerts with helm and promtool (exits 4 if one is missing)'
	@echo 'make nginx-config-test       let nginx check deploy/nginx (needs nginx, else exits 4)'
	@echo 'make payment-service-logs    follow the log of the service that compose.yaml runs'
	@echo 'make payment-service-restart restart it, and nginx with it'
	@echo 'make test-payment-webhook    send it a signed webhook for its latest payment; ARGS=ORDER_ID for another'
	@echo 'make fuzz                    send 20,000 requests generated from openapi.json to a running service; the suite sends 1,000'
	@echo 'make mutants                 check that the tests detect known defects (minutes); ARGS="lock-skipped" selects some'
	@echo 'make test-scale              fail if a read, a loop or a page walks a million skewed payments; ARGS="--payments 10000000"'
	@echo 'make check                   check lint, format, types, import directions and prose'
	@echo 'make reference               bring the bundle of the interactive API reference from npm (else exits 4)'
	@echo 'make release                 build all that a release of HEAD publishes into dist/, twice, compare, and install each alone (needs npm, else exits 4)'
	@echo 'make release-check           check whether this working copy can be released; publishes nothing'
	@echo 'make fmt                     fix what lint and format can fix'
	@echo 'make docs                    write the generated docs again: configuration, commands, schema, state machines, contracts'
	@echo 'make site                    build the documentation site into dist/site'
	@echo 'make test-site               build the site, and look at it in Chromium (else exits 4)'
	@echo 'make bench                   measure durable webhooks and orders per second'
	@echo 'make shots                   take screenshots of the sandbox, the demo and the service for the docs, in Chromium'
	@echo 'make lock                    pin the newest versions that requirements/*.in allow'

install: .venv/.installed

.venv/.installed: requirements/uv.txt requirements/dev.txt pyproject.toml $(wildcard packages/*/pyproject.toml) scripts/install.py
	@python3 scripts/install.py

demo: install
	@$(BIN)/payment-service demo $(ARGS)

test: install
	@$(PYTEST) --numprocesses 6 --ignore tests/sandbox --ignore tests/faults --ignore tests/installation $(ARGS)

test-faults: install
	@$(PYTEST) tests/faults $(ARGS)

test-installation: install
	@$(PYTEST) tests/installation $(ARGS)

test-sandbox: install
	@$(PYTEST) tests/sandbox $(ARGS)

test-planted: install
	@$(BIN)/python -m bench.planted_differences $(ARGS)

test-week: install
	@VIRTUAL_WEEK=whole $(BIN)/pytest tests/faults/test_virtual_week.py $(ARGS)

test-restore: install
	@BACKUP_AGE_S=600 $(BIN)/pytest tests/faults/test_recovery.py $(ARGS)

test-kafka: install
	@scripts/test-kafka $(ARGS)

test-browser: install
	@scripts/test-browser $(ARGS)

image:
	@scripts/build-image

image-test: install
	@scripts/test-image $(ARGS)

test-clients: install
	@scripts/test-clients

test-asyncapi:
	@scripts/test-asyncapi

test-openapi:
	@scripts/test-openapi

test-npm: install
	@scripts/test-npm $(ARGS)

test-examples: install
	@scripts/test-examples $(ARGS)

nginx-config-test:
	@scripts/with-nginx scripts/nginx-config-test

test-deploy: install
	@scripts/test-deploy $(ARGS)

test-postgres: install
	@scripts/test-postgres $(ARGS)

test-alerts: install
	@scripts/test-alerts $(ARGS)

test-nginx: install
	@scripts/test-nginx $(ARGS)

payment-service-logs:
	@$(COMPOSE) logs --follow --tail 200 payment-service

payment-service-restart:
	@$(COMPOSE) restart payment-service

test-payment-webhook:
	@COMPOSE='$(COMPOSE)' scripts/test-payment-webhook.sh $(ARGS)

fuzz: install
	@FUZZ_EXAMPLES=1900 FUZZ_CASES=20000 $(BIN)/pytest -s tests/integration/test_api_fuzz.py $(ARGS)

mutants: install
	@$(BIN)/python -m scripts.mutants $(ARGS)

test-scale: install
	@$(BIN)/python -m bench.scale $(ARGS)
	@$(BIN)/python -m bench.pages $(ARGS)

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 packages/payment-service-events/src packages/payment-service-client/src # the oldest that mypy knows
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.count_prose

reference:
	@scripts/fetch-reference

release: install
	@$(BIN)/python -m scripts.release

release-check: install
	@$(BIN)/python -m scripts.release_check

fmt: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: install
	$(BIN)/python -m scripts.document_configuration
	$(BIN)/python -m scripts.document_schema
	$(BIN)/python -m scripts.document_states
	$(BIN)/python -m scripts.document_contracts
	$(BIN)/python -m scripts.document_events
	$(BIN)/python -m scripts.document_commands
	$(BIN)/python -m scripts.document_api
	$(BIN)/python -m scripts.document_monitoring
	$(BIN)/python -m scripts.document_runbook
	$(BIN)/python -m scripts.generate_client
	$(BIN)/python -m scripts.document_invariants

site: install
	@scripts/build-site

test-site: install
	@scripts/test-site $(ARGS)

bench: install
	@$(BIN)/python -m bench $(ARGS)

shots: install
	@scripts/with-browser $(BIN)/python -m scripts.shoot_sandbox
	@scripts/with-browser $(BIN)/python -m scripts.shoot_demo
	@scripts/with-browser $(BIN)/python -m scripts.shoot_pages
	@scripts/with-browser $(BIN)/python -m scripts.shoot_tutorial

lock: install
	$(COMPILE) --upgrade --output-file requirements/uv.txt requirements/uv.in
	$(COMPILE) --upgrade --output-file requirements/dev.txt requirements/dev.in
	$(COMPILE) --upgrade --constraints requirements/dev.txt --output-file requirements/service.txt requirements/service.in
	$(COMPILE) --upgrade --constraints requirements/dev.txt --output-file requirements/traces.txt requirements/traces.in
	$(COMPILE) --upgrade --constraints requirements/dev.txt --output-file requirements/sandbox.txt requirements/sandbox.in
	$(COMPILE) --upgrade --constraints requirements/dev.txt --output-file requirements/browser.txt requirements/browser.in
	$(COMPILE) --upgrade --constraints requirements/dev.txt --output-file requirements/deploy.txt requirements/deploy.in
	$(COMPILE) --upgrade --constraints requirements/dev.txt --output-file requirements/site.txt requirements/site.in
	$(COMPILE) --upgrade --constraints requirements/dev.txt --output-file requirements/image.txt requirements/image.in
