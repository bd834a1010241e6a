"""Tests imports of files as people have them: dialects, encodings, exports of other tools, broken rows."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from typing import Any
from xml.sax.saxutils import escape

import pytest

from crud_api.imports.columns import known_column
from crud_api.imports.csv_file import LONGEST_LINE
from crud_api.imports.encodings import detect
from crud_api.imports.mail_cells import read_mail_cell
from tests.crud_api.conftest import Api
from tests.crud_api.test_imports import contacts, done, post, refused, report

ADA = ("Ada Lovelace", "ada@example.com")


def names(api: Api) -> list[tuple[str, str]]:
    return [(name, address) for name, address, *_ in contacts(api)]


def workbook(*sheets: tuple[str, list[list[str | int | None]]]) -> bytes:
    """Return an XLSX file; None is an empty cell, and a number is one of a spreadsheet."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"

    def cell(column: int, row: int, value: str | int | None) -> str:
        place = f'r="{chr(65 + column)}{row}"'
        if isinstance(value, int):
            return f"<c {place}><v>{value}</v></c>"
        return f'<c {place} t="inlineStr"><is><t>{escape(value)}</t></is></c>' if value else ""

    def rows(of_sheet: list[list[str | int | None]]) -> str:
        return "".join(
            f'<row r="{n}">{"".join(cell(at, n, value) for at, value in enumerate(row))}</row>'
            for n, row in enumerate(of_sheet, 1)
        )

    numbers = range(1, len(sheets) + 1)
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kind}.worksheet+xml"/>'
            for n in numbers
        )
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        + "".join(
            f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>'
            for n, (name, _) in enumerate(sheets, 1)
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="rId{n}" Type="{relations}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in numbers
        )
        + "</Relationships>",
    } | {
        f"xl/worksheets/sheet{n}.xml": f'<worksheet xmlns="{main}">'
        f"<sheetData>{rows(of_sheet)}</sheetData></worksheet>"
        for n, (_, of_sheet) in enumerate(sheets, 1)
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return file.getvalue()


EXPORTS = {
    "HubSpot": "Record ID,First Name,Last Name,Email,Phone Number,Lead Status\n"
    "1,Ada,Lovelace,ada@example.com,1,New\n",
    "Salesforce": '"Contact ID","First Name","Last Name","Email","Account Name"\n'
    '"003","Ada","Lovelace","ada@example.com","X"\n',
    "Pipedrive": "Person - Name,Person - Email - Work,Person - Email - Home\nAda Lovelace,,ada@example.com\n",
    "Mailchimp": "Email Address,First Name,Last Name,MEMBER_RATING,LEID\nada@example.com,Ada,Lovelace,2,1\n",
    "Google Contacts": "First Name,Middle Name,Last Name,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Value\n"
    "Ada,K,Lovelace,* Work,ada@example.com,a@example.com\n",
    "Google Contacts before": "Name,Given Name,Family Name,E-mail 1 - Type,E-mail 1 - Value\n"
    "Ada Lovelace,Ada,Lovelace,*,ada@example.com ::: a@example.com\n",
    "Google Workspace": "First Name [Required],Last Name [Required],Email Address [Required]\n"
    "Ada,Lovelace,ada@example.com\n",
    "Outlook": '"First Name","Middle Name","Last Name","E-mail Address","E-mail 2 Address"\r\n'
    '"Ada",,"Lovelace",ada@example.com,\r\n',
    "Thunderbird": "First Name,Last Name,Display Name,Primary Email,Secondary Email\n"
    "A,L,Ada Lovelace,ada@example.com,\n",
    "LinkedIn": "Notes:\n"
    '"When exporting, some addresses are missing."\n\nFirst Name,Last Name,URL,Email Address\n'
    "Ada,Lovelace,https://x,ada@example.com\n",
    "code": "contact.firstname,contact.lastname,contact.email\nAda,Lovelace,ada@example.com\n",
    "German": "Vorname;Name;E-Mail-Adresse\nAda;Lovelace;ada@example.com\n",
    "German, whole name": "Vorname;Name;E-Mail (geschäftlich)\nAda;Ada Lovelace;ada@example.com\n",
    "French": "Prénom;Nom;Adresse de messagerie\nAda;Lovelace;ada@example.com\n",
    "Spanish": "Nombre;Apellidos;Correo electrónico\nAda;Lovelace;ada@example.com\n",
    "Italian": "Nome;Cognome;Indirizzo e-mail\nAda;Lovelace;ada@example.com\n",
    "Portuguese": "Nome;Sobrenome;Endereço de e-mail\nAda;Lovelace;ada@example.com\n",
    "Dutch": "Voornaam;Achternaam;E-mailadres\nAda;Lovelace;ada@example.com\n",
    "Polish": "Imię;Nazwisko;Adres e-mail\nAda;Lovelace;ada@example.com\n",
    "Czech": "Jméno;Příjmení;E-mailová adresa\nAda;Lovelace;ada@example.com\n",
    "Russian": "Имя;Фамилия;Адрес электронной почты\nAda;Lovelace;ada@example.com\n",
    "Swedish": "Förnamn;Efternamn;E-postadress\nAda;Lovelace;ada@example.com\n",
    "Turkish": "Ad;Soyad;E-posta\nAda;Lovelace;ada@example.com\n",
    "Hungarian": "Vezetéknév;Keresztnév;E-mail cím\nAda;Lovelace;ada@example.com\n",
    "Japanese": "姓,名,メールアドレス\nAda,Lovelace,ada@example.com\n",
    "Chinese": "姓名,电子邮件\nAda Lovelace,ada@example.com\n",
    "Korean": "이름,이메일\nAda Lovelace,ada@example.com\n",
    "no space": "FIRSTNAME,LASTNAME,EMAILADDRESS*\nAda,Lovelace,ada@example.com\n",
    "two lines": '"First\nName","Last\nName","E-Mail\n(required)"\nAda,Lovelace,ada@example.com\n',
}


@pytest.mark.parametrize("file", EXPORTS.values(), ids=EXPORTS)
def test_exports_of_other_tools_and_languages_need_no_options(api: Api, file: str) -> None:
    shown = done(api, file)
    assert names(api) == [ADA]
    assert shown["refused"] == 0


@pytest.mark.parametrize(
    "title",
    ["Company Name", "Account Name", "User Name", "E-mail 1 - Label", "Email Status", "Phone 1 - Value",
     "Email Opt Out", "File Name", "Email Type", "Emails sent"],
)  # fmt: skip
def test_column_that_only_looks_like_one_of_a_contact_is_none(title: str) -> None:
    assert known_column(title) is None


MAILS = "name,Email,Work Email,Email 2\n"


def test_first_filled_mail_column_counts_and_an_invalid_one_gives_way(api: Api) -> None:
    file = (
        MAILS
        + "A,,a@work.example,\nB,b@x.example,b@work.example,\n"
        + "C,n/a,,c@two.example\nD,no address,d@x.example,\n"
    )
    shown = done(api, file)
    assert [address for _, address in names(api)] == [
        "a@work.example",
        "b@x.example",
        "c@two.example",
        "d@x.example",
    ]
    [(line, outcome, reason)] = report(api, shown)
    assert (line, outcome) == (5, "flagged")
    assert "(column Email); the address of Work Email was taken" in reason
    assert shown["columns"]["mailAddress"] == ["Email", "Work Email"]


def test_contact_needs_no_name_and_a_file_without_names_updates(api: Api) -> None:
    contact = api.contact(name="Ada", mailAddress="ada@example.com")
    shown = done(api, "Email,attributes.city\nada@example.com,London\nnew@example.com,Paris\n")
    assert (shown["changed"], shown["added"], shown["missingNames"], shown["flagged"]) == (1, 1, 0, 0)
    after = api.get(f"/contacts/{contact['id']}").json()
    assert (after["name"], after["attributes"]) == ("Ada", {"city": "London"})
    assert api.get("/contacts", params={"mailAddress": "new@example.com"}).json()[0]["name"] == ""
    assert api.made("/contacts", {"mailAddress": "third@example.com"})["name"] == ""


def test_parts_of_a_name_are_attributes_too_if_other_columns_are(api: Api) -> None:
    done(
        api,
        "First Name,Last Name,Email,City\nAda,Lovelace,ada@example.com,London\n",
        otherColumns="attributes",
    )
    [(name, _, _, attributes)] = contacts(api)
    assert name == "Ada Lovelace"
    assert attributes == {"First Name": "Ada", "Last Name": "Lovelace", "City": "London"}


CELLS = [
    ("Ada Lovelace <ada@example.com>", "ada@example.com"),
    ('"Lovelace, Ada" <ada@example.com>', "ada@example.com"),
    ("<ada@example.com>", "ada@example.com"),
    ("mailto:ada@example.com?subject=Hi", "ada@example.com"),
    ("ada@example.com.", "ada@example.com"),
    ("ada@example.com,", "ada@example.com"),
    ("'ada@example.com'", "ada@example.com"),
    ("'ada@example.com", "ada@example.com"),
    ("ada@example.com (work)", "ada@example.com"),
    ("\u200bada@example.com\u00a0", "ada@example.com"),
    ("ada@example.com; b@example.com", "ada@example.com"),
    ("ada@example.com b@example.com", "ada@example.com"),
    ("A <ada@example.com>, B <b@example.com>", "ada@example.com"),
    ("a b@example.com", "a b@example.com"),
    ("ada@example.com, nothing", "ada@example.com, nothing"),
]


@pytest.mark.parametrize(("cell", "address"), CELLS)
def test_address_is_found_in_what_people_write(cell: str, address: str) -> None:
    assert read_mail_cell(cell).address == address


def test_rows_with_such_addresses_go_in_and_several_are_reported(api: Api) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["name", "mailAddress"])
    writer.writerows([["", "Ada Lovelace <ada@example.com>"], ["B", "b@example.com; c@example.com"]])
    shown = done(api, file.getvalue(), existing="keep")
    assert names(api) == [ADA, ("B", "b@example.com")]
    assert report(api, shown) == [
        (3, "flagged", "mailAddress: has several addresses; the first one was taken")
    ]


