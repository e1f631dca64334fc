/*
 * Anything as a rule file to be laid out. What is laid out has the same tokens and comments, and is
 * laid out the same again; rules that are read mean what they meant (they are as many, and of the
 * same names).
 */
#include "lib/base/fail.h"
#include "policy/format.h"
#include "policy/format_marks.h"
#include "policy/read.h"
#include "tests/unit/policy_facts.h"

enum { OUT_MAX = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same_marks(struct span a, struct span b)
{
	struct buffer nowhere = BUFFER_INIT(0);
	struct diagnostics d = {"a", a, &nowhere, 0, 0}, e = {"b", b, &nowhere, 0, 0};
	struct marks x, y;

	ENSURE(marks_read(&x, a, &d) && marks_read(&y, b, &e) && marks_same(&x, &y));
	marks_free(&x);
	marks_free(&y);
}

static bool read_text(void *context, const char *path, struct span *content, const char **problem)
{
	*problem = "no such file";
	*content = *(struct span *)context;
	return strcmp(path, "t.rules") == 0;
}

static struct rules *read_rules(struct span text)
{
	static const char *const paths[] = {"t.rules"};
	struct rule_setup setup = {.registry = &policy_facts};
	struct rule_source source = {read_text, &text};
	struct buffer nowhere = BUFFER_INIT(0);

	return rules_read(&setup, paths, 1, &source, &nowhere, NULL, NULL);
}

static void expect_same_rules(struct span a, struct span b)
{
	struct rules *x = read_rules(a), *y = read_rules(b);

	ENSURE((x == NULL) == (y == NULL));
	if (x) {
		ENSURE(x->n == y->n && x->n_slots == y->n_slots && x->n_tests == y->n_tests);
		for (size_t i = 0; i < x->n; i++)
			ENSURE(strcmp(x->items[i]->name, y->items[i]->name) == 0);
	}
	rules_free(&x);
	rules_free(&y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span source = span_make(data, size);
	struct buffer out = BUFFER_INIT(OUT_MAX), again = BUFFER_INIT(OUT_MAX);
	struct buffer report = BUFFER_INIT(OUT_MAX);

	if (rules_format("x", source, &out, &report)) {
		expect_same_marks(source, buffer_span(&out));
		expect_same_rules(source, buffer_span(&out));
		ENSURE(rules_format("x", buffer_span(&out), &again, &report));
		ENSURE(span_equal(buffer_span(&out), buffer_span(&again)));
	} else {
		ENSURE(report.len > 0 && out.len == 0);
	}
	buffer_free(&out);
	buffer_free(&again);
	buffer_free(&report);
	return 0;
}
