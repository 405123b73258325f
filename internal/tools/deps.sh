#!/usr/bin/env bash
# Installs what this machine lacks, and prints a line before each step that takes time. Prints nothing when nothing is missing.
# Made for Debian 12.
#
#   deps.sh servers   for `make test`: MariaDB, Galera, Redis, MinIO, nginx, HAProxy, systemd-analyze, which checks units, and a C
#                     compiler for Go's race detector
#   deps.sh node      for `make verify`, too: Node and npm
#   deps.sh clients   for `make clients`, too: Java, Maven, Python's venv, openapi-generator
#   deps.sh vitess    for `make test-vitess`: a vtcombo of Vitess, which takes some minutes to build
#   deps.sh mysql     for `make test-mysql`: MySQL, which Debian 12 lacks. It exits with 3 where that can't be had
set -euo pipefail
cd "$(dirname "$0")/../.."

# MinIO's makers publish the source alone. This is its last release.
readonly minio='github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c'

# Of Vitess, one program that holds a vtgate and tablets. Its makers number modules otherwise than releases.
readonly vitess=vitess.io/vitess@v0.24.4
readonly vitess_release=24.0.4

# The linters of the specs refuse the Node of Debian 12. This one is installed into bin/, for the Makefile alone.
readonly node_version=22.23.3
readonly node_folder=bin/node

# MySQL is in Debian's sid alone, and needs libraries newer than those of Debian 12. They lie in this folder beside it.
readonly mysql_folder=bin/mysql
readonly mysql_package=mysql-server-core

# It makes the clients of `make clients`.
readonly generator=org.openapitools:openapi-generator-cli:7.25.0
readonly generator_file=bin/openapi-generator-cli.jar
readonly maven_copy=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy

# Debian installs servers into /usr/sbin, which isn't in an ordinary user's PATH.
PATH="$PWD/$node_folder/node_modules/.bin:$PATH:/usr/local/sbin:/usr/sbin:$HOME/go/bin"

have() { command -v "$1" >/dev/null 2>&1; }

die() {
	echo "deps: $*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		have sudo || die "root or sudo is needed for: $*"
		sudo "$@"
	fi
}

