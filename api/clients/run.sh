#!/usr/bin/env bash
# Generates, compiles and runs a client in each language, against a server of its own and against tomorrow.mjs, which
# answers what the spec doesn't know yet. Needs what `internal/tools/deps.sh node clients` installs.
#
#   run.sh [go] [python] [typescript] [kotlin]     all of them when none is named
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly clients=api/clients spec=api/openapi.yaml generator=bin/openapi-generator-cli.jar

began() { echo "== $1 ($((SECONDS)) s)"; }

# generate NAME FOLDER [OPTION …] is openapi-generator into FOLDER; what it says is shown only when it fails.
generate() {
	local name=$1 folder=$2 said
	shift 2
	rm -rf "$folder"
	said=$(java -jar "$generator" generate -i "$spec" -g "$name" -o "$folder" "$@" 2>&1) || { echo "$said" >&2; return 1; }
}

run_go() { CGO_ENABLED=0 go run ./$clients/go "$@"; }

run_python() {
	generate python $clients/python/generated
	local python=$clients/python/venv/bin/python
	if [ ! -x "$python" ]; then
		echo 'installing what the generated package needs, once'
		python3 -m venv $clients/python/venv
	fi
	$python -m pip install --quiet --disable-pip-version-check -r $clients/python/requirements.txt
	PYTHONPATH=$clients/python/generated $python $clients/python/client.py "$@"
}

run_typescript() {
	generate typescript-fetch $clients/typescript/generated/typescript-fetch --additional-properties=importFileExtension=.js
	(
		cd $clients/typescript
		if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
			echo 'installing the compiler and openapi-typescript, once'
			npm ci --silent
			touch node_modules/.package-lock.json
		fi
		npm run --silent generate >/dev/null
		npm run --silent build
		node dist/openapi-fetch.js "$@"
		node dist/typescript-fetch.js "$@"
	)
}

run_kotlin() {
	generate kotlin $clients/kotlin/generated
	[ -d $clients/kotlin/target ] || echo 'compiling; Maven fetches the compiler and the libraries the first time'
	mvn --quiet --batch-mode -Dstyle.color=never -f $clients/kotlin/pom.xml compile exec:java -Dexec.args="$*"
}

folder=$(mktemp -d)
pids=()
stop() {
	exec 7>&- # ends tomorrow.mjs
	kill "${pids[@]}" 2>/dev/null || true
	wait
	rm -rf "$folder"
}
trap stop EXIT

# address FILE PATTERN waits up to 20 s until a process has written its address.
address() {
	for _ in $(seq 200); do
		grep -oE -m1 "$2" "$1" && return
		sleep 0.1
	done
	echo "no address in $1:" >&2
	cat "$1" >&2
	return 1
}

began 'building the server (a minute or two for the first time)'
CGO_ENABLED=0 go build -trimpath -o bin/tim ./cmd/tim
./bin/tim serve --listen=127.0.0.1:0 --admin-listen= --data-dir="$folder/data" --bcrypt-cost=4 >"$folder/tim.log" 2>&1 &
pids+=($!)
mkfifo "$folder/life"
node $clients/tomorrow.mjs <"$folder/life" >"$folder/tomorrow.log" 2>&1 &
pids+=($!)
exec 7>"$folder/life"
server=http://$(address "$folder/tim.log" '127\.0\.0\.1:[0-9]+')
tomorrow=$(address "$folder/tomorrow.log" 'http://127\.0\.0\.1:[0-9]+')

(($# > 0)) || set -- go python typescript kotlin
for language in "$@"; do
	began "$language"
	"run_$language" "$server" "$tomorrow"
done
began 'every client talked to the server and survived what it did not know'
