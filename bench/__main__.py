"""`make bench ARGS="part …"`: measure, and print the figures of docs/performance.md."""

from __future__ import annotations

import argparse

from bench import api, archive, contact_import, flow, idle, load, plan, rivals, shapes, worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.set_defaults(run=lambda _: plan.run(plan.SIZES))
    parts = parser.add_subparsers(
        dest="part", title="parts (the plan of 10,000 and 100,000, where none is named)"
    )
    planning = parts.add_parser("plan", help="a plan, against INSERT … SELECT of the same finished rows")
    planning.add_argument("sizes", nargs="*", type=int, default=plan.SIZES, help="due contacts")
    planning.add_argument("--repeats", type=int, default=plan.REPEATS)
    planning.add_argument("--history", type=int, default=0, help="once more with so many finished rows")
    planning.set_defaults(
        run=lambda asked: plan.run(asked.sizes, repeats=asked.repeats, history=asked.history)
    )
    today = parts.add_parser("rivals", help="a plan, against a scheduler that goes row by row, and an ORM")
    today.add_argument("due", nargs="?", type=int, default=plan.SIZES[0], help="due contacts")
    today.add_argument("--repeats", type=int, default=plan.REPEATS)
    today.set_defaults(run=lambda asked: rivals.run(asked.due, asked.repeats))
    shaping = parts.add_parser(
        "shapes", help="the assignment's quality on hard shapes, against the maximum flow"
    )
    shaping.add_argument("due", nargs="*", type=int, help="a plan's team of so many due contacts instead")
    shaping.set_defaults(run=lambda asked: _shapes(asked.due))
    asking = parts.add_parser("api", help="requests, against the same statement over bare psycopg")
    asking.set_defaults(run=lambda _: api.run())
    importing = parts.add_parser("import", help="an import of contacts, against COPY of the finished rows")
    importing.add_argument("rows", nargs="*", type=int, default=[contact_import.ROWS])
    importing.set_defaults(run=lambda asked: _import(asked.rows))
    archiving = parts.add_parser("archive", help="old sends moved to the archive, and the bytes of a row")
    archiving.add_argument("rows", nargs="?", type=int, default=archive.ROWS)
    archiving.set_defaults(run=lambda asked: archive.run(asked.rows))
    flowing = parts.add_parser("flow", help="rows that become messages, and results that advance enrolments")
    flowing.add_argument("rows", nargs="?", type=int, default=flow.ROWS)
    flowing.set_defaults(run=lambda asked: flow.run(asked.rows))
    sending = parts.add_parser("worker", help="mails sent, against a bare loop of the same SMTP library")
    sending.add_argument("what", nargs="*", default=worker.PARTS)
    sending.set_defaults(run=lambda asked: worker.run(asked.what))
    loading = parts.add_parser(
        "load", help="plan, dispatch, mails and results at once: at which rate they keep up"
    )
    loading.add_argument("rates", nargs="*", type=int, default=load.RATES, help="mails a second")
    loading.set_defaults(run=lambda asked: load.run(asked.rates))
    resting = parts.add_parser("idle", help="a stack that has nothing to do: processor an hour, memory")
    resting.add_argument("minutes", nargs="?", type=float, default=idle.MINUTES)
    resting.set_defaults(run=lambda asked: idle.run(asked.minutes))
    asked = parser.parse_args()
    asked.run(asked)


def _shapes(sizes: list[int]) -> None:
    for due in sizes:
        shapes.run_at_scale(due)
    if not sizes:
        shapes.run()


def _import(sizes: list[int]) -> None:
    for rows in sizes:
        print(contact_import.run(rows).line())


if __name__ == "__main__":
    main()
