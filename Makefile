# Everything the project does, by name. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

FUZZTIME  ?= 10s   # for each fuzz target
BENCHTIME ?= 500ms # for each run of a benchmark
ARGS      ?=       # more arguments for `make run`
CLIENTS   ?=       # some of go, python, typescript, kotlin, for `make clients`; all of them when empty

# Node from internal/tools/deps.sh, where the machine's own is too old, and MySQL, which Debian 12 lacks.
export PATH := $(CURDIR)/bin/node/node_modules/.bin:$(CURDIR)/bin/mysql:$(PATH)

# The generators and the linter are modules of their own, so that the server's go.mod doesn't require what they require.
tool   := CGO_ENABLED=0 go tool -modfile=internal/tools/go.mod
linter := CGO_ENABLED=0 go tool -modfile=internal/tools/lint/go.mod golangci-lint
ts     := api/typescript
gosrc  := $(wildcard api cmd gen internal sql)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run

.PHONY: run
run: build ## Build and start the server; ARGS are passed on to `tim serve`
	@exec ./bin/tim serve $(ARGS)

# `go build -n` prints a compile command for each package that isn't in Go's cache; few compile in some seconds.
.PHONY: build
build: ## Build bin/tim
	@missing=$$(CGO_ENABLED=0 go build -n -trimpath -o bin/tim ./cmd/tim 2>&1 | grep -c '/compile ' || true); \
	[ "$$missing" -lt 50 ] || echo "compiling $$missing packages, which takes a minute or two the first time ..."
	@CGO_ENABLED=0 go build -trimpath -o bin/tim ./cmd/tim

##@ Test

.PHONY: test
test: deps-servers ## Run all tests, with the race detector, against real servers
	@missing=$$(CGO_ENABLED=1 go build -n -race ./... 2>&1 | grep -c '/compile ' || true); \
	[ "$$missing" -lt 50 ] || echo "compiling $$missing packages with the race detector, which takes some minutes the first time ..."
	@echo 'running all tests, which takes some minutes ...'
	CGO_ENABLED=1 go test -race -timeout 15m ./...
	go test -C internal/tools ./...
	@$(MAKE) --no-print-directory test-on-mysql

# What differs between MariaDB and MySQL shows in the statements and their plans, in migrations, and in the contract.
on_mysql := ^(TestStatements.*|TestSchemasAreAlike|TestMigrateTakesOver|TestDuplicates|TestRowsCount|TestNamesAreComparedByTheirBytes)$$
on_mysql := $(on_mysql)|^(TestDeadlockIsRetried|TestTransactionsOfFewRoundtrips|TestLockShowsWhatItsHolderDid|TestMySQLSettings)$$

.PHONY: test-on-mysql
test-on-mysql: # a part of `test`
	@had=0; internal/tools/deps.sh mysql || had=$$?; \
	case $$had in \
	0) ;; \
	3) echo "NOT RUN: tests on MySQL, which this machine can't have. MariaDB is tested."; exit 0 ;; \
	*) exit "$$had" ;; \
	esac; \
	export TIM_TEST_DATABASE=mysql CGO_ENABLED=1; \
	echo 'running some of the tests again on MySQL ...'; \
	go test -race -timeout 10m -run '$(on_mysql)' ./internal/store; \
	go test -race -timeout 10m -run '^TestContract$$/^servers$$' ./internal/app

.PHONY: test-mysql
test-mysql: deps-servers deps-mysql ## Run all tests that use a database on MySQL in the place of MariaDB
	@packages=$$(grep -rlE --include='*_test.go' 'testserver\.Database|apptest\.(Modes|Servers)|\bDatabase(Server)?\(t\)' internal | xargs -n1 dirname | sort -u | sed 's,^,./,'); \
	echo "running the tests of" $$packages "on MySQL ..."; \
	TIM_TEST_DATABASE=mysql CGO_ENABLED=0 go test -vet=off -timeout 20m $$packages

# The subtests mariadb and servers run on Vitess. Those left out ask MySQL for its locks, or take over an old database.
.PHONY: test-vitess
test-vitess: deps-servers deps-mysql deps-vitess ## Run the tests of rules and contract on a Vitess of two shards, which takes half an hour
	CGO_ENABLED=0 go test -vet=off -tags vitess -timeout 30m -run '^TestVitess' ./internal/store
	TIM_TEST_DATABASE=vitess CGO_ENABLED=0 go test -vet=off -timeout 60m -p 1 -run '/(mariadb|servers)$$' -skip '^(TestGroupOfTheOriginal|TestOldDatabaseOfOddAccounts|TestRetryAfterADeadlockStoresOnce)$$' \
		./internal/auth ./internal/chat ./internal/files ./internal/app

left_out := bin/left-out.txt

