"""Zones full of SPF records, and who asks: made from a seed, so that a case can be had again by its number.

Records lean on one another (include, redirect, exp), their names are few, so that they meet, and addresses lie close to
the client's, so that prefixes matter. Some are malformed, some too long a way, some DNS is in trouble about.
"""

import random
from dataclasses import dataclass

from spf_ask import Zone

HOSTS = ["a.example", "b.example", "mail.a.example", "mx.b.example", "c.test.example", "void.example",
         "nothing.example", "deep.mail.a.example", "x-y.example"]
CLIENTS = ["192.0.2.1", "192.0.2.130", "198.51.100.77", "2001:db8::1", "2001:db8:0:1::ffff", "::ffff:192.0.2.1"]
HELOS = ["mail.a.example", "b.example", "[192.0.2.1]", "single", "MX.b.Example"]
LOCALS = ["joe", "joe-bloggs", "a.b.c", "joe+tag", "", "x_y=z", "Up-Case", "sp ace", "strong-bad+list.x"]
BROKEN = ["moo", "a:", "ip4:1.2.3", "ip4:192.0.2.1/33", "ip6:2001:db8::/129", "include", "exists", "all:x", "-all/8",
          "=x", "a:foo", "a:foo.123", "mx:%{x}.example", "a:%(d).example", "exp=", "redirect=", "include:a.example/24",
          "ptr/0", "ip4:192.0.2.1//24", "a/024", "a:b.-com", "exists:%{c}.example", "foo=%abc", "a//", "!a",
          "ip6:192.0.2.1", "ip4",
          "mx:mail.a.example.:25", "a:b\x80.example", "1up=x", "a:%{d9", "%{d}", "a:%%", "ip4:01.2.3.4"]
LETTERS = "slodivh"


