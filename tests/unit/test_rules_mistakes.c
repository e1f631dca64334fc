/* How each mistake in a rule file is told: where, in which words, and with what help. These texts
 * are what an admin works with. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/rules_texts.h"

struct mistake {
	const char *text;
	size_t n;          /* mistakes in all */
	const char *first; /* line:column: error: ... */
	const char *help;  /* of the first; NULL: none */
};

/* clang-format off */
static const struct mistake lists[] = { /* lists, declared and used */
	{"list d : domain { \"example.com\" } rule b9 { when mail.from in @d then reject }", 1, "1:63: error: `mail.from` is no value for @d, a list of type domain", "write mail.domain in @d"},
	{"list d : domain { \"example.com\" } rule g1 { when spf == fail then add client.ip to @d for 7d }", 1, "1:84: error: `add` needs a list from the store; @d is not", "declare it: list d : domain from store \"d\""},
	{"list d : domain { \"example.com\" } rule h2 { when client.ip == @d then reject }", 1, "1:63: error: `==` compares with one value, not with a list", "write client.ip in @d"},
	{"list x : domain { \"exämple.org\" }", 1, "1:19: error: the domain of `exämple.org` can't be written in ASCII (xn--...)", NULL},
	{"list x : mail { \"a@exämple.org\" }", 1, "1:17: error: the domain of `a@exämple.org` can't be written in ASCII (xn--...)", NULL},
	{"list x : domain { \"a@exämple.org\" }", 1, "1:19: error: `a@exämple.org` is a mail address, this is a list of domains", NULL},
	{"rule a { when mail.domain == \"exämple.org\" then accept }", 1, "1:30: error: this domain can't be written in ASCII (xn--...)", NULL},
	{"rule a { when mail.from == \"a@exämple.org\" then accept }", 1, "1:28: error: this domain can't be written in ASCII (xn--...)", NULL},
	{"list x : cidr { \"10.0.0.0/8\" }", 1, "1:17: error: a text can't be an item of a list of type cidr", "addresses stand without quotes"},
	{"list x : cidr { 10.0.0.300 }", 1, "1:17: error: no number, duration, size, rate or address reads like this", "durations end in ms, s, m, h, d or w, sizes in B, KB, MB, GB or TB; anything else that begins with a digit goes into quotes"},
	{"list x : cidr { 10.0.0.1-10.0.0.9 }", 1, "1:17: error: a range of addresses can't be an item of a list of type cidr", "write it as networks, such as 192.0.2.0/28"},
	{"list x : ip { 10.0.0.0/8 }", 1, "1:15: error: a network can't be an item of a list of type ip", "a list of networks has type cidr"},
	{"list x : txt { \"a\" }", 1, "1:10: error: `txt` is no type of a list", "types are cidr, ip, domain, mail, text and hash"},
	{"list x { \"a\" }", 1, "1:8: error: a : and the type are missing", "write: list forwarders : cidr { 192.0.2.0/24 }"},
	{"list x : text { \"a\" \"b\" }", 1, "1:21: error: a , is missing before this", "values of a set stand between commas"},
	{"list x : text { \"a\", 5 }", 1, "1:22: error: a number can't be an item of a list of type text", "write it in quotes"},
	{"list x : text { \"a\", { \"b\" } }", 1, "1:22: error: a set holds no other set", NULL},
	{"list x : text { \"a\"", 1, "1:15: error: this { is never closed", "add a } behind the set"},
	{"list \"x\" : text { \"a\" }", 1, "1:6: error: the name of a list stands without quotes", "write: list forwarders : cidr { 192.0.2.0/24 }"},
	{"list : text { \"a\" }", 1, "1:6: error: the name of a list is missing", "write: list forwarders : cidr { 192.0.2.0/24 }"},
	{"list x : text", 1, "1:10: error: the items of the list are missing", "write: list forwarders : cidr { 192.0.2.0/24 }, or from file, store or dnsbl"},
	{"list x : text from", 1, "1:15: error: where the list comes from is missing", "write: from file \"x\", from store \"x\" or from dnsbl \"x\""},
	{"list x : text from disk \"x\"", 1, "1:20: error: a list can't come from `disk`", "write: from file \"x\", from store \"x\" or from dnsbl \"x\""},
	{"list x : text from file x", 1, "1:25: error: from file needs a name in quotes", NULL},
	{"list x : text from file \"nosuch\"", 1, "1:25: error: nosuch: no such file", NULL},
	{"list x : text from store \"\"", 1, "1:26: error: a list in the store has a name of 1 to 64 letters, digits, `.`, `_` and `-`", NULL},
	{"list x : text from store \"a:b\"", 1, "1:26: error: a list in the store has a name of 1 to 64 letters, digits, `.`, `_` and `-`", NULL},
	{"list x : cidr from store \"protected\"", 1, "1:26: error: `protected` is what no list may hold, and no list for rules", "choose another name"},
	{"list x : cidr from dnsbl \"zen.example.org\"", 1, "1:26: error: a list from a dnsbl has type ip or domain", "write : ip"},
	{"list x : ip from dnsbl \"zen\"", 1, "1:24: error: a dnsbl is named by its zone", "for example \"zen.spamhaus.org\""},
	{"list x : ip from dnsbl \"zen.example.org\" { 10.0.0.1 }", 1, "1:44: error: a dnsbl answers with addresses in 127.0.0.0/8", "for example { 127.0.0.2-127.0.0.11 }"},
	{"list x : ip from dnsbl \"zen.example.org\" { }", 1, "1:42: error: this set is empty: nothing is in it", NULL},
	{"list x : ip from store \"x\" { 10.0.0.1 }", 1, "1:28: error: only a dnsbl has answers in braces; a list from a store has its items there", NULL},
	{"list x : text { \"a\" } list x : text { \"b\" }", 1, "1:28: error: the list `x` is declared twice", "first in "},
	{"list x : hash { \"abc\" }", 1, "1:17: error: `abc` has 3 digits; MD5 has 32, SHA-1 has 40, SHA-256 has 64", NULL},
	{"list x : ip from dnsbl \"z.example\" rule a { when client.ip in @x then accept } rule b { when subject in @x then accept }", 1, "1:105: error: `subject` is no value for @x, a list of type ip", "a text needs a list of type text, hash, domain or mail"},
	{"list x : ip from dnsbl \"z.example\" rule a { when all client.ip in @x then accept }", 1, "1:50: error: `client.ip` has one value: `all` is for facts with many", "write `client.ip in @x`"},
	{"list x : domain from dnsbl \"z.example\" rule a { when all url.domain in @x then accept }", 1, "1:54: error: `all` can't be asked of a dnsbl: @x answers what is listed", "write any or no"},
	{"list x : domain from dnsbl \"z.example\" rule a { when any url.domain under @x then accept }", 1, "1:75: error: `under` needs domains that are known here; @x is a dnsbl", "write in @x"},
	{"list x : text { \"a\" } rule a { when helo under @x then accept }", 1, "1:48: error: `under` needs domains that are known here; @x is of type text", "write in @x"},
	{"list x : text { \"a\" } rule a { when spf in @x then accept }", 1, "1:44: error: `spf` is no value for @x, a list of type text", "write spf in { ... }"},
	{"list x : text { \"a\" } rule a { when client.port in @x then accept }", 1, "1:52: error: `client.port` is no value for @x, a list of type text", "write client.port in { ... }"},
	{"list x : text { \"a\" } rule a { when client.ip in @x then accept }", 1, "1:50: error: `client.ip` is no value for @x, a list of type text", "an address needs a list of type cidr or ip"},
	{"list x : cidr { 10.0.0.0/8 } rule a { when helo in @x then accept }", 1, "1:52: error: `helo` is no value for @x, a list of type cidr", "a domain needs a list of type domain, text or hash"},
	{"list x : cidr { 10.0.0.0/8 } rule a { when mail.from in @x then accept }", 1, "1:57: error: `mail.from` is no value for @x, a list of type cidr", "a mail address needs a list of type mail, text or hash"},
	{"list x : cidr { 10.0.0.0/8 } rule a { when subject in @x then accept }", 1, "1:55: error: `subject` is no value for @x, a list of type cidr", "a text needs a list of type text, hash, domain or mail"},
	{"list xy : text { \"a\" } rule a { when subject in @yx then accept }", 1, "1:49: error: there is no list `yx`", "did you mean `@xy`?"},
	{"list x : text { \"a\" } rule a { when subject contains @x then accept }", 1, "1:54: error: `contains` needs a text or a set of texts, not a list", "write in @x for whole values"},
	{"list x : text { \"a\" } rule a { when subject in { \"b\", @x } then accept }", 1, "1:55: error: a set holds no list", "write: ... in @a or ... in { ... }"},
};

