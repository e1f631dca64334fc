/*
 * Results from any bytes: each lies within the field, comments before it change nothing, and what
 * stands behind a ';' is not changed by what stands before it, unless that holds quotes or
 * comments.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/authres_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct span part, struct span whole)
{
	ENSURE(part.len == 0 ||
		(part.at >= whole.at && part.at + part.len <= whole.at + whole.len));
}

static void check_value(struct span value, struct span whole)
{
	struct buffer text = BUFFER_INIT(value.len + 1);

	check_inside(value, whole);
	ENSURE(authres_unquote(value, &text));
	ENSURE(text.len <= value.len);
	buffer_free(&text);
}

static void check_info(const struct authres_info *info, struct span whole)
{
	ENSURE(info->method.len && info->result.len && info->n <= AUTHRES_PROPERTIES_MAX);
	check_inside(info->method, whole);
	check_inside(info->version, whole);
	check_inside(info->result, whole);
	check_value(info->reason, whole);
	for (size_t i = 0; i < info->n; i++) {
		const struct authres_property *property = &info->properties[i];

		check_inside(property->type, whole);
		check_inside(property->name, whole);
		check_value(property->value, whole);
		ENSURE(authres_info_find(info, property->type, property->name).at);
	}
}

static size_t count(struct span body)
{
	struct authres_info info;
	struct span rest = body;
	size_t n = 0;

	for (; authres_next(&rest, &info); n++)
		check_info(&info, body);
	ENSURE(rest.len == 0);
	return n;
}

/* The result of a method with something put before the body. */
static void check_behind(const char *before, struct span body, struct span method, struct span want)
{
	struct buffer text = BUFFER_INIT(1 << 20);
	struct span got;

	ENSURE(buffer_add_text(&text, before) && buffer_add(&text, body));
	got = authres_result(buffer_span(&text), method);
	ENSURE(span_equal(got, want));
	buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = {"spf", "dkim", "dmarc", "arc"};
	struct span body = span_make(data, size), rest = body, id, version;

	(void)count(body);
	authres_begin(&rest, &id, &version);
	check_value(id, body);
	check_value(version, body);
	check_inside(rest, body);
	for (size_t i = 0; i < COUNT_OF(methods) && size < 1 << 19; i++) {
		struct span method = span_text(methods[i]), result = authres_result(body, method);

		check_inside(result, body);
		check_behind("(a \\) (b) c)\r\n\t", body, method, result);
		check_behind("mx.example.net; ", rest, method, result);
	}
	return 0;
}
