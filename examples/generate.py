"""Writes the sample CSVs again: `python examples/generate.py`. The same bytes every time; all names are made up."""

from __future__ import annotations

import csv
import random
from pathlib import Path

HERE = Path(__file__).parent
FIRST = "Ada Bela Cato Dina Egon Fara Gero Hedy Ilan Jora Kiri Lene Milo Nele Odin Pina Quin Rona Sven Tilda Ugo Vera Wim Xenia Yuri Zita".split()
LAST = "Ahlberg Brandow Castell Dornik Elvers Fintal Garnow Hollis Ingram Jastrow Kestner Lomax Marlow Norden Ostrow Pavlik Quade Rimsky Stelter Tarnow".split()
COMPANIES = "Northwind Bluefield Copperline Daymark Eastgate Fernhill Greyport Highmoor Ironbridge Juniper Kingsway Lakeside".split()
ZONES = "UTC Europe/Berlin Europe/London America/New_York America/Los_Angeles Asia/Kolkata Asia/Tokyo Australia/Sydney Pacific/Auckland America/Sao_Paulo".split()
SEQUENCES = "Welcome,Product tour,Trial ends,Win back,Partner outreach,Webinar,Case study,Renewal,Feedback,Referral,Event invitation,Newsletter start".split(
    ","
)
TEXTS = [
    (
        "A word of welcome, {{ contact.name }}",
        "<p>Dear {{ contact.name }},</p><p>good to have {{ contact.attributes.company }} with us.</p><p>{{ sender.name }}</p>",
    ),
    (
        "How is it going at {{ contact.attributes.company }}?",
        "Dear {{ contact.name }},\n\nis there anything that we can help with?\n\n{{ sender.name }}",
    ),
    (
        "One idea for {{ contact.attributes.company }}",
        "<p>Dear {{ contact.name }},</p><p>others in your field start with this.</p><p>{{ sender.name }}</p>",
    ),
    ("Shall we talk?", "Dear {{ contact.name }},\n\na quarter of an hour is enough.\n\n{{ sender.name }}"),
    ("A last note", "Dear {{ contact.name }},\n\nthis is the last mail of this series.\n\n{{ sender.name }}"),
]


def write(name: str, header: list[str], rows: list[list[object]]) -> None:
    with (HERE / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    chance = random.Random(2026)  # noqa: S311
    steps = [
        [
            name,
            number,
            *TEXTS[(number - 1) if number < 5 else 4],
            0 if number == 1 else chance.choice([2, 3, 4]),
        ]
        for n, name in enumerate(SEQUENCES)
        for number in range(1, 3 + n % 4)
    ]
    write("sequences.csv", ["Sequence", "Step", "Subject", "Content", "Delay (days)"], steps)
    boxes = []
    for n in range(30):
        first, zone = FIRST[n % len(FIRST)], ZONES[n % len(ZONES)]
        window = ["always", "around now", "around now"][n % 3]
        boxes.append(
            [
                f"{first.lower()}{n}@mail.example.com",
                first,
                chance.choice([20, 30, 40, 60]),
                window,
                zone,
                "yes" if n != 28 else "no",
                "parked" if n == 27 else "",
                [0, 0, 120][n % 3] if n % 5 else 60,
                "1 2 3 4 5" if n == 26 else "1 2 3 4 5 6 7",
                5 if n == 25 else "",
                " | ".join(sorted({SEQUENCES[n % 12], SEQUENCES[(n * 5 + 3) % 12], SEQUENCES[(n + 6) % 12]})),
            ]
        )
    write(
        "mailboxes.csv",
        [
            "Address",
            "Name",
            "Daily Limit",
            "Window",
            "Time Zone",
            "Active",
            "State",
            "Gap (seconds)",
            "Send Days",
            "Ramp-up Start",
            "Sequences",
        ],
        boxes,
    )
    people = []
    for n in range(3000):
        first, last, company = chance.choice(FIRST), chance.choice(LAST), chance.choice(COMPANIES)
        kind = chance.choices(["new", "overdue", "later", "follow-up", "finished"], [35, 10, 25, 20, 10])[0]
        people.append(
            [
                first,
                last,
                f"{first}.{last}.{n}@{company}.example".lower(),
                company,
                chance.choice(SEQUENCES),
                kind,
            ]
        )
    write("contacts.csv", ["First Name", "Last Name", "Email", "Company", "Sequence", "Status"], people)


if __name__ == "__main__":
    main()
