"""Checks the DNS records by which receivers authenticate a domain: SPF, DKIM, DMARC and MX."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import dns.exception
import dns.name
import dns.resolver
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from step_mailing_worker.signing import LEAST_RSA_BITS

_SPF_LOOKUPS = 10  # RFC 7208, 4.6.4: a record with more lookups is invalid
_ANSWER_SECONDS = 5.0
# Selectors of the large providers; DNS has no query for all selectors of a domain.
SELECTORS = ("google", "selector1", "selector2", "default", "dkim", "mail", "s1", "s2", "k1", "fm1", "zoho")


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """The result of one check; `detail` says what was found, and what to do if the grade is not OK."""

    name: str
    grade: Grade
    detail: str


class NoAnswerError(Exception):
    """No name server responded, so it is unknown whether the record exists."""


def resolver_of(nameserver: str | None = None) -> dns.resolver.Resolver:
    """Return a resolver for the system's name servers, or for `nameserver` (`IP[:PORT]`)."""
    if nameserver is None:
        resolver = dns.resolver.Resolver()
    else:
        resolver = dns.resolver.Resolver(configure=False)
        host, _, port = nameserver.partition(":")
        resolver.nameservers, resolver.port = [host], int(port or 53)
    resolver.lifetime = _ANSWER_SECONDS
    return resolver


def check_records(
    domain: str, resolver: dns.resolver.Resolver, keys: Mapping[str, bytes] | None = None
) -> list[Finding]:
    """Return one finding per record type. `keys` maps our own selectors to their public keys (DER)."""
    findings = []
    for check in (_spf, _dkim, _dmarc, _mx):
        try:
            findings.append(check(domain, resolver, keys or {}))
        except NoAnswerError as error:
            name = check.__name__.strip("_").upper()
            findings.append(Finding(name, Grade.FAILURE, f"no name server responds for {error}"))
    return findings


def _spf(domain: str, resolver: dns.resolver.Resolver, _keys: Mapping[str, bytes]) -> Finding:
    records = [text for text in _texts(domain, resolver) if re.match(r"v=spf1( |$)", text)]
    if len(records) != 1:
        found = f"{len(records)} SPF records" if records else "no SPF record"
        return Finding("SPF", Grade.FAILURE, f"{found} at {domain}; publish exactly one")
    record = records[0]
    lookups = _spf_lookups(record, resolver, seen={domain})
    if lookups > _SPF_LOOKUPS:
        detail = f"needs {lookups} lookups; receivers make at most {_SPF_LOOKUPS}: {record}"
        return Finding("SPF", Grade.FAILURE, detail)
    if re.search(r"[+ ]all$", record):
        return Finding("SPF", Grade.FAILURE, f"allows any server to send: {record}")
    if not re.search(r"[~?-]all$| redirect=", record):
        return Finding("SPF", Grade.WARNING, f"does not refuse other servers; end it with ~all: {record}")
    return Finding("SPF", Grade.OK, record)


def _spf_lookups(record: str, resolver: dns.resolver.Resolver, *, seen: set[str]) -> int:
    count = 0
    for term in record.split()[1:]:
        name, _, value = term.lstrip("+-~?").replace("redirect=", "include:").partition(":")
        if name.partition("/")[0] in {"a", "mx", "ptr", "exists"}:
            count += 1
        elif name == "include" and value not in seen:
            seen.add(value)
            inner = [text for text in _texts(value, resolver) if text.startswith("v=spf1")]
            count += 1 + sum(_spf_lookups(text, resolver, seen=seen) for text in inner)
    return count


def _dkim(domain: str, resolver: dns.resolver.Resolver, keys: Mapping[str, bytes]) -> Finding:
    for selector in keys or SELECTORS:
        host = f"{selector}._domainkey.{domain}"
        for text in _texts(host, resolver):
            if found := re.search(r"(?:^|;)\s*p=([A-Za-z0-9+/=\s]*)", text):
                return _dkim_key(host, found[1], keys.get(selector))
    selectors = ", ".join(keys or SELECTORS)
    if keys:
        return Finding("DKIM", Grade.FAILURE, f"no record for our selector at {domain}: {selectors}")
    return Finding("DKIM", Grade.WARNING, f"no record for the common selectors at {domain}: {selectors}")


def _dkim_key(host: str, published: str, ours: bytes | None) -> Finding:
    try:
        der = base64.b64decode("".join(published.split()), validate=True)
        if ours is not None and der != ours:
            return Finding(
                "DKIM", Grade.FAILURE, f"{host} publishes a different key than the one in DKIM_KEYS"
            )
        key = load_der_public_key(der) if der else None
    except (ValueError, UnsupportedAlgorithm):
        return Finding("DKIM", Grade.WARNING, f"{host}: the key is not an RSA key and was not checked")
    if key is None:
        return Finding("DKIM", Grade.FAILURE, f"{host}: the key is revoked (p= is empty)")
    if isinstance(key, RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        return Finding(
            "DKIM",
            Grade.FAILURE,
            f"{host}: a key of {key.key_size} bits is too short; use {LEAST_RSA_BITS} or more",
        )
    return Finding("DKIM", Grade.OK, host)


def _dmarc(domain: str, resolver: dns.resolver.Resolver, _keys: Mapping[str, bytes]) -> Finding:
    for parent in _parents(domain):
        records = [text for text in _texts(f"_dmarc.{parent}", resolver) if re.match(r"v=DMARC1\s*;", text)]
        if len(records) > 1:
            return Finding("DMARC", Grade.FAILURE, f"{len(records)} DMARC records at _dmarc.{parent}")
        if records:
            policy = re.search(r";\s*p=(none|quarantine|reject)\s*(?:;|$)", records[0])
            if not policy:
                return Finding("DMARC", Grade.FAILURE, f"has no policy (p=): {records[0]}")
            if policy[1] == "none":
                return Finding(
                    "DMARC", Grade.WARNING, f"the policy `none` has no effect on receivers: {records[0]}"
                )
            return Finding("DMARC", Grade.OK, records[0])
    return Finding("DMARC", Grade.FAILURE, f"no record at _dmarc.{domain}; large receivers require one")


def _mx(domain: str, resolver: dns.resolver.Resolver, _keys: Mapping[str, bytes]) -> Finding:
    hosts = [str(answer.exchange).rstrip(".") for answer in _answers(domain, "MX", resolver)]
    if not any(hosts):
        return Finding("MX", Grade.FAILURE, f"{domain} accepts no mail; replies and bounces are lost")
    return Finding("MX", Grade.OK, ", ".join(sorted(hosts)))


def _parents(domain: str) -> Iterable[str]:
    """Yield the domain and its parents, without the top-level domain."""
    labels = domain.split(".")
    return (".".join(labels[start:]) for start in range(max(1, len(labels) - 1)))


def _texts(host: str, resolver: dns.resolver.Resolver) -> list[str]:
    return [b"".join(answer.strings).decode(errors="replace") for answer in _answers(host, "TXT", resolver)]


def _answers(host: str, kind: str, resolver: dns.resolver.Resolver) -> list[Any]:
    try:
        return list(resolver.resolve(host, kind))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.name.LabelTooLong, dns.name.EmptyLabel):
        return []
    except dns.exception.DNSException as error:
        raise NoAnswerError(host) from error
