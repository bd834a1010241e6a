"""Measured figures: each page, and each comment of a manifest, has those of docs/performance.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEASURED = "*m*"


def page(name: str) -> str:
    """Return a file with single spaces, so that a phrase may be broken anywhere."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def section(title: str) -> str:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    return re.split(r"^#+ ", text.partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def cell(title: str, row: str, column: str, nth: int = 0) -> str:
    """Return a cell of a table of performance.md: `row` begins its line; `nth` of its columns so named."""
    header: list[str] = []
    before: list[str] = []
    for line in section(title).splitlines():
        cells = [part.strip() for part in line.strip("|").split("|")] if line.startswith("|") else []
        if line.startswith("|---"):
            header = before
        elif line.startswith(f"| {row} |") and column in header:
            return cells[[place for place, name in enumerate(header) if name == column][nth]]
        before = cells
    raise AssertionError(f"docs/performance.md, {title}: no cell {row}, {column}")


def said(title: str, pattern: str) -> str:
    """Return the group of the pattern in the prose of a section."""
    found = re.search(pattern, " ".join(section(title).split()))
    assert found, f"docs/performance.md, {title}: no {pattern!r}"
    return found[1]


def number(figure: str) -> float:
    return float(re.sub(r"[^\d.]", "", figure))


def rounded(figure: str) -> str:
    """Return an integer with two digits and zeros: 6,879 is 6,900."""
    value = int(number(figure))
    return f"{round(value, 2 - len(str(value))):,}"


def gigabytes(figure: str) -> str:
    return f"{number(figure) / 1000:.1f} GB"


MILLION, TEN_MILLION = "1,000,000", "10,000,000"
PLAN, WORKER, LOAD = "The plan", "The worker", "Everything at once"
LARGEST_RATE = said(LOAD, r"So (\d+) mails per second is the largest")
TWO_WORKERS = said(WORKER, r"a factor of ([\d.]+)")
HISTORY = said(PLAN, r"took ([\d.]+) of its time without them")
HISTORY_IN_DAGSTER = said(PLAN, r"without them, and ([\d.]+) in Dagster")
REQUESTS = said(WORKER, r"queue of sends per mail[^|]*\| ([^|]+?) \|")
PEAK_OF_RUN = said("At rest", r"used at most ([\d,]+) MiB")
ENVIRONMENT_SIZE = said("At rest", r"`.venv/` has ([\d.]+ GB)")
POSTGRES_MS = [
    round(1000 * number(cell(LOAD, rate, "Postgres")) / number(rate), 1) for rate in ("300", "400", "500")
]
SCALING = [
    (
        f"{cell(PLAN, MILLION, 'planned')} mails for a million due contacts in "
        f"{cell(PLAN, MILLION, 'core')}, "
        f"{cell(PLAN, MILLION, 'in Dagster')} as a Dagster run with all checks *m*"
    ),
    (
        f"memory: {cell(PLAN, MILLION, 'memory')} for the planner, "
        f"{cell(PLAN, MILLION, 'memory', 1)} for the "
        "run *m*, so about 1 kB per due contact"
    ),
    (
        f"{cell(WORKER, '200 | 0.25 s', 'mails/s')} mails/s with 200 mailboxes whose server takes 250 ms; "
        f"{cell(WORKER, '200 | 0 s', 'mails/s')}/s if it replies at once *m*"
    ),
    (
        f"{said(WORKER, 'a mail costs (.+?) of one core')} of one core per mail *m*, and "
        f"{said(WORKER, 'DKIM costs another (.+?) per mail')} more with our DKIM signature *m*"
    ),
    (
        f"{LARGEST_RATE} mails/s, planned, dispatched, sent and "
        f"applied concurrently, none more than {said(LOAD, 'no mail is more than (.+?) late')} late *m*"
    ),
    f"the worker: {said(LOAD, 'It uses (.+?) of a core per mail')} of a core per mail *m*, two thirds of the",
    f"{min(POSTGRES_MS)} to {max(POSTGRES_MS)} ms of a core per mail *m*",
    (
        f"{cell('The API', 'read a contact', 'API').removesuffix('/s')} reads or "
        f"{cell('The API', 'create a contact', 'API').removesuffix('/s')} creates per second *m*"
    ),
    f"{cell('Importing contacts', MILLION, 'rows/s')} contacts per second, with enrolment *m*",
    "API 109 MiB, worker 103, code location 398, webserver 169, daemon 139 *m*",
    (
        f"two of them gave {TWO_WORKERS} times the throughput of one on two cores that "
        "also ran everything else *m*"
    ),
    f"{said(WORKER, r'105 MB with 200 mails: (.+?) per mail')} per mail in progress *m*",
    f"{cell('The archive', MILLION, 'bytes per send, with indexes')} bytes per mail with its indexes *m*",
    f"{cell('The archive', MILLION, 'bytes per send in the archive')} of them *m*",
    (
        f"about {rounded(cell('Dispatch and results', '10 ms', 'results by message'))} per second by message "
        "with an endpoint 10 ms away, and "
        f"{rounded(cell('Dispatch and results', '10 ms', 'results without message'))} "
        f"for finished sends without "
        "a message *m*"
    ),
    f"{rounded(cell('Dispatch and results', '10 ms', 'dispatched'))} messages per second *m*",
    f"a factor of {HISTORY} to {HISTORY_IN_DAGSTER} *m*",
    "| plan | "
    + " | ".join(f"{cell(PLAN, due, 'core')} *m*" for due in ("100,000", MILLION, TEN_MILLION))
    + f" | ten of {cell(PLAN, TEN_MILLION, 'core')} |",
    (
        f"| memory of the planning run | {cell(PLAN, '100,000', 'memory', 1)} *m* | "
        f"{cell(PLAN, MILLION, 'memory', 1)} *m* | {gigabytes(cell(PLAN, TEN_MILLION, 'memory', 1))} *m* | "
        f"ten of {gigabytes(cell(PLAN, TEN_MILLION, 'memory', 1))} |"
    ),
    f"in groups ({REQUESTS} *m*)",
]
OTHERS = {
    "docs/scaling.md": [
        (
            f"It moves {cell('The archive', MILLION, 'rows/s')} rows per second; the longest batch took "
            f"{cell('The archive', MILLION, 'longest batch')}"
        ),
    ],
    "docs/kubernetes.md": [
        f"a plan of a million contacts takes {cell(PLAN, MILLION, 'memory', 1)}",
        f"a plan of ten million took {gigabytes(cell(PLAN, TEN_MILLION, 'memory', 1))}",
    ],
    "README.md": [
        f"peak {number(PEAK_OF_RUN) / 1024:.1f} GiB measured",
        f"a plan of a million due contacts takes up to {gigabytes(cell(PLAN, MILLION, 'memory', 1))} more",
        f"{ENVIRONMENT_SIZE} for `.venv/`",
    ],
}
REST = {
    "api": "109 MiB idle",
    "worker": "103 MiB idle",
    "code-location": "398 MiB idle",
    "webserver": "169 MiB idle",
    "daemon": "139 MiB idle",
}
RUNS = (
    f"a run takes {cell(PLAN, '10,000', 'memory', 1)}, "
    f"a plan of a million {cell(PLAN, MILLION, 'memory', 1)}, "
    f"of ten million {cell(PLAN, TEN_MILLION, 'memory', 1)}"
)


