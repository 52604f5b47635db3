#!/bin/sh
# Builds and starts docker-compose.yml with three workers, checks it from outside and inside, and
# removes all of it again. Without a Docker engine it says so and passes.
set -eu
cd "$(dirname "$0")/../.."
# Not $PYTHON: that one makes the .venv, and has none of the tests' libraries.
python=.venv/bin/python

skip() {
    echo "compose-test: SKIPPED, $1."
    [ -z "${CI:-}" ] ||
        echo "compose-test: WARNING: nothing of Dockerfile and docker-compose.yml was checked." >&2
    exit 0
}
command -v docker >/dev/null || skip "there is no docker command"
docker version >/dev/null 2>&1 || skip "no Docker engine answers"
docker compose version >/dev/null 2>&1 || skip "docker has no compose plugin"

# A project, an image tag and secrets of its own, so that a stack of the operator's stays untouched.
project=abbotik-test-$$
work=$(mktemp -d)
export COMPOSE_PROJECT_NAME="$project" COMPOSE_FILE="$PWD/docker-compose.yml"
export COMPOSE_ENV_FILES="$work/.env" ABBOTIK_TEST_COMPOSE="$work" PORT=0
# What stands in the environment would win over the file.
unset COMPOSE_PROFILES ABBOTIK_TAG ABBOTIK_AUTH ABBOTIK_API_URL ABBOTIK_LOG_LEVEL
unset ABBOTIK_DEV_TOKEN ABBOTIK_DEV_ROOT_TOKEN MONGO_KEY MONGO_ADMIN_PASSWORD PROVISION_PASSWORD
unset GATEWAY_PASSWORD ROOM_WORKER_PASSWORD FACTORY_PASSWORD VERIFIER_PASSWORD OPERATOR_PASSWORD

finish() {
    code=$?
    # Whoever interrupts again must not interrupt the cleaning.
    trap '' INT TERM HUP
    if [ "$code" -ne 0 ]; then
        docker compose ps --all || true
        # Without mongod, which says a line about each connection.
        docker compose logs --no-color --tail 40 nats mongo-users provision gateway room-worker \
            factory verifier || true
    fi
    docker compose --profile test --profile operator down --volumes --remove-orphans --timeout 10 >"$work/down.log" 2>&1 ||
        { cat "$work/down.log"; code=1; }
    docker image rm "abbotik-llm:$project" >"$work/down.log" 2>&1 || true
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

deploy/env.sh "$work/.env" >"$work/env.log"
# In the file: the tests drop settings of ours from their environment.
echo "ABBOTIK_TAG=$project" >>"$work/.env"
docker compose up --build --detach --wait --wait-timeout 300 --scale room-worker=3 --quiet-pull \
    >"$work/up.log" 2>&1 || { cat "$work/up.log"; exit 1; }
"$python" -m pytest -q tests/compose/check_stack.py "$@"