NAMES = {
    "windows-1250": ("Jméno;E-mail\n", "Łukasz Wiśniewski", "Jiří Dvořák"),
    "windows-1252": ("Name;E-Mail\n", "Jürgen Müller", "François Lefèvre"),
    "windows-1251": ("Имя;E-mail\n", "Иван Петров", "Мария Сидорова"),
    "shift_jis": ("氏名;メールアドレス\n", "山田 太郎", "佐藤 花子"),
    "utf-16-le": ("Name;E-Mail\n", "Jürgen Müller", "Łukasz"),
    "utf-16-be": ("Name;E-Mail\n", "Jürgen Müller", "山田 太郎"),
    "utf-8": ("Name;E-Mail\n", "Jürgen Müller", "山田 太郎"),
}
PYTHON = {"shift_jis": "cp932"}


@pytest.mark.parametrize("encoding", NAMES)
def test_encoding_is_detected_named_and_rated(api: Api, encoding: str) -> None:
    header, *people = NAMES[encoding]
    text = header + "".join(f"{name};p{n}@example.com\n" for n, name in enumerate(people))
    shown = done(api, text.encode(PYTHON.get(encoding, encoding)))
    assert [name for name, _ in names(api)] == people
    assert shown["encoding"] == encoding
    assert 0.5 <= shown["encodingConfidence"] <= 1


