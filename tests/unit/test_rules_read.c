/* What rule files become: trees, slots, lists, actions, tests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "policy/evaluate.h"
#include "policy/text.h"
#include "tests/unit/rules_texts.h"

enum { TEXT_MAX = 1 << 20 };

/* --- a tree as text, so that a test says all of it in one line --- */

static void add(struct buffer *b, const char *text)
{
	assert_true(buffer_add_text(b, text));
}

static void add_texts(struct buffer *b, const struct test *t)
{
	for (size_t i = 0; i < t->n; i++) {
		add(b, i ? "," : "[");
		if (t->type == TYPE_CHOICE)
			add(b, t->slot->fact->choices[t->data[i].choice].word);
		else if (t->type == TYPE_NUMBER || t->type == TYPE_SIZE)
			assert_true(buffer_print(b, "%g", t->data[i].number));
		else
			assert_true(buffer_add(b, t->data[i].text));
	}
	add(b, "]");
}

static void add_datum(struct buffer *b, const struct test *t)
{
	struct fact_value value = {FACT_KNOWN, 1, &t->datum, NULL};
	char ip[IP_TEXT_SIZE];

	if (t->verdict == VERDICT_SCORE)
		assert_true(buffer_print(b, "%lld", (long long)t->score));
	else if (t->verdict || t->op == OP_CONTAINS)
		assert_true(buffer_print(b, "%.*s", SPAN_ARGS(t->datum.text)));
	else if (t->type == TYPE_IP)
		add(b, ip_format(&t->datum.ip, ip));
	else
		assert_true(fact_value_write(t->slot->fact, &value, b));
}

static void add_operand(struct buffer *b, const struct test *t)
{
	char ip[IP_TEXT_SIZE];

	switch (t->operand) {
	case OPERAND_NONE:
		break;
	case OPERAND_DATUM:
		add_datum(b, t);
		break;
	case OPERAND_CIDR:
		assert_true(
			buffer_print(b, "%s/%u", ip_format(&t->cidr.ip, ip), t->cidr.prefix_bits));
		break;
	case OPERAND_DATA:
		add_texts(b, t);
		break;
	case OPERAND_RANGES:
		assert_true(buffer_print(b, "%zu ranges", t->n));
		break;
	case OPERAND_LIST:
		assert_true(buffer_print(b, "%s(%s)", t->list->name ? t->list->name : "list",
			list_type_name(t->list->type)));
		break;
	case OPERAND_PATTERN:
		assert_true(buffer_print(b, "%zu patterns", t->n));
		break;
	case OPERAND_LISTED:
		add(b, "listed");
		break;
	}
}

static void add_test(struct buffer *b, const struct test *t)
{
	static const char *const quantifiers[] = {"", "any ", "all ", "no "};
	static const char *const ops[] = {"", " == ", " != ", " < ", " <= ", " > ", " >= ", " in ",
		" under ", " contains ", " ~ ", " is none", " is not none"};

	add(b, quantifiers[t->quantifier]);
	add(b, t->verdict == VERDICT_SCORE   ? "score"
		: t->verdict == VERDICT_TAGS ? "tags"
					     : t->slot->name);
	if (t->operand == OPERAND_LISTED)
		return;
	add(b, ops[t->op]);
	add_operand(b, t);
}

static void add_expr(struct buffer *b, const struct expr *e)
{
	static const char *const kinds[] = {"and", "or", "not"};

	if (e->kind == EXPR_TEST) {
		add_test(b, e->test);
		return;
	}
	if (e->kind == EXPR_TRUE) {
		add(b, "true");
		return;
	}
	add(b, kinds[e->kind]);
	add(b, "(");
	for (const struct expr *inner = e->first; inner; inner = inner->next) {
		add_expr(b, inner);
		if (inner->next)
			add(b, "; ");
	}
	add(b, ")");
}

static void expect_tree(const struct rule *rule, const char *expected)
{
	struct buffer b = BUFFER_INIT(TEXT_MAX);

	if (rule->when)
		add_expr(&b, rule->when);
	assert_string_equal(buffer_string(&b), expected);
	buffer_free(&b);
}

/* The condition of the one rule in a text. */
static void expect_when(const char *when, const char *expected)
{
	struct buffer text = BUFFER_INIT(TEXT_MAX);
	struct rules *rules;

	assert_true(buffer_print(&text,
		"list nets : cidr { 10.0.0.0/8 } list doms : domain { \"a.example\" }\n"
		"list words : text { \"x\" } list mails : mail { \"a@b.example\" }\n"
		"list digests : hash { \"00000000000000000000000000000000\" }\n"
		"list zen : ip from dnsbl \"zen.example\" { 127.0.0.2-127.0.0.11 }\n"
		"list dbl : domain from dnsbl \"dbl.example\" list held : cidr from store \"h\"\n"
		"rule a { %s then accept }",
		when));
	rules = rules_of(buffer_string(&text));
	expect_tree(rules->items[0], expected);
	rules_free(&rules);
	buffer_free(&text);
}

