#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: MariaDB, Redis, MinIO, a C compiler (for Go's race
# detector), Node and npm. Made for Debian 12; it says nothing and takes no time when everything is there.
set -euo pipefail

# MinIO publishes no binaries any more; this is the last release, built from its source.
readonly minio='github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c'

# Debian keeps servers in /usr/sbin, which an ordinary user's PATH leaves out.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

have() { command -v "$1" >/dev/null 2>&1; }

go_bin() {
	local bin
	bin=$(go env GOBIN)
	echo "${bin:-$(go env GOPATH | cut -d: -f1)/bin}"
}

packages=()
have mariadbd && have mariadb-install-db || packages+=(mariadb-server)
have redis-server || packages+=(redis-server)
have gcc && [ -e /usr/include/stdlib.h ] || packages+=(gcc libc6-dev)
have node || packages+=(nodejs)
have npm || packages+=(npm)

if ((${#packages[@]})); then
	root=()
	if [ "$(id -u)" -ne 0 ]; then
		have sudo || { echo "deps: need root or sudo to install: ${packages[*]}" >&2; exit 1; }
		root=(sudo)
	fi
	if ! have apt-get; then
		echo "deps: no apt-get here; install these yourself: ${packages[*]}" >&2
		exit 1
	fi
	echo "deps: installing ${packages[*]}"
	"${root[@]}" apt-get update -q
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
fi

if ! have minio && [ ! -x "$HOME/go/bin/minio" ] && [ ! -x "$(go_bin)/minio" ]; then
	echo "deps: building MinIO (some three minutes, once)"
	CGO_ENABLED=0 go install "$minio"
fi