static const struct mistake texts[] = { /* texts with fields */
	{"rule a { when spf == fail then reject \"a {nofact} b {mail.form} {\" }", 3, "1:42: error: `nofact` is no fact", "`postern config doc facts` lists all"},
	{"rule a { then reject \"x\\ny\" }", 1, "1:22: error: the text of `reject` holds a line end or another control character", NULL},
	{"rule a { then reject \"{}\" }", 1, "1:23: error: a fact is expected in these braces, such as {client.ip}", "a brace itself is written {{"},
	{"rule a { then reject \"{ 5 }\" }", 1, "1:23: error: a fact is expected in these braces, such as {client.ip}", "a brace itself is written {{"},
	{"rule a { then reject \"{header}\" }", 1, "1:23: error: `header` doesn't say of what it is", "write {header(Name)}"},
	{"rule a { then reject \"{spf(x)}\" }", 1, "1:23: error: `spf` takes nothing in parentheses", NULL},
	{"rule a { then reject \"{rate(mail.from)}\" }", 1, "1:23: error: `rate` can't stand in a text", NULL},
	{"rule a { then reject \"{scor}\" }", 1, "1:23: error: `scor` is no fact", "did you mean `score`?"},
	{"rule a { then reject \"{dnsbl}\" }", 1, "1:23: error: `dnsbl` can't stand in a text", NULL},
	{"rule a { then reject \"{list.raeson}\" }", 1, "1:23: error: `list.raeson` is no fact", "did you mean `list.reason`?"},
	{"rule a { then discard \"{x\" }", 1, "1:24: error: this { is never closed", "a brace itself is written {{"},
};

