/*
 * list: what rules look values up in: `list NAME : TYPE { ... }`, `from file "..."` or `from store
 * "..."`. A list is filled, then sealed; from then on it never changes, may be shared, and a lookup
 * allocates nothing.
 *
 *     filling --list_add, list_read--> filling --list_seal--> sealed --list_match_*--> sealed
 *
 * One from the store is sealed from the beginning, and what it holds is a view that changes under
 * it (lib/list/view.h); the same items match the same values.
 *
 * What an item may be, and what it stands for:
 *
 *     cidr    192.0.2.0/24  2001:db8::/32  192.0.2.1      the longest prefix wins
 *     ip      192.0.2.1  2001:db8::1                      that address
 *     domain  example.com                                 that domain; `under`: its subdomains too
 *             .example.com  *.example.com                 its subdomains, at any depth, not itself
 *     mail    user@example.com                            that address
 *             @example.com  *@example.com                 each address of that domain
 *             @.example.com                               each address of its subdomains
 *             <>  postmaster                              the null reverse-path; the bare mailbox
 *     text    any text                                    that text, all of it
 *     hash    32, 40 or 64 hex digits                     a text in small letters whose MD5, SHA-1
 *                                                         or SHA-256 that is
 *
 * Text compares without case (ASCII), domains without a dot at their end and in ASCII (facts.h).
 * Where several items fit, the one that says most wins: the address before its domain, the domain
 * before its parent, `example.com` before `.com`. Of an item that stands twice the last one holds,
 * with its reason.
 */
#ifndef POLICY_LIST_H
#define POLICY_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/clock.h"
#include "lib/base/error.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"
#include "lib/list/view.h"
#include "policy/diagnostic.h"
#include "policy/facts.h"

enum list_type { LIST_CIDR, LIST_IP, LIST_DOMAIN, LIST_MAIL, LIST_TEXT, LIST_HASH };

enum {
	LIST_ITEM_MAX = 1024,  /* bytes; a longer item is refused, a longer text is in no list */
	LIST_REASON_MAX = 500, /* bytes; what goes beyond is cut off */
	LIST_HASHED_MAX = 8192 /* bytes; a longer text is in no hash list */
};

struct list;

/* What matched: the item as written, its domain in ASCII, and its reason, empty when it has none;
 * both borrowed from the list, or from this struct, which is not copied. */
struct list_hit {
	struct span item;
	struct span reason;
	char network[IP_TEXT_SIZE + 4]; /* private */
};

/* The digest of a text, as so many hex digits in small letters: 32 for MD5, 40 for SHA-1, 64 for
 * SHA-256. false: there is no such digest here. Cryptography lies above this layer. */
typedef bool list_digest(unsigned digits, struct span text, char *hex);

/* By its name in a rule file: "cidr", "ip", "domain", "mail", "text", "hash". */
bool list_type_parse(struct span name, enum list_type *type) MUST_CHECK;
const char *list_type_name(enum list_type type);

/* digest: for LIST_HASH, otherwise NULL. ascii: for LIST_DOMAIN and LIST_MAIL, whose items are kept
 * with their domains so; NULL: as written. */
struct list *list_new(enum list_type type, list_digest *digest, domain_ascii *ascii);

/* A list from the store: what the view holds at each lookup, but for what has expired by the clock.
 * Both are borrowed. Its keys are those of list_item_key, in small letters. */
struct list *list_new_live(enum list_type type, list_digest *digest, const struct list_view *view,
	const struct clock *clock);

void list_free(struct list **list);
enum list_type list_type(const struct list *list);

enum list_added {
	LIST_REFUSED, /* err says why; nothing has changed */
	LIST_ADDED,
	LIST_MENDED /* added as what it must mean; err says what that is */
};

/* One item; item and reason are copied. */
enum list_added list_add(
	struct list *list, struct span item, struct span reason, struct err *err) MUST_CHECK;

/*
 * The items of a file, d->source: UTF-8, one a line, with LF or CRLF; a byte order mark is skipped.
 *
 *     # a comment, an empty line
 *     192.0.2.0/24 ; SBL123        what follows the item behind blanks, `;` or `#` is its reason
 *     192.0.2.1 # since May #4     "since May #4": only the first mark is one
 *     buy now ; spam               a text holds blanks and ends at `;` or ` #`,
 *     "a;b \"c\"" ; odd            or stands in quotes, with \" and \\
 *
 * Mistakes are told with their lines, at most LIST_TOLD_MAX of them and then a count; all are
 * counted in d. The lines that are right are added whatever the others are.
 */
enum { LIST_TOLD_MAX = 20 };
void list_read(struct list *list, struct diagnostics *d);

/* Makes it fit for lookups; call once, behind the last item. */
void list_seal(struct list *list);

/* Different items; of a sealed list. Of one from the store about as many (list_view_count). */
size_t list_count(const struct list *list);

/* Bytes of memory that it holds. */
size_t list_size(const struct list *list);

/* Lookups of a sealed list; hit may be NULL. An address in LIST_CIDR and LIST_IP. */
bool list_match_ip(const struct list *list, const struct ip *ip, struct list_hit *hit);

/* A domain, mail address (without angle brackets; empty: the null reverse-path) or text in a list
 * of the other types. */
bool list_match_text(const struct list *list, struct span text, struct list_hit *hit);

/* The domain or one that it lies under, in LIST_DOMAIN. */
bool list_match_under(const struct list *list, struct span domain, struct list_hit *hit);

#endif