.PHONY: test-embedded
test-embedded: ## Run the tests that need no server, no root and no network
	@mkdir -p bin && rm -f $(left_out)
	@missing=$$(CGO_ENABLED=0 go build -n ./... 2>&1 | grep -c '/compile ' || true); \
	[ "$$missing" -lt 50 ] || echo "compiling $$missing packages, which takes a minute or two the first time ..."
	@passed=0; \
	TIM_TEST_MODE=embedded TIM_TEST_LEFT_OUT=$(CURDIR)/$(left_out) CGO_ENABLED=0 go test -vet=off -count=1 -timeout 5m ./... || passed=$$?; \
	echo "NOT RUN: tests of $$(wc -l <$(left_out)) packages that need MariaDB, Redis, MinIO or a proxy ($(left_out) lists them), and the race detector. 'make test' runs all."; \
	exit $$passed

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@{ grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' $(gosrc) || true; } | sed 's/:func / /' | \
	while read -r file name; do \
		echo "== $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null; \
	done

##@ Measure

# The steps of a message and of a request. benchstat needs six runs to tell a difference from noise.
hot := ^Benchmark(Authenticate|Check|Send|Decode|Encode|EventStored|Queue|Parameters|Body|SendBody)$$
hot := $(hot)|^BenchmarkFanOut$$/^100members$$/^(1|16)atonce$$
release := internal/bench/testdata/release.txt

.PHONY: bench
bench: deps-servers ## Benchmark the hot steps, compare with the last release
	@mkdir -p bin
	CGO_ENABLED=0 go test -run '^$$' -bench '$(hot)' -benchtime $(BENCHTIME) -count 6 ./internal/{auth,chat,feed,realtime,rest,schema,socket} | tee bin/bench.txt
	@$(tool) benchstat release=$(release) now=bin/bench.txt

.PHONY: bench-release
bench-release: bench ## Make these figures the last release's
	@cp bin/bench.txt $(release)

##@ Generate and check

# Each file that sqlc still writes is newer than the stamp; the others belong to queries that are gone.
.PHONY: generate
generate: ## Generate gen/ from the specs and the SQL
	@mkdir -p gen/api gen/client gen/db gen/frames gen/specs
	$(tool) oapi-codegen -config api/oapi-server.yaml api/openapi.yaml
	$(tool) oapi-codegen -config api/oapi-client.yaml api/openapi.yaml
	$(tool) oapi-codegen -config api/oapi-frames.yaml api/frames.yaml
	@touch gen/db/.stamp
	$(tool) sqlc generate
	@find gen/db -name '*.go' ! -newer gen/db/.stamp -delete
	@rm gen/db/.stamp
	cp asyncapi.yaml gen/specs/asyncapi.yaml
	gofmt -w gen
	@$(MAKE) --no-print-directory generate-sockets

# asyncgen is a package of the tools' module, which `go tool` with its go.mod doesn't find from here.
.PHONY: generate-sockets
generate-sockets:
	@CGO_ENABLED=0 go run -C internal/tools ./asyncgen -root ../..

.PHONY: verify
verify: verify-generated verify-specs verify-changes verify-typescript verify-go lint ## Check what is generated, the specs, the style

checksums := find gen -type f -exec sha256sum {} + | sort -k2

.PHONY: verify-generated
verify-generated:
	@echo '== generating again leaves no difference'
	@before=$$(mktemp); trap 'rm -f "$$before"' EXIT; \
	$(checksums) >"$$before"; \
	$(MAKE) --no-print-directory generate; \
	$(checksums) | diff "$$before" - || { echo 'gen/ was out of date; it is now as it should be'; exit 1; }
	@! grep -nE 'sqlc\.(arg|narg|slice)\(' -r gen/db || { echo 'sqlc left these parameters out'; exit 1; }

.PHONY: verify-specs
verify-specs: $(ts)/node_modules/.package-lock.json
	@echo '== the specs keep to their standards'
	@cd $(ts) && node_modules/.bin/redocly lint --config lint.yaml --format stylish
	@cd $(ts) && node_modules/.bin/spectral lint --ruleset spectral.yaml --fail-severity warn ../openapi.yaml ../frames.yaml ../../asyncapi.yaml
	@cd $(ts) && node asyncapi.mjs ../../asyncapi.yaml
	@cd $(ts) && node render.mjs ../../asyncapi.yaml

.PHONY: verify-changes
verify-changes:
	@echo '== the specs break no client'
	@internal/tools/breaking.sh

.PHONY: verify-typescript
verify-typescript: $(ts)/node_modules/.package-lock.json
	@echo '== TypeScript can use them'
	@cd $(ts) && node types.mjs && node_modules/.bin/tsc --noEmit

.PHONY: verify-go
verify-go:
	@echo '== gofmt, go vet'
	@unformatted=$$(find . -name node_modules -prune -o -name '*.go' -exec gofmt -l {} +); \
	[ -z "$$unformatted" ] || { echo "not formatted:"; echo "$$unformatted"; exit 1; }
	@go vet -tags vitess ./...

.PHONY: clients
clients: deps-node deps-clients ## Generate, compile and run clients in Go, Python, TypeScript, Kotlin
	@api/clients/run.sh $(CLIENTS)

.PHONY: lint
lint: ## Run golangci-lint
	@echo '== golangci-lint'
	@$(linter) run

##@ Set up

.PHONY: deps
deps: deps-servers deps-node deps-clients ## Install the servers and tools that tests and checks need

.PHONY: deps-servers
deps-servers:
	@internal/tools/deps.sh servers

.PHONY: deps-node
deps-node:
	@internal/tools/deps.sh node

.PHONY: deps-mysql
deps-mysql: ## Install MySQL into bin/mysql, beside MariaDB; exits with 3 where it can't be had
	@internal/tools/deps.sh mysql

.PHONY: deps-vitess
deps-vitess:
	@internal/tools/deps.sh vitess

.PHONY: deps-clients
deps-clients:
	@internal/tools/deps.sh clients

$(ts)/node_modules/.package-lock.json: $(ts)/package.json $(ts)/package-lock.json | deps-node
	@echo 'installing the linters of the specs with npm, which takes up to a minute ...'
	@cd $(ts) && npm ci --silent && touch node_modules/.package-lock.json

.PHONY: clean
clean: ## Remove what was built
	@rm -rf bin $(ts)/node_modules $(ts)/types api/clients/*/{generated,node_modules,dist,target,venv}
