"""Where postern's SPF and pyspf differ, and who is right. A disagreement that no ruling explains fails the test.

Each ruling says what RFC 7208 has to say, and puts pyspf right accordingly: a line of a method of its query is replaced
(the line must be there, or the test fails: then pyspf has changed, and the ruling is to be looked at again). With all
rulings in force both must agree on every generated zone.
"""

import inspect
import re
from dataclasses import dataclass

import spf


@dataclass
class Ruling:
    name: str
    section: str  # of RFC 7208
    why: str
    method: str
    old: str
    new: str


RULINGS = [
    Ruling(
        "void-terms", "4.6.4",
        'What is limited is "the number of terms for which DNS queries return" nothing. pyspf counts the queries, so '
        "that one mx with three hosts that have no address of the client's family spoils a record.",
        "check_lookups", "self.lookups = self.lookups + 1", "self.lookups += 1; self.term_is_void = False"),
    Ruling(
        "void-terms", "4.6.4", "The other half: the first query of a term counts.",
        "dns", "self.void_lookups += 1", "self.void_lookups += not self.term_is_void; self.term_is_void = True"),
    Ruling(
        "percent-at-end", "7.1",
        '"%%" may stand anywhere, also at the end of a text. pyspf takes the last "%" for the start of a macro.',
        "expand", "regex.search(s)", "regex.search(s.replace('%%', 'x'))"),
    Ruling(
        "trivial-recursion", "4.6.4, 5.2",
        "An include of the domain itself is well-formed; if it is reached, it exceeds the limit of lookups. pyspf "
        "refuses the record when it reads it, even if a term before it matches.",
        "validate_mechanism", "if arg == self.d:", "if ':' not in mech:"),
    Ruling(
        "modifiers-twice", "6",
        "Only redirect and exp may not appear twice. pyspf refuses any modifier that does.",
        "check0", "if mod in modifiers:", "if mod in modifiers and mod in ('redirect', 'exp'):"),
    Ruling(
        "modifier-case", "4.6.1, 12",
        "Names of modifiers are strings of an ABNF, so their case does not matter. pyspf takes REDIRECT= for a "
        "modifier that nobody knows.",
        "check0", "mod,arg = m", "mod,arg = m[0].lower(),m[1]"),
    Ruling(
        "ptr-trouble", "5.5",
        "If DNS has trouble with the client's names, ptr does not match, and a name that it has trouble with is "
        "skipped. pyspf ends with temperror.",
        "validated_ptrs", "self.dns_ptr(self.i)[:max]", "self.untroubled(self.dns_ptr, self.i)[:max]"),
    Ruling(
        "ptr-trouble", "5.5", "The other half: their addresses.",
        "validated_ptrs", "self.dns_a(p,self.A)", "self.untroubled(self.dns_a, p, self.A)"),
    Ruling(
        "mx-order", "5.4",
        "The hosts of an mx are looked at one after the other, in the order of their preference, until one matches: "
        "trouble or nothing at a later one is not seen. pyspf asks for all of them first.",
        "dns_mx", "return [a for mx in mxnames[:max] for a in self.dns_a(mx[1],self.A)]",
        "return (a for mx in mxnames[:max] for a in self.dns_a(mx[1],self.A))"),
    Ruling(
        "mx-order", "5.4", "The other half: each is compared as it comes.",
        "cidrmatch", "[ipaddress.ip_network(ip) for ip in ipaddrs]", "(ipaddress.ip_network(ip) for ip in ipaddrs)"),
    Ruling(
        "mx-ties", "5.4",
        "Hosts of one preference have no order; postern leaves them as DNS has them, pyspf sorts them by name.",
        "dns_mx", "mxnames.sort()", "mxnames.sort(key=lambda mx: mx[0])"),
    Ruling(
        "redirect-counts", "4.6.4",
        "A redirect counts as a lookup when it is followed. pyspf counts it when it reads the record, also if a "
        "mechanism matches.",
        "check0", "elif mod == 'redirect':\n                self.check_lookups()", "elif mod == 'redirect':"),
    Ruling(
        "redirect-counts", "4.6.4", "The other half: now.",
        "check0", "redirect_record = self.dns_spf(redirect)",
        "self.check_lookups(); redirect_record = self.dns_spf(redirect)"),
    Ruling(
        "no-local-part", "4.3",
        'If <sender> has no local-part, "postmaster" stands for it, also in %{s}. pyspf does so in %{l} alone.',
        "__init__", "self.s, self.h = s, h", "self.s, self.h = 'postmaster' * s.startswith('@') + s, h"),
    Ruling(
        "explanation-aside", "4.6.4, 6.2",
        "What an explanation asks DNS for comes after the result and changes nothing of it. pyspf expands explanations "
        "when it reads the record, and counts what %{p} asks for in vain.",
        "get_explanation", "return str(self.expand(to_ascii(a[0]), stripdot=False))",
        "return self.aside(lambda: str(self.expand(to_ascii(a[0]), stripdot=False)))"),
    Ruling(
        "exists-alone", "5.7",
        "exists needs a domain-spec, also behind a qualifier; pyspf lets ?exists pass.",
        "validate_mechanism", "if m == 'exists' and not arg:", "if m == 'exists' and ':' not in mech:"),
    Ruling(
        "obsolete-modifiers", "6, 12",
        "default= and op= are modifiers that nobody knows any more, and have the grammar of those. pyspf does not look "
        "at what stands behind them.",
        "check0", "elif mod == 'default':", "elif mod == ' default':"),
    Ruling(
        "obsolete-modifiers", "6, 12", "The other half: op.",
        "check0", "elif mod == 'op':", "elif mod == ' op':"),
    Ruling(
        "macro-grammar", "12",
        "Texts with macros follow a grammar: a letter, a number that is not 0, r, delimiters, a closing brace; visible "
        "characters around them. pyspf lets much else pass.",
        "expand", "end = 0\n", "end = 0; self.check_macros(s, stripdot)\n"),
]

