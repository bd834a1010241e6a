"""Records how the file of an import was read: encoding, delimiter, sheet, columns.

Revision 0006_file_formats, after 0005_distances_and_fairness.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0006_file_formats"
down_revision = "0005_distances_and_fairness"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
