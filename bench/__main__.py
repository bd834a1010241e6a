"""`make bench ARGS="part …"`: measure, and print the figures of docs/performance.md."""

from __future__ import annotations

import argparse

from bench import api, archive, contact_import, flow, load, plan, rivals, shapes, worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parts = parser.add_subparsers(
        dest="part", title="parts (the plan of 10,000 and 100,000, where none is named)"
    )
    planning = parts.add_parser("plan", help="a plan, against INSERT … SELECT of the same finished rows")
    planning.add_argument("sizes", nargs="*", type=int, default=plan.SIZES, help="due contacts")
    planning.add_argument("--repeats", type=int, default=plan.REPEATS)
    planning.add_argument("--history", type=int, default=0, help="once more with so many finished rows")
    today = parts.add_parser("rivals", help="a plan, against a scheduler that goes row by row, and an ORM")
    today.add_argument("due", nargs="?", type=int, default=plan.SIZES[0], help="due contacts")
    today.add_argument("--repeats", type=int, default=plan.REPEATS)
    parts.add_parser("shapes", help="the assignment's quality on hard shapes, against the maximum flow")
    parts.add_parser("api", help="requests, against the same statement over bare psycopg")
    importing = parts.add_parser("import", help="an import of contacts, against COPY of the finished rows")
    importing.add_argument("rows", nargs="*", type=int, default=[contact_import.ROWS])
    archiving = parts.add_parser("archive", help="old sends moved to the archive, and the bytes of a row")
    archiving.add_argument("rows", nargs="?", type=int, default=archive.ROWS)
    flowing = parts.add_parser("flow", help="rows that become messages, and results that advance enrolments")
    flowing.add_argument("rows", nargs="?", type=int, default=flow.ROWS)
    sending = parts.add_parser("worker", help="mails sent, against a bare loop of the same SMTP library")
    sending.add_argument("what", nargs="*", default=worker.PARTS)
    loading = parts.add_parser(
        "load", help="plan, dispatch, mails and results at once: at which rate they keep up"
    )
    loading.add_argument("rates", nargs="*", type=int, default=load.RATES, help="mails a second")
    asked = parser.parse_args()
    match asked.part:
        case "rivals":
            rivals.run(asked.due, asked.repeats)
        case "shapes":
            shapes.run()
        case "api":
            api.run()
        case "import":
            for rows in asked.rows:
                print(contact_import.run(rows).line())
        case "archive":
            archive.run(asked.rows)
        case "flow":
            flow.run(asked.rows)
        case "load":
            load.run(asked.rates)
        case "worker":
            worker.run(asked.what)
        case "plan":
            plan.run(asked.sizes, repeats=asked.repeats, history=asked.history)
        case _:
            plan.run(plan.SIZES)


if __name__ == "__main__":
    main()
