#include "filters/spf_memory.h"

#include <stdlib.h>

#include "lib/base/fail.h"

enum { WAYS = 4, SETS = SPF_MEMORY_DOMAINS / WAYS };

struct name {
	char *text; /* owned */
	size_t len;
	enum answer_type type;
	unsigned wanted; /* by so many evaluations */
};

struct domain {
	char *text; /* owned; NULL: free */
	size_t len;
	uint64_t learnt_ms, used;
	struct name names[SPF_MEMORY_NAMES];
	unsigned n_names;
};

/* A domain may stand in the few places of its set. */
struct spf_memory {
	struct domain domains[SETS][WAYS];
	uint64_t uses;
};

struct spf_memory *spf_memory_new(void)
{
	return memory_zeroed(sizeof(struct spf_memory));
}

static char *copy(struct span text)
{
	char *out = memory_new(text.len + 1);

	memcpy(out, text.at, text.len);
	out[text.len] = '\0';
	return out;
}

static void forget(struct domain *domain)
{
	for (unsigned i = 0; i < domain->n_names; i++)
		free(domain->names[i].text);
	free(domain->text);
	*domain = (struct domain){.text = NULL};
}

void spf_memory_free(struct spf_memory **memory)
{
	if (!*memory)
		return;
	for (unsigned i = 0; i < SPF_MEMORY_DOMAINS; i++)
		forget(&(*memory)->domains[i / WAYS][i % WAYS]);
	free(*memory);
	*memory = NULL;
}

static struct domain *set_of(struct spf_memory *memory, struct span domain)
{
	static const uint8_t key[16]; /* no secret: who fills a set costs others a round trip */

	return memory->domains[span_hash(domain, key) % SETS];
}

static struct domain *find(struct spf_memory *memory, struct span text, uint64_t now_ms)
{
	struct domain *set = set_of(memory, text);

	for (unsigned i = 0; i < WAYS; i++) {
		if (!set[i].text || !span_equal(span_make(set[i].text, set[i].len), text))
			continue;
		if (now_ms - set[i].learnt_ms > SPF_MEMORY_MS) {
			forget(&set[i]);
			return NULL;
		}
		set[i].used = ++memory->uses;
		return &set[i];
	}
	return NULL;
}

/* In the place of the one that was used longest ago. */
static struct domain *learn(struct spf_memory *memory, struct span text, uint64_t now_ms)
{
	struct domain *set = set_of(memory, text), *oldest = set;

	for (unsigned i = 1; i < WAYS; i++)
		if (set[i].used < oldest->used)
			oldest = &set[i];
	forget(oldest);
	oldest->text = copy(text);
	oldest->len = text.len;
	oldest->learnt_ms = now_ms;
	oldest->used = ++memory->uses;
	return oldest;
}

void spf_memory_note(struct spf_memory *memory, struct span domain, uint64_t now_ms,
	struct span name, enum answer_type type)
{
	struct domain *known = find(memory, domain, now_ms);

	if (!known)
		known = learn(memory, domain, now_ms);
	for (unsigned i = 0; i < known->n_names; i++) {
		struct name *other = &known->names[i];

		if (other->type != type || !span_equal(span_make(other->text, other->len), name))
			continue;
		other->wanted++;
		return;
	}
	if (known->n_names < SPF_MEMORY_NAMES)
		known->names[known->n_names++] = (struct name){
			.text = copy(name), .len = name.len, .type = type, .wanted = 1};
}

void spf_memory_each(struct spf_memory *memory, struct span domain, uint64_t now_ms,
	void (*found)(void *context, struct span name, enum answer_type type), void *context)
{
	struct domain *known = find(memory, domain, now_ms);

	for (unsigned i = 0; known && i < known->n_names; i++)
		if (known->names[i].wanted > 1)
			found(context, span_make(known->names[i].text, known->names[i].len),
				known->names[i].type);
}
