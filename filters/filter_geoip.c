/*
 * geoip: where an address is said to be, from databases in MaxMind's format (GeoLite2, DB-IP, ...),
 * mapped into memory. An address that they don't know has no country: that is none, no failure.
 */
#include <maxminddb.h>
#include <stdlib.h>

#include "filters/filter.h"
#include "lib/base/fail.h"

enum { CLIENT_COUNTRY, CLIENT_ASN };
enum { OPTION_DATABASE, OPTION_ASN_DATABASE, DATABASES };

static const struct fact facts[] = {
	[CLIENT_COUNTRY] = {"client.country", TYPE_TEXT, STAGE_CONNECT, 0, NULL,
		"the country of the client's address, as ISO 3166 has it: DE"},
	[CLIENT_ASN] = {"client.asn", TYPE_NUMBER, STAGE_CONNECT, 0, NULL,
		"the number of the network (AS) that the client's address belongs to"},
	{.name = NULL},
};

static const struct filter_option options[] = {
	[OPTION_DATABASE] = {"database", FILTER_PATH, NULL, 0, 0,
		"a database of countries, such as GeoLite2-Country.mmdb"},
	[OPTION_ASN_DATABASE] = {"asn_database", FILTER_PATH, NULL, 0, 0,
		"a database of networks, such as GeoLite2-ASN.mmdb"},
	{.name = NULL},
};

/* By option. */
struct databases {
	MMDB_s items[DATABASES];
	bool is_open[DATABASES];
};

static void close_filter(struct filter_home *home)
{
	struct databases *databases = home->state;

	for (unsigned i = 0; i < DATABASES; i++)
		if (databases->is_open[i])
			MMDB_close(&databases->items[i]);
	free(databases);
}

static bool tell(int status, const char *path, struct err *err)
{
	if (status == MMDB_FILE_OPEN_ERROR || status == MMDB_IO_ERROR)
		return err_errno(err, "filter geoip: %s", path);
	return err_set(err, "filter geoip: %s: %s", path, MMDB_strerror(status));
}

static bool open_filter(struct filter_home *home, struct err *err)
{
	struct databases *databases = memory_zeroed(sizeof(*databases));
	int status;

	home->state = databases;
	for (unsigned i = 0; i < DATABASES; i++) {
		const char *path = filter_text(home, i);

		if (!path)
			continue;
		status = MMDB_open(path, MMDB_MODE_MMAP, &databases->items[i]);
		if (status != MMDB_SUCCESS) {
			tell(status, path, err);
			close_filter(home);
			return false;
		}
		databases->is_open[i] = true;
	}
	return true;
}

/* The value at a path for the client's address. false: there is none, or the fact has failed. */
static bool look_up(struct call *call, unsigned database, unsigned fact, const char *const *path,
	uint32_t type, MMDB_entry_data_s *out)
{
	struct databases *databases = call_home(call)->state;
	struct sockaddr_storage address;
	MMDB_lookup_result_s result;
	int status;

	endpoint_sockaddr(&call_view(call)->client, &address);
	result = MMDB_lookup_sockaddr(
		&databases->items[database], (const struct sockaddr *)&address, &status);
	if (status == MMDB_IPV6_LOOKUP_IN_IPV4_DATABASE_ERROR)
		return false;
	if (status == MMDB_SUCCESS && result.found_entry) {
		status = MMDB_aget_value(&result.entry, out, path);
		if (status == MMDB_SUCCESS)
			return out->has_data && out->type == type;
		if (status == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR)
			return false;
	}
	if (status != MMDB_SUCCESS)
		call_fail(call, fact, MMDB_strerror(status));
	return false;
}

static void add_country(struct call *call)
{
	static const char *const country[] = {"country", "iso_code", NULL},
				 *const registered[] = {"registered_country", "iso_code", NULL};
	MMDB_entry_data_s data;

	if (look_up(call, OPTION_DATABASE, CLIENT_COUNTRY, country, MMDB_DATA_TYPE_UTF8_STRING,
		    &data) ||
		look_up(call, OPTION_DATABASE, CLIENT_COUNTRY, registered,
			MMDB_DATA_TYPE_UTF8_STRING, &data))
		call_add_text(call, CLIENT_COUNTRY, span_make(data.utf8_string, data.data_size));
}

static void add_asn(struct call *call)
{
	static const char *const number[] = {"autonomous_system_number", NULL};
	MMDB_entry_data_s data;

	if (look_up(call, OPTION_ASN_DATABASE, CLIENT_ASN, number, MMDB_DATA_TYPE_UINT32, &data))
		call_add_number(call, CLIENT_ASN, data.uint32);
}

static enum call_status run(struct call *call)
{
	const struct databases *databases = call_home(call)->state;
	bool known = call_view(call)->client.ip.family != IP_NONE;

	if (!databases->is_open[OPTION_DATABASE])
		call_lack(call, CLIENT_COUNTRY, "no GeoIP database is configured");
	else if (known && call_wants(call, CLIENT_COUNTRY))
		add_country(call);
	if (!databases->is_open[OPTION_ASN_DATABASE])
		call_lack(call, CLIENT_ASN, "no GeoIP database of networks is configured");
	else if (known && call_wants(call, CLIENT_ASN))
		add_asn(call);
	return CALL_DONE;
}

const struct filter filter_geoip = {.version = FILTER_VERSION,
	.name = "geoip",
	.facts = facts,
	.options = options,
	.open = open_filter,
	.close = close_filter,
	.run = run};