/* --- conditions --- */

static void test_comparisons(void **state)
{
	(void)state;
	expect_when("", "");
	expect_when("when tls", "tls");
	expect_when("when tls == no", "tls == no");
	expect_when("when tls != true", "tls != yes");
	expect_when("when client.port >= 1024", "client.port >= 1024");
	expect_when("when client.reputation < -0.5", "client.reputation < -0.5");
	expect_when("when message.size > 25MB", "message.size > 26214400");
	expect_when("when message.size <= 100", "message.size <= 100");
	expect_when("when client.ip == 192.0.2.1", "client.ip == 192.0.2.1");
	expect_when("when client.ip == ::ffff:192.0.2.1", "client.ip == 192.0.2.1");
	expect_when("when client.ip in 192.0.2.0/24", "client.ip in 192.0.2.0/24");
	expect_when("when client.ip in 192.0.2.1", "client.ip in 192.0.2.1/32");
	expect_when("when client.ip in 192.0.2.1-192.0.2.9", "client.ip in 1 ranges");
	expect_when("when client.ip in { 192.0.2.0/24, ::1 }", "client.ip in list(cidr)");
	expect_when("when client.ip in { ::1, 10.0.0.1-10.0.0.2, }", "client.ip in 2 ranges");
	expect_when("when spf == FAIL", "spf == fail");
	expect_when("when spf != \"fail\"", "spf != fail");
	expect_when("when spf in { fail, softfail }", "spf in [fail,softfail]");
	expect_when("when tls.version < 1.3", "tls.version < 1.3");
	expect_when("when tls.version == TLSv1.2", "tls.version == 1.2");
	expect_when("when time.weekday in { sat, sunday }", "time.weekday in [saturday,sunday]");
	expect_when("when time.hour in { 1, 2 }", "time.hour in [1,2]");
	expect_when("when helo == Example.COM.", "helo == example.com");
	expect_when("when helo under \"Example.COM\"", "helo under example.com");
	expect_when("when helo under { \"a.example\", b.example }", "helo under list(domain)");
	expect_when("when helo == \"[192.0.2.1]\"", "helo == [192.0.2.1]");
	expect_when("when mail.from == \"A@B.example\"", "mail.from == a@b.example");
	expect_when("when mail.from == \"\"", "mail.from == <>");
	expect_when("when mail.from in { \"a@b.example\" }", "mail.from in list(mail)");
	expect_when("when subject contains \"Buy\"", "subject contains buy");
	expect_when("when helo contains \"Dyn-\"", "helo contains dyn-");
	expect_when("when subject contains { \"A\", b }", "subject contains [a,b]");
	expect_when("when subject ~ /a\\/b/", "subject ~ 1 patterns");
	expect_when("when subject ~ { /a/, /b/ }", "subject ~ 2 patterns");
	expect_when("when milter.clamav == reject", "milter.clamav == reject");
	expect_when("when virus", "virus");
}

static void test_none(void **state)
{
	(void)state;
	expect_when("when client.rdns is none", "client.rdns is none");
	expect_when("when client.rdns is not none", "client.rdns is not none");
	expect_when("when spf is none", "spf == none");
	expect_when("when spf is not none", "spf != none");
	expect_when("when spf == none", "spf == none");
	expect_when("when greylist is none", "greylist is none");
	expect_when("when attachment.name is none", "attachment.name is none");
	expect_when("when tags is none", "tags is none");
	expect_when("when tls is none", "tls is none");
}

static void test_many(void **state)
{
	(void)state;
	expect_when("when any attachment.name == \"A.exe\"", "any attachment.name == a.exe");
	expect_when("when all attachment.size > 1KB", "all attachment.size > 1024");
	expect_when("when no attachment.encrypted", "no attachment.encrypted");
	expect_when("when any attachment.encrypted == yes", "any attachment.encrypted == yes");
	expect_when("when any header(\"X-A\") ~ /x/", "any header(\"X-A\") ~ 1 patterns");
	expect_when("when any tags == \"Spam\"", "any tags == spam");
	expect_when("when no tags in { \"a\", \"b\" }", "no tags in list(text)");
	expect_when("when any dnsbl(\"z.example\", client.ip) in 127.0.0.0/8",
		"any dnsbl(\"z.example\", client.ip) in 127.0.0.0/8");
}