install_packages() {
	(($# > 0)) || return 0
	have apt-get || die "no apt-get here; install these yourself: $*"
	echo "deps: installing $* with apt-get, which takes up to a minute ..."
	as_root apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

install_servers() {
	local missing=()
	have mariadbd && have mariadb-install-db || missing+=(mariadb-server)
	[ -e /usr/lib/galera/libgalera_smm.so ] || missing+=(galera-4)
	have rsync || missing+=(rsync) # members of a cluster copy data with these
	have lsof || missing+=(lsof)
	have redis-server || missing+=(redis-server)
	have gcc && [ -e /usr/include/stdlib.h ] || missing+=(gcc libc6-dev)
	have systemd-analyze || missing+=(systemd)
	local proxies=()
	have nginx || proxies+=(nginx)
	have haproxy || proxies+=(haproxy)
	install_packages "${missing[@]}" "${proxies[@]}"
	# Debian starts them at once, on ports that somebody may want. The tests start their own.
	if ((${#proxies[@]} > 0)) && [ -d /run/systemd/system ]; then
		as_root systemctl disable --quiet --now "${proxies[@]}"
	fi

	have minio && return
	[ -x "$(go_programs)/minio" ] && return
	echo 'deps: building MinIO from source, which takes some 3 minutes, once ...'
	CGO_ENABLED=0 go install "$minio"
}

# node_fits tells whether the machine's Node is one that the engines field of package.json allows.
node_fits() {
	case $(node --version 2>/dev/null) in
	v20.19.* | v20.[2-9]?.* | v22.1[2-9].* | v22.[2-9]?.* | v2[3-9].* | v[3-9]?.*) ;;
	*) return 1 ;;
	esac
}

install_node() {
	local missing=()
	have npm || missing+=(npm)
	install_packages "${missing[@]}"
	node_fits && return
	local machine
	case $(uname -m) in
	x86_64) machine=x64 ;;
	aarch64) machine=arm64 ;;
	*) die "install Node $node_version yourself" ;;
	esac
	echo "deps: downloading Node $node_version into $node_folder ..."
	npm install --silent --no-audit --no-fund --prefix "$node_folder" "node-linux-$machine@$node_version"
}

install_clients() {
	local missing=()
	have javac || missing+=(default-jdk-headless)
	have mvn || missing+=(maven)
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
	install_packages "${missing[@]}"
	# A copy of another version has another name beside it.
	[ "$(cat "$generator_file.version" 2>/dev/null)" = "$generator" ] && return
	echo "deps: openapi-generator into $generator_file (30 MB)"
	mkdir -p bin
	mvn --quiet --batch-mode -Dstyle.color=never "$maven_copy" -Dartifact="$generator" -DoutputDirectory="$PWD/bin" -Dmdep.stripVersion=true
	echo "$generator" >"$generator_file.version"
}

no_mysql() {
	echo "deps: no MySQL here: $*" >&2
	exit 3
}

# debian_mirror prints the address at which this machine finds its own release.
debian_mirror() {
	local VERSION_CODENAME=''
	. /etc/os-release
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Component: main' | awk -v release="$VERSION_CODENAME" '$1 == release { print $2; exit }'
}

# fetch_mysql downloads MySQL and all libraries that it needs into a folder. apt works on lists and a state of its own there, checks
# the signatures as always, and leaves the system as it is.
fetch_mysql() {
	local folder=$1 mirror apt
	mkdir -p "$folder"/{lists/partial,archives/partial}
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || no_mysql 'the machine gets no packages of Debian'
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$folder/sources.list"
	# Perl is for scripts beside the server; said to be installed, it stays away.
	printf '%s\n' 'Package: perl' 'Status: install ok installed' 'Version: 99' "Architecture: $(dpkg --print-architecture)" \
		'Multi-Arch: allowed' 'Maintainer: none' 'Description: none' >"$folder/status"
	apt=(apt-get -qq -y --no-install-recommends -o Debug::NoLocking=true -o APT::Sandbox::User= -o Acquire::Languages=none
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
		-o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o "Dir::State=$folder" -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder" -o "Dir::Cache::archives=$folder/archives")
	"${apt[@]}" update >&2 || no_mysql 'the list of the packages of sid cannot be fetched'
	"${apt[@]}" --download-only install "$mysql_package" >&2 || no_mysql 'the packages cannot be fetched'
}

install_mysql() {
	[ -x "$mysql_folder/mysqld" ] && return
	have apt-get && have dpkg-deb || no_mysql 'it is installed from packages of Debian'
	echo "deps: downloading MySQL from Debian's sid into $mysql_folder (50 MB), which takes some 15 seconds ..."
	local work package
	rm -rf "$mysql_folder"
	mkdir -p "$mysql_folder"
	work=$(mktemp -d)
	trap "rm -rf '$work'" EXIT
	fetch_mysql "$work"
	for package in "$work"/archives/*.deb; do
		dpkg-deb -x "$package" "$mysql_folder"
	done
	rm -rf "$mysql_folder"/{etc,usr/bin,usr/share/{doc,man,locale}}
	# The libraries' own loader starts it, so that the machine's aren't used.
	cat >"$mysql_folder/start" <<-'EOF'
		#!/bin/sh
		here=${0%/*}
		for loader in "$here"/usr/lib*/ld-linux*.so.* "$here"/lib*/ld-linux*.so.*; do
			[ -x "$loader" ] && break
		done
		for libraries in "$here"/usr/lib/*-linux-gnu; do :; done
		exec "$loader" --library-path "$libraries" "$here/usr/sbin/mysqld" "$@" --basedir="$here/usr"
	EOF
	chmod +x "$mysql_folder/start"
	"$mysql_folder/start" --no-defaults --version >"$mysql_folder/version" 2>&1 || no_mysql "it does not start: $(cat "$mysql_folder/version")"
	mv "$mysql_folder/start" "$mysql_folder/mysqld" # once everything is there
	echo "deps: MySQL is $(sed 's/.* Ver //' "$mysql_folder/version")"
}

# go_programs prints the folder into which `go install` puts programs.
go_programs() {
	local bin
	bin=$(go env GOBIN)
	echo "${bin:-$(go env GOPATH | cut -d: -f1)/bin}"
}

install_vitess() {
	local bin source
	bin=$(go_programs)
	"$bin/vtcombo" --version 2>/dev/null | grep -qF "Version: $vitess_release " && return
	echo 'deps: building Vitess from source, which takes some minutes, once ...'
	# `go install` refuses it, because its go.mod excludes a version; its own folder can be built.
	source=$(go mod download -json "$vitess" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
	CGO_ENABLED=0 go build -C "$source" -trimpath -o "$bin/vtcombo" ./go/cmd/vtcombo
}

for part in "$@"; do
	case $part in
	servers) install_servers ;;
	node) install_node ;;
	clients) install_clients ;;
	mysql) install_mysql ;;
	vitess) install_vitess ;;
	*) die "unknown part: $part" ;;
	esac
done
