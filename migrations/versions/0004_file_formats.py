"""Records how the file of an import was read: encoding, delimiter, sheet, columns.

Revision 0004_file_formats, after 0003_written_addresses.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0004_file_formats"
down_revision = "0003_written_addresses"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