static void test_lists_in_conditions(void **state)
{
	(void)state;
	expect_when("when client.ip in @nets", "client.ip in nets(cidr)");
	expect_when("when client.ip in @held", "client.ip in held(cidr)");
	expect_when("when helo in @doms", "helo in doms(domain)");
	expect_when("when helo under @doms", "helo under doms(domain)");
	expect_when("when helo in @words", "helo in words(text)");
	expect_when("when mail.from in @mails", "mail.from in mails(mail)");
	expect_when("when mail.from in @digests", "mail.from in digests(hash)");
	expect_when("when subject in @doms", "subject in doms(domain)");
	expect_when("when client.ip in @zen", "client.ip in @zen");
	expect_when("when any url.domain in @dbl", "any url.domain in @dbl");
}

/* The tests' own ASCII of the letter: see rules_texts.c. */
static void test_domains_are_put_into_ascii(void **state)
{
	(void)state;
	expect_when("when mail.domain == \"bücher.example\"", "mail.domain == xn--bucher.example");
	expect_when("when mail.domain under \"Bücher.example\"",
		"mail.domain under xn--bucher.example");
	expect_when("when mail.from == \"jürgen@bücher.example\"",
		"mail.from == jürgen@xn--bucher.example");
	expect_when("when mail.from == \"jürgen@example.org\"", "mail.from == jürgen@example.org");
	expect_when("when subject == \"bücher.example\"", "subject == bücher.example");
}

static void test_logic(void **state)
{
	(void)state;
	expect_when("when tls and mail.null and virus", "and(tls; mail.null; virus)");
	expect_when(
		"when tls and (mail.null and (virus and tls))", "and(tls; mail.null; virus; tls)");
	expect_when("when (tls or mail.null) or virus", "or(tls; mail.null; virus)");
	expect_when("when (tls or mail.null) and virus", "and(or(tls; mail.null); virus)");
	expect_when("when not tls and virus", "and(not(tls); virus)");
	expect_when("when not (tls and virus)", "not(and(tls; virus))");
	expect_when("when not not tls", "not(not(tls))");
	expect_when("when ((tls))", "tls");
	expect_when("when tls unless virus", "and(tls; not(virus))");
	expect_when("unless virus or tls", "not(or(virus; tls))");
	expect_when("when tls when virus and mail.null unless helo.fqdn",
		"and(tls; virus; mail.null; not(helo.fqdn))");
	expect_when("when tls or virus when mail.null", "and(or(tls; virus); mail.null)");
	expect_when("when score >= 4.125", "score >= 4125");
	expect_when("when score < 999999.999", "score < 999999999");
	expect_when("when score == -1", "score == -1000");
}

static void test_for(void **state)
{
	struct rules *rules =
		rules_of("for tls and virus {\n"
			 "	rule a { when mail.null then accept }\n"
			 "	for helo.fqdn or helo.esmtp { rule b { then accept } }\n"
			 "	rule c { then accept }\n"
			 "}\n"
			 "rule d { then accept }\n");

	(void)state;
	expect_tree(rules->items[0], "and(tls; virus; mail.null)");
	expect_tree(rules->items[1], "and(tls; virus; or(helo.fqdn; helo.esmtp))");
	expect_tree(rules->items[2], "and(tls; virus)");
	expect_tree(rules->items[3], "");
	assert_ptr_equal(rules->items[0]->when->first->test, rules->items[1]->when->first->test);
	assert_ptr_not_equal(rules->items[0]->when->first, rules->items[1]->when->first);
	rules_free(&rules);
}

/* --- slots --- */

static const struct slot *slot_named(const struct rules *rules, const char *name, uint64_t window)
{
	for (size_t i = 0; i < rules->n_slots; i++)
		if (strcmp(rules->slots[i]->name, name) == 0 &&
			rules->slots[i]->window_ms == window)
			return rules->slots[i];
	fail_msg("there is no slot %s", name);
	return NULL;
}

