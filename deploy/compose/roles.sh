#!/bin/sh
# Creates the owner of the product's database, and Dagster's role and database. The Postgres image runs this
# once, on its first start. `sequences migrate` creates the other roles.
set -eu
psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set owner="$OWNER_PASSWORD" --set dagster="$DAGSTER_PASSWORD" <<'SQL'
CREATE ROLE sequence_owner LOGIN CREATEROLE PASSWORD :'owner';
ALTER DATABASE sequences OWNER TO sequence_owner;
CREATE ROLE dagster LOGIN PASSWORD :'dagster';
CREATE DATABASE dagster OWNER dagster;
SQL
