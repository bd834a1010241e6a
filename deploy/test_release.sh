#!/usr/bin/env bash
# Tests an upgrade, the refusals at the start, the health checks and a restore on a real Docker engine.
# deploy/test.sh runs it after the day's mails; it needs the image that `docker compose build` makes.
#     OLD_IMAGE=NAME deploy/test_release.sh     upgrades from that image (and NAME-local), builds no old one
#     KEEP=1 deploy/test_release.sh STEP …      runs some of the steps, and leaves the project running
# OLD_RELEASE is the commit of the old release; its Compose files are used, too.
set -euo pipefail
cd "$(dirname "$0")/.."
OLD_RELEASE=${OLD_RELEASE:-f367954}
export COMPOSE_PROJECT_NAME=sequences-release COMPOSE_ENV_FILES=/dev/null CONTACTS=${CONTACTS:-60}
export API_PORT=18001 DAGSTER_PORT=13001 MAIL_PORT=18026 POSTGRES_PORT=15433 PGADMIN_PORT=15051
new=${NEW_IMAGE:-sequence-pipelines}
image=sequences-release
export SEQUENCE_IMAGE=$image SMTP_HOST=relay SMTP_PORT=2525 SMTP_FINAL_DOT_SECONDS=1800
work=$(mktemp -d)
answers=$work/answers
began=$SECONDS

say() { printf '%4d s  %s\n' "$((SECONDS - began))" "$*"; }
fail() { say "WRONG $*"; exit 1; }
finish() {
    status=$?
    kill "${poller:-}" 2> /dev/null || true
    if [ "$status" != 0 ]; then docker compose ps --all; docker compose logs --tail 10 --no-color; fi
    docker rm --force sequences-release-slow > /dev/null 2>&1 || true
    if [ -z "${KEEP:-}" ]; then docker compose down --volumes --timeout 5 > /dev/null 2>&1 || true; fi
    rm -rf "$work"
    say "$([ "$status" = 0 ] && echo passed || echo "FAILED ($status)")"
}
trap finish EXIT

sql() { docker compose exec -T postgres psql --username postgres --dbname sequences -Atc "$1"; }
day() {
    docker compose run --rm --no-deps --quiet-pull -T --env CONTACTS migrations \
        python - "$@" < deploy/test_day.py
}
# Starts the containers of a service again. `docker compose start` also wants the services on which it
# depends, and migrations has ended.
start() { docker compose ps --all --quiet "$1" | xargs docker start > /dev/null; }
# Runs a program of the new release that must refuse its start, and checks that one line names $1.
refused() {
    local named=$1 said status=0
    shift
    said=$(docker compose run --rm --no-deps -T "$@" 2>&1 < /dev/null) || status=$?
    said=$(printf '%s' "$said" | grep -v -e '^ ' -e Container || true)
    [ "$status" != 0 ] || fail "started although $named should be refused"
    [ "$(printf '%s\n' "$said" | wc -l)" = 1 ] || fail "says more than one line: $said"
    case $said in *"$named"*) say "refused: $said" ;; *) fail "does not name $named: $said" ;; esac
}
# Runs a mail server on the project's network that accepts a mail only when /tmp/accepts exists in its
# container.
slow_server() {
    docker rm --force sequences-release-slow > /dev/null 2>&1 || true
    docker run --detach --rm --interactive --name sequences-release-slow --network-alias relay \
        --network sequences-release_default --memory 256m "$new-local" python -c "
import asyncio, email, os, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

class Slow:
    async def handle_DATA(self, server, session, envelope):
        link = email.message_from_bytes(envelope.content)['List-Unsubscribe']
        print('mail to', *envelope.rcpt_tos, ''.join(str(link).split()), flush=True)
        while not os.path.exists('/tmp/accepts'):
            await asyncio.sleep(0.2)
        return '250 2.0.0 accepted'

class Server(Controller):
    def factory(self):
        # Its own timeout would end the connections before the workers give up.
        return SMTP(self.handler, hostname='relay.example', enable_SMTPUTF8=True, timeout=3600)

Server(Slow(), hostname='0.0.0.0', port=2525).start()
threading.Event().wait()" > /dev/null
}
# Unsubscribes with the link of a mail that a worker is sending, five times a second, and writes when that
# succeeded. It stays in the background.
poll() {
    local token
    token=$(docker logs sequences-release-slow 2>&1 | sed -n 's|^mail to .*/u/\([^>]*\)>.*|\1|p' | head -1)
    [ -n "$token" ] || fail "no link to unsubscribe in a mail: $(docker logs sequences-release-slow 2>&1)"
    while :; do
        if curl --silent --fail --output /dev/null --max-time 2 --request POST \
            "http://127.0.0.1:$API_PORT/u/$token"; then
            date +%s.%N
        fi
        sleep 0.2
    done >> "$answers" & poller=$!
}
# Prints the longest time without an answer, in seconds, from an instant on ($1; default: the first answer).
longest_gap() {
    awk -v from="${1:-0}" '$1 < from { next } last && $1 - last > gap { gap = $1 - last }
        { last = $1 } END { printf "%.1f", gap }' "$answers"
}

