"""Generates contacts.csv, enrolments.csv and sequence_mailboxes.csv: `python examples/generate.py`.

Sequences, steps and mailboxes are maintained by hand. The files imitate a CRM export of Monday, 1 June 2026,
at noon in each mailbox's time zone; the loader moves that moment to now. Every run writes the same bytes.
All names are invented, and all addresses use domains reserved for examples (RFC 2606).
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CONTACTS = 3000
ENROLLED = 0.9
IN_TWO_SEQUENCES = 0.07
FOLLOW_UPS = 0.45
SHARES = {
    "today": 22,
    "overdue": 14,
    "later": 30,
    "completed": 22,
    "replied": 5,
    "bounced": 2,
    "unsubscribed": 3,
    "paused": 2,
}
EXPORTED = date(2026, 6, 1)
Row = dict[str, str]
GIVEN = (
    "Ada Aino Amara Anders Anya Arjun Beatriz Bela Bruno Camila Cedric Chiara Dagny Daniel Dario Edith "
    "Elif Emeka Enzo Farah Felix Fiona Freya Gareth Greta Hana Hugo Ines Ingrid Ivo Jamal Jonas Juno "
    "Kaito Karla Kofi Lars Leila Lena Linh Luca Maeve Malik Marta Mateo Mina Nadia Nils Noor Olga Omar "
    "Oscar Paula Pavel Priya Quinn Rafael Rosa Ruben Sana Selma Simon Sofia Tariq Thea Tomas Uma Valerie "
    "Viktor Wanda Xenia Yara Yusuf Zoe"
).split()
FAMILY = (
    "Abara Adler Almeida Andersson Banerjee Barros Becker Bianchi Brandt Calder Castell Chaudhry Dahl "
    "Delacroix Dupont Eriksen Esposito Falk Ferrero Fontaine Garrow Gruber Haddad Halloran Hartwig "
    "Ibarra Ishida Jansen Joshi Kaplan Kowal Kruse Laine Lindqvist Lombardi Marchetti Mbeki Meyer Moreau "
    "Nakata Novak Okafor Oliveira Osei Palmer Petrov Quintero Rahimi Reyes Rossi Sandoval Sato Schuster "
    "Silva Sorensen Tanaka Thorne Tran Ulrich Vance Varga Verbeek Vogt Wallin Weber Yilmaz Zapata Ziegler"
).split()
FIRST_WORDS = (
    "Alder Amber Arbor Beacon Birch Blue Bright Canyon Cedar Clear Cobalt Copper Delta Ember Fern "
    "Granite Harbor Hazel Indigo Juniper Lantern Linden Maple Meadow North Oak Orchard Pine Quartz River "
    "Saffron Silver Summit Tidal Willow"
).split()
LAST_WORDS = (
    "Analytics Bakery Books Clinics Consulting Foods Freight Labs Logistics Optics Robotics Software "
    "Solar Studios Systems Textiles Tools Travel Works"
).split()
TITLES = (
    "Head of Operations,Office Manager,Founder,Product Manager,Finance Director,IT Manager,"
    "Marketing Lead,Buyer,Customer Success Manager,Plant Manager,Managing Director,Team Assistant"
).split(",")
CITIES = (
    "Lisbon/Portugal,Ghent/Belgium,Leeds/United Kingdom,Leipzig/Germany,Lyon/France,Porto/Portugal,"
    "Aarhus/Denmark,Turin/Italy,Denver/United States,Portland/United States,Toronto/Canada,Osaka/Japan,"
    "Pune/India,Nairobi/Kenya,Curitiba/Brazil,Perth/Australia,Tampere/Finland,Graz/Austria"
).split(",")


def write(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def slug(words: str) -> str:
    return re.sub(r"[^a-z]+", ".", words.lower()).strip(".")


def companies(chance: random.Random) -> list[tuple[str, str]]:
    """Return 400 companies as (name, domain)."""
    names = [f"{first} {last}" for first in FIRST_WORDS for last in LAST_WORDS]
    endings = ("example", "example", "example.com", "example.net", "example.org")
    return [
        (name, f"{slug(name).replace('.', '-')}.{chance.choice(endings)}")
        for name in chance.sample(names, 400)
    ]


def contacts(chance: random.Random) -> list[list[str]]:
    firms = companies(chance)
    rows: dict[str, list[str]] = {}
    while len(rows) < CONTACTS:
        given, family = chance.choice(GIVEN), chance.choice(FAMILY)
        company, domain = chance.choice(firms)
        address = f"{slug(given)}.{slug(family)}@{domain}"
        city, country = chance.choice(CITIES).split("/")
        status = "Inactive" if chance.random() < 0.01 else "Active"
        rows[address] = [given, family, address, company, chance.choice(TITLES), city, country, status]
    return list(rows.values())


def read(name: str) -> list[Row]:
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def waits_of(steps: list[Row]) -> dict[str, list[int]]:
    """Return the wait days of each sequence's steps, in step order."""
    waits: dict[str, list[int]] = {}
    for step in steps:
        waits.setdefault(step["Sequence"], []).append(int(step["Wait Days"]))
    return waits