@pytest.mark.parametrize("stated", ["windows-1252", "cp1252", "CP1252"])
def test_encoding_of_the_request_counts_and_needs_no_confidence(api: Api, stated: str) -> None:
    shown = done(api, "name,email\nЯ,a@example.com\n".encode("cp1251"), encoding=stated)
    assert names(api) == [("ß", "a@example.com")]
    assert (shown["encoding"], shown["encodingConfidence"]) == ("windows-1252", None)


def test_line_in_another_encoding_is_refused_alone(api: Api) -> None:
    good = "name,mailAddress\n" + "".join(f"Zoë,p{n}@example.com\n" for n in range(9))
    shown = done(api, good.encode() + "Müller,m@example.com\nEve,e@example.com\n".encode("cp1252"))
    assert (shown["encoding"], shown["added"]) == ("utf-8", 10)
    assert report(api, shown) == [
        (11, "refused", "is not valid utf-8; set `encoding` to that of the file, or mend the line")
    ]


def test_detection_does_not_search_a_long_line_again_and_again(api: Api) -> None:
    long = b"x" * 300_000
    shown = done(api, b"name,email,x\n" + "Jürgen,j@example.com,".encode("cp1252") + long + b"\n")
    assert (shown["added"], shown["encoding"]) == (1, "windows-1252")


