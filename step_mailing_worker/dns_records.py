"""The records by which receivers know a mailbox's domain: SPF, DKIM, DMARC and MX, read and judged."""

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

_SPF_LOOKUPS = 10  # RFC 7208, 4.6.4: one more makes the record void
_LEAST_KEY_BITS = 1024
_ANSWER_SECONDS = 5.0
# Under which names the large providers publish; there is no list of a domain's selectors to ask for.
SELECTORS = ("google", "selector1", "selector2", "default", "dkim", "mail", "s1", "s2", "k1", "fm1", "zoho")


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it is, and what to do where it is not well."""

    name: str
    grade: Grade
    detail: str


class NoAnswerError(Exception):
    """No name server told whether there is such a record."""


def resolver_of(nameserver: str | None = None) -> dns.resolver.Resolver:
    """Return a resolver that asks the system's name servers, or the one named `IP[:PORT]`."""
    if nameserver is None:
        resolver = dns.resolver.Resolver()
    else:
        resolver = dns.resolver.Resolver(configure=False)
        host, _, port = nameserver.partition(":")
        resolver.nameservers, resolver.port = [host], int(port or 53)
    resolver.lifetime = _ANSWER_SECONDS
    return resolver


def look_at_records(
    domain: str, resolver: dns.resolver.Resolver, keys: Mapping[str, bytes] | None = None
) -> list[Finding]:
    """Return what the domain's records say. `keys`: our own selectors with their public keys (DER)."""
    looks = (_spf, _dkim, _dmarc, _mx)
    findings = []
    for look in looks:
        try:
            findings.append(look(domain, resolver, keys or {}))
        except NoAnswerError as error:
            name = look.__name__.strip("_").upper()
            findings.append(Finding(name, Grade.FAILURE, f"no name server answers for {error}"))
    return findings


def _spf(domain: str, resolver: dns.resolver.Resolver, _keys: Mapping[str, bytes]) -> Finding:
    records = [text for text in _texts(domain, resolver) if re.match(r"v=spf1( |$)", text)]
    if len(records) != 1:
        found = f"{len(records)} SPF records" if records else "no SPF record"
        return Finding("SPF", Grade.FAILURE, f"{found} at {domain}; there has to be exactly one")
    record = records[0]
    lookups = _spf_lookups(record, resolver, seen={domain})
    if lookups > _SPF_LOOKUPS:
        detail = f"{lookups} lookups, of which receivers make {_SPF_LOOKUPS}: {record}"
        return Finding("SPF", Grade.FAILURE, detail)
    if re.search(r"[+ ]all$", record):
        return Finding("SPF", Grade.FAILURE, f"allows everybody to send: {record}")
    if not re.search(r"[~?-]all$| redirect=", record):
        return Finding("SPF", Grade.WARNING, f"says nothing of other senders (end it in ~all): {record}")
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
    asked = ", ".join(keys or SELECTORS)
    if keys:
        return Finding("DKIM", Grade.FAILURE, f"no record for our selector at {domain}: {asked}")
    return Finding("DKIM", Grade.WARNING, f"no record under the usual selectors of {domain}: {asked}")


def _dkim_key(host: str, published: str, ours: bytes | None) -> Finding:
    try:
        der = base64.b64decode("".join(published.split()), validate=True)
        if ours is not None and der != ours:
            return Finding("DKIM", Grade.FAILURE, f"{host} publishes another key than DKIM_KEYS signs with")
        key = load_der_public_key(der) if der else None
    except (ValueError, UnsupportedAlgorithm):
        return Finding("DKIM", Grade.WARNING, f"{host}: its key is no RSA key, and was not looked at")
    if key is None:
        return Finding("DKIM", Grade.FAILURE, f"{host}: the key is revoked (p= is empty)")
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_KEY_BITS:
        return Finding("DKIM", Grade.FAILURE, f"{host}: a key of {key.key_size} bits is too short")
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
                return Finding("DMARC", Grade.WARNING, f"asks receivers for nothing yet: {records[0]}")
            return Finding("DMARC", Grade.OK, records[0])
    return Finding("DMARC", Grade.FAILURE, f"no record at _dmarc.{domain}: large receivers ask for one")


def _mx(domain: str, resolver: dns.resolver.Resolver, _keys: Mapping[str, bytes]) -> Finding:
    hosts = [str(answer.exchange).rstrip(".") for answer in _answers(domain, "MX", resolver)]
    if not any(hosts):
        return Finding("MX", Grade.FAILURE, f"{domain} takes no mail: neither replies nor bounces come back")
    return Finding("MX", Grade.OK, ", ".join(sorted(hosts)))


def _parents(domain: str) -> Iterable[str]:
    """Yield the domain and those above it, but no top level."""
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
