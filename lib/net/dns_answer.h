/*
 * dns_answer: an answer packet (RFC 1035 4) read into a query. Names, bounds and loops are checked
 * here once more: what libunbound looked through it did for its own ends, and rdata it mostly
 * passes on as it came.
 */
#ifndef NET_DNS_ANSWER_H
#define NET_DNS_ANSWER_H

#include "lib/net/dns.h"

/* Sets outcome, ttl_s, canonical, records and error from the packet. Copies all that it keeps into
 * the query's arena. */
void dns_answer_read(struct dns_query *query, struct span packet);

/* Whether a text in dns_query.name's form can be a name: NULL, or why not. */
const char *dns_name_mistake(struct span text);

#endif