static void test_slots(void **state)
{
	struct rules *rules = rules_of(
		"list zen : ip from dnsbl \"zen.example\"\n"
		"list dbl : domain from dnsbl \"dbl.example\" { 127.0.0.2, 127.0.1.0/24 }\n"
		"rule a { when rate(mail.from) > 5/1h and rate(mail.from) > 5/1d then accept }\n"
		"rule b { when rate(mail.from) > 9/1h and any header(\"X-A\") == \"x\" then accept "
		"}\n"
		"rule c { when any header(\"x-a\") == \"y\" and client.ip in @zen then accept }\n"
		"rule d { when any url.domain in @dbl or client.ip in @zen then quarantine "
		"\"{subject}\" }\n"
		"rule e { when spf == fail and spf == fail then reject \"{subject} {spf}\" }\n");
	const struct slot *hour = slot_named(rules, "rate(mail.from)", 3600000);
	const struct slot *day = slot_named(rules, "rate(mail.from)", 86400000);
	const struct slot *zen = slot_named(rules, "client.ip in @zen", 0);
	const struct slot *dbl = slot_named(rules, "url.domain in @dbl", 0);
	unsigned total = 0;

	(void)state;
	/* mail.from, its two rates, header, client.ip, zen, url.domain, dbl, subject, spf */
	assert_int_equal(rules->n_slots, 10);
	assert_int_equal(hour->stage, STAGE_MAIL);
	assert_string_equal(hour->field->name, "mail.from");
	assert_ptr_equal(hour->field, day->field);
	assert_string_equal(zen->fact->name, "dnsbl");
	assert_string_equal(zen->list->from, "zen.example");
	assert_int_equal(zen->stage, STAGE_CONNECT);
	assert_int_equal(dbl->stage, STAGE_MESSAGE);
	assert_int_equal(dbl->list->n_codes, 2);
	assert_string_equal(slot_named(rules, "header(\"X-A\")", 0)->text, "X-A");
	assert_int_equal(rules->items[0]->n_slots, 2);
	assert_int_equal(rules->items[1]->n_slots, 2);
	assert_ptr_equal(rules->items[0]->slots[0], rules->items[1]->slots[0]);
	assert_ptr_equal(rules->items[1]->slots[1], rules->items[2]->slots[0]);
	assert_int_equal(rules->items[3]->n_text_slots, 1);
	assert_int_equal(rules->items[4]->n_slots, 1);
	assert_int_equal(rules->items[4]->n_text_slots, 2);
	for (size_t i = 0; i < rules->n_slots; i++) {
		assert_int_equal(rules->slots[i]->number, i);
		assert_true(rules->slots[i]->index < rules->n_at[rules->slots[i]->stage]);
	}
	for (size_t i = 0; i < STAGE_COUNT; i++)
		total += rules->n_at[i];
	assert_int_equal(total, rules->n_slots);
	rules_free(&rules);
}

static void test_families(void **state)
{
	struct rules *rules = rules_of("rule a { when milter.a == reject and milter.b == reject "
				       "and milter.a == accept then accept }");

	(void)state;
	assert_int_equal(rules->n_slots, 2);
	assert_string_equal(rules->slots[0]->text, "a");
	assert_string_equal(rules->slots[1]->name, "milter.b");
	rules_free(&rules);
}

/* Recipients are counted at RCPT, apart from transactions. */
static void test_rate_of_recipients(void **state)
{
	struct rules *rules = rules_of("rule a { when rate(client.ip, recipients) > 5/1h and "
				       "rate(client.ip) > 5/1h then accept }");
	const struct slot *each = slot_named(rules, "rate(client.ip, recipients)", 3600000);
	const struct slot *whole = slot_named(rules, "rate(client.ip)", 3600000);

	(void)state;
	assert_true(each != whole);
	assert_string_equal(each->text, "recipients");
	assert_int_equal(each->stage, STAGE_RCPT);
	assert_null(whole->text);
	assert_int_equal(whole->stage, STAGE_CONNECT);
	assert_ptr_equal(each->field, whole->field);
	rules_free(&rules);
}

/* A client that has waited is let through by its rule being false. */
static void test_greylist(void **state)
{
	struct rules *rules = rules_of("rule a { when virus then greylist 5m }\n"
				       "rule b { then tag \"x\", greylist 1h }\n"
				       "rule c { when greylist == passed then accept }\n");

	(void)state;
	expect_tree(rules->items[0], "and(virus; greylist in [new,waiting])");
	expect_tree(rules->items[1], "greylist in [new,waiting]");
	expect_tree(rules->items[2], "greylist == passed");
	assert_int_equal(rules->items[0]->slots[1]->window_ms, 300000);
	assert_int_equal(rules->items[1]->slots[0]->window_ms, 3600000);
	assert_int_equal(rules->items[2]->slots[0]->window_ms, 0);
	assert_int_equal(rules->items[0]->final->time_ms, 300000);
	assert_int_equal(rules->items[0]->final->code, 451);
	rules_free(&rules);
}

/* --- actions --- */

static void expect_action(const struct action *a, enum action_kind kind, const char *text)
{
	assert_non_null(a);
	assert_int_equal(a->kind, kind);
	if (!text)
		assert_null(a->text);
	else
		assert_true(span_equal(a->text->source, span_text(text)));
}

