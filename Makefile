# `make` lists the verbs. Each one sets up what it needs first, so a fresh clone can begin with any of them.
.DEFAULT_GOAL := help
.PHONY: help setup start test slow check format bench openapi settings migrate up down dashboards dashboards-check hooks clean

# Progress shows at once, also where output goes to a file.
export PYTHONUNBUFFERED := 1

MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard inference-server/pyproject.toml backend/pyproject.toml))
FRONTEND := $(patsubst %/package.json,%,$(wildcard frontend/package.json))
BIN := inference-server/.venv/bin
# What `make bench` measures: inference, multi_lora, structured, training, backend; conformance asks others the same requests.
WHAT ?= inference
each_member = @for member in $(MEMBERS); do echo "── $$member: $(1)"; (cd $$member && $(2)) || exit 1; done

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

setup: ## install the pinned tools and every member's locked packages
	@scripts/bootstrap.sh

start: setup ## run the platform in the foreground; Ctrl-C stops it (MLX_API_PORT=9000 make start)
	@.tools/bin/python scripts/start.py

test: setup ## run every test (make test ARGS="-k cache -x")
	$(call each_member,pytest,.venv/bin/pytest -n 2 --dist loadfile $(ARGS))
ifneq ($(FRONTEND),)
	cd frontend && npm test
	scripts/ensure_chromium.sh
	cd frontend && npm run test:e2e && npm run size
endif

slow: setup ## run the slow tests
	$(call each_member,pytest -m slow,.venv/bin/pytest -m slow --timeout 1800 $(ARGS))

check: setup ## format, lint, types, who imports whom, sizes, lock files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(call each_member,types,.venv/bin/basedpyright)
	$(call each_member,imports,.venv/bin/lint-imports)
	.tools/bin/python scripts/check_sizes.py
	.tools/bin/python scripts/check_lockfiles.py
	.tools/bin/python scripts/settings_tables.py --check
ifneq ($(FRONTEND),)
	cd frontend && npm run lint && npm run typecheck && npm run knip && npm run check:lock && npm run api:check
endif

format: setup ## format and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure and compare; results go to bench/results (make bench WHAT=training ARGS=…)
	$(if $(filter training backend,$(WHAT)),backend/.venv/bin,$(BIN))/python bench/$(WHAT).py $(ARGS)

openapi: setup ## write what both services' routes promise, and the dashboard's types of it
	.tools/bin/python scripts/export_openapi.py
	cd frontend && npm run api:gen

settings: setup ## write the tables of every variable into docs/operations.md
	@.tools/bin/python scripts/settings_tables.py

migrate: setup ## bring the databases' tables up to date
	@url="$${DATABASE_URL:-$$(sed -n 's/^DATABASE_URL=//p' .env 2>/dev/null)}"; \
	for member in $(patsubst %/alembic.ini,%,$(wildcard */alembic.ini)); do (cd $$member && .venv/bin/alembic $${url:+-x "url=$$url"} upgrade head) || exit 1; done

up: ## start PostgreSQL, MLflow, Prometheus, Grafana in Docker (make up PROFILE=tracing; or app)
	@python3 scripts/compose_env.py
	docker compose $(if $(PROFILE),--profile $(PROFILE)) up --detach --wait $(ARGS)
	@echo "Grafana: http://localhost:3001, user admin, password: GRAFANA_PASSWORD in .env. \`make start\` works on these servers now."

down: ## stop what `make up` started; its data stays
	docker compose --profile '*' down $(ARGS)

dashboards: setup ## write the Grafana dashboards from scripts/dashboards
	@backend/.venv/bin/python scripts/make_dashboards.py

dashboards-check: setup ## run every panel's query against the real services and Prometheus
	@cd backend && PYTHONPATH=tests .venv/bin/python ../scripts/check_dashboards.py

hooks: setup ## install the git hooks
	$(BIN)/pre-commit install

clean: ## remove everything that setup and the checks made
	rm -rf .tools .ruff_cache .pytest_cache
	rm -rf $(foreach member,$(MEMBERS),$(member)/.venv $(member)/.pytest_cache $(member)/.hypothesis $(member)/.import_linter_cache)
	rm -rf frontend/node_modules frontend/.next frontend/.next-dev
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