# Starts the old release with two workers, whose mails their server keeps waiting.
old_release() {
    docker compose down --volumes --timeout 5 > /dev/null 2>&1 || true
    mkdir "$work/old"
    git archive "$OLD_RELEASE" | tar --extract --directory "$work/old"
    if [ -z "${OLD_IMAGE:-}" ]; then
        (cd "$work/old" && docker compose build --quiet)
    else
        docker tag "$OLD_IMAGE" "$image" && docker tag "$OLD_IMAGE-local" "$image-local"
    fi
    PLAN_AT=$(date --utc --date "+20 minutes" +%H:%M)
    export PLAN_AT
    (cd "$work/old" && docker compose up --detach --no-build --wait --wait-timeout 600 --scale worker=2 \
        > "$work/log" 2>&1) || { cat "$work/log"; exit 1; }
    slow_server
    say "the old release ($OLD_RELEASE) is up with two workers"
    (cd "$work/old" && docker compose run --rm --no-deps -T --env CONTACTS migrations python - enter \
        < deploy/test_day.py > /dev/null)
    (cd "$work/old" && docker compose run --rm --no-deps -T --env CONTACTS migrations python - plan \
        < deploy/test_day.py) | tail -1
    until docker logs sequences-release-slow 2>&1 | grep 'mail to' > /dev/null; do sleep 1; done
    poll
}

# A migration that fails leaves the old release running and tagged.
broken_migration() {
    local newest
    newest=$(docker run --rm "$new" python -c \
        "from sequence_store.postgres.schema_revision import release_revision; print(release_revision())")
    docker build --quiet --tag sequences-release:broken - > /dev/null <<DOCKERFILE
FROM $new
USER root
RUN printf '%s\n' 'revision = "9998_broken"' 'down_revision = "$newest"' 'def upgrade():' \
    '    raise RuntimeError("this migration fails")' > /opt/product/migrations/versions/9998_broken.py
USER 10001:10001
DOCKERFILE
    before=$(docker compose ps --quiet | sort | xargs; docker image inspect --format '{{.Id}}' $image)
    if deploy/upgrade.sh sequences-release:broken > "$work/log" 2>&1; then
        fail "a failed migration upgraded"
    fi
    say "broken release: $(tail -1 "$work/log")"
    grep --quiet 'this migration fails' "$work/log" || { cat "$work/log"; fail "another reason"; }
    services="api worker code webserver daemon inbox webhooks"
    # shellcheck disable=SC2086
    for service in $services; do
        for container in $(docker compose ps --quiet "$service"); do
            [ "$(docker inspect --format '{{.Config.Image}} {{.State.Running}}' "$container")" \
                = "$image true" ] ||
                fail "$service does not run the old image"
        done
    done
    case $before in
        *"$(docker image inspect --format '{{.Id}}' $image)") ;;
        *) fail "the tag has moved" ;;
    esac
    : > "$answers"
}

