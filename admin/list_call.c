#include "admin/list_call.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/control.h"
#include "admin/visible.h"
#include "lib/base/nearest.h"
#include "lib/store/wire.h"

enum { ANSWER_MAX = 64 * 1024 * 1024, ANSWER_MS = 60 * 1000 };

static const char *const kind_names[STORE_KIND_COUNT] = {
#define X(name, parts) [STORE_##name] = #name,
	STORE_KINDS(X)
#undef X
};

int list_call_open(struct list_call *call, const struct invocation *invocation)
{
	*call = (struct list_call){.invocation = invocation,
		.arena = arena_new(64 * 1024),
		.answer = BUFFER_INIT(ANSWER_MAX)};
	return cli_admin(invocation, call->arena, &call->admin);
}

void list_call_close(struct list_call *call)
{
	buffer_free(&call->answer);
	arena_free(&call->arena);
}

int list_ask(struct list_call *call, enum store_kind kind, const struct span *parts, size_t n_parts)
{
	struct buffer body = BUFFER_INIT(CONTROL_BODY_MAX);
	int status = CLI_UNREACHABLE;
	struct err err = {{0}};
	char request[64];

	buffer_clear(&call->answer);
	if (!store_parts_write(parts, n_parts, &body)) {
		fputs("postern list: the request is too long\n", stderr);
		buffer_free(&body);
		return CLI_USAGE;
	}
	snprintf(request, sizeof(request), "store %s %zu", kind_names[kind], body.len);
	if (control_call_with(call->admin.socket, request, buffer_span(&body), ANSWER_MS, &status,
		    &call->answer, &err) != CONTROL_ANSWERED) {
		fprintf(stderr, "postern: %s\n", err.text);
		status = CLI_UNREACHABLE;
	} else if (status != CLI_OK) {
		fprintf(stderr, "postern: %s", buffer_string(&call->answer));
	}
	buffer_free(&body);
	return status;
}

const struct json *list_ask_json(struct list_call *call, enum store_kind kind,
	const struct span *parts, size_t n_parts, struct arena *arena, int *status)
{
	const struct json *json, *refused;

	*status = list_ask(call, kind, parts, n_parts);
	if (*status != CLI_OK || call->answer.len == 0)
		return NULL;
	json = json_read(arena, buffer_span(&call->answer));
	refused = json_get(json, "refused");
	if (!json) {
		fputs("postern: the daemon's answer can't be read; is it another version?\n",
			stderr);
		*status = CLI_UNREACHABLE;
	} else if (refused) {
		fprintf(stderr, "postern list: %s\n",
			visible_line(arena, span_text(refused->text)));
		*status = CLI_NO;
	}
	return *status == CLI_OK ? json : NULL;
}

/* --- types --- */

static bool find_type(const struct json *lists, const char *name, enum list_type *type)
{
	for (const struct json *l = lists ? lists->first : NULL; l; l = l->next)
		if (strcmp(json_text(l, "list"), name) == 0)
			return list_type_parse(span_text(json_text(l, "type")), type);
	return false;
}

static int no_list(struct list_call *call, const struct json *json, const char *name)
{
	struct nearest nearest = nearest_to(span_text(name));
	const struct json *lists[] = {json_get(json, "declared"), json_get(json, "lists")};

	for (size_t i = 0; i < COUNT_OF(lists); i++)
		for (const struct json *l = lists[i] ? lists[i]->first : NULL; l; l = l->next)
			nearest_offer(&nearest, json_text(l, "list"));
	fprintf(stderr, "postern list: no rule reads a list `%s`, and there is none",
		visible_line(call->arena, span_text(name)));
	if (nearest.best)
		fprintf(stderr, "; did you mean `%s`?\n", nearest.best);
	else
		fputs("; --type cidr (ip, domain, mail, text, hash) begins one\n", stderr);
	return CLI_NO;
}

int list_type_of(struct list_call *call, const char *name, enum list_type *type)
{
	const char *given = cli_option(call->invocation, "--type");
	const struct json *json;
	int status;

	if (!list_name_is_good(span_text(name)))
		return cli_usage(call->invocation,
			"a list has a name of 1 to %d letters, digits, `.`, `_` and `-`",
			LIST_NAME_MAX);
	if (given && !list_type_parse(span_text(given), type))
		return cli_usage(call->invocation,
			"--type is cidr, ip, domain, mail, text or hash, not `%s`", given);
	json = list_ask_json(call, STORE_LIST_NAMES, NULL, 0, call->arena, &status);
	if (!json)
		return status;
	if (given || find_type(json_get(json, "declared"), name, type) ||
		find_type(json_get(json, "lists"), name, type))
		return CLI_OK;
	return no_list(call, json, name);
}

enum list_type list_type_guess(struct span item)
{
	struct cidr network;

	if (cidr_parse(item, &network, NULL))
		return LIST_CIDR;
	return span_find_char(item, '@') < item.len || span_equal(item, SPAN("<>")) ? LIST_MAIL
										    : LIST_DOMAIN;
}

/* --- words --- */

struct span list_by(const struct list_call *call)
{
	const char *given = cli_option(call->invocation, "--by");
	const struct passwd *account = given ? NULL : getpwuid(getuid());

	if (given)
		return span_first(span_text(given), LIST_BY_MAX);
	if (account)
		return arena_span(
			call->arena, span_first(span_text(account->pw_name), LIST_BY_MAX));
	return span_text(arena_print(call->arena, "uid %u", (unsigned)getuid()));
}

void list_print_protected(struct list_call *call, const struct json *answer)
{
	const struct json *told = json_get(answer, "told");

	for (const struct json *t = told ? told->first : NULL; t; t = t->next) {
		const char *item = json_text(t, "item"), *other = json_text(t, "protected");

		fprintf(stderr, "postern list: %s is not added: ",
			visible_line(call->arena, span_text(item)));
		if (strcmp(item, other) == 0)
			fputs("it is protected", stderr);
		else
			fprintf(stderr, "%s is protected",
				visible_line(call->arena, span_text(other)));
		fprintf(stderr, " (%s)\n",
			visible_line(call->arena, span_text(json_text(t, "why"))));
	}
}
