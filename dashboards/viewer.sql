-- A role that can read studies and change nothing; run once by PostgreSQL's own
-- start-up, as the owner of the database. psql reads the password from a file.
\set password `cat "$VIEWER_PASSWORD_FILE"`
CREATE ROLE viewer LOGIN PASSWORD :'password';
ALTER ROLE viewer SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA public TO viewer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO viewer;
-- Tables that the first `search run` makes, under the role that runs this.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO viewer;
