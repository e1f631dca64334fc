#include "admin/store_content.h"

#include <stdio.h>

#include "admin/control.h"
#include "admin/json.h"
#include "lib/base/fail.h"
#include "lib/mail/url.h"
#include "lib/net/digest.h"
#include "lib/store/wire.h"
#include "policy/rules.h"

enum { PAGE_MAX = 64 * 1024 * 1024, ANSWER_MS = 10 * 1000 };

/* A page of a list; NULL: err says why not. An empty list has no page at all. */
static const struct json *ask_page(const char *socket, const char *list, const char *after,
	struct arena *arena, bool *there, struct err *err)
{
	struct span parts[] = {span_text(list), span_text(after), SPAN("5000")};
	struct buffer body = BUFFER_INIT(CONTROL_BODY_MAX), answer = BUFFER_INIT(PAGE_MAX);
	const struct json *json = NULL;
	char request[64];
	int status;

	ENSURE(store_parts_write(parts, COUNT_OF(parts), &body));
	snprintf(request, sizeof(request), "store LIST_SHOW %zu", body.len);
	*there = control_call_with(socket, request, buffer_span(&body), ANSWER_MS, &status, &answer,
			 err) == CONTROL_ANSWERED;
	if (*there && status != 0)
		*there = err_set(err, "postern could not read it");
	if (*there && answer.len)
		json = json_read(arena, buffer_span(&answer));
	buffer_free(&body);
	buffer_free(&answer);
	return json;
}

static bool add_page(struct list *list, const struct json *page, struct err *err)
{
	const struct json *items = json_get(page, "items");

	for (const struct json *item = items ? items->first : NULL; item; item = item->next) {
		/* What the store holds was one when it was put there. */
		if (list_add(list, span_text(json_text(item, "item")),
			    span_text(json_text(item, "reason")), err) == LIST_REFUSED)
			return false;
	}
	return true;
}

/* false: it can't be had whole. */
static bool fill(struct list *list, const char *socket, const char *name, struct err *err)
{
	const struct json *page, *next;
	struct arena *arena = arena_new(64 * 1024);
	const char *after = "";
	bool there = true;
	size_t n = 0;

	while (there && after) {
		page = ask_page(socket, name, after, arena, &there, err);
		there = there && add_page(list, page, err);
		next = json_get(page, "next");
		after = next ? next->text : NULL;
		n += 5000;
		if (there && after && n >= STORE_CONTENT_MAX)
			there = err_set(err, "it has more than %d items", STORE_CONTENT_MAX);
	}
	arena_free(&arena);
	return there;
}

static void free_list(void *context)
{
	struct list *list = context;

	list_free(&list);
}

static void fetch(struct rule_list *list, const char *socket, struct arena *arena)
{
	struct list *content =
		list_new(list->type, list->type == LIST_HASH ? digest_hex : NULL, host_ascii);
	struct err err = {{0}};

	if (!socket)
		err_set(&err, "no configuration says where postern is");
	if (!socket || !fill(content, socket, list->from, &err)) {
		fprintf(stderr,
			"postern explain: @%s is not at hand, rules that read it are skipped: %s\n",
			list->name, err.text);
		list_free(&content);
		return;
	}
	list_seal(content);
	arena_on_free(arena, free_list, content);
	list->content = content;
}

void store_content_fetch(struct rules *rules, const char *socket, struct arena *arena)
{
	for (size_t i = 0; i < rules->n_lists; i++)
		if (rules->lists[i]->origin == LIST_STORE && rules->lists[i]->used)
			fetch(rules->lists[i], socket, arena);
}
