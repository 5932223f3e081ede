#!/usr/bin/env bash
# What `make test-cluster` and `make test-workflows` need and a new Debian 12 machine lacks. As root or with sudo; a second
# run changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Slurm with munge, OpenSSH and OpenMPI, and what the tests and the cluster files' comments call. No service of these is
# needed: the tests start their own.
wanted=(slurm-wlm munge openssh-server openssh-client openmpi-bin openssl iproute2 make python3 python3-venv)
packages=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || true
    [[ $status == installed ]] || packages+=("$package")
done

if ((${#packages[@]})); then
    sudo=()
    ((EUID == 0)) || sudo=(sudo)
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then  # Debian's way to say: start no service that is installed now
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" install -m 755 /dev/stdin /usr/sbin/policy-rc.d
        trap '"${sudo[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    echo "Installing ${packages[*]} ..."
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq --yes --no-install-recommends "${packages[@]}" >/dev/null
fi