static const struct mistake actions[] = { /* actions */
	{"rule a { when score > 5 then score 3 }", 1, "1:30: error: a rule that reads the score can't change it", NULL},
	{"rule a { when subject == \"x\" then route main }", 1, "1:35: error: a rule with `route` reads only what is known at RCPT; `subject` comes later", "the backend is chosen when a recipient is named, and checked there"},
	{"rule a { when rcpt.valid then route main }", 1, "1:31: error: a rule with `route` chooses the backend, and `rcpt.valid` is what that backend says", NULL},
	{"rule a { when spf == fail then reject 450 }", 1, "1:39: error: `reject` takes a code from 500 to 599", "write defer 450"},
	{"rule a { when spf == fail then reject 550 4.7.1 }", 1, "1:43: error: an enhanced status code of `reject` begins with 5 (RFC 3463)", "for example 5.7.1"},
	{"rule a { when spf == fail then defer 421 }", 1, "1:38: error: 421 is what postern says when it closes a connection", "write 451 or 450"},
	{"rule a { when spf == fail then defer 550 5.7.1 \"x\" }", 1, "1:38: error: `defer` takes a code from 400 to 499", "write reject 550"},
	{"rule a { when spf == fail then rejct }", 1, "1:32: error: `rejct` is no action", "did you mean `reject`?"},
	{"rule a { when spf == fail then greylist }", 1, "1:41: error: `greylist` needs a time", "for example: greylist 5m"},
	{"rule a { when spf == fail then greylist 5 }", 1, "1:41: error: `greylist` needs a time", "write a unit, such as 5m"},
	{"rule a { when spf == fail then greylist 60d }", 1, "1:41: error: `60d` is out of range: `greylist` takes 1s to 30d", NULL},
	{"rule a { when spf == fail then accept, reject }", 1, "1:40: error: a rule has one final action, and this is the second", "`accept` stands in line 1"},
	{"rule a { when spf == fail then header add Received \"x\" }", 1, "1:43: error: the field `Received` is the trace that mail loops are found by, and stays as it is", NULL},
	{"rule a { when spf == fail then header ad X-A \"x\" }", 1, "1:39: error: `header` is followed by add, set or remove", "for example: header add \"X-Spam\" \"yes\""},
	{"rule a { when spf == fail then route mian }", 1, "1:38: error: there is no backend `mian`", "did you mean `main`?"},
	{"rule a { when spf == fail then score 4000 }", 1, "1:38: error: `4000` is out of range: `score` takes -1000 to 1000", NULL},
	{"rule a { then }", 1, "1:15: error: an action is missing", "for example: reject 550 5.7.1 \"why\""},
	{"rule a { then accept", 1, "1:6: error: the rule `a` is never closed: a } is missing", NULL},
	{"rule a { then accept accept }", 1, "1:22: error: a , or a } is missing before this", "several actions stand between commas"},
	{"rule a { then accept when tls }", 1, "1:22: error: conditions stand before `then`", NULL},
	{"rule a { then accept 550 }", 1, "1:22: error: `550` has no place behind this action", NULL},
	{"rule a { then reject 5.7.1 \"x\" }", 1, "1:22: error: a reply's code stands before its enhanced status code", "write 550 5.7.1"},
	{"rule a { then reject 5500 }", 1, "1:22: error: `reject` takes a code from 500 to 599", NULL},
	{"rule a { then defer 451 5.7.1 }", 1, "1:25: error: an enhanced status code of `defer` begins with 4 (RFC 3463)", "for example 4.7.1"},
	{"rule a { then tag }", 1, "1:19: error: `tag` needs a text in quotes", "for example: tag \"spam\""},
	{"rule a { then tag \"\" }", 1, "1:19: error: this tag is empty", NULL},
	{"rule a { then tag \"0123456789012345678901234567890123456789012345678901234567890123456789\" }", 1, "1:19: error: the text of `tag` has at most 64 bytes", NULL},
	{"rule a { then score }", 1, "1:21: error: `score` needs a number", "for example: score 4 \"why\""},
	{"rule a { then score \"x\" }", 1, "1:21: error: `score` needs a number", "for example: score 4 \"why\""},
	{"rule a { then score 1.2345 }", 1, "1:21: error: a score has at most three decimals", NULL},
	{"rule a { then header }", 1, "1:22: error: `header` is followed by add, set or remove", "for example: header add \"X-Spam\" \"yes\""},
	{"rule a { then header add }", 1, "1:26: error: `header add` needs the name of a field", "for example: header add \"X-Spam\" \"yes\""},
	{"rule a { then header add X-A }", 1, "1:30: error: `header add` needs a text in quotes", "for example: header add \"X-Spam\" \"yes\""},
	{"rule a { then header add \"X A\" \"y\" }", 1, "1:26: error: the field `X A` has a name with characters other than printable ASCII without blanks and colon (RFC 5322 3.6.8)", NULL},
	{"rule a { then header remove X-A \"y\" }", 1, "1:33: error: `\"y\"` has no place behind this action", NULL},
	{"rule a { then subject \"x\" }", 1, "1:23: error: `subject` is followed by prefix", "for example: subject prefix \"[spam] \""},
	{"rule a { then tag \"c{helo}\" }", 1, "1:19: error: a tag is a fixed word, and has no {fields}", "texts with fields stand in `header`, `score` or a reply"},
	{"rule a { then subject prefix }", 1, "1:30: error: `subject prefix` needs a text in quotes", "for example: subject prefix \"[spam] \""},
	{"rule a { then delay }", 1, "1:21: error: `delay` needs a time", "for example: delay 5m"},
	{"rule a { then delay 10m }", 1, "1:21: error: `10m` is out of range: `delay` takes 1ms to 5m", NULL},
	{"rule a { then route }", 1, "1:21: error: `route` needs the name of a backend", "for example: route main"},
	{"rule a { when score > 1 then route main }", 1, "1:30: error: a rule with `route` reads only what is known at RCPT, and so no score", NULL},
	{"rule a { when any tags == \"x\" then route main }", 1, "1:36: error: a rule with `route` reads only what is known at RCPT, and so no tags", NULL},
	{"rule a { then route nowhere }", 1, "1:21: error: there is no backend `nowhere`", "did you mean `other`?"},
	{"rule a { then add }", 1, "1:19: error: `add` needs a fact, such as client.ip or mail.from", NULL},
	{"rule a { then add client.port to @x for 1h } list x : text from store \"x\"", 1, "1:19: error: `add` needs a fact that is an address, a domain, a mail address or a text", NULL},
	{"rule a { then add client.ip @x for 1h } list x : ip from store \"x\"", 1, "1:29: error: `to` and a list are missing", "for example: add client.ip to @blocked for 7d \"why\""},
	{"rule a { then add client.ip to x for 1h } list x : ip from store \"x\"", 1, "1:32: error: `add` needs a list, such as @blocked", "for example: add client.ip to @blocked for 7d \"why\""},
	{"rule a { then add client.ip to @x for 1 } list x : ip from store \"x\"", 1, "1:39: error: `for` needs a time", "write a unit, such as 1m"},
	{"rule a { then add client.ip to @x for 9999999w } list x : ip from store \"x\"", 1, "1:39: error: `9999999w` is out of range: `for` takes 1s to 3660d", NULL},
	{"rule a { then add client.ip to @x for 1h } list x : hash from store \"x\"", 1, "1:32: error: `add` has no digests for @x, a list of type hash", NULL},
	{"rule a { then add mail.from to @x for 1h } list x : hash from store \"x\"", 1, "1:32: error: `add` has no digests for @x, a list of type hash", NULL},
	{"rule a { then add mail.from to @x for 1h } list x : domain from store \"x\"", 1, "1:32: error: `mail.from` is no value for @x, a list of type domain", "write mail.domain in @x"},
	{"rule a { then add header(\"x\") to @x for 1h } list x : text from store \"x\"", 1, "1:19: error: `add` needs a fact that is an address, a domain, a mail address or a text", NULL},
	{"rule a { then reject now 450 }", 1, "1:26: error: `reject` takes a code from 500 to 599", "write defer 450"},
	{"rule a { then greylist 5m, accept }", 1, "1:28: error: a rule has one final action, and this is the second", "`greylist` stands in line 1"},
};