static void test_replies(void **state)
{
	struct rules *rules = rules_of("rule a { then reject }\n"
				       "rule b { then reject now 554 }\n"
				       "rule c { then defer 450 4.3.2 \"Later\" }\n"
				       "rule d { then reject \"No\" }\n");
	const struct action *a = rules->items[0]->final, *b = rules->items[1]->final;
	const struct action *c = rules->items[2]->final;

	(void)state;
	expect_action(a, ACTION_REJECT, "Message refused");
	assert_int_equal(a->code, 550);
	assert_string_equal(a->enhanced, "5.7.1");
	assert_false(a->now || a->code_given || a->enhanced_given);
	assert_true(b->now && b->code_given && !b->enhanced_given);
	assert_int_equal(b->code, 554);
	assert_string_equal(b->enhanced, "5.7.1");
	expect_action(c, ACTION_DEFER, "Later");
	assert_int_equal(c->code, 450);
	assert_string_equal(c->enhanced, "4.3.2");
	expect_action(rules->items[3]->final, ACTION_REJECT, "No");
	rules_free(&rules);
}

static void test_accumulating(void **state)
{
	struct rules *rules = rules_of(
		"list seen : ip from store \"seen\"\n"
		"rule a { then score -0.125 \"why\", score 4, tag \"t\", header add X-A \"v\",\n"
		"	header set \"X-B\" \"w\", header remove X-C, subject prefix \"[x] \",\n"
		"	delay 500ms, route other, add client.ip to @seen for 7d \"{helo}\", accept "
		"}\n");
	const struct rule *rule = rules->items[0];
	const struct action *a = rule->actions;

	(void)state;
	expect_action(a, ACTION_SCORE, "why");
	assert_int_equal(a->score, -125);
	expect_action(a = a->next, ACTION_SCORE, NULL);
	assert_int_equal(a->score, 4000);
	expect_action(a = a->next, ACTION_TAG, "t");
	expect_action(a = a->next, ACTION_HEADER_ADD, "v");
	assert_string_equal(a->name, "X-A");
	expect_action(a = a->next, ACTION_HEADER_SET, "w");
	expect_action(a = a->next, ACTION_HEADER_REMOVE, NULL);
	assert_string_equal(a->name, "X-C");
	expect_action(a = a->next, ACTION_SUBJECT_PREFIX, "[x] ");
	expect_action(a = a->next, ACTION_DELAY, NULL);
	assert_int_equal(a->time_ms, 500);
	expect_action(a = a->next, ACTION_ROUTE, NULL);
	assert_string_equal(a->name, "other");
	expect_action(a = a->next, ACTION_ADD, "{helo}");
	assert_int_equal(a->time_ms, 7 * 86400000ULL);
	assert_string_equal(a->list->from, "seen");
	assert_string_equal(a->field->name, "client.ip");
	assert_ptr_equal(a->next, rule->final);
	assert_int_equal(rule->n_text_slots, 2); /* client.ip, helo */
	assert_true(rule->scores);
	rules_free(&rules);
}

/* --- rules --- */

static void test_flags(void **state)
{
	struct rules *rules =
		rules_of("rule a monitor { on error defer then score 1 }\n"
			 "rule b off { then score 1 }\n"
			 "rule c { when score > 1 then tag \"hot\" }\n"
			 "rule d { when any tags == \"hot\" then reject \"{score} {tags}\" }\n"
			 "rule e { on error skip then accept }\n");

	(void)state;
	assert_int_equal(rules->items[0]->mode, RULE_MONITOR);
	assert_int_equal(rules->items[0]->on_error, ON_ERROR_DEFER);
	assert_int_equal(rules->items[1]->mode, RULE_OFF);
	assert_false(rules->items[0]->scores || rules->items[1]->scores);
	assert_true(rules->items[2]->reads_score && !rules->items[2]->reads_tags);
	assert_true(rules->items[3]->reads_score && rules->items[3]->reads_tags);
	assert_true(rules->items[3]->text_reads_score && rules->items[3]->text_reads_tags);
	assert_false(rules->items[4]->reads_score || rules->items[4]->reads_tags);
	assert_int_equal(rules->items[4]->on_error, ON_ERROR_SKIP);
	assert_int_equal(rules->items[4]->index, 4);
	assert_int_equal(rules->items[4]->place.line, 5);
	assert_int_equal(rules->items[4]->place.column, 6);
	assert_string_equal(rules->items[4]->place.file, "t.rules");
	rules_free(&rules);
}

