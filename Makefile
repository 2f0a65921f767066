# make prints its targets.
.DEFAULT_GOAL := help
SHELL := bash
TOOLS := PATH="$$(go env GOPATH)/bin:$$PATH"
CORE := $$(go list ./... | grep -v /e2e$$)

.PHONY: help check test race fuzz e2e crash outage rights bench build lint tools ci clean

help: ## print this
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

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

outage: ## a sink down for a whole minute
	VESTNIK_LONG=1 go test -count=1 -v -run SinkDown ./internal/e2e

rights: ## who may do what, with ROUNDS=200 times 500 acts at random, SEED=… repeats a run
	VESTNIK_ROUNDS=$${ROUNDS:-200} VESTNIK_SEED=$$SEED go test -count=1 -timeout 30m -v -run 'Rights|Forbidden|Strangers|Secrets' ./internal/e2e

bench: ## benchmarks, with the floor in the same run
	go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v '/internal/bench$$')
	go test -run '^$$' -bench . -benchtime 1x ./internal/bench

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