static const struct mistake given[] = { /* tests */
	{"test { expect accept }", 1, "1:6: error: a test needs a name in quotes", "write: test \"name\" { given spf = fail expect reject }"},
	{"test \"t\" { }", 1, "1:6: error: the test `t` expects nothing", "write: test \"name\" { given spf = fail expect reject }"},
	{"test \"t\" { given spf = fail }", 1, "1:6: error: the test `t` expects nothing", "write: test \"name\" { given spf = fail expect reject }"},
	{"test \"t\" { given spf == fail expect accept }", 1, "1:22: error: a value is given with one equal sign", "write ="},
	{"test \"t\" { given spf fail expect accept }", 1, "1:22: error: a = is missing", "for example: given spf = fail"},
	{"test \"t\" { given nofact = fail expect accept }", 1, "1:18: error: `nofact` is no fact", "`postern config doc facts` lists all"},
	{"test \"t\" { given spf = hardfail expect accept }", 1, "1:24: error: `spf` needs one of none, neutral, pass, fail, softfail, temperror, permerror", "did you mean `fail`?"},
	{"test \"t\" { given spf = { fail } expect accept }", 1, "1:24: error: `spf` has one value, not a set", NULL},
	{"test \"t\" { given score = 5 expect accept }", 1, "1:18: error: `score` follows from the rules and can't be given", "give the facts that lead to it"},
	{"test \"t\" { given client.ip = \"x\" expect accept }", 1, "1:30: error: `client.ip` needs an address, such as 192.0.2.1", "write it without quotes"},
	{"test \"t\" { given rate(mail.from) = 1.5 expect accept }", 1, "1:36: error: `rate(mail.from)` needs a whole number, or a count in a time", "for example: rate(mail.from) = 101/1h"},
	{"test \"t\" { with @x = { 10.0.0.0/8 } expect accept }", 1, "1:17: error: there is no list `x`", "declare it: list x : cidr { ... }"},
	{"test \"t\" { with x = { 10.0.0.0/8 } expect accept }", 1, "1:17: error: `with` needs a list, such as @forwarders", "for example: with @forwarders = { 192.0.2.0/24 }"},
	{"list x : text { \"a\" } test \"t\" { with @x = \"b\" expect accept }", 1, "1:44: error: `with` needs the items in braces", "the list holds this instead, in this test"},
	{"list x : text { \"a\" } test \"t\" { with @x = { 5 } expect accept }", 1, "1:46: error: a number can't be an item of a list of type text", "write it in quotes"},
	{"test \"t\" { expect accept, reject }", 1, "1:27: error: a message has one final action", NULL},
	{"test \"t\" { expect accept by nobody }", 1, "1:29: error: there is no rule `nobody`", NULL},
	{"rule somebody { then accept } test \"t\" { expect accept by sombody }", 1, "1:59: error: there is no rule `sombody`", "did you mean `somebody`?"},
	{"test \"t\" { expect }", 1, "1:19: error: an action is missing", "for example: reject 550 5.7.1 \"why\""},
	{"test \"t\" { expect 550 }", 1, "1:19: error: an action is missing", "for example: reject 550 5.7.1 \"why\""},
	{"test \"t\" { expect accept given tls = yes }", 1, "1:26: error: a } is missing: the test ends with what it expects", NULL},
	{"test \"t\" { wiht @x = { } expect accept }", 1, "1:12: error: with, given or expect is expected here, not `wiht`", "write: test \"name\" { given spf = fail expect reject }"},
};

static const struct mistake files[] = { /* includes */
	{"include", 1, "1:1: error: `include` needs the name of a file, in quotes", "write: include \"more.rules\""},
	{"include \"t.rules\"", 1, "1:9: error: t.rules: this file includes itself, by way of what it includes", NULL},
	{"include \"nosuch.rules\"", 1, "1:9: error: nosuch.rules: no such file", NULL},
};