static void test_lists(void **state)
{
	static const struct text_file others[] = {
		{"lists/a", "192.0.2.0/24 ; SBL1\n10.0.0.0/8\n"}, {NULL, NULL}};
	struct buffer report = BUFFER_INIT(TEXT_MAX);
	struct rules *rules =
		rules_of_files("rule a { when client.ip in @a or client.ip in @b then accept }\n"
			       "list a : cidr from file \"lists/a\"\n"
			       "list b : ip from dnsbl \"z.example\" { 127.0.0.2-127.0.0.11 }\n"
			       "list c : text { \"a\", b }\n"
			       "list d : mail from store \"d\"\n"
			       "list e : hash { \"0123456789abcdef0123456789abcdef\" }\n"
			       "list f : domain { }\n",
			others, &report, NULL);

	(void)state;
	assert_string_equal(buffer_string(&report), "");
	assert_int_equal(rules->n_lists, 6);
	assert_int_equal(list_count(rules->lists[0]->content), 2);
	assert_true(rules->lists[0]->used && rules->lists[1]->used && !rules->lists[2]->used);
	assert_null(rules->lists[1]->content);
	assert_int_equal(rules->lists[1]->codes[0].last.bytes[3], 11);
	assert_int_equal(list_count(rules->lists[2]->content), 2);
	assert_null(rules->lists[3]->content);
	assert_int_equal(rules->lists[3]->origin, LIST_STORE);
	assert_int_equal(list_count(rules->lists[5]->content), 0);
	rules_free(&rules);
	buffer_free(&report);
}

/* --- texts --- */

static void expect_text(const char *text, const char *expected)
{
	static const char *const fields[] = {
		"", "slot", "score", "tags", "list.reason", "list.item", "rule", "sid"};
	struct buffer source = BUFFER_INIT(TEXT_MAX), got = BUFFER_INIT(TEXT_MAX);
	struct rules *rules;

	assert_true(buffer_print(&source, "rule a { then reject \"%s\" }", text));
	rules = rules_of(buffer_string(&source));
	for (const struct text_part *part = rules->items[0]->final->text->first; part;
		part = part->next)
		assert_true(part->field == TEXT_LITERAL
				    ? buffer_print(&got, "'%.*s'", SPAN_ARGS(part->literal))
				    : buffer_print(&got, "<%s>",
					      part->slot ? part->slot->name : fields[part->field]));
	assert_string_equal(buffer_string(&got), expected);
	rules_free(&rules);
	buffer_free(&source);
	buffer_free(&got);
}

static void test_texts(void **state)
{
	(void)state;
	expect_text("", "");
	expect_text("plain", "'plain'");
	expect_text("a {mail.from} b", "'a '<mail.from>' b'");
	expect_text("{score}{tags}{list.reason}{list.item}{rule}{sid}",
		"<score><tags><list.reason><list.item><rule><sid>");
	expect_text("{{x}} {{{rule}", "'{''x}} {'<rule>");
	expect_text("\\\"{{\\\\\\\"", "'\"{''\\\"'");
	expect_text(
		"{header(\\\"X-A\\\")} { header(X-B) }", "<header(\"X-A\")>' '<header(\"X-B\")>");
	expect_text("{milter.clamav} {spf.explanation}", "<milter.clamav>' '<spf.explanation>");
	expect_text("\xc3\xa4{attachment.name}", "'\xc3\xa4'<attachment.name>");
}

/* --- tests --- */