def test_no_word_mixes_two_alphabets() -> None:
    assert detect(Counter(["Größe".encode("cp1252")]))[0] == "windows-1252"


ROWS = {
    "title": "Customers of 2026\n\nName;E-Mail\nAda Lovelace;ada@example.com\n",
    "wide title": "Export;;\nas of 1.1.2026;;\nVorname;Nachname;E-Mail\nAda;Lovelace;ada@example.com\n",
    "sep": "sep=;\r\nName;E-Mail\r\nAda Lovelace;ada@example.com\r\n",
    "quoted sep": '"sep=|"\nName|E-Mail\nAda Lovelace|ada@example.com\n',
    "blank lines": "\n,,\nname,email,x\n\n , ,\nAda Lovelace,ada@example.com,\n,,\n\x1a",
    "NUL padding": "name,email\nAda Lovelace,ada@example.com\n" + "\0" * 4096,
    "equal unused headers": "name,email,Phone,Phone\nAda Lovelace,ada@example.com,1,2\n",
    "no header for unused": "name,email,,\nAda Lovelace,ada@example.com,1,2\n",
    "huge unused cell": f'name,email,note\nAda Lovelace,ada@example.com,"{"x" * 200_000}"\n',
    "700 columns": f"name,email,{','.join(f'c{n}' for n in range(700))}\n"
    f"Ada Lovelace,ada@example.com{',' * 700}\n",
    "long header": f"name,email,{'x' * 300},a\x07b\nAda Lovelace,ada@example.com,,\n",
    "NUL in unused cell": "name,email,x\nAda Lovelace,ada@example.com,\0\n",
    "quoted newline in unused cell": 'name,email,x\nAda Lovelace,ada@example.com,"a\nb\nc"\n',
    "lines quoted as a whole": '"name,email,note"\n"Ada Lovelace,ada@example.com,""a, b"""\n',
    "tabs": "name\temail\nAda Lovelace\tada@example.com\n",
    "commas in a title": "Customers, leads, and others\nName;E-Mail\nAda Lovelace;ada@example.com\n",
}


@pytest.mark.parametrize("file", ROWS.values(), ids=ROWS)
def test_what_is_no_row_or_no_used_column_costs_nothing(api: Api, file: str) -> None:
    shown = done(api, file)
    assert names(api) == [ADA]
    assert (shown["rowsRead"], shown["refused"]) == (1, 0)
    assert report(api, shown) == []


GOOD = "Eve,eve@example.com,\n"
BROKEN = [
    ('"Ada"x,ada@example.com,\n', "is not valid CSV"),
    ('"Ada,ada@example.com,\n"Bob","bob@example.com",\n', "is not valid CSV"),
    ('Ada,"ada@example.com,\n', "is not valid CSV"),
    (f"Ada,ada@example.com,{'x' * (2 * LONGEST_LINE)}\n", "is longer than 1,048,576 characters"),
    ("Ada,ada@example.com\n", "has 2 columns, but the first line has 3"),
    ("Ada,ada@example.com,,,\n", "has 5 columns, but the first line has 3"),
    ("A\0da,ada@example.com,\n", "name: must be one line without control characters"),
    ("Grand Totals (5 records)\n", "has 1 columns, but the first line has 3"),
    ("name,mailAddress,x\n", "repeats the names of the columns"),
    ("Ada,ada at example.com,\n", "mailAddress: must be a mail address, such as ada@example.com"),
]


@pytest.mark.parametrize(("row", "why"), BROKEN, ids=range(len(BROKEN)))
def test_broken_row_is_refused_alone_with_its_line(api: Api, row: str, why: str) -> None:
    shown = done(api, f"name,mailAddress,x\n{GOOD}{row}Zoe,zoe@example.com,\n")
    assert {"eve@example.com", "zoe@example.com"} <= {address for _, address in names(api)}
    assert shown["refused"] == 1
    [(line, outcome, reason)] = report(api, shown)
    assert (line, outcome) == (3, "refused")
    assert reason.startswith(why)


def test_refused_row_names_the_column_of_the_file(api: Api) -> None:
    shown = done(api, "Vorname,E-Mail\nAda,ada at example.com\n")
    assert report(api, shown)[0][2].endswith("(column E-Mail)")