static const struct mistake forms[] = { /* what stands at the top, and how rules begin and end */
	{"rule", 1, "1:1: error: the name of a rule is missing", "write: rule spam { when score >= 15 then reject }"},
	{"rule \"a\" { then accept }", 1, "1:6: error: the name of a rule stands without quotes", "write: rule spam { when score >= 15 then reject }"},
	{"rule a", 1, "1:6: error: a { is missing: what a rule says stands in braces", NULL},
	{"rule a { whn tls then accept }", 1, "1:10: error: when, unless, on error or then is expected here, not `whn`", "did you mean `when`?"},
	{"rule a { on fire then accept }", 1, "1:13: error: `on` is followed by error", "write: on error defer, or on error skip"},
	{"rule a { on error then accept }", 1, "1:19: error: `on error` needs defer or skip", "write: on error defer, or on error skip"},
	{"rule a { on error crash then accept }", 1, "1:19: error: `on error` takes defer or skip, not `crash`", "write: on error defer, or on error skip"},
	{"rule a quiet { then accept }", 1, "1:8: error: behind the name of a rule stands monitor, off or {", NULL},
	{"}", 1, "1:1: error: this } closes nothing", NULL},
	{"wibble", 1, "1:1: error: rule, list, for, test or include is expected here, not `wibble`", NULL},
	{"ruel a { then accept }", 1, "1:1: error: rule, list, for, test or include is expected here, not `ruel`", "did you mean `rule`?"},
	{"for tls { rule a { then accept }", 1, "1:1: error: this `for` is never closed", "add a } behind its rules"},
	{"for tls rule a { then accept }", 1, "1:9: error: a { is missing: the rules of `for` stand in braces", "write: for rcpt.domain == \"example.com\" { rule ... }"},
	{"for spf { rule a { then accept } }", 1, "1:5: error: `spf` is one word of a few, and not compared with anything", "for example: spf == none"},
	{"for tls { list x : text { \"a\" } }", 1, "1:11: error: `for` holds rules and other `for`, not `list`", NULL},
	{"for tls { accept }", 1, "1:11: error: `for` holds rules and other `for`, not `accept`", NULL},
	{"for { rule a { then accept } }", 1, "1:5: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
};

static const struct mistake comparisons[] = { /* comparisons */
	{"rule a { when spf == hardfail then reject }", 1, "1:22: error: `spf` needs one of none, neutral, pass, fail, softfail, temperror, permerror", "did you mean `fail`?"},
	{"rule a { when spf == bogus then reject }", 1, "1:22: error: `spf` needs one of none, neutral, pass, fail, softfail, temperror, permerror", NULL},
	{"rule a { when client.ipp == 192.0.2.1 then reject }", 1, "1:15: error: `client.ipp` is no fact", "did you mean `client.ip`?"},
	{"rule a { when client.ip == \"192.0.2.1\" then reject }", 1, "1:28: error: `client.ip` needs an address, such as 192.0.2.1", "write it without quotes"},
	{"rule a { when client.ip == 192.0.2.0/24 then reject }", 1, "1:28: error: `client.ip` needs an address, such as 192.0.2.1", "write client.ip in 192.0.2.0/24"},
	{"rule a { when spf = fail then reject }", 1, "1:19: error: a comparison has two equal signs", "write =="},
	{"rule a { when attachment.name == \"x\" then reject }", 1, "1:15: error: `attachment.name` has many values: which of them is meant?", "write `any attachment.name == \"x\"`, or all or no in place of any"},
	{"rule a { when any client.ip in 10.0.0.0/8 then reject }", 1, "1:15: error: `client.ip` has one value: `any` is for facts with many", "write `client.ip in 10.0.0.0/8`"},
	{"rule a { when no client.ip in { 10.0.0.0/8 } then reject }", 1, "1:15: error: `client.ip` has one value: `no` is for facts with many", "write `not client.ip in { ... }`"},
	{"rule a { when spf == fail and helo == \"x\" or mail.null then reject }", 1, "1:43: error: `and` and `or` are mixed without parentheses", "write (spf == fail and helo == \"x\") or mail.null, or spf == fail and (helo == \"x\" or mail.null)"},
	{"rule a { when (spf == fail or helo == \"x\") and mail.null or tls then reject }", 1, "1:58: error: `and` and `or` are mixed without parentheses", "write ((spf == fail or helo == \"x\") and mail.null) or tls, or (spf == fail or helo == \"x\") and (mail.null or tls)"},
	{"rule a { when subject then reject }", 1, "1:15: error: `subject` is a text, and not compared with anything", "for example: subject contains \"text\""},
	{"rule a { when client.port then reject }", 1, "1:15: error: `client.port` is a number, and not compared with anything", "for example: client.port > 5"},
	{"rule a { when client.early_talker == maybe then reject }", 1, "1:38: error: `client.early_talker` needs yes or no", NULL},
	{"rule a { when subject < 5 then reject }", 1, "1:23: error: `subject` is a text: `<` is not for it", "operators for it are == != in contains ~"},
	{"rule a { when message.size > 5m then reject }", 1, "1:30: error: `message.size` needs a size, such as 25MB", NULL},
	{"rule a { when mail.from == \"example.com\" then reject }", 1, "1:28: error: `mail.from` needs a mail address, such as \"user@example.com\"", "`mail.domain` is its domain"},
	{"rule a { when mail.from under \"example.com\" then reject }", 1, "1:25: error: `mail.from` is a mail address: `under` is not for it", "write mail.domain under \"example.com\""},
	{"rule a { when subject contains \"\" then reject }", 1, "1:32: error: every text contains the empty one", NULL},
	{"rule a { when subject ~ \"abc\" then reject }", 1, "1:25: error: `~` needs a regex, such as /text/", "for a plain text: subject contains \"abc\""},
	{"rule a { when subject ~ /a(/ then reject }", 1, "1:25: error: in this regex: missing closing parenthesis, behind character 2", NULL},
	{"rule a { when subject contains /abc/ then reject }", 1, "1:32: error: `subject` needs a text in quotes, such as \"text\"", "write subject ~ /abc/"},
	{"rule a { when subject == /abc/ then reject }", 1, "1:26: error: `subject` needs a text in quotes, such as \"text\"", "write subject ~ /abc/"},
	{"rule a { when rcpt.to in @nolist then reject }", 1, "1:26: error: there is no list `nolist`", "declare it: list nolist : mail { ... }"},
	{"rule a { when client.ip in @nolist then reject }", 1, "1:28: error: there is no list `nolist`", "declare it: list nolist : cidr { ... }"},
	{"rule a { when rate(mail.from) > 100 then reject }", 1, "1:33: error: a rate is compared by > >= < or <= with a count in a time", "for example: rate(mail.from) > 100/1h"},
	{"rule a { when rate(mail.from) == 100/1h then reject }", 1, "1:31: error: a rate is compared by > >= < or <= with a count in a time", "for example: rate(mail.from) > 100/1h"},
	{"rule a { when rate(spf) > 100/1h then reject }", 1, "1:20: error: `rate` needs a fact that is an address, a domain, a mail address or a text", NULL},
	{"rule a { when rate > 100/1h then reject }", 1, "1:15: error: `rate` doesn't say of what it is", "write: rate(mail.from)"},
	{"rule a { when header == \"x\" then reject }", 1, "1:15: error: `header` doesn't say of what it is", "write: header(\"Name\")"},
	{"rule a { when any header(subject) == \"x\" then reject }", 1, "1:26: error: `header` needs a name in quotes", "write: header(\"Name\")"},
	{"rule a { when spf(\"x\") == fail then reject }", 1, "1:18: error: `spf` takes nothing in parentheses", NULL},
	{"rule a { when score > 1.0005 then reject }", 1, "1:23: error: a score has at most three decimals", NULL},
	{"rule a { when score contains \"x\" then reject }", 1, "1:21: error: `score` is a number: `contains` is not for it", "operators for it are == != < <= > >=\n"},
	{"rule a { when score in { 1, 2 } then reject }", 1, "1:21: error: `score` is not looked up in a set", "operators for it are == != < <= > >="},
	{"rule a { when client.rdns == none then reject }", 1, "1:30: error: `none` is no value of `client.rdns`", "write `client.rdns is none`, or \"none\" if it is a text"},
	{"rule a { when any attachment.name is none then reject }", 1, "1:15: error: `any` asks for values, `none` for no value", "write `attachment.name is none`: whether there are values at all"},
	{"rule a { when spf is fail then reject }", 1, "1:22: error: `is` is followed by none or not none", "write spf == fail"},
	{"rule a { when spf fail then reject }", 1, "1:19: error: an operator is missing between `spf` and `fail`", "operators are == != < <= > >= in under contains ~ and `is none`"},
	{"rule a { when spf == fail && tls then reject }", 1, "1:27: error: this character has no meaning here", "write `and`"},
	{"rule a { when spf == fail }", 1, "1:6: error: the rule `a` does nothing: `then` is missing", "write: rule spam { when score >= 15 then reject }"},
	{"rule a { when client.ip in { 10.0.0.0/8, \"x\" } then reject }", 1, "1:42: error: `client.ip` needs addresses, networks or ranges, such as 192.0.2.0/24", "addresses stand without quotes"},
	{"rule a { when spf in fail then reject }", 1, "1:22: error: `in` needs a set or a list", "write spf == fail, or in { fail }"},
	{"rule a { when spf == { fail, pass } then reject }", 1, "1:22: error: `==` compares with one value, not with a set", "write spf in { ... }"},
	{"rule a { when ((spf == fail) then reject }", 1, "1:15: error: this ( is never closed: a ) is missing before `then`", NULL},
	{"rule a { when then accept }", 1, "1:15: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
	{"rule a { when tls and then accept }", 1, "1:23: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
	{"rule a { when not then accept }", 1, "1:19: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
	{"rule a { when tls == then accept }", 1, "1:22: error: `==` needs a value", NULL},
	{"rule a { when spf == then accept }", 1, "1:22: error: `==` needs a value", NULL},
	{"rule a { when 5 == 5 then accept }", 1, "1:15: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
	{"rule a { when spf in { } then accept }", 1, "1:22: error: this set is empty: nothing is in it", NULL},
	{"rule a { when spf.explanation == \"x\" then accept }", 1, "1:15: error: `spf.explanation` stands only in texts", "write {spf.explanation} in a text"},
	{"rule a { when list.item == \"x\" then accept }", 1, "1:15: error: `list.item` stands only in texts", "write {list.item} in a text"},
	{"rule a { when rate(mail.from) is none then accept }", 1, "1:15: error: a rate is compared by > >= < or <= with a count in a time", "for example: rate(mail.from) > 100/1h"},
	{"rule a { when rate(mail.from) then accept }", 1, "1:15: error: a rate is compared by > >= < or <= with a count in a time", "for example: rate(mail.from) > 100/1h"},
	{"rule a { when rate(mail.fro) > 1/1h then accept }", 1, "1:20: error: `mail.fro` is no fact", "did you mean `mail.from`?"},
	{"rule a { when rate(score) > 1/1h then accept }", 1, "1:20: error: `rate` needs a fact that is an address, a domain, a mail address or a text", NULL},
	{"rule a { when rate(rate(mail.from)) > 1/1h then accept }", 1, "1:20: error: `rate` needs a fact that is an address, a domain, a mail address or a text", NULL},
	{"rule a { when rate(mail.from, sheep) > 1/1h then accept }", 1, "1:31: error: `rate` counts transactions, or recipients", "write: rate(mail.from, recipients)"},
	{"rule a { when rate(mail.from, recipients > 1/1h then accept }", 1, "1:42: error: a ) is missing", NULL},
	{"rule a { when rate(mail.from > 1/1h then accept }", 1, "1:30: error: a ) is missing", "write: rate(mail.from)"},
	{"rule a { when any dnsbl(\"z.example\" client.ip) == 127.0.0.2 then accept }", 1, "1:37: error: a , and a fact are missing", "write: dnsbl(\"zone.example\", client.ip)"},
	{"rule a { when any dnsbl(\"z.example\", client.port) == 127.0.0.2 then accept }", 1, "1:38: error: `dnsbl` needs a fact that is an address, a domain, a mail address or a text", NULL},
	{"rule a { when any header(\"\") == \"x\" then accept }", 1, "1:26: error: this name is empty", "write: header(\"Name\")"},
	{"rule a { when any header(\"x y\") == \"x\" then accept }", 1, "1:26: error: the name that `header` takes has at most 255 bytes and no blanks", NULL},
	{"rule a { when nofact(\"x\", y) == 5 then accept }", 1, "1:15: error: `nofact` is no fact", "`postern config doc facts` lists all"},
	{"rule a { when tls > 5 then accept }", 1, "1:19: error: `tls` is either yes or no: `>` is not for it", "it stands alone, or with == yes, == no"},
	{"rule a { when tls in { yes } then accept }", 1, "1:19: error: `tls` is either yes or no: `in` is not for it", "it stands alone, or with == yes, == no"},
	{"rule a { when spf < fail then accept }", 1, "1:19: error: `spf` is one word of a few: `<` is not for it", "operators for it are == != in"},
	{"rule a { when tls.version < 1.4 then accept }", 1, "1:29: error: `tls.version` needs one of none, 1.2, 1.3", "did you mean `1.2`?"},
	{"rule a { when time.hour == \"5\" then accept }", 1, "1:28: error: `time.hour` needs a number, such as 5", "write it without quotes"},
	{"rule a { when time.hour in { 1, two } then accept }", 1, "1:33: error: `time.hour` needs a number, such as 5", NULL},
	{"rule a { when score is none then accept }", 1, "1:21: error: there is always a score", "write score == 0"},
	{"rule a { when score then accept }", 1, "1:15: error: `score` is a number, and not compared with anything", "for example: score > 5"},
	{"rule a { when any score > 5 then accept }", 1, "1:15: error: `score` has one value: `any` is for facts with many", "write `score > 5`"},
	{"rule a { when tags == \"x\" then accept }", 1, "1:15: error: `tags` has many values: which of them is meant?", "write `any tags == \"x\"`, or all or no in place of any"},
	{"rule a { when subject == 5 then accept }", 1, "1:26: error: `subject` needs a text in quotes, such as \"text\"", "write it in quotes: \"5\""},
	{"rule a { when helo == \"*.example.com\" then accept }", 1, "1:23: error: `helo` needs a domain, such as \"example.com\"", "with its subdomains: helo under \"example.com\""},
	{"rule a { when helo == \"a b\" then accept }", 1, "1:23: error: `helo` needs a domain, such as \"example.com\"", NULL},
	{"rule a { when client.ip in \"10.0.0.0/8\" then accept }", 1, "1:28: error: `client.ip` needs addresses, networks or ranges, such as 192.0.2.0/24", "addresses stand without quotes"},
	{"rule a { when client.ip in 10.0.0.9-10.0.0.1 then accept }", 1, "1:28: error: a range of addresses goes from a lower one to a higher one", NULL},
	{"rule a { when message.size > 25mb then accept }", 1, "1:30: error: no number, duration, size, rate or address reads like this", "units of size are written B, KB, MB, GB and TB"},
	{"rule a { when (spf == fail then accept }", 1, "1:15: error: this ( is never closed: a ) is missing before `then`", NULL},
	{"rule a { when spf == fail) then accept }", 1, "1:26: error: when, unless, on error or then is expected here, not `)`", NULL},
	{"rule a { when \"x\" == spf then accept }", 1, "1:15: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
	{"rule a { when not spf then accept }", 1, "1:19: error: `spf` is one word of a few, and not compared with anything", "for example: spf == none"},
	{"rule a { when tls or spf == fail or mail.null and helo == \"x\" then accept }", 1, "1:47: error: `and` and `or` are mixed without parentheses", "write (tls or spf == fail or mail.null) and helo == \"x\", or tls or spf == fail or (mail.null and helo == \"x\")"},
	{"rule a { when subject ~ { /a/, \"b\" } then accept }", 1, "1:32: error: `~` needs a regex, such as /text/", "for a plain text: subject contains \"b\""},
	{"rule a { when subject ~ /a then accept }", 1, "1:25: error: this regex has no closing / on its line", NULL},
	{"rule a { when rule == \"x\" then accept }", 1, "1:15: error: `rule` stands only in texts", "write {rule} in a text"},
	{"rule a { when tls and (mail.null or spf == pass) or helo == \"x\" then accept }", 1, "1:50: error: `and` and `or` are mixed without parentheses", "write (tls and (mail.null or spf == pass)) or helo == \"x\", or tls and ((mail.null or spf == pass) or helo == \"x\")"},
	{"rule a { when spf == fail unless then accept }", 1, "1:34: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
	{"rule a { when spf == fail or unless tls then accept }", 1, "1:30: error: a fact is expected here, such as client.ip or spf", "`postern config doc facts` lists all"},
};

/* clang-format on */

static void expect_all(const struct mistake *mistakes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect_mistakes(
			mistakes[i].text, mistakes[i].n, mistakes[i].first, mistakes[i].help);
}

static void test_lists(void **state)
{
	(void)state;
	expect_all(lists, COUNT_OF(lists));
}

static void test_texts(void **state)
{
	(void)state;
	expect_all(texts, COUNT_OF(texts));
}

static void test_actions(void **state)
{
	(void)state;
	expect_all(actions, COUNT_OF(actions));
}

static void test_given(void **state)
{
	(void)state;
	expect_all(given, COUNT_OF(given));
}

static void test_files(void **state)
{
	(void)state;
	expect_all(files, COUNT_OF(files));
}

static void test_forms(void **state)
{
	(void)state;
	expect_all(forms, COUNT_OF(forms));
}

static void test_comparisons(void **state)
{
	(void)state;
	expect_all(comparisons, COUNT_OF(comparisons));
}

/* The source line, the caret and the help, to the letter. */
static void test_layout(void **state)
{
	(void)state;
	expect_rules_report("rule a {\n    when spf == hardfail\n    then reject\n}\n",
		"t.rules:2:17: error: `spf` needs one of none, neutral, pass, fail, softfail, "
		"temperror, permerror\n"
		"        when spf == hardfail\n"
		"                    ^~~~~~~~\n"
		"    help: did you mean `fail`?\n");
	expect_rules_report("rule a { then reject \"\\\"\xc3\xa4 {mail.form}\" }",
		"t.rules:1:27: error: `mail.form` is no fact\n"
		"    rule a { then reject \"\\\"\xc3\xa4 {mail.form}\" }\n"
		"                              ^~~~~~~~~~~\n"
		"    help: did you mean `mail.from`?\n");
	expect_rules_report("\xef\xbb\xbfrule a { when spff == fail then reject }",
		"t.rules:1:15: error: `spff` is no fact\n"
		"    rule a { when spff == fail then reject }\n"
		"                  ^~~~\n"
		"    help: did you mean `spf`?\n");
	expect_rules_report("\xef\xbb\xbfrul a { then reject }",
		"t.rules:1:1: error: rule, list, for, test or include is expected here, not `rul`\n"
		"    rul a { then reject }\n"
		"    ^~~\n"
		"    help: did you mean `rule`?\n");
}

/* Domains are known in ASCII, so this finds none. */
static void test_domains_contain_only_ascii(void **state)
{
	(void)state;
	expect_rules_report("rule a { when mail.domain contains \"bü\" then reject }",
		"t.rules:1:36: warning: domains are known in ASCII (xn--...): none contains this\n"
		"    rule a { when mail.domain contains \"bü\" then reject }\n"
		"                                       ^~~~\n");
	expect_rules_report("rule a { when mail.from contains \"bü\" then reject }", "");
}

/* A broken rule costs one message, and what stands behind it is read. */
static void test_recovery(void **state)
{
	(void)state;
	expect_mistakes("rule a { when spf fail then { } }\nrule b { then rejct }\n", 2,
		"1:19: error: an operator is missing", "did you mean `reject`?");
	expect_mistakes("rule a {\n when spf == fail\n then reject\nrule b { then rejct }\n", 2,
		"1:6: error: the rule `a` is never closed", "did you mean `reject`?");
	expect_mistakes("rule a {\n when spf ==\nrule b {\n then accept\n}\n", 1,
		"2:11: error: `==` needs a value", NULL);
	expect_mistakes("list x : text { \"a\"\nrule b { when subject in @x then accept }\n", 1,
		"1:15: error: this { is never closed", NULL);
	expect_mistakes("for spf fail {\n rule a { then rejct }\n}\nrule b { then rejct }", 3,
		"1:9: error: an operator is missing", NULL);
	expect_mistakes("for tls {\n bogus { rule x }\n rule a { then rejct }\n}\nbogus", 3,
		"2:2: error: `for` holds rules", NULL);
	expect_mistakes("for tls {\n rule a { then accept }\nlist x : text { }\n", 1,
		"1:1: error: this `for` is never closed, or holds more",
		"a `list` begins in line 3");
	expect_mistakes("for tls {\n x { } y rule a { then rejct }\n z }\nrule b { then rejct }", 4,
		"2:2: error: `for` holds rules and other `for`, not `x`", NULL);
	expect_mistakes("} }\nrule a { then rejct }", 2, "1:1: error: this } closes nothing", NULL);
	/* Several in one rule, of which none hides another. */
	expect_mistakes(
		"rule a {\n when spf == hardfail and nofact == 5\n unless client.ip in @no\n"
		" then reject 250 \"{no}\", tag \"\", score 5000\n}",
		7, "2:14: error: `spf` needs one of", "did you mean `fail`?");
	/* A list that has a mistake is known all the same. */
	expect_mistakes("list x : txt { \"a\" }\nrule a { when subject in @x then accept }", 1,
		"1:10: error: `txt` is no type of a list", NULL);
	expect_mistakes("rule a { then rejct }\ntest \"t\" { expect reject by a }", 1,
		"1:15: error: `rejct` is no action", NULL);
}

static void test_score_ranges(void **state)
{
	(void)state;
	expect_mistakes("rule a { when score > 1000001 then accept }", 1,
		"1:23: error: `1000001` is out of range: `score` takes -1000000 to 1000000", NULL);
	expect_mistakes("rule a { then score -1000.001 }", 1,
		"1:21: error: `-1000.001` is out of range: `score` takes -1000 to 1000", NULL);
	expect_mistakes("rule a { when score > 1.0000 then accept }", 1,
		"1:23: error: a score has at most three decimals", NULL);
}

static void test_twice(void **state)
{
	(void)state;
	expect_mistakes("rule a { then accept }\n\n  rule a { then accept }", 1,
		"3:8: error: there are two rules `a`", "first in t.rules:1:6");
	expect_mistakes("list a : text { }\nlist a : text { }", 1,
		"2:6: error: the list `a` is declared twice", "first in t.rules:1:6");
	expect_mistakes("test \"t\" { given tls = yes, tls = no expect accept }", 1,
		"1:29: error: `tls` is given twice", NULL);
}

/* A rule that reads the score, be it through tags of another, may not change it. */
static void test_score_circles(void **state)
{
	(void)state;
	expect_mistakes("rule a { when score > 5 then tag \"x\" }\n"
			"rule b { when any tags == \"y\" then tag \"z\" }\n"
			"rule c { when any tags == \"z\" then score 1 }\n",
		1, "3:36: error: a rule that reads the score, be it through tags",
		"tags above come from a rule that reads the score");
	/* What its texts show changes no tag. */
	rules_free(&(struct rules *){
		rules_of("rule a { then tag \"z\", header add \"X\" \"{score} {tags}\" }\n"
			 "rule c { when any tags == \"z\" then score 1 }\n")});
	expect_mistakes("for score > 5 { rule a { then score 1 } }", 1,
		"1:31: error: a rule that reads the score can't change it", NULL);
	rules_free(&(struct rules *){rules_of("rule a { when any tags == \"z\" then score 1 }\n"
					      "rule m monitor { when score > 5 then tag \"z\" }\n"
					      "rule b { when any tags == \"z\" then score 1 }\n"
					      "rule c { when score > 5 then tag \"z\" }\n")});
}

/* --- bounds --- */

static void fill(struct buffer *b, const char *before, const char *part, int n, const char *after)
{
	assert_true(buffer_add_text(b, before));
	for (int i = 0; i < n; i++)
		assert_true(buffer_add_text(b, part));
	assert_true(buffer_add_text(b, after));
}

static void test_bounds(void **state)
{
	struct buffer b = BUFFER_INIT(1 << 22);

	(void)state;
	fill(&b, "rule a { when ", "(", 65, "tls then accept }");
	expect_mistakes(buffer_string(&b), 1,
		"1:80: error: this condition is nested more than 64 deep", NULL);
	buffer_clear(&b);
	fill(&b, "rule a { when ", "not ", 100000, "tls then accept }");
	expect_mistakes(buffer_string(&b), 1,
		"1:275: error: this condition is nested more than 64 deep", NULL);
	buffer_clear(&b);
	fill(&b, "", "for tls { ", 65, "");
	expect_mistakes(buffer_string(&b), 65, "1:641: error: `for` is nested more", NULL);
	buffer_clear(&b);
	fill(&b, "", "rule a { then rejct } ", 200, "");
	expect_mistakes(buffer_string(&b), 101, "1:15: error: `rejct` is no action",
		"t.rules: error: too many mistakes; what follows is not looked at");
	buffer_clear(&b);
	fill(&b, "rule a { then reject \"", "x", 401, "\" }");
	expect_mistakes(buffer_string(&b), 1,
		"1:22: error: the text of `reject` has at most 400 bytes", NULL);
	buffer_clear(&b);
	fill(&b, "rule ", "x", 65, " { then accept }");
	expect_mistakes(
		buffer_string(&b), 1, "1:6: error: the name of a rule has at most 64 bytes", NULL);
	buffer_free(&b);
}

/* --- several files --- */

static void expect_of_files(const char *text, const struct text_file *others, const char *expected)
{
	struct buffer report = BUFFER_INIT(1 << 16);
	struct rules *rules = rules_of_files(text, others, &report, NULL);

	assert_string_equal(buffer_string(&report), expected);
	rules_free(&rules);
	buffer_free(&report);
}

static void test_other_files(void **state)
{
	static const struct text_file others[] = {
		{"sub/a.rules", "include \"b.rules\"\nrule a { then rejct }\n"},
		{"sub/b.rules", "include \"/abs.rules\"\n} rule b { when spf == x then accept }"},
		{"/abs.rules", "rule a { then accept }"},
		{"loop.rules", "include \"./loop.rules\"\n"},
		{NULL, NULL},
	};

	(void)state;
	expect_of_files("include \"loop.rules\"", others,
		"loop.rules:1:9: error: loop.rules: this file includes itself, by way of what it "
		"includes\n"
		"    include \"./loop.rules\"\n"
		"            ^~~~~~~~~~~~~~\n");
	expect_of_files("include \"sub/a.rules\"", others,
		"sub/b.rules:2:1: error: this } closes nothing\n"
		"    } rule b { when spf == x then accept }\n"
		"    ^\n"
		"sub/b.rules:2:24: error: `spf` needs one of none, neutral, pass, fail, softfail, "
		"temperror, permerror\n"
		"    } rule b { when spf == x then accept }\n"
		"                           ^\n"
		"sub/a.rules:2:6: error: there are two rules `a`\n"
		"    rule a { then rejct }\n"
		"         ^\n"
		"    help: first in /abs.rules:1:6\n"
		"sub/a.rules:2:15: error: `rejct` is no action\n"
		"    rule a { then rejct }\n"
		"                  ^~~~~\n"
		"    help: did you mean `reject`?\n");
	expect_of_files("include \"/abs.rules\"\ninclude \"/abs.rules\"\nrule a { then accept }",
		others,
		"t.rules:2:9: error: /abs.rules: this file is included twice\n"
		"    include \"/abs.rules\"\n"
		"            ^~~~~~~~~~~~\n"
		"    help: first in t.rules:1:9\n"
		"t.rules:3:6: error: there are two rules `a`\n"
		"    rule a { then accept }\n"
		"         ^\n"
		"    help: first in /abs.rules:1:6\n");
}

static void test_deep_includes(void **state)
{
	static const struct text_file others[] = {
		{"1", "include \"2\""},
		{"2", "include \"3\""},
		{"3", "include \"4\""},
		{"4", "include \"5\""},
		{"5", "include \"6\""},
		{"6", "include \"7\""},
		{"7", "include \"8\""},
		{"8", "include \"9\""},
		{"9", "include \"10\""},
		{"10", "include \"11\""},
		{"11", "rule a { then accept }"},
		{NULL, NULL},
	};

	(void)state;
	expect_of_files("include \"2\"", others, "");
	/* What is named only by what is skipped counts for nothing. */
	expect_of_files(
		"rule z { include \"1\" }\ninclude \"10\"\ntest \"t\" { expect accept by a }",
		others,
		"t.rules:1:10: error: when, unless, on error or then is expected here, not "
		"`include`\n"
		"    rule z { include \"1\" }\n"
		"             ^~~~~~~\n");
	expect_of_files("include \"1\"", others,
		"10:1:9: error: 11: includes go more than 10 deep\n"
		"    include \"11\"\n"
		"            ^~~~\n");
}

/* Mistakes of a list's file are told with its own name and line, and are counted. */
static void test_list_files(void **state)
{
	static const struct text_file others[] = {
		{"lists/items", "10.0.0.0/8\nnonsense\n"}, {NULL, NULL}};
	struct buffer report = BUFFER_INIT(1 << 16);
	struct rules *rules =
		rules_of_files("list x : cidr from file \"lists/items\"\nrule a { then rejct }",
			others, &report, NULL);
	const char *got = buffer_string(&report);

	(void)state;
	assert_null(rules);
	assert_int_equal(strncmp(got, "lists/items:2:1: error: ", 24), 0);
	assert_non_null(strstr(got, "t.rules:2:15: error: `rejct` is no action"));
	buffer_free(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_comparisons),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_domains_contain_only_ascii),
		cmocka_unit_test(test_recovery),
		cmocka_unit_test(test_score_ranges),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_score_circles),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_deep_includes),
		cmocka_unit_test(test_list_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
