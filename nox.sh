#!/bin/sh
# nox, in an environment of its own: the first call makes .venv. Arguments go to nox.
set -e
cd "$(dirname "$0")"
need() { # a Debian package, for something that is missing
    echo "nox.sh: $1 is missing: installing $2" >&2
    if [ "$(id -u)" = 0 ]; then as=; else as=sudo; fi
    if ! command -v apt-get >/dev/null; then
        echo "nox.sh: install $2 with this system's package manager, then try again" >&2
        exit 2
    fi
    $as apt-get update -qq
    $as apt-get install -y -qq "$2" >&2
}
if [ ! -x .venv/bin/nox ]; then
    python3 -c 'import ensurepip' 2>/dev/null || need "Python's venv" python3-venv
    # torch.compile builds its CPU kernels with it.
    command -v g++ >/dev/null || command -v clang++ >/dev/null || need "a C++ compiler" g++
    python3 -m venv .venv
    .venv/bin/pip install -q nox
fi
exec .venv/bin/nox "$@"