static void test_tests(void **state)
{
	struct rules *rules = rules_of(
		"test \"one\" {\n"
		"	with @nets = { 10.0.0.0/8 } with @zen = { 192.0.2.1 }\n"
		"	given spf = fail, client.rdns = none, dkim = none, mail.from = \"\",\n"
		"		attachment.name = { \"a\", \"B\" }, url = \"x\", tls = yes, helo = "
		"A.example\n"
		"	given rate(mail.from) = 101, rate(rcpt.to) = 5/1d, greylist = new,\n"
		"		header(\"X-A\") = \"v\", message.size = 1MB\n"
		"	expect reject 550 \"No\", tag \"x\" by a\n"
		"}\n"
		"test \"two\" { given spf = pass expect greylist }\n"
		"list nets : cidr { } list zen : ip from dnsbl \"z.example\"\n"
		"rule a { when rate(mail.from) > 1/1h or rate(mail.from) > 1/1d or\n"
		"	rate(rcpt.to) > 1/1h or rate(rcpt.to) > 1/1d then reject }\n"
		"rule b { then greylist 5m }\n");
	const struct rule_test *test = rules->tests;
	const struct rule_test_value *v = test->values;
	size_t n = 0, n_rates = 0;

	(void)state;
	assert_int_equal(rules->n_tests, 2);
	assert_int_equal(rules->n_slots, 7); /* what only a test names is not measured */
	assert_string_equal(test->name, "one");
	assert_string_equal(v->list->name, "nets");
	assert_int_equal(list_count(v->content), 1);
	v = v->next->next;
	assert_string_equal(v->fact->name, "spf");
	assert_null(v->slot); /* no rule reads it */
	assert_int_equal(v->value.items[0].choice, 3);
	v = v->next;
	assert_int_equal(v->value.count, 0); /* client.rdns = none */
	v = v->next;
	assert_int_equal(v->value.count, 1); /* dkim has such a choice */
	v = v->next;
	assert_int_equal(v->value.items[0].text.len, 0);
	v = v->next;
	assert_int_equal(v->value.count, 2);
	assert_true(span_equal(v->value.items[1].text, SPAN("B")));
	for (v = test->values; v; v = v->next, n++)
		n_rates += v->slot && v->slot->window_ms && v->slot->field;
	assert_int_equal(n_rates, 3); /* both of mail.from, the day of rcpt.to */
	assert_int_equal(n, 2 + 13 + 1);
	expect_action(test->expect, ACTION_REJECT, "No");
	assert_true(test->expect->code_given && !test->expect->enhanced_given);
	expect_action(test->expect->next, ACTION_TAG, "x");
	assert_string_equal(test->by, "a");
	test = test->next;
	expect_action(test->expect, ACTION_GREYLIST, NULL);
	assert_null(test->by);
	assert_null(test->next);
	rules_free(&rules);
}

/* --- the whole --- */

static const char design[] =
	"list forwarders : cidr   from file \"lists/forwarders.cidr\"\n"
	"list blocked    : cidr   from store \"blocked\"   # a comment\n"
	"list zen        : ip     from dnsbl \"zen.spamhaus.org\" { 127.0.0.2-127.0.0.11 }\n"
	"list exe        : text   { \"exe\", \"scr\", \"js\" }\n"
	"list traps      : mail   { \"trap@example.com\" }\n"
	"list known_clients : cidr { 198.51.100.0/24 }\n"
	"rule blocklist { when client.ip in @blocked then reject now 554 5.7.1 \"Blocked: "
	"{list.reason}\" }\n"
	"rule spf-dmarc {\n"
	"    when   spf == fail and mail.dmarc_policy == reject\n"
	"    unless client.ip in @forwarders\n"
	"    then   reject 550 5.7.23 \"SPF fails and {mail.domain} asks for rejection\"\n"
	"}\n"
	"rule trap  { when rcpt.to in @traps then add client.ip to @blocked for 7d \"hit "
	"{rcpt.to}\", reject 550 5.1.1 \"No such user\" }\n"
	"rule rbl   { when client.ip in @zen then score 4 \"zen\" }\n"
	"rule rate  { when rate(mail.from) > 100/1h then defer 451 4.7.1 \"Slow down\" }\n"
	"rule grey  { when client.fcrdns == fail unless client.ip in @known_clients then greylist "
	"5m }\n"
	"for rcpt.domain == \"school.example\" {\n"
	"    rule geo monitor { when client.country in { \"XX\" } then reject 550 5.7.1 \"Not "
	"accepted here\" }\n"
	"}\n"
	"rule exe   { when any attachment.extension in @exe then quarantine \"executable "
	"attached\" }\n"
	"rule spam  { when score >= 15 then reject 550 5.7.1 \"Looks like spam ({score})\" }\n"
	"rule tag   { when score >= 5 then header add \"X-Spam-Score\" \"{score}\", tag \"spam\" "
	"}\n"
	"test \"a forwarder may fail SPF\" {\n"
	"    with @forwarders = { 192.0.2.0/24 }\n"
	"    given client.ip = 192.0.2.7, spf = fail, mail.dmarc_policy = reject\n"
	"    expect accept\n"
	"}\n";

static void test_design(void **state)
{
	static const struct text_file others[] = {{"lists/forwarders.cidr", ""}, {NULL, NULL}};
	struct buffer report = BUFFER_INIT(TEXT_MAX);
	struct rules *rules = rules_of_files(design, others, &report, NULL);

	(void)state;
	assert_string_equal(buffer_string(&report), "");
	assert_int_equal(rules->n, 10);
	assert_int_equal(rules->n_lists, 6);
	assert_int_equal(rules->n_tests, 1);
	expect_tree(rules->items[1], "and(spf == fail; mail.dmarc_policy == reject; not(client.ip "
				     "in forwarders(cidr)))");
	expect_tree(rules->items[6],
		"and(rcpt.domain == school.example; client.country in list(text))");
	rules_free(&rules);
	buffer_free(&report);
}