@dataclass
class Case:
    zone: Zone
    client: str
    helo: str
    sender: str


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.domains = [f"d{i}.example" for i in range(self.random.choice([1, 2, 3, 4, 6, 13]))]
        self.trouble = self.random.choice([0, 0, 0.03, 0.1])
        self.errors = self.random.choice([0, 0, 0, 0.05])
        self.mutations = self.random.choice([0, 0, 0.3])
        self.names_client = self.chance(0.05)  # %{p} in terms: short records, and DNS is well
        self.is_calm = self.names_client or self.chance(0.2)
        if self.is_calm:
            self.domains, self.trouble, self.errors, self.mutations = self.domains[:3], 0, 0, 0

    def some(self, *choices):
        return self.random.choice(choices)

    def chance(self, p):
        return self.random.random() < p

    # --- names ---

    def macro(self):
        letter = self.random.choice(LETTERS + "pp" * self.names_client)
        letter = letter.upper() if self.chance(0.1) else letter
        digits = self.some("", "", "1", "2", "3", "12")
        delimiters = ""
        if letter in "lLsS" or self.chance(0.1):
            delimiters = self.some("", "", "", ".", "-", "+-", "_", "=", "/,")
        return "%{" + letter + digits + self.some("", "r") + delimiters + "}"

    def target(self):
        host = self.random.choice(HOSTS + self.domains)
        if self.chance(0.8):
            return self.some(host, host, host.upper(), host + ".")
        return self.some(f"{self.macro()}.{host}", f"{self.macro()}.{self.macro()}.{host}", self.macro(),
                         "%{d}", f"x%%y%_z%-.{host}", f"{host}.%{{o}}", f"a:b/c.{host}", f"a..{host}",
                         "y" * 64 + "." + host,
                         ".".join([f"%{{{self.some('d', 'o', 'h')}}}"] * 24))

    # --- terms ---

    def prefix(self):
        if self.chance(0.6):
            return ""
        four, six = self.some(0, 8, 24, 25, 31, 32), self.some(0, 32, 64, 112, 127, 128)
        return self.some(f"/{four}", f"//{six}", f"/{four}//{six}")

    def network(self):
        if self.chance(0.6):
            return "ip4:" + self.some("192.0.2.1", "192.0.2.0", "198.51.100.77", "192.0.2.129", "10.0.0.0") + \
                self.some("", "", "/24", "/25", "/31", "/0", "/32")
        return "ip6:" + self.some("2001:db8::1", "2001:DB8::", "2001:db8:0:1::", "::ffff:192.0.2.1", "fe80::",
                                  "::1.2.3.4") + self.some("", "", "/32", "/64", "/127", "/128", "/0")

    def optional(self):
        return ":" + self.target() if self.chance(0.6) else ""

    def mechanism(self):
        kind = self.random.choices(["a", "mx", "ptr", "exists", "include", "ip"], [5, 4, 1, 2, 5, 6])[0]
        if kind in ("a", "mx"):
            return kind + self.optional() + self.prefix()
        if kind == "ptr":
            return kind + self.optional()
        if kind == "include":
            return "include:" + (self.random.choice(self.domains) if self.chance(0.85) else self.target())
        return self.network() if kind == "ip" else "exists:" + self.target()

    def term(self):
        if self.chance(self.errors):
            return self.random.choice(BROKEN)
        if self.chance(0.04):
            return self.some("x=y", "moo.cow-far_out=man:dog/cat", "default=pass", "unknown=%{d}%%", "ra=")
        term = self.some("", "", "", "+", "-", "?", "~") + self.mechanism()
        return term.upper() if self.chance(0.03) and "%" not in term else term

    def record(self):
        n = self.some(0, 1, 2) if self.is_calm else self.some(0, 1, 1, 2, 2, 3, 4, 5, 9, 12)
        terms = [self.term() for _ in range(n)]
        if self.chance(0.5):
            terms.append(self.some("-all", "~all", "?all", "+all", "all", "-ALL"))
        if self.chance(0.25):
            at = self.random.randrange(len(terms) + 1)
            terms.insert(at, self.some("redirect=", "redirect=", "Redirect=") +
                         self.random.choice(self.domains + ["void.example"]))
        if self.chance(0.7 if self.is_calm else 0.3):
            at = self.random.randrange(len(terms) + 1)
            terms.insert(at, self.some("exp=", "exp=", "EXP=") + self.some("e.example", "f.example", "%{l}.e.example"))
        separator = self.some(" ", " ", " ", "  ")
        return self.mutated(self.some("v=spf1", "v=spf1", "V=SPF1") + "".join(separator + t for t in terms) +
                            self.some("", "", " ")).encode("latin-1")

    def mutated(self, record):
        """With a little damage, perhaps: a character more, less, or another, a piece twice."""
        while self.chance(self.mutations):
            at = self.random.randrange(len(record) + 1)
            piece = self.some("", self.random.choice(" %{}:/=.-+~?,_0129arxRD@\\\t\xe9\0"), record[at:at + 9] * 2)
            record = record[:at] + piece + record[at + self.some(0, 1, 1):]
        return record

    # --- zones ---

    def address(self, type):
        if type == "A":
            return self.some("192.0.2.1", "192.0.2.2", "192.0.2.130", "198.51.100.77", "198.51.100.1", "10.1.1.1")
        return self.some("2001:db8::1", "2001:db8::2", "2001:db8:0:1::ffff", "2001:db8:1::1", "fe80::1")

    def hosts(self, zone):
        others = ["joe.a.example", "1.2.0.192.b.example", "c.b.a.a.example", "x%y z%20.a.example"]
        for name in HOSTS + self.domains + others:
            if name == "void.example" and not self.names_client:
                continue
            for type in ("A", "AAAA"):
                for _ in range(self.some(0, 1, 1, 2, 4) or self.names_client):
                    zone.add(name, type, self.address(type))
            for _ in range(self.some(0, 0, 1, 2, 3, 11 if self.chance(0.1) else 1)):
                zone.add(name, "MX", (self.some(0, 5, 10, 20), self.random.choice(HOSTS)))

    def names(self, zone, client):
        for _ in range(self.some(1, 2, 3) if self.names_client else self.some(0, 1, 2, 3, 12)):
            domains = self.domains * (4 if self.names_client else 1)
            zone.add(client, "PTR", self.some(*domains, *HOSTS, "Mail.A.Example"))

    def break_some(self, zone):
        for name, types in zone.names.items():
            for type in list(types):
                if self.chance(self.trouble):
                    zone.break_down(name, type)

    def zone(self):
        zone = Zone()
        for domain in self.domains:
            if self.chance(0.97):
                zone.add(domain, "TXT", self.record())
            if self.chance(0.1):
                zone.add(domain, "TXT", self.some(b"v=spf10 -all", b"hello", b"\xff", b"v=spf1-all"))
            if self.chance(0.01):
                zone.add(domain, "TXT", b"v=spf1 -all")
        self.hosts(zone)
        for name in ("e.example", "joe.e.example"):
            for _ in range(self.some(0, 1, 1, 1, 2)):
                zone.add(name, "TXT", self.explanation())
        return zone

    def explanation(self):
        return self.some("No, %{s}!", "see http://x.example/?s=%{S}&ip=%{c}", "%{i} %{ir}.%{v}", "bad %{x}", "100%",
                         "\xef", "from %{h} to %{r} for %{d2r}%_%%.", "who is %{p} of %{d}?", "%{P2r}%{lr+-.}", "plain. ",
                         "").encode("latin-1")

    def case(self):
        client = self.random.choice(CLIENTS)
        zone = self.zone()
        for name in ("1.2.0.192.in-addr.arpa", "130.2.0.192.in-addr.arpa", "77.100.51.198.in-addr.arpa",
                     "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa",
                     "f.f.f.f." + "0." * 12 + "1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"):
            self.names(zone, name)
        self.break_some(zone)
        domain = self.domains[0].upper() if self.chance(0.1) else self.domains[0]
        return Case(zone, client, self.random.choice(HELOS), f"{self.random.choice(LOCALS)}@{domain}")
