"""Roles and what each may do; a test reads the grants back.

Revision 0003, after 0002.
"""

from __future__ import annotations

from migrations.revision import create_missing_roles, run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_missing_roles()
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