# The upgrade: the API answers while the old workers wait for their servers.
upgrade() {
    : > "$answers"
    local from=$SECONDS upgrading
    deploy/upgrade.sh "$new" > "$work/upgrade" 2>&1 & upgrading=$!
    until grep --quiet 'old ones finish' "$work/upgrade"; do
        kill -0 "$upgrading" 2> /dev/null || { cat "$work/upgrade"; fail "the upgrade ended early"; }
        sleep 1
    done
    local draining
    draining=$(date +%s.%N)
    sleep "${DRAIN:-180}" # the old workers wait for their server
    kill -0 "$upgrading" || fail "the upgrade did not wait for the old workers"
    # An old worker without a mail has ended.
    [ "$(docker compose ps --quiet worker | wc -l)" -ge 3 ] || fail "old and new workers do not run together"
    [ "$(sql "SELECT count(*) FROM sends WHERE status = 'transmitting'")" -gt 0 ] || fail "no mail waits"
    say "the old workers have waited for ${DRAIN:-180} s; meanwhile the longest silence was" \
        "$(longest_gap "$draining") s"
    awk -v gap="$(longest_gap "$draining")" 'BEGIN { exit !(gap < 10) }' || fail "links did not work"
    docker exec sequences-release-slow touch /tmp/accepts
    wait "$upgrading"
    grep ' s  ' "$work/upgrade" | while read -r line; do say "upgrade: $line"; done
    say "the upgrade took $((SECONDS - from)) s; $(wc -l < "$answers") requests to unsubscribe succeeded," \
        "the longest time without one was $(longest_gap) s"
    for service in api worker code webserver daemon inbox; do
        for container in $(docker compose ps --quiet "$service"); do
            [ "$(docker inspect --format '{{.Image}}' "$container")" \
                = "$(docker image inspect --format '{{.Id}}' "$new")" ] || fail "$service was not replaced"
        done
    done
    [ "$(sql "SELECT count(*) FROM suppressions WHERE reason = 'unsubscribed'")" = 1 ] ||
        fail "the link did not unsubscribe"
    awk -v gap="$(longest_gap)" 'BEGIN { exit !(gap < 90) }' || fail "links did not work for $(longest_gap) s"
    [ "$(docker compose ps --quiet worker | wc -l)" = 2 ] || fail "there are not two workers"
    kill "$poller" && wait "$poller" 2> /dev/null || true
}

# An image that meets a newer schema says so in one line, and works.
newer_schema() {
    revision=$(sql 'SELECT version_num FROM alembic_version')
    sql "UPDATE alembic_version SET version_num = '9999_later'" > /dev/null
    refused 9999_later migrations
    docker compose restart worker 2> /dev/null
    until docker compose logs --no-color worker | grep schema_is_newer > /dev/null; do sleep 1; done
    say "worker: $(docker compose logs --no-color --no-log-prefix worker | grep schema_is_newer | tail -1)"
    curl --silent --fail "http://127.0.0.1:$API_PORT/readyz" > /dev/null ||
        fail "the API is not ready on a newer schema"
    docker build --quiet --tag "$image:previous" - > /dev/null <<< "FROM $new"$'\nLABEL release=before'
    docker tag "$new-local" "$image:previous-local"
    deploy/upgrade.sh --back > "$work/back" 2>&1 || { cat "$work/back"; fail "cannot go back"; }
    say "back: $(tail -1 "$work/back")"
    for container in $(docker compose ps --quiet worker) $(docker compose ps --quiet api); do
        [ "$(docker inspect --format '{{.Config.Labels.release}}' "$container")" = before ] ||
            fail "not the image before"
    done
    sql "UPDATE alembic_version SET version_num = '0000_earlier'" > /dev/null
    say "older schema: $(curl --silent "http://127.0.0.1:$API_PORT/readyz")"
    ! curl --silent --fail "http://127.0.0.1:$API_PORT/readyz" > /dev/null ||
        fail "the API is ready without its schema"
    sql "UPDATE alembic_version SET version_num = '$revision'" > /dev/null
}