def routes(names: list[str], mailboxes: list[Row], chance: random.Random) -> dict[str, list[str]]:
    """Return the mailboxes of each sequence.

    Every mailbox has at least one sequence; every sequence has a mailbox that is always open.
    """
    addresses = [mailbox["Email"] for mailbox in mailboxes]
    always = [mailbox["Email"] for mailbox in mailboxes if mailbox["Opens"] == mailbox["Closes"]]
    found = {name: {always[n % len(always)]} for n, name in enumerate(names)}
    for n, address in enumerate(addresses):
        found[names[n % len(names)]].add(address)
    for chosen in found.values():
        chosen.update(chance.sample(addresses, 3))
    return {name: sorted(chosen) for name, chosen in found.items()}


def enrolments(
    people: list[list[str]],
    waits: dict[str, list[int]],
    mailboxes: dict[str, list[str]],
    chance: random.Random,
) -> Iterator[tuple[Any, ...]]:
    for person in people:
        if chance.random() < ENROLLED:
            count = 2 if chance.random() < IN_TWO_SEQUENCES else 1
            for name in chance.sample(list(waits), count):
                yield person[2], name, *standing(waits[name], mailboxes[name], chance)


def standing(waits: list[int], mailboxes: list[str], chance: random.Random) -> tuple[Any, ...]:
    """Return status, step, next send, last send and mailbox of one enrolment."""
    kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
    if kind in ("completed", "replied", "bounced", "unsubscribed"):
        step = len(waits) + 1 if kind == "completed" else chance.randint(2, len(waits))
        last = EXPORTED - timedelta(days=chance.randint(2, 60))
        return kind, step, "", last, chance.choice(mailboxes)
    ahead = {"today": 0, "overdue": -chance.randint(1, 12), "paused": 0}.get(kind, chance.randint(1, 14))
    next_send = EXPORTED + timedelta(days=ahead)
    status = "paused" if kind == "paused" else "active"
    step = chance.randint(2, len(waits)) if chance.random() < FOLLOW_UPS else 1
    if step == 1:
        return status, step, next_send, "", ""
    last = min(next_send - timedelta(days=waits[step - 1]), EXPORTED - timedelta(days=1))
    return status, step, next_send, last, chance.choice(mailboxes)


def main() -> None:
    chance = random.Random(20_260_601)  # noqa: S311  (a fixed seed: every run gives the same contacts)
    waits, people = waits_of(read("steps")), contacts(chance)
    mailboxes = routes(list(waits), read("mailboxes"), chance)
    write(
        "contacts",
        ("First Name", "Last Name", "Email", "Company", "Job Title", "City", "Country", "Status"),
        people,
    )
    pairs = [(sequence, mailbox) for sequence, found in mailboxes.items() for mailbox in found]
    write("sequence_mailboxes", ("Sequence", "Mailbox"), pairs)
    write(
        "enrolments",
        ("Email", "Sequence", "Status", "Step", "Next Send", "Last Send", "Mailbox"),
        list(enrolments(people, waits, mailboxes, chance)),
    )


if __name__ == "__main__":
    main()