# For each ruling a generated zone that needs it.
EXAMPLES = {
    "void-terms": 18940,
    "percent-at-end": 31423,
    "trivial-recursion": 17381,
    "modifiers-twice": 21108,
    "modifier-case": 22531,
    "ptr-trouble": 3982,
    "mx-order": 20981,
    "mx-ties": 31577,
    "redirect-counts": 19642,
    "no-local-part": 26501,
    "explanation-aside": 22750,
    "exists-alone": 170068,
    "obsolete-modifiers": 246323,
    "macro-grammar": 30868,
}

MACRO_STRING = re.compile(r"(?:[\x21-\x24\x26-\x7e]|%%|%_|%-|%\{[slodipvhcrt](?:0*[1-9][0-9]*)?r?[.+,/_=-]*\})*", re.I)


def check_macros(text, is_domain):
    if not MACRO_STRING.fullmatch(text if is_domain else text.replace(" ", "")):
        raise spf.PermError("not in the grammar", text)


def aside(query, work):
    """Does it, and counts nothing."""
    voids, query.void_lookups = query.void_lookups, -1000
    try:
        return work()
    finally:
        query.void_lookups = voids


def untroubled(ask, *arguments):
    """What DNS says, or nothing if it has trouble."""
    try:
        return ask(*arguments)
    except spf.TempError:
        return []


def ruled(without=None):
    """pyspf's query with all rulings in force, but perhaps one."""
    methods = {}
    for ruling in RULINGS:
        source = methods.get(ruling.method) or inspect.getsource(getattr(spf.query, ruling.method))
        assert ruling.old in source, f"{ruling.name}: {ruling.method} of pyspf has no {ruling.old!r}"
        methods[ruling.method] = source if ruling.name == without else source.replace(ruling.old, ruling.new)
    names = {"term_is_void": False, "untroubled": staticmethod(untroubled), "aside": aside,
             "check_macros": staticmethod(check_macros)}
    for source in methods.values():
        exec("if True:\n" + source, vars(spf), names)  # a method stands indented there
    return type("Ruled", (spf.query,), names)
