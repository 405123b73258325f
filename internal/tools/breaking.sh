#!/usr/bin/env bash
# Says whether the specs break clients of an earlier version, and fails when they do in a way that api/breaking.txt doesn't
# allow. It waits some 2 minutes while it builds oasdiff for the first time. The frames of tim.v1 are compared as if one request carried a client's and its answer the server's.
#
#   breaking.sh [REVISION]     the last tag when none is given, or else the version before there were tags
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly before_tags=48f9866fa0db03ab518e0dc614e7f2dbed87fa03
base=${1:-$(git describe --tags --abbrev=0 2>/dev/null || echo $before_tags)}
git cat-file -e "$base^{commit}" 2>/dev/null || { echo "breaking: this clone has no $base; fetch its history" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/old" "$folder/new"
for spec in openapi frames; do
	git show "$base:api/$spec.yaml" >"$folder/old/$spec.yaml"
	cp "api/$spec.yaml" "$folder/new/$spec.yaml"
done
for version in old new; do
	cat >"$folder/$version/socket.yaml" <<-'YAML'
		openapi: 3.0.3
		info: { title: tim.v1, version: 1.0.0 }
		paths:
		  /websocket:
		    post:
		      operationId: frame
		      requestBody:
		        required: true
		        content:
		          application/json:
		            schema: { $ref: './frames.yaml#/components/schemas/ClientFrame' }
		      responses:
		        '200':
		          description: A frame of the server.
		          content:
		            application/json:
		              schema: { $ref: './frames.yaml#/components/schemas/ServerFrame' }
	YAML
done

# breaks lists what oasdiff finds and api/breaking.txt doesn't allow.
breaks() {
	CGO_ENABLED=0 go tool -modfile=internal/tools/oasdiff/go.mod oasdiff breaking --color never --format singleline \
		"$folder/old/$1.yaml" "$folder/new/$1.yaml" >"$folder/$1.txt"
	grep -E '^(error|warning)' "$folder/$1.txt" | sed "s|$folder/new/||" | grep -vE -f <(grep -vE '^(#|$)' api/breaking.txt) || true
}

found=$(breaks openapi && breaks socket)
if [ -n "$found" ]; then
	echo "$found"
	echo "these changes since $base break clients; undo them, or say in api/breaking.txt why they are right" >&2
	exit 1
fi
echo "nothing since $base breaks clients; api/breaking.txt allows $(cat "$folder"/*.txt | grep -cE '^(error|warning)' || true) changes"
