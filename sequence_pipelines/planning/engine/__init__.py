"""Plans a day without side effects: DataFrames in, DataFrames out; no database, no Dagster.

Read the modules in the order of the algorithm:

1. `windows`: the mailboxes' send windows as instants
2. `capacity`: how many mails still fit into the open intervals
3. `snapshot`: all that a plan knows of the day
4. `eligibility`: the due enrolments, sorted into candidates, ineligible and exhausted ones
5. `revocation`: the planned rows whose slot is no longer valid
6. `allocation`: a mailbox for each candidate, or the reason why it waits (the optimum)
7. `pacing`: the second of each mail
8. `assignment`: runs 6 and 7 on a snapshot
9. `plan_invariants`: what a finished plan violates

`array_ops` has the sorting and counting that the others use. Instants are int64 seconds since the epoch, days
int64 days since the epoch, ids int64.
"""
