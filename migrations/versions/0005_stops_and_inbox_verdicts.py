"""Stores whom a reply stops, unconfirmed opt-outs, holds, and the verdict of each mail that was read.

Revision 0005_stops_and_inbox_verdicts, after 0004_mail_format_and_faults.
"""

from __future__ import annotations

from alembic import op

from migrations.revision import apply_functions, run_sql_file

revision = "0005_stops_and_inbox_verdicts"
down_revision = "0004_mail_format_and_faults"


# The few contacts that are stopped or held, so that a plan does not look at all the others, and the contacts
# of a company.
INDEXES = (
    "contacts_stopped ON contacts (id) WHERE stopped_at IS NOT NULL",
    "contacts_held ON contacts (id) WHERE hold_until IS NOT NULL",
    "contacts_reply_stopped ON contacts (reply_stopped_at) WHERE reply_stopped_at IS NOT NULL",
    "contacts_mail_domain ON contacts (mail_domain(mail_address)) WHERE deleted_at IS NULL",
)


def upgrade() -> None:
    apply_functions("addresses")  # an index names mail_domain
    run_sql_file(__file__, "up")
    # read_inbox_accounts and move_inbox_position replace them: they know the folders.
    op.execute("DROP FUNCTION IF EXISTS read_inboxes, keep_inbox_position")
    with op.get_context().autocommit_block():
        for index in INDEXES:
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index}")
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS inbox_positions_folder_key "
            "ON inbox_positions (mailbox_id, folder)"
        )
    op.execute(
        "ALTER TABLE inbox_positions DROP CONSTRAINT inbox_positions_pkey, "
        "ADD CONSTRAINT inbox_positions_pkey PRIMARY KEY USING INDEX inbox_positions_folder_key"
    )


def downgrade() -> None:
    run_sql_file(__file__, "down")
