# make prints its targets.
.DEFAULT_GOAL := help
SHELL := bash
TOOLS := PATH="$$(go env GOPATH)/bin:$$PATH"
CORE := $$(go list ./... | grep -v /e2e$$)

.PHONY: help check test race fuzz e2e crash disk outage bench build lint tools ci clean hostile alerts health network clock power store-fixture damage full rights hub scale

help: ## print this
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

check: ## gofmt, vet, staticcheck, race tests, short fuzz: before every commit
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	GOOS=windows go vet ./...
	@bash .ci/tools
	$(TOOLS) staticcheck ./...
	go test -race $(CORE)
	bash .ci/fuzz 5000x

test: ## all tests
	go test ./...

race: ## all tests but e2e with the race detector
	go test -race $(CORE)

fuzz: ## every fuzz target a million times
	bash .ci/fuzz 1000000x

e2e: bin/nats ## the programs as processes, with the stock nats command too
	VESTNIK_NATS_CLI=$$PWD/bin/nats go test -count=1 -v ./internal/e2e

crash: ## kill -9, long: ROUNDS=400, SEED=… repeats a run
	VESTNIK_ROUNDS=$${ROUNDS:-400} VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run Kill9 ./internal/e2e

disk: ## disk full, EIO, failing fsyncs, long: ROUNDS=26, SEED=… repeats a run
	VESTNIK_LONG=1 VESTNIK_ROUNDS=$${ROUNDS:-26} VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run '^TestDisk' ./internal/e2e

power: ## power cuts, 20 rounds each: ROUNDS=…, SEED=… repeats a run
	VESTNIK_LONG=1 VESTNIK_ROUNDS=$$ROUNDS VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run PowerCut ./internal/e2e

commands: ## commands killed and cut between journal and answer, long: ROUNDS=400, SEED=… repeats a run
	VESTNIK_ROUNDS=$${ROUNDS:-400} VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run 'TestCommandKill9|TestPolledCommandsSurviveKills' ./internal/e2e
	VESTNIK_LONG=1 VESTNIK_ROUNDS=$$ROUNDS VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run TestCommandPowerCut ./internal/e2e

outage: ## a sink down for a whole minute
	VESTNIK_LONG=1 go test -count=1 -v -run SinkDown ./internal/e2e

hostile: ## hostile input, long: crowds for two minutes, 100,000 mutations, 5 minutes of fuzzing; SEED=… repeats
	VESTNIK_ROUNDS=$${ROUNDS:-100000} VESTNIK_SEED=$$SEED go test -count=1 -timeout 30m -v -run 'Hostile|Outside' ./internal/e2e
	VESTNIK_LONG=1 go test -count=1 -timeout 30m -v -run Crowd ./internal/e2e
	go test ./internal/app -run '^$$' -fuzz '^FuzzEdge$$' -fuzztime $${FUZZ:-1200000x}

network: ## bad networks between sinks and monitoring systems, long: ROUNDS=200, SEED=… repeats a run
	VESTNIK_LONG=1 VESTNIK_ROUNDS=$${ROUNDS:-200} VESTNIK_SEED=$$SEED go test -count=1 -timeout 30m -v -run Network ./internal/e2e
	go test -count=1 -v -run 'Schedule|ThousandEdges|RetryAfter|Breaker|Backoff|Outlives|StartsWith' ./internal/sink

clock: ## clocks that are set back and forward, ten times
	go test -count=10 -run 'Clock|Age|Burst|Drift|Dedup' ./internal/clock ./internal/hold ./internal/router ./internal/sink ./internal/control ./internal/keeper ./internal/terminal ./internal/event

store-fixture: ## keep a store of this version for the test of upgrades: NAME=…
	VESTNIK_STORE_FIXTURE=$${NAME:-$$(date +%F)} go test -count=1 -v -run 'WriteStore|KeptStores' ./internal/e2e

damage: ## random damage to the store's files: ROUNDS=200, SEED=… repeats a run
	VESTNIK_ROUNDS=$${ROUNDS:-200} VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run 'TestDamage$$' ./internal/e2e

full: ## full stores, long: every case apart and hosted, then ROUNDS=20 at random, SEED=… repeats
	VESTNIK_LONG=1 go test -count=1 -timeout 20m -v -run 'TestFull$$' ./internal/e2e
	VESTNIK_ROUNDS=$${ROUNDS:-20} VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run TestFullRounds ./internal/e2e

rights: ## who may do what, with ROUNDS=200 times 500 acts at random, SEED=… repeats a run
	VESTNIK_ROUNDS=$${ROUNDS:-200} VESTNIK_SEED=$$SEED go test -count=1 -timeout 30m -v -run 'Rights|Forbidden|Forged|Strangers|Secrets' ./internal/e2e

hub: ## faults between edges and a hub of three processes, long: ROUNDS=20, SEED=… repeats a run
	VESTNIK_LONG=1 VESTNIK_ROUNDS=$${ROUNDS:-20} VESTNIK_SEED=$$SEED go test -count=1 -timeout 60m -v -run '^TestHub' ./internal/e2e

scale: ## 200 edges at a hub of three processes, all restarted: EDGES=…, OPEN=1 without isolated leaf nodes
	VESTNIK_LONG=1 VESTNIK_EDGES=$${EDGES:-200} VESTNIK_OPEN=$$OPEN go test -count=1 -timeout 60m -v -run '^TestScale$$' ./internal/e2e

bench: ## benchmarks, with the floor in the same run
	go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v '/internal/bench$$')
	go test -run '^$$' -bench . -benchtime 1x ./internal/bench

alerts: ## the alert rules in deploy/prometheus, and the metrics that they use, with promtool
	@bash .ci/tools
	@bash .ci/alerts
	VESTNIK_PROMTOOL=$$(go env GOPATH)/bin/promtool go test -count=1 -v -run HealthMetrics ./internal/e2e

health: ## the age of the oldest undelivered event, through long outages
	VESTNIK_LONG=1 go test -count=1 -v -run Health ./internal/e2e

build: ## every program for linux/amd64, linux/arm64 and windows/amd64, into dist/
	bash .ci/build

lint: ## staticcheck and golangci-lint
	@bash .ci/tools
	$(TOOLS) staticcheck ./...
	$(TOOLS) golangci-lint run ./...

tools: bin/nats ## the linters, and the stock nats command into bin/
	@bash .ci/tools

ci: ## what the continuous integration runs
	bash .ci/run

clean: ## remove bin/ and dist/
	rm -rf bin dist

bin/nats: tools/go.mod tools/go.sum
	cd tools && go build -o ../bin/ github.com/nats-io/natscli/nats