def test_quote_that_never_closes_costs_one_row_of_many(api: Api) -> None:
    rows = [f"N{n},n{n}@example.com,\n" for n in range(3_000)]
    rows[1_500] = 'N1500,n1500@example.com,"open\n'
    shown = done(api, "name,mailAddress,x\n" + "".join(rows))
    assert (shown["added"], shown["refused"]) == (2_999, 1)
    assert report(api, shown)[0][:2] == (1_502, "refused")


FOREIGN = [
    (
        "Ada,ada@example.com\nBob,bob@example.com\n",
        "body: line 1 has a mail address where the column names must be",
    ),
    (b"\x1f\x8b\x08\x00" * 100, "body: is compressed"),
    (b"PK\x03\x04" + b"\0" * 100, "body: is a ZIP archive or another file, not a workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "body: "),
    ("<html><table><tr><td>Email", "body: is an HTML document"),
    ("%PDF-1.7", "body: is a PDF document"),
    ("BEGIN:VCARD\nFN:Ada\n", "body: is a vCard file"),
    (
        "Vorname;Kontakt\nAda;ada@example.com\n",
        "body: no column matches mailAddress. Select one with column=mailAddress:<column name>. It may",
    ),
]


@pytest.mark.parametrize(("file", "why"), FOREIGN, ids=range(len(FOREIGN)))
def test_file_that_is_no_table_is_400_with_what_to_do(api: Api, file: str | bytes, why: str) -> None:
    assert refused(api, file).startswith(why)


SHEET: list[list[str | int | None]] = [
    ["Customers"],
    [],
    [None, "Name", "E-Mail", "attributes.customer"],
    [None, "Ada Lovelace", "ada@example.com", 4711],
    [],
    [None, "Eve", "no address"],
]


def test_workbook_is_read_with_the_numbers_of_its_rows(api: Api) -> None:
    shown = done(api, workbook(("empty", []), ("Kunden", SHEET)))
    assert contacts(api) == [(*ADA, True, {"customer": "4711"})]
    assert (shown["sheet"], shown["headerLine"], shown["encoding"], shown["delimiter"]) == (
        "Kunden",
        3,
        None,
        None,
    )
    assert [line for line, *_ in report(api, shown)] == [6]


@pytest.mark.parametrize("sheet", ["2", "kunden"])
def test_sheet_is_chosen_by_number_or_name(api: Api, sheet: str) -> None:
    file = workbook(("first", [["Email"], ["bob@example.com"]]), ("Kunden", SHEET))
    done(api, file, sheet=sheet)
    assert names(api) == [ADA]
    assert refused(api, file, sheet="3") == (
        "sheet: the workbook has no sheet with this name or number. Its sheets are: first, Kunden."
    )


def test_workbook_that_unfolds_without_end_is_refused(api: Api) -> None:
    source, target = zipfile.ZipFile(io.BytesIO(workbook(("x", [["Email"]])))), io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            data = source.read(name)
            if "sheet1" in name:
                far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
                data = data.replace(b"</sheetData>", far)
            archive.writestr(name, data)
    assert refused(api, target.getvalue()).startswith("body: the workbook is too large")


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (name.encode(), data)
        for name, data in parts
    )
    return body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def test_file_of_a_form_is_taken(api: Api) -> None:
    content = b"name,email\r\nAda Lovelace,ada@example.com\r\n"
    body, headers = form(('name="file"; filename="c.csv"', content))
    answer = api.post("/contacts/imports", content=body, headers=headers)
    assert (answer.status_code, names(api)) == (201, [ADA])
    broken = [
        (form(('name="existing"', b"keep"))[0], "body: the form has a field that is no file."),
        (
            form(('name="file"', content), ('name="file"', content))[0],
            "body: the form has more than one file.",
        ),
        (body[:-9], "body: is not a valid form"),
        (form()[0], "body: "),
    ]
    for one, why in broken:
        answer = api.post("/contacts/imports", content=one, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["message"].startswith(why)


def test_form_of_an_http_client_is_taken(api: Api) -> None:
    file = ("c.csv", b"name,email\nAda Lovelace,ada@example.com\n", "text/csv")
    answer = api.post("/contacts/imports", files={"file": file})
    assert (answer.status_code, names(api)) == (201, [ADA])


PREVIEWED = (
    "Vorname;Nachname;E-Mail;Ort\nAda;Lovelace;ada@example.com;London\n"
    "Eve;;no address;\nA;L;ADA@example.com;\n"
)


def test_dry_run_shows_what_would_happen_and_changes_nothing(api: Api) -> None:
    api.contact(mailAddress="ada@example.com")
    sequence = api.sequence()
    before = contacts(api)
    answer = post(api, PREVIEWED.encode("utf-16"), dryRun="true", sequenceId=sequence["id"])
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["encoding"], shown["delimiter"], shown["headerLine"]) == ("utf-16", "semicolon", 1)
    assert [(one["name"], one["fields"], one["proposed"]) for one in shown["columns"]] == [
        ("Vorname", ["firstName"], None),
        ("Nachname", ["lastName"], None),
        ("E-Mail", ["mailAddress"], None),
        ("Ort", [], "attributes.Ort:Ort"),
    ]
    assert (shown["rows"][0]["name"], shown["rows"][0]["mailAddress"]) == ADA
    assert [shown[name] for name in ("rowsRead", "added", "changed", "enrolled", "merged", "refused")] == [
        3, 0, 1, 1, 1, 1,
    ]  # fmt: skip
    assert [(line["line"], line["outcome"]) for line in shown["report"]] == [(3, "refused"), (4, "merged")]
    assert contacts(api) == before
    assert api.get("/imports").json() == []
    assert api.sql("SELECT count(*) FROM sequences_contacts") == [(0,)]
    real = done(api, PREVIEWED.encode("utf-16"), sequenceId=sequence["id"])
    assert all(real[name] == shown[name] for name in ("rowsRead", "added", "changed", "enrolled", "refused"))