# Refusals at the start.
refusals() {
    own=(--env SEQUENCE_ENVIRONMENT=production --env ADDRESS_KEY=own --env LINK_KEYS=own
        --env PUBLIC_URL=https://mail.example.com
        --env SECRET_KEYS=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
        --env WORKER_DATABASE_URL=postgresql://sequence_worker:own@postgres/sequences
        --env VALKEY_URL=valkey://:own@valkey)
    refused SMTP_HOST "${own[@]}" --env SMTP_HOST=mail-sink --env SMTP_PORT=25 worker
    refused SMTP_PORT "${own[@]}" --env SMTP_HOST=relay --env SMTP_PORT=1025 worker
    refused ADDRESS_KEY --env SEQUENCE_ENVIRONMENT=production worker
    refused WORKER_DATABASE_URL "${own[@]}" --env SMTP_PORT=2525 \
        --env WORKER_DATABASE_URL=postgresql://sequence_worker:local@postgres/sequences worker
    sql "ALTER ROLE sequence_worker PASSWORD 'own'" > /dev/null
    docker compose exec -T sqs python - <<'PYTHON'
import boto3
client = boto3.client("sqs", endpoint_url="http://127.0.0.1:4566", region_name="us-east-1")
for name in ("sends", "sends-dlq", "delivery-results", "delivery-results-dlq"):
    for environment, tag in (("production", "production"), ("staging", "staging")):
        url = client.create_queue(QueueName=f"sequence-{environment}-{name}")["QueueUrl"]
        client.tag_queue(QueueUrl=url, Tags={"sequence_environment": tag})
PYTHON
    refused staging "${own[@]}" --env SENDS_QUEUE=sequence-staging-sends worker
    refused SMTP_HOST "${own[@]}" --env SMTP_HOST= worker
    sink=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' \
        "$(docker compose ps --quiet mail-sink)")
    docker run --detach --rm --name sequences-release-hidden \
        --network sequences-release_default --memory 128m \
        --network-alias mail.example.com "$new-local" python -c "
import asyncio
async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
async def serve(reader, writer):
    theirs = await asyncio.open_connection('$sink', 1025)
    await asyncio.gather(pipe(reader, theirs[1]), pipe(theirs[0], writer))
async def main():
    async with await asyncio.start_server(serve, '0.0.0.0', 2525) as server:
        await server.serve_forever()
asyncio.run(main())" > /dev/null
    sleep 2
    refused 'greets as a mail sink' "${own[@]}" --env SMTP_HOST=mail.example.com --env SMTP_PORT=2525 worker
    docker rm --force sequences-release-hidden > /dev/null
    sql "ALTER ROLE sequence_worker PASSWORD 'local'" > /dev/null
}

# A mail to oneself, as the page says.
mail_to_oneself() {
    slow_server
    docker exec sequences-release-slow touch /tmp/accepts
    local said
    said=$(docker compose exec -T worker \
        sequences mailbox check sender0@example.com --send-to me@example.net) || true
    say "mail to oneself: $(printf '%s\n' "$said" | grep '^  mail ')"
    case $said in *"mail     ok"*) ;; *) fail "no mail to oneself: $said" ;; esac
}

