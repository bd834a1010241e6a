"""Measures the figures of docs/performance.md and prints them: `make bench ARGS="part …"`."""

from __future__ import annotations

import argparse

from bench import api, archive, contact_import, flow, idle, load, outcomes, plan, rivals, shapes, worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.set_defaults(run=lambda _: plan.run(plan.SIZES))
    parts = parser.add_subparsers(dest="part", title="parts (default: the plan of 10,000 and 100,000)")
    planning = parts.add_parser("plan", help="a plan, compared with INSERT … SELECT of the same rows")
    planning.add_argument("sizes", nargs="*", type=int, default=plan.SIZES, help="due contacts")
    planning.add_argument("--repeats", type=int, default=plan.REPEATS)
    planning.add_argument("--history", type=int, default=0, help="repeat with this number of finished rows")
    planning.set_defaults(
        run=lambda options: plan.run(options.sizes, repeats=options.repeats, history=options.history)
    )
    rivalling = parts.add_parser(
        "rivals", help="a plan, compared with a row-by-row scheduler and with an ORM"
    )
    rivalling.add_argument("due", nargs="?", type=int, default=plan.SIZES[0], help="due contacts")
    rivalling.add_argument("--repeats", type=int, default=plan.REPEATS)
    rivalling.set_defaults(run=lambda options: rivals.run(options.due, options.repeats))
    shaping = parts.add_parser(
        "shapes", help="the quality of the assignment on hard inputs, compared with the maximum flow"
    )
    shaping.add_argument(
        "due", nargs="*", type=int, help="use a generated team with this number of due contacts"
    )
    shaping.set_defaults(run=lambda options: _shapes(options.due))
    scaling = parts.add_parser(
        "scale", help="many priorities, many small sequences, contacts in three sequences"
    )
    scaling.add_argument("due", nargs="?", type=int, default=100_000, help="due contacts")
    scaling.set_defaults(run=lambda asked: shapes.run_scale(asked.due))
    sharing = parts.add_parser("shared", help="a plan of contacts in three sequences, compared with one")
    sharing.add_argument("due", nargs="?", type=int, default=100_000, help="due contacts")
    sharing.add_argument("--repeats", type=int, default=3)
    sharing.set_defaults(run=lambda options: plan.run_shared(options.due, repeats=options.repeats))
    requesting = parts.add_parser("api", help="API requests, compared with the same statement over psycopg")
    requesting.set_defaults(run=lambda _: api.run())
    importing = parts.add_parser("import", help="an import of contacts, compared with COPY of the same rows")
    importing.add_argument("rows", nargs="*", type=int, default=[contact_import.ROWS])
    importing.set_defaults(run=lambda options: _import(options.rows))
    archiving = parts.add_parser("archive", help="moving old sends to the archive, and the bytes per row")
    archiving.add_argument("rows", nargs="?", type=int, default=archive.ROWS)
    archiving.set_defaults(run=lambda options: archive.run(options.rows))
    flowing = parts.add_parser("flow", help="dispatch of sends, and results that advance enrolments")
    flowing.add_argument("rows", nargs="?", type=int, default=flow.ROWS)
    flowing.set_defaults(run=lambda options: flow.run(options.rows))
    sending = parts.add_parser(
        "worker", help="mails sent by the worker, compared with a loop over the same SMTP library"
    )
    sending.add_argument("what", nargs="*", default=worker.PARTS)
    sending.set_defaults(run=lambda options: worker.run(options.what))
    loading = parts.add_parser(
        "load", help="the highest rate at which plan, dispatch, worker and results keep up together"
    )
    loading.add_argument("rates", nargs="*", type=int, default=load.RATES, help="mails per second")
    loading.set_defaults(run=lambda options: load.run(options.rates))
    telling = parts.add_parser(
        "outcomes", help="a day's mails as facts, statistics of ten million mails, the worker with the feed"
    )
    telling.add_argument("what", nargs="*", default=outcomes.PARTS)
    telling.set_defaults(run=lambda options: outcomes.run(options.what))
    resting = parts.add_parser("idle", help="CPU time and memory of an idle stack")
    resting.add_argument("minutes", nargs="?", type=float, default=idle.MINUTES)
    resting.set_defaults(run=lambda options: idle.run(options.minutes))
    options = parser.parse_args()
    options.run(options)


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
