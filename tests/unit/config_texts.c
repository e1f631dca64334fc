#include "tests/unit/config_texts.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define PEM(what) SPAN("-----BEGIN " what "-----\nAA==\n-----END " what "-----\n")

struct bundle *bundle_for(const char *text)
{
	struct bundle *bundle = bundle_of_text("t.conf", span_text(text));

	bundle_add(bundle, "mx.pem", PEM("CERTIFICATE"));
	bundle_add(bundle, "mx.key", PEM("PRIVATE KEY"));
	bundle_add(bundle, "old.key", PEM("ENCRYPTED PRIVATE KEY"));
	bundle_add(bundle, "mx.der", SPAN("\x30\x82\x01"));
	return bundle;
}

struct config *config_of(const char *text, struct buffer *report)
{
	struct bundle *bundle = bundle_for(text);
	struct buffer own = BUFFER_INIT(OUT_MAX);
	size_t mistakes, warnings;
	struct config *config = config_parse(bundle, report ? report : &own, &mistakes, &warnings);

	assert_int_equal(config == NULL, mistakes > 0);
	bundle_free(&bundle);
	buffer_free(&own);
	return config;
}

struct config *config_good(const char *text)
{
	struct buffer report = BUFFER_INIT(OUT_MAX);
	struct config *config = config_of(text, &report);

	if (!config || report.len)
		fail_msg("%s", buffer_string(&report));
	buffer_free(&report);
	return config;
}

void expect_report(const char *text, const char *expected)
{
	struct buffer report = BUFFER_INIT(OUT_MAX);
	struct config *config = config_of(text, &report);

	assert_string_equal(buffer_string(&report), expected);
	config_free(&config);
	buffer_free(&report);
}

char *read_text_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}