# Health: a worker without its queue, a code location whose definitions do not load.
health() {
    worker=$(docker compose ps --quiet worker | head -1)
    ready() { docker exec "$worker" python -c "import urllib.request as u, urllib.error as e
try: print(u.urlopen('http://127.0.0.1:9109/readyz').read().decode())
except e.HTTPError as error: print(error.code, error.read().decode())"; }
    docker compose stop --timeout 5 sqs 2> /dev/null
    until ready | grep '503.*down: queue' > /dev/null; do sleep 1; done
    say "without queue: $(ready)"
    start sqs
    until ready | grep '"ready"' > /dev/null; do sleep 1; done
    docker compose stop --timeout 20 postgres 2> /dev/null
    until ready | grep '503.*database' > /dev/null; do sleep 1; done
    say "without database: $(ready)"
    start postgres
    until ready | grep '"ready"' > /dev/null; do sleep 1; done
    docker build --quiet --tag sequences-release:unloadable - > /dev/null <<DOCKERFILE
FROM $new
USER root
RUN echo 'import missing_package' > /opt/product/sequence_pipelines/definitions.py
USER 10001:10001
DOCKERFILE
    if deploy/upgrade.sh sequences-release:unloadable > "$work/log" 2>&1; then
        fail "upgraded to a release whose definitions do not load"
    fi
    say "unloadable release: $(tail -1 "$work/log")"
    SEQUENCE_IMAGE=sequences-release:unloadable \
        docker compose up --detach --no-build --no-deps code 2> /dev/null
    code=$(docker compose ps --quiet code)
    until docker inspect --format '{{range .State.Health.Log}}{{.Output}}{{end}}' "$code" |
        grep 'do not load' > /dev/null; do sleep 2; done
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$code")" != healthy ] ||
        fail "the code location is healthy"
    say "code location: $(docker inspect --format '{{range .State.Health.Log}}{{.Output}}{{end}}' "$code" |
        grep 'do not load' | head -1 | cut -c 1-150)"
    docker compose up --detach --no-build --no-deps --wait code 2> /dev/null
    say "the code location is healthy again"
}

# Restore: the exact form, from standard input.
restore() {
    docker compose stop --timeout 100 worker inbox webhooks api code daemon webserver 2> /dev/null
    taken=$(date --utc +%Y-%m-%dT%H:%M:%S+00:00)
    docker compose exec -T postgres pg_dump --username postgres --format=custom sequences > "$work/dump"
    named=$(sql "SELECT count(*) FROM sends WHERE status = 'planned'")
    sql 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid()' > /dev/null || true
    docker compose exec -T postgres psql --username postgres --dbname postgres --quiet \
        -c 'DROP DATABASE sequences WITH (FORCE)' -c 'CREATE DATABASE sequences OWNER sequence_owner'
    docker compose exec -T postgres pg_restore --username postgres --dbname sequences < "$work/dump"
    guard=(docker compose run --rm --no-deps -T migrations sequences restore-guard --since "$taken")
    if "${guard[@]}" < /dev/null > "$work/log" 2>&1; then
        [ "$named" = 0 ] || fail "the costly form did not ask"
    else
        say "costly form: $(grep become "$work/log" | cut -c 1-100)"
    fi
    echo 'no mail was sent' | "${guard[@]}" --sent - --complete > "$work/log" 2>&1 ||
        { cat "$work/log"; exit 1; }
    say "exact form: $(grep -i 'new status' "$work/log")"
    [ "$(sql "SELECT count(*) FROM sends WHERE status = 'planned'")" = "$named" ] ||
        fail "a planned send was given up"
}

# For real on the trial's volumes: says what to do, and then works.
for_real() {
    sh deploy/secrets.sh > "$work/env"
    cat >> "$work/env" <<'ENV'
SEQUENCE_ENVIRONMENT=production
PUBLIC_URL=https://mail.example.com
ENV
    unset SMTP_HOST SMTP_PORT PLAN_AT
    real() { COMPOSE_ENV_FILES="$work/env" docker compose "$@"; }
    said=$(real run --rm --no-deps -T migrations 2>&1 < /dev/null) && fail "migrated with other passwords"
    case $said in *'down --volumes'*) say "for real: $(printf '%s' "$said" | grep '^Error' | cut -c 1-200)" ;;
        *) fail "does not say what to do: $said" ;; esac
    docker rm --force sequences-release-slow > /dev/null 2>&1 || true
    real down --volumes --timeout 5 > /dev/null 2>&1
    real up --detach --no-build --wait --wait-timeout 900 > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    say "for real: $(real ps --format '{{.Health}}' | grep -c '^healthy') services are healthy in production"
}

steps=(old_release broken_migration upgrade newer_schema refusals mail_to_oneself health restore for_real)
[ "$#" = 0 ] || steps=("$@")
for step in "${steps[@]}"; do
    say "-- $step"
    "$step"
done