def test_dry_run_proposes_the_column_of_the_addresses(api: Api) -> None:
    file = "Vorname;Kontakt\nAda;ada@example.com\n"
    shown = post(api, file, dryRun="true").json()
    assert shown["message"].startswith("body: no column matches mailAddress.")
    assert [one["proposed"] for one in shown["columns"]] == [None, "mailAddress:Kontakt"]
    done(api, file, column="mailAddress:Kontakt")


def test_every_address_of_a_row_is_suppressed(api: Api) -> None:
    file = "Email;Email 2\na@example.com, b@example.com;c@example.com\nd@example.com;no address\n"
    shown = done(api, file, "/suppressions/imports")
    assert (shown["rowsRead"], shown["added"], shown["refused"]) == (2, 4, 0)
    assert [(line, outcome) for line, outcome, _ in report(api, shown)] == [(3, "flagged")]
    for name in "abcd":
        assert len(api.get("/suppressions", params={"mailAddress": f"{name}@example.com"}).json()) == 1


def test_dry_run_of_suppressions_changes_nothing(api: Api) -> None:
    shown = post(
        api, "Email,Reason\nada@example.com,complaint\n", "/suppressions/imports", dryRun="true"
    ).json()
    assert (shown["added"], shown["rows"][0]["mailAddress"]) == (1, "ada@example.com")
    assert api.get("/suppressions").json() == []


def test_one_bad_row_of_many_is_found_by_its_line(api: Api) -> None:
    rows = "".join(f"N,n{n}@example.com\n" for n in range(20_000))
    shown = done(api, f"name,mailAddress\n{rows}N,no address\n{rows.replace('@', '@x.')}")
    assert (shown["added"], shown["refused"]) == (40_000, 1)
    assert report(api, shown) == [
        (20_002, "refused", "mailAddress: must be a mail address, such as ada@example.com")
    ]


def test_result_is_the_same_for_a_file_in_any_dialect(api: Api) -> None:
    rows = [["name", "email", "attributes.note"], ["Ada; L|ovelace", "ada@example.com", 'say "hi",\tnow']]
    for delimiter in ",;\t|":
        file = io.StringIO()
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
        done(api, file.getvalue())
        assert json.dumps([row[0::3] for row in contacts(api)]) == json.dumps(
            [[rows[1][0], {"note": rows[1][2]}]]
        )
        api.sql("DELETE FROM contacts")


def test_values_of_is_active_are_read_in_many_languages(api: Api) -> None:
    shown: dict[str, Any] = done(
        api, "email,active\na@example.com,ja\nb@example.com,FALSCH\nc@example.com,perhaps\n"
    )
    assert [row[2] for row in contacts(api)] == [True, False]
    assert shown["refused"] == 1
