"""Plans each day: reads a snapshot, assigns mailboxes and times, and writes the rows in one transaction."""