/* Ten thousand rules with as many headers: neither slots nor names are searched one by one. The
 * bound is far above what it takes, and far below what a search would. */
static void test_many_rules(void **state)
{
	struct buffer text = BUFFER_INIT(1 << 24);
	struct rules *rules;
	clock_t begun = clock();

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_true(buffer_print(&text,
			"rule r%d { when any header(\"X-%d\") == \"x\" then score 1 }\n", i, i));
	assert_true(
		buffer_add_text(&text, "test \"t\" { given tls = yes expect accept by r9999 }"));
	rules = rules_of(buffer_string(&text));
	assert_int_equal(rules->n, 10000);
	assert_int_equal(rules->n_slots, 10000);
	assert_true(clock() - begun < 5 * CLOCKS_PER_SEC);
	rules_free(&rules);
	buffer_free(&text);
}

/* --- names of files --- */

static void add_name(void *context, const char *name, bool rules)
{
	assert_true(buffer_print(context, "%s%s;", rules ? "rules:" : "", name));
}

static void test_files(void **state)
{
	struct buffer got = BUFFER_INIT(TEXT_MAX);
	struct arena *arena = arena_new(256);

	(void)state;
	rules_files(SPAN("include \"a.rules\" # include \"no\"\n"
			 "list x : cidr from file \"b \\\"q\\\"\" list y : text from store \"no\"\n"
			 "rule a { then reject \"include\" \"no\" } broken { include \"c\""),
		add_name, &got);
	assert_string_equal(buffer_string(&got), "rules:a.rules;b \"q\";rules:c;");
	assert_string_equal(rules_join(arena, "/etc/x/a.rules", "lists/b"), "/etc/x/lists/b");
	assert_string_equal(rules_join(arena, "/etc/x/a.rules", "/b"), "/b");
	assert_string_equal(rules_join(arena, "a.rules", "b"), "b");
	assert_string_equal(rules_join(arena, "d/a.rules", ".//./b"), "d/b");
	arena_free(&arena);
	buffer_free(&got);
}

/* --- facts that have a slot without a rule --- */

static bool keep_some(const struct fact *fact)
{
	static const char *const names[] = {"helo", "mail.domain", "rate", "header", "milter."};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (strcmp(fact->name, names[i]) == 0)
			return true;
	return false;
}

static void test_kept(void **state)
{
	struct rules *rules = rules_of_keeping(
		"rule a { when mail.domain == \"a.example\" then reject }", keep_some);
	struct policy *policy = policy_new(rules);

	(void)state;
	assert_int_equal(rules->n_slots, 2); /* those with parameters have none to be kept with */
	assert_string_equal(rules->slots[0]->name, "mail.domain");
	assert_false(rules->slots[0]->unread);
	assert_string_equal(rules->slots[1]->name, "helo");
	assert_true(rules->slots[1]->unread);
	assert_int_equal(rules->n_at[STAGE_HELO], 1);
	assert_true(policy_reads(policy, SPAN("mail.domain")));
	assert_false(policy_reads(policy, SPAN("helo")));
	policy_free(&policy);
}

/* Without any rule they are there, nothing wants them, and the outcome is an accept. */
static void test_kept_without_rules(void **state)
{
	struct policy *policy = policy_new(rules_of_keeping("", keep_some));
	struct arena *arena = arena_new(1024);
	struct evaluation *e = evaluation_new(policy, arena);
	struct subject subject = {{NULL}};
	bool wanted[3] = {true, true, true};
	struct outcome outcome;

	(void)state;
	assert_int_equal(policy->n_slots, 2);
	evaluation_run(e, &subject);
	outcome = outcome_of(e);
	assert_true(outcome.certain && !outcome.rule && !outcome.final);
	assert_true(evaluation_ready(e, &subject));
	evaluation_wants(e, &subject, STAGE_MESSAGE, wanted);
	assert_false(wanted[0] || wanted[1]);
	assert_false(evaluation_waits(e, &subject, STAGE_RCPT, wanted));
	arena_free(&arena);
	policy_free(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comparisons),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_lists_in_conditions),
		cmocka_unit_test(test_domains_are_put_into_ascii),
		cmocka_unit_test(test_logic),
		cmocka_unit_test(test_for),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_rate_of_recipients),
		cmocka_unit_test(test_greylist),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_accumulating),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_tests),
		cmocka_unit_test(test_design),
		cmocka_unit_test(test_many_rules),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_kept_without_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
