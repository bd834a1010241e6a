"""The first release's schema: tables, constraints, indexes, triggers, roles and grants on tables.

Revision 0001_baseline, the first. Closed: a later migration changes what this one made.
"""

from __future__ import annotations

from migrations.revision import apply_functions, create_missing_roles, drop_functions, run_sql_file

revision = "0001_baseline"
down_revision = None


def upgrade() -> None:
    create_missing_roles()
    apply_functions("addresses", "triggers")  # an index and the triggers name them
    run_sql_file(__file__, "up")


def downgrade() -> None:
    drop_functions()  # with the triggers and the index that name them
    run_sql_file(__file__, "down")
