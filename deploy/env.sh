#!/bin/sh
# env.sh [file]
#
# Gives docker-compose.yml its tokens and passwords: adds to the file, by default .env beside
# docker-compose.yml, whatever is missing in it. What is there stays as it is.
set -eu
umask 077

here=$(dirname "$0")
file=${1:-$here/../.env}

random() {
    od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'
}

# add NAME PREFIX: a value begins with a letter, because nats-server reads a number as a number.
add() {
    grep -q "^$1=." "$file" || echo "$1=$2$(random)" >>"$file"
}

[ -e "$file" ] || echo "# Made by deploy/env.sh. Secret: not for version control." >"$file"
chmod 600 "$file"
add ABBOTIK_DEV_TOKEN dev_
add ABBOTIK_DEV_ROOT_TOKEN root_
for service in GATEWAY ROOM_WORKER FACTORY VERIFIER PROVISION OPERATOR MONGO_ADMIN; do
    add "${service}_PASSWORD" p
done
add MONGO_KEY k
# Mounted into containers whose root has no capabilities and so may read only what anybody may.
chmod -R a+rX "$here/nats" "$here/../tests/compose/smoke.py"
echo "$file holds the tokens and passwords of this installation."