@pytest.mark.parametrize("phrase", SCALING)
def test_measured_figure_of_scaling_is_the_one_of_performance(phrase: str) -> None:
    assert phrase in page("docs/scaling.md")


def test_every_figure_that_scaling_calls_measured_is_compared() -> None:
    text = page("docs/scaling.md").replace(f"Numbers marked {MEASURED} are measured", "")
    for phrase in SCALING:
        text = text.replace(phrase, "")
    places = [text[max(0, found.start() - 60) : found.end()] for found in re.finditer(r"\*m\*", text)]
    assert not places, places


@pytest.mark.parametrize(
    ("name", "phrase"), [(name, phrase) for name, phrases in OTHERS.items() for phrase in phrases]
)
def test_figure_of_another_page_is_the_one_of_performance(name: str, phrase: str) -> None:
    assert phrase in page(name)


def test_memory_at_rest_is_the_one_of_performance() -> None:
    table = section("At rest").partition("| API | worker |")[2].splitlines()[2]
    api, worker, code, webserver, daemon = (
        sum(map(int, re.findall(r"\d+", one))) for one in table.strip("|").split("|")
    )
    assert (
        f"API {api} MiB, worker {worker}, code location {code}, webserver {webserver}, daemon {daemon}"
        in page("docs/scaling.md")
    )
    for name, idle in zip(REST, (api, worker, code, webserver, daemon), strict=True):
        assert REST[name] == f"{idle} MiB idle"


@pytest.mark.parametrize("name", REST)
def test_request_of_a_pod_names_the_measured_memory(name: str) -> None:
    assert REST[name] in page(f"deploy/kubernetes/base/{name}.yaml")


@pytest.mark.parametrize("name", ["components/runs-as-pods/dagster.yaml", "dagster-chart-values.yaml"])
def test_run_as_a_pod_names_the_measured_memory(name: str) -> None:
    assert RUNS in page(f"deploy/kubernetes/{name}")


def test_totals_of_the_costs_are_their_sums() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    table = text.partition("\n## Monthly cost\n")[2].partition("| per 1,000 mails")[0]
    lines = [line.strip("|").split("|")[1:] for line in table.splitlines() if "$" in line]
    sums = [[int(re.findall(r"\$([\d,]+)", one)[0].replace(",", "")) for one in line] for line in lines]
    assert [sum(column) for column in zip(*sums[:-1], strict=True)] == sums[-1]
